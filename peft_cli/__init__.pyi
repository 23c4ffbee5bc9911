from typing import Any

from peft_cli.backbone import Backbone
from peft_cli.backbone.loading import load_backbone as load_backbone
from peft_cli.config.version import __version__ as __version__
from peft_cli.data import Data
from peft_cli.data import few_shot as few_shot
from peft_cli.evaluate import Decoding
from peft_cli.evaluate import predict as predict
from peft_cli.method import Method
from peft_cli.metrics import score as score
from peft_cli.recipe import Recipe
from peft_cli.run import run as run
from peft_cli.run_folder.read_runs import read_runs as read_runs
from peft_cli.train import train as train

def load_data(name: str, **settings: Any) -> Data: ...
def build_method(name: str, backbone: Backbone, **settings: Any) -> Method: ...
def load_recipe(name: str = "few_shot", **settings: Any) -> Recipe: ...
def load_decoding(name: str = "greedy", **settings: Any) -> Decoding: ...
