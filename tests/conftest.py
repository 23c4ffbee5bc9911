"""Tiny backbones of every family with random weights, and a tokenizer of their own."""

import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    BartConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    T5Config,
)

from peft_cli.backbone import Backbone
from peft_cli.backbone.attention import IMPLEMENTATION
from peft_cli.data import Example, Hypothesis
from peft_cli.forms import build_form

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of processes that tests start: their models are too small for more
torch.set_num_threads(1)

SHARED = Path(__file__).parents[2] / "shared"  # published files that some tests need


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Fails a test that is skipped for want of something although the published files are here."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and SHARED.exists() and "needs" in str(report.longrepr):
        report.outcome, report.longrepr = "failed", f"skipped where nothing may be: {report.longrepr[-1]}"


WORDS = [
    "name", ":", "Blue", "Spice", "Alimentum", "|", "area", "riverside", "price", "cheap", "The", "is", "in", "a",
    "great", "of", "place", "with", "food", "and", "good", "bad", "<mask>",
]  # fmt: skip
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
D_MODEL, LAYERS, HEADS, POSITIONS, V = 16, 2, 2, 192, 32
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
CONFIGS = {
    "gpt2": (AutoModelForCausalLM, lambda: GPT2Config(
        vocab_size=V, n_positions=POSITIONS, n_embd=D_MODEL, n_layer=LAYERS, n_head=HEADS, bos_token_id=2,
        eos_token_id=2, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)),
    "llama": (AutoModelForCausalLM, lambda: LlamaConfig(
        vocab_size=V, max_position_embeddings=POSITIONS, hidden_size=D_MODEL, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=1, intermediate_size=32, bos_token_id=0, eos_token_id=2)),
    "bart": (AutoModelForSeq2SeqLM, lambda: BartConfig(
        vocab_size=V, max_position_embeddings=POSITIONS, d_model=D_MODEL, encoder_layers=LAYERS, decoder_layers=LAYERS,
        encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, encoder_ffn_dim=32, decoder_ffn_dim=32,
        pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2, scale_embedding=True, **NO_DROPOUT)),
    "t5": (AutoModelForSeq2SeqLM, lambda: T5Config(
        vocab_size=V, d_model=D_MODEL, d_kv=6, d_ff=32, num_layers=LAYERS, num_heads=HEADS, pad_token_id=1,
        eos_token_id=2, decoder_start_token_id=1, dropout_rate=0.0)),
    "roberta": (AutoModelForSequenceClassification, lambda: RobertaConfig(
        vocab_size=V, max_position_embeddings=POSITIONS + 2, hidden_size=D_MODEL, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, intermediate_size=32, type_vocab_size=1, pad_token_id=1, bos_token_id=0,
        eos_token_id=2, num_labels=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)),
}  # fmt: skip
EXAMPLES = [
    Example("0", "name : Blue Spice | area : riverside", ("The Blue Spice is in a great area",)),
    Example("1", "name : Alimentum", ("Alimentum is cheap and good with a great place",)),
    Example("2", "price : cheap | name : Alimentum | area : riverside | food : good", ("good food",)),
]
CLASSES = [Example("0", EXAMPLES[0].source, ("good",)), Example("1", EXAMPLES[1].source, ("bad",))]
CLASSES.append(Example("2", EXAMPLES[2].source, ("good",)))
HYPOTHESIS = Hypothesis("The place is {label} .", ("great", "cheap"))
NLI = ("contradiction", "neutral", "entailment")


def make_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """A word-level tokenizer that puts a family's own special tokens around a text."""
    from tokenizers.processors import TemplateProcessing

    words = {word: i for i, word in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    around = {"bart": "<s> $A </s>", "roberta": "<s> $A </s>", "t5": "$A </s>", "llama": "<s> $A"}.get(family)
    if around:
        tokenizer.post_processor = TemplateProcessing(single=around, special_tokens=[("<s>", 0), ("</s>", 2)])
    pad = {} if family in ("gpt2", "llama") else {"pad_token": "<pad>", "mask_token": "<mask>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=POSITIONS,
        **pad,
    )


def noisy(model):
    """`model` with large random weights."""
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p.normal_(std=0.3)
    return model


def make_backbone(
    family: str, seed: int = 0, max_target_tokens: int = 12, form: str = "classes", hypothesis: Hypothesis = HYPOTHESIS,
    nli: tuple[str, ...] = NLI, labels: tuple[str, ...] = ("good", "bad"), **options,
) -> Backbone:  # fmt: skip
    """A backbone of `family` with 2 layers of width 16 and random weights; its weights are large enough to matter.

    An encoder that is asked by another form than classes has an NLI head or a words' head, and `hypothesis`.
    """
    auto, config = CONFIGS[family]
    torch.manual_seed(seed)
    config, form = config(), form if family == "roberta" else "classes"
    if form == "entailment":
        config.id2label = dict(enumerate(nli))
    model = noisy(
        (AutoModelForMaskedLM if form == "mask" else auto).from_config(config, attn_implementation=IMPLEMENTATION)
    )
    tokenizer = make_tokenizer(family)
    if form != "classes":
        options["form"] = build_form(hypothesis, form, tokenizer)
        options["read_words_head"] = lambda: noisy(AutoModelForMaskedLM.from_config(config)).lm_head
    separator = "</s>" if family == "gpt2" else "|" if family == "llama" else None
    return Backbone(
        model,
        tokenizer,
        labels if family == "roberta" else (),
        separator,
        max_source_tokens=24,
        max_target_tokens=max_target_tokens,
        **options,
    )


def examples_for(backbone: Backbone) -> list[Example]:
    """Three examples of unlike lengths that suit the backbone."""
    return EXAMPLES if backbone.family.generates else CLASSES


@pytest.fixture(params=list(CONFIGS))
def family(request) -> str:
    return request.param


@pytest.fixture
def backbone(family) -> Backbone:
    return make_backbone(family)


def three_equal_steps(ours, method, model, batch, optimizers, gradients) -> None:
    """Takes three steps with `method` on `ours` and with HF peft's `model`; losses and `gradients()` have to agree."""
    for _ in range(3):
        losses = [F.cross_entropy(*ours.forward(method.inputs(batch))), model(**batch.tensors()).loss]
        assert torch.allclose(*losses, atol=1e-5)
        for loss, optimizer in zip(losses, optimizers, strict=True):
            optimizer.zero_grad()
            loss.backward()
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in gradients())
        for optimizer in optimizers:
            optimizer.step()
