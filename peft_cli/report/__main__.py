"""`python -m peft_cli.report`."""

import sys

from peft_cli.report import main

sys.exit(main())
