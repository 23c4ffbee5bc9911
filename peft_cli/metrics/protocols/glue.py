"""GLUE's metrics by scikit-learn and scipy: texts of classes or numbers (Wang et al., 2019, https://gluebenchmark.com)."""

from peft_cli.metrics.protocols import Protocol

PROTOCOL = Protocol("glue", metrics=("accuracy",))
