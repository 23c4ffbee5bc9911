"""Imports what every run needs. The process that did so is copied for each run, which then starts at once.

It computes nothing: no thread of torch's and no state of a GPU exists yet when it is copied.
"""

import peft_cli.backbone.loading
import peft_cli.checkpoint
import peft_cli.cost
import peft_cli.evaluate
import peft_cli.metrics
import peft_cli.progress
import peft_cli.sweep.worker
import peft_cli.tracker
import peft_cli.train
import peft_cli.transfer  # noqa: F401
