"""What every method has to keep on every family: each YAML of conf/method, found by itself."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from peft_cli.config.targets import resolve
from peft_cli.recipe import Recipe
from peft_cli.train import Batches, batch_loss, step
from tests.conftest import CONFIGS, examples_for, make_backbone

YAMLS = sorted((Path(__file__).parents[2] / "conf" / "method").glob("*.yaml"))
RECIPE = Recipe(
    steps=3, batch_size=3, accumulation=1, schedule="constant", warmup_steps=0, weight_decay=0.1, clip=None,
    loss="token_mean", dropout=False, validate_every=None, select="loss", patience=None, checkpoint_seconds=0.0,
    cache_gb=1.0, checkpointing=False, compile=None,
)  # fmt: skip
GREEDY = {"num_beams": 1, "max_new_tokens": 8, "min_new_tokens": 8}


def form_of(path: Path) -> str:
    return resolve(OmegaConf.load(path)["_target_"], "method").form


def make_method(path: Path, backbone):
    arguments = OmegaConf.to_container(OmegaConf.load(path))
    torch.manual_seed(1)
    return resolve(arguments.pop("_target_"), "method")(backbone, **arguments)


def refusal(path: Path, family: str) -> str | None:
    """Why a method cannot work on a family; None where it can."""
    try:
        make_method(path, make_backbone(family, form=form_of(path)))
    except ValueError as error:
        return str(error)
    return None


REFUSALS = {(path, family): refusal(path, family) for path in YAMLS for family in CONFIGS}
PAIRS = [pair for pair, reason in REFUSALS.items() if reason is None]

writers = pytest.mark.parametrize(
    "pair", [p for p in PAIRS if p[1] != "roberta"], indirect=True, ids=lambda p: f"{p[0].stem}-{p[1]}"
)


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0].stem}-{pair[1]}")
def pair(request) -> tuple[Path, str]:
    return request.param


@pytest.fixture
def path(pair) -> Path:
    return pair[0]


@pytest.fixture
def family(pair) -> str:
    return pair[1]


@pytest.fixture
def backbone(path, family):
    return make_backbone(family, form=form_of(path))


@pytest.fixture
def method(path, backbone):
    return make_method(path, backbone)


def stir(method) -> None:
    """Moves every tensor away from where it started."""
    torch.manual_seed(2)
    with torch.no_grad():
        for p in method.parameters():
            p += 0.1 * torch.randn_like(p)


def logits(backbone, method, examples=None):
    """Logits [N, V] of each example's targets in one right-padded batch."""
    rows = backbone.encode(examples or examples_for(backbone))
    with torch.no_grad():
        return backbone.forward(method.inputs(backbone.batch(rows)))[0]


def take_steps(backbone, method, steps=3) -> None:
    optimizer = torch.optim.AdamW(method.param_groups(), weight_decay=RECIPE.weight_decay)
    for _ in range(steps):
        step(backbone, method, backbone.encode(examples_for(backbone)), RECIPE)
        optimizer.step()
        optimizer.zero_grad()


def test_every_owned_tensor_trains(backbone, method):
    before = {name: p.detach().clone() for name, p in method.named_parameters()}
    take_steps(backbone, method)
    assert before, "a method owns something"
    unchanged = [name for name, p in method.named_parameters() if torch.equal(p, before[name])]
    assert not unchanged


def test_nothing_else_changes(backbone, method):
    owned = {id(p) for p in method.parameters()}
    before = {name: p.detach().clone() for name, p in backbone.named_parameters() if id(p) not in owned}
    buffers = {name: b.clone() for name, b in backbone.model.named_buffers()}
    take_steps(backbone, method)
    after = dict(backbone.named_parameters())
    assert all(torch.equal(p, after[name]) for name, p in before.items())
    assert all(torch.equal(b, buffers[name]) for name, b in backbone.model.named_buffers())


def test_step_0_is_the_backbone_where_the_method_says_so(path, family, backbone, method):
    untouched = make_backbone(family, form=form_of(path))
    with torch.no_grad():
        plain = untouched.forward(untouched.batch(untouched.encode(examples_for(untouched))))[0]
    assert torch.allclose(logits(backbone, method), plain, atol=1e-5) == method.starts_neutral


def test_a_stored_method_is_restored_exactly(path, family, backbone, method):
    stir(method)
    method.fold()
    expected = logits(backbone, method)
    other = make_backbone(family, form=form_of(path))
    load_run = make_method(path, other)
    load_run.fold()
    load_run.load_state_dict(method.state_dict(), strict=True)
    assert torch.equal(logits(other, load_run), expected)


def test_fold_keeps_the_logits(backbone, method):
    stir(method)
    before = logits(backbone, method)
    method.fold()
    assert torch.allclose(logits(backbone, method), before, atol=1e-5)


def test_padding_does_not_change_the_loss(backbone, method):
    stir(method)
    examples = examples_for(backbone)
    alone = torch.cat([logits(backbone, method, [example]) for example in examples])
    assert torch.allclose(logits(backbone, method), alone, atol=1e-4)


def test_padding_does_not_change_what_is_written(backbone, method):
    stir(method)
    rows = backbone.encode(examples_for(backbone))
    together = written(backbone, method, rows)
    assert together == [text for row in rows for text in written(backbone, method, [row])]


def written(backbone, method, rows, **options) -> list[str]:
    return backbone.predict(method.inputs(backbone.batch(rows, training=False)), **GREEDY | options)


def test_greedy_writes_the_most_probable_tokens(backbone, method):
    stir(method)
    rows = backbone.encode(examples_for(backbone))
    inputs = method.inputs(backbone.batch(rows, training=False))
    if not backbone.family.generates:
        classes = [backbone.encoder.labels[i] for i in logits(backbone, method).argmax(-1)]
        assert backbone.predict(inputs) == classes
        return
    ids = backbone.generate(inputs, **GREEDY)
    scores, _ = teacher_forced(backbone, method, rows, ids)
    scores[:, :, backbone.tokenizer.eos_token_id] = -torch.inf  # min_new_tokens forbids the end
    assert torch.equal(scores.argmax(-1), new_ids(backbone, ids))


def new_ids(backbone, ids):
    """What was written [B, T], without the token that an encoder-decoder starts from."""
    return ids if backbone.family.is_decoder_only else ids[:, 1:]


def teacher_forced(backbone, method, rows, ids):
    """Log-probabilities [B, T, V] of every token after `rows` when `ids` are given as targets, and the ids [B, T]."""
    from dataclasses import replace

    ids = new_ids(backbone, ids)
    forced = [replace(row, target=target) for row, target in zip(rows, ids.tolist(), strict=True)]
    with torch.no_grad():
        scores, _ = backbone.forward(method.inputs(backbone.batch(forced)))
    return scores.log_softmax(-1).view(*ids.shape, -1), ids


@writers
def test_a_beams_score_is_the_texts_log_probability(backbone, method):
    stir(method)
    rows = backbone.encode(examples_for(backbone))
    inputs = method.inputs(backbone.batch(rows, training=False))
    options = {"num_beams": 3, "max_new_tokens": 6, "length_penalty": 0.0, "early_stopping": False}
    out = backbone.generate(inputs, **options, return_dict_in_generate=True, output_scores=True)
    scores, ids = teacher_forced(backbone, method, rows, out.sequences)
    each = scores.gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    ended = (ids == backbone.tokenizer.eos_token_id).cumsum(-1)
    counted = (ended == 0) | ((ended == 1) & (ids == backbone.tokenizer.eos_token_id))
    assert torch.allclose((each * counted).sum(-1), out.sequences_scores, atol=1e-4)


@writers
@pytest.mark.parametrize("beams", [1, 3])
def test_the_cache_does_not_change_what_is_written(backbone, method, beams):
    stir(method)
    rows = backbone.encode(examples_for(backbone))
    options = {"num_beams": beams, "early_stopping": False}
    assert written(backbone, method, rows, **options) == written(backbone, method, rows, **options, use_cache=False)


def test_a_bf16_backbone_trains_fp32_tensors(path, family, backbone, method):
    lower = make_backbone(family, form=form_of(path))
    lower.model.to(torch.bfloat16)
    own = {id(p) for _, p in lower.named_parameters()}
    in_bf16 = make_method(path, lower)
    assert all(p.dtype == torch.float32 for p in in_bf16.parameters() if id(p) not in own)
    rows = next(Batches(backbone.encode(examples_for(backbone)), 3))
    loss = batch_loss(lower, in_bf16, lower.batch(rows))
    loss.backward()
    assert torch.allclose(loss, batch_loss(backbone, method, backbone.batch(rows)), rtol=0.05)
    assert all(p.grad.isfinite().all() for p in in_bf16.parameters())
    assert len(written(lower, in_bf16, rows)) == 3


@writers
def test_the_padding_side_does_not_change_the_logits(backbone, method):
    stir(method)
    rows = backbone.encode(examples_for(backbone))
    options = {"max_new_tokens": 1, "return_dict_in_generate": True, "output_logits": True}
    out = backbone.generate(method.inputs(backbone.batch(rows, training=False)), num_beams=1, **options)
    starts = torch.tensor([0, *(len(row.target) for row in rows[:-1])]).cumsum(0)  # where each row's targets begin
    assert torch.allclose(out.logits[0].float(), logits(backbone, method)[starts], atol=1e-4)


def test_gradient_checkpointing_keeps_the_gradients(backbone, method):
    stir(method)
    rows, passes = backbone.encode(examples_for(backbone)), count_passes(backbone)
    step(backbone, method, rows, RECIPE)
    plain_passes = len(passes)
    plain = {name: p.grad.clone() for name, p in method.named_parameters()}
    method.zero_grad()
    backbone.model.train()
    backbone.model.gradient_checkpointing_enable({"use_reentrant": False})
    step(backbone, method, rows, RECIPE)
    assert len(passes) == 2 * plain_passes + 1, "the last block runs again in the backward pass"
    assert all(torch.allclose(p.grad, plain[name], atol=1e-5) for name, p in method.named_parameters())


def count_passes(backbone) -> list:
    """A list that gets an entry for each pass through the last feed-forward."""
    passes = []
    backbone.linears("ffn_output")[-1].module.register_forward_pre_hook(lambda *_: passes.append(1))
    return passes


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_a_methods_docstring_has_its_start_and_its_source(path):
    docstring = resolve(OmegaConf.load(path)["_target_"], "method").__doc__
    assert "step 0" in docstring and "https://" in docstring
    assert "Departure" in docstring or "cannot be called the paper's" in docstring


def test_what_cannot_work_says_so():
    reasons = {(path.stem, family): reason for (path, family), reason in REFUSALS.items() if reason}
    no_biases = {("bitfit", family): f"BitFit trains bias terms and {family} has none" for family in ("t5", "llama")}
    no_seam = {
        ("infix", family): "method.place=between puts the infix behind a decoder's source, before its separator, and "
        f"{family} has none here; take method.place=front"
        for family in ("bart", "t5", "roberta")
    }
    no_form = {
        (path.stem, family): f"{resolve(OmegaConf.load(path)['_target_'], 'method').__name__} needs an encoder with "
        f"backbone.form={form_of(path)}, and {family} has backbone.form=classes here"
        for path in YAMLS
        if form_of(path) != "classes"
        for family in CONFIGS
        if family != "roberta"
    }
    assert reasons == no_biases | no_seam | no_form
