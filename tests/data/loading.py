"""Loads a data set as a run does, from its YAML and overrides; and where the published files are at hand."""

from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from peft_cli.config.targets import resolve
from peft_cli.config.values import check
from peft_cli.data import Data

CONF = Path(__file__).parents[2] / "conf"
SHARED = Path(__file__).parents[3] / "shared" / "data"
TRIAL = "reconstructed/dart-v1.1.1-train-webnlg-partition.reconstructed.json"
SAMPLE, HELD_OUT = "train.sample8999.tsv", "heldout_from_train.sample1000.tsv"
AT_HAND: dict[str, tuple[str, list[str]]] = {
    "e2e": ("e2e", []),
    "webnlg": ("webnlg/webnlg_challenge_2017", []),
    "webnlg2020": ("webnlg/release_v3.0/en", []),
    "dart": ("dart", [f"train={TRIAL}", "rows=null"]),
    "xsum": ("xsum", ["train=train.sample.jsonl", "validation=null", "test=test.sample.jsonl", "rows=null"]),
    "cola": ("glue/CoLA", []),
    "sst2": ("glue/SST-2", []),
    "mrpc": ("glue/MRPC", []),
    "rte": ("glue/RTE", []),
    "stsb": ("glue/STS-B", []),
    "qnli": ("glue/QNLI", [f"train={SAMPLE}", "rows={train: 8999}"]),
    "qqp": ("glue/QQP", [f"train={SAMPLE}", "validation=null", f"test={HELD_OUT}", "split=official", "rows=null"]),
    "mnli": ("glue/MNLI", [f"train={SAMPLE}", f"validation={HELD_OUT}", "test=dev_matched.jsonl", "rows=null"]),
    "boolq": ("superglue_few_shot/BoolQ", ["rows={train: 32}"]),
    "cb": ("superglue_few_shot/CB", ["rows={train: 32}"]),
    "wic": ("superglue_few_shot/WiC", ["rows={train: 32}"]),
    "copa": ("superglue_few_shot/COPA", ["rows={train: 32}"]),
    "mr": ("sentence_classification/MR", []),
    "cr": ("sentence_classification/CR", []),
    "mpqa": ("sentence_classification/MPQA", []),
    "subj": ("sentence_classification/Subj", []),
    "trec": ("sentence_classification/TREC", []),
    "sst5": ("sentence_classification/SST-5", []),
    "scitail": (
        "scitail",
        ["train=null", "validation=null", "test=test.jsonl", "classes=[entailment,not_entailment]",
         "rows={test: 2126}"],
    ),
}  # fmt: skip
# data set -> its folder below SHARED, and what has to be said since that has samples of it


def arguments(name: str) -> list[str]:
    """The overrides that load a data set from the files at hand."""
    folder, more = AT_HAND[name]
    return [f"data={name}", f"data.root={SHARED / folder}", *(f"data.{one}" for one in more)]


def load_data(*overrides: str) -> Data:
    """What the loader of a configuration gives, as in load_data("data=e2e", "data.root=...")."""
    with initialize_config_dir(str(CONF), version_base=None):
        keys = OmegaConf.to_container(compose("config", overrides=list(overrides)).data)
    target = resolve(keys.pop("_target_"), "data")
    check(keys, target, "data")
    return target(**keys)
