"""The E2E challenge's e2e-metrics (Dušek et al., 2020, https://github.com/tuetschek/e2e-metrics)."""

from peft_cli.metrics.protocols import Protocol

PROTOCOL = Protocol("e2e", metrics=("bleu", "nist", "meteor", "rouge_l", "cider"), groups_inputs=True)
