import pytest

from peft_cli.backbone.families import FAMILIES
from peft_cli.method.ft import FT
from tests.conftest import make_backbone


def test_full_tuning_trains_every_weight(backbone):
    method = FT(backbone, top_blocks=None, output_embedding=False, lr=1e-3)
    assert sum(p.numel() for p in method.parameters()) == sum(p.numel() for p in backbone.model.parameters())


@pytest.mark.parametrize("family", ["gpt2", "llama", "bart", "t5", "roberta"])
def test_top_blocks_are_the_last_of_the_stack_that_is_run_last(family):
    backbone = make_backbone(family)
    method = FT(backbone, top_blocks=1, output_embedding=False, lr=1e-3)
    stack = list(FAMILIES[family].blocks)[-1]
    last = {id(p) for p in backbone.blocks()[stack][-1].module.parameters()} | {id(p) for _, p in backbone.head()}
    assert {id(p) for p in method.parameters()} == last


def test_the_output_embedding_can_train_too():
    backbone = make_backbone("gpt2")
    plain, more = (FT(make_backbone("gpt2"), 1, output_embedding=out, lr=1e-3) for out in (False, True))
    counts = [sum(p.numel() for p in method.parameters()) for method in (plain, more)]
    assert counts[1] - counts[0] == backbone.model.get_output_embeddings().weight.numel()


def test_more_blocks_than_there_are_are_refused():
    with pytest.raises(ValueError, match=r"method\.top_blocks=3 asks for more than the 2 blocks of the decoder"):
        FT(make_backbone("gpt2"), 3, output_embedding=False, lr=1e-3)
