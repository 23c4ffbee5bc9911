"""Imports what every run needs. The process that did so is copied for each run, which then starts at once.

It computes nothing: no thread of torch's and no state of a GPU exists yet when it is copied.
"""

import peft_cli.backbone.loading
import peft_cli.cost
import peft_cli.evaluate
import peft_cli.run
import peft_cli.run_folder.init_from
import peft_cli.run_folder.tracker
import peft_cli.sweep.worker
import peft_cli.train  # noqa: F401
