import pytest
import torch

from peft_cli.data import Example
from peft_cli.method.dept import DePT, split_budget
from peft_cli.method.pt import PT
from tests.conftest import D_MODEL, examples_for, make_backbone


def make(backbone, **options):
    torch.manual_seed(0)
    defaults = {
        "budget": None, "length": 4, "rank": 3, "positions": 24, "scale": "code", "offset_by": "position",
        "init": "vocabulary", "text": None, "lr": 0.3, "offset_lr": 1e-3,
    }  # fmt: skip
    return DePT(backbone, **defaults | options)


def logits(backbone, method):
    with torch.no_grad():
        return backbone.forward(method.inputs(backbone.batch(backbone.encode(examples_for(backbone)))))[0]


@pytest.mark.parametrize(
    ("length", "rank", "positions"),
    [(80, 15, 256), (60, 30, 256), (40, 45, 256), (20, 60, 256), (0, 75, 256), (60, 24, 512)],
)
def test_the_papers_settings_for_t5_base_spend_76800_numbers(length, rank, positions):
    assert length * 768 + rank * (positions + 768) == 100 * 768 == 76_800
    assert (
        split_budget(100, length, None, positions, 768)
        == split_budget(100, None, rank, positions, 768)
        == (length, rank)
    )


@pytest.mark.parametrize(
    ("budget", "length", "rank", "positions", "nearest"),
    [
        (100, 61, None, 256, "method.length=60 with method.rank=30 does"),
        (100, None, 29, 256, "method.length=60 with method.rank=30 does"),
        (100, None, 90, 256, "method.length=0 with method.rank=75 does"),
        (100, 60, 31, 256, "method.length=60 with method.rank=30 does"),
        (10, 5, None, 255, "method.length=6 with method.rank=3 comes nearest, with 7,677"),
        (1, 1, None, 256, "even method.rank=1 takes 1,024"),
    ],
)
def test_a_budget_that_cannot_be_met_names_the_nearest_that_can(budget, length, rank, positions, nearest):
    with pytest.raises(ValueError, match=f"numbers of method.budget={budget} exactly; {nearest}"):
        split_budget(budget, length, rank, positions, 768)


def test_without_a_prompt_it_stores_its_offsets(tmp_path, family):
    from safetensors.torch import load_file, save_file

    backbone = make_backbone(family)
    method = make(backbone, length=0)
    method.B.data.normal_()
    before = logits(backbone, method)
    save_file(method.state_dict(), tmp_path / "method.safetensors")
    other = make_backbone(family)
    load_run = make(other, length=0)
    load_run.load_state_dict(load_file(tmp_path / "method.safetensors"))
    assert torch.equal(logits(other, load_run), before) and backbone.positions_added == 0


def test_too_little_is_refused():
    with pytest.raises(ValueError, match="give length and rank, or a budget and one of them"):
        split_budget(None, 5, None, 256, 768)


def test_with_b_zero_it_is_prompt_tuning(backbone):
    torch.manual_seed(0)
    plain_backbone = make_backbone(backbone.config.model_type)
    torch.manual_seed(0)
    plain = PT(plain_backbone, 4, "vocabulary", None, lr=0.3)
    assert torch.equal(logits(backbone, make(backbone)), logits(plain_backbone, plain))


def test_the_scale_is_the_authors_codes_or_the_papers():
    assert make(make_backbone("t5"), scale="code").c == 8 / 3**0.5 and make(make_backbone("t5"), scale="paper").c == 1


def test_it_trains_what_its_formula_counts():
    method = make(make_backbone("t5"))
    assert sum(p.numel() for p in method.parameters()) == 4 * D_MODEL + 3 * (24 + D_MODEL)


def test_offsets_go_by_position_in_the_source_or_by_slot():
    backbone = make_backbone("gpt2")
    rows = backbone.encode(examples_for(backbone))
    for offset_by, is_same in (("position", True), ("slot", False)):
        method = make(make_backbone("gpt2"), offset_by=offset_by)
        torch.manual_seed(1)
        method.B.data.normal_()
        sources = []
        for training in (True, False):  # padded on the right, and on the left
            batch = backbone.batch(rows, training)
            mask = backbone.source_mask(batch)
            sources.append(method.inputs(batch).embeds[mask])
        assert torch.equal(*sources) == is_same


def test_prompt_and_offsets_have_learning_rates_of_their_own():
    prompt, offsets = make(make_backbone("t5")).param_groups()
    assert (prompt["lr"], offsets["lr"], len(offsets["params"])) == (0.3, 1e-3, 2)


def test_a_source_longer_than_its_positions_is_told_before_training():
    backbone = make_backbone("t5")
    make(backbone, positions=5)
    with pytest.raises(
        ValueError, match=r"method\.positions=5 is too little for the longest source, which has 9 tokens"
    ):
        backbone.check_lengths([Example("0", "a a", ("x",)), Example("1", "a a a a a a a a", ("x",))])
