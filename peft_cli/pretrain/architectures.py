"""The embedded backbones: the real architectures of transformers, at 3.5 to 4 million weights, and their tokenizers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

from peft_cli.pretrain.corpus import Corpus
from peft_cli.pretrain.tasks import draw_document

VOCABULARY = 4096
POSITIONS = 512
D_MODEL = 192
TOKENIZER_PARAGRAPHS, TOKENIZER_DOCUMENTS = 40_000, 12_000  # that a tokenizer is trained on
SENTINELS = [f"<extra_id_{i}>" for i in range(32)]  # of T5, that stand for spans
END = "<|endoftext|>"  # GPT-2's only special token
NAMED = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]  # of BART and RoBERTa, in their order


@dataclass(frozen=True)
class Architecture:
    """How an embedded backbone is trained, and its tokenizer."""

    objective: str  # causal | spans | infilling | masked
    special: tuple[str, ...]  # the tokenizer's special tokens, in the order of their ids
    is_sentencepiece: bool = False
    book_share: float = 0.15  # of the rows; the rest are pairs of texts
    short_steps: int = 0  # first steps, with pairs that copy a few words: cross-attention learns by these
    table_lr: float = 4e-3  # of embeddings and position biases; larger where they start larger


ARCHITECTURES = {
    "tiny-gpt2": Architecture("causal", (END,)),
    "tiny-t5": Architecture("spans", ("<pad>", "</s>", "<unk>", *SENTINELS), True, short_steps=300, table_lr=4e-2),
    "tiny-bart": Architecture("infilling", tuple(NAMED), short_steps=300),
    "tiny-roberta": Architecture("masked", tuple(NAMED), book_share=0.7),
}


def build(name: str) -> PreTrainedModel:
    """The model `name` with random weights (of torch's own random state) and without dropout."""
    ids: dict[str, Any] = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    no_dropout: dict[str, Any] = {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
    t5_ids: dict[str, Any] = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    if name == "tiny-gpt2":
        return GPT2LMHeadModel(GPT2Config(
            vocab_size=VOCABULARY, n_positions=POSITIONS, n_embd=D_MODEL, n_layer=6, n_head=6, bos_token_id=0,
            eos_token_id=0, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        ))  # fmt: skip
    if name == "tiny-t5":
        return T5ForConditionalGeneration(T5Config(
            vocab_size=VOCABULARY, d_model=D_MODEL, d_kv=32, d_ff=512, num_layers=4, num_decoder_layers=3, num_heads=6,
            dropout_rate=0.0, **t5_ids,
        ))  # fmt: skip
    if name == "tiny-bart":
        return BartForConditionalGeneration(BartConfig(
            vocab_size=VOCABULARY, max_position_embeddings=POSITIONS, d_model=D_MODEL, encoder_layers=4,
            decoder_layers=3, encoder_attention_heads=6, decoder_attention_heads=6, encoder_ffn_dim=512,
            decoder_ffn_dim=512, decoder_start_token_id=2, forced_eos_token_id=None, **ids, **no_dropout,
        ))  # fmt: skip
    return RobertaForMaskedLM(RobertaConfig(
        vocab_size=VOCABULARY, max_position_embeddings=POSITIONS + 2, hidden_size=D_MODEL, num_hidden_layers=6,
        num_attention_heads=6, intermediate_size=768, type_vocab_size=1, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, **ids,
    ))  # fmt: skip


def load_tokenizer(name: str, folder: Path, corpus: Corpus) -> PreTrainedTokenizerFast:
    """The tokenizer in `folder`; where there is none it is trained, on books and generated pairs, and saved there."""
    if not (folder / "tokenizer.json").exists():
        train_tokenizer(ARCHITECTURES[name], corpus).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def train_tokenizer(architecture: Architecture, corpus: Corpus) -> PreTrainedTokenizerFast:
    """A byte-level BPE (GPT-2, BART, RoBERTa) or a unigram model as SentencePiece has it (T5), of 4,096 tokens."""
    special = list(architecture.special)
    trainer: trainers.Trainer
    if architecture.is_sentencepiece:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.Replace("\n", " ")
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=VOCABULARY, special_tokens=special, unk_token="<unk>", show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY, special_tokens=special, show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip
    tokenizer.train_from_iterator(tokenizer_texts(corpus), trainer)
    ids = {token: tokenizer.token_to_id(token) for token in special}
    if "</s>" in ids:
        around = "<s> $A </s>" if "<s>" in ids else "$A </s>"
        used = [(token, ids[token]) for token in ("<s>", "</s>") if token in ids]
        tokenizer.post_processor = processors.TemplateProcessing(single=around, special_tokens=used)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=POSITIONS, **roles(special))


def roles(special: list[str]) -> dict[str, str]:
    """The special tokens by the names that transformers has for them."""
    if special == [END]:
        return {"bos_token": END, "eos_token": END, "unk_token": END}
    named = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }
    return {role: token for role, token in named.items() if token in special}


def tokenizer_texts(corpus: Corpus) -> Iterator[str]:
    """The texts that a tokenizer is trained on."""
    yield from corpus.books[:TOKENIZER_PARAGRAPHS]
    for i in range(TOKENIZER_DOCUMENTS):
        for source, target in draw_document(Random(f"vocabulary/{i}"), corpus.words, corpus.books, 2):
            yield source
            yield " " + target
