"""bertscore, moverscore and bleurt on tiny BERTs with random weights: what they compute, not what it is worth."""

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

from peft_cli.metrics import score
from peft_cli.metrics.moverscore import move_cost

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "pub", "by", "the", "river", "cheap", "food", ".", "##s"]
TEXTS = ["a pub by the river .", "cheap foods", "the river pubs"]
REFERENCES = [["the pub by a river .", "a pub ."], ["cheap food"], ["the river", "a pub", "pubs by the river ."]]
CONFIG = {
    "vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 32,
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """An encoder and a model with one output."""
    inner = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.normalizer, inner.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    around = [("[CLS]", 2), ("[SEP]", 3)]
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=around
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=32, **names)
    torch.manual_seed(0)
    made = {
        "encoder": BertModel(BertConfig(**CONFIG)),
        "bleurt": BertForSequenceClassification(BertConfig(**CONFIG, num_labels=1)),
    }
    root = tmp_path_factory.mktemp("models")
    for name, model in made.items():
        for p in model.parameters():
            p.data.normal_(std=0.5)
        model.save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    return {name: str(root / name) for name in made}


def hidden(folder: str, text: str, layer: int) -> torch.Tensor:
    """Unit vectors [T, d_model] of one text alone."""
    from transformers import AutoModel, AutoTokenizer

    rows = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(folder)(**rows, output_hidden_states=True).hidden_states[layer][0]
    return states / states.norm(dim=-1, keepdim=True)


def test_bertscore_is_its_formula(folders):
    def f1(text: str, ref: str) -> float:
        similarity = hidden(folders["encoder"], text, 1) @ hidden(folders["encoder"], ref, 1).T
        p, r = (similarity.amax(dim)[1:-1].mean().item() for dim in (1, 0))
        return 200 * p * r / (p + r)

    scores = score([f"bertscore={folders['encoder']}@1"], TEXTS, REFERENCES)
    expected = [max(f1(text, ref) for ref in refs) for text, refs in zip(TEXTS, REFERENCES, strict=True)]
    assert [own["bertscore"] for own in scores.examples] == pytest.approx(expected, abs=1e-3)
    assert "model:encoder|layer:1" in scores.signatures["bertscore"]


def test_bertscore_of_the_reference_is_a_hundred_and_of_nothing_is_zero(folders):
    scores = score([f"bertscore={folders['encoder']}@2"], ["cheap food", ""], [["cheap food"], ["a pub"]])
    assert [own["bertscore"] for own in scores.examples] == pytest.approx([100.0, 0.0], abs=1e-3)


def test_bertscore_asks_for_the_layer(folders):
    with pytest.raises(ValueError, match="names no layer"):
        score([f"bertscore={folders['encoder']}"], TEXTS, REFERENCES)


@pytest.mark.parametrize("name", ["bertscore", "moverscore", "bleurt"])
def test_a_folder_that_is_not_there_is_told_before_anything_runs(name):
    with pytest.raises(ValueError, match="there is no folder models/absent"):
        score([f"{name}=models/absent"], TEXTS, REFERENCES)


def test_moverscore_of_the_reference_is_a_hundred(folders):
    scores = score([f"moverscore={folders['encoder']}"], ["cheap food", "a pub"], [["cheap food"], ["a pub"]])
    assert list(scores.values.values()) == pytest.approx([100.0], abs=1e-2)


def test_moving_words_costs_their_distance():
    from peft_cli.metrics.encoders import Vectors

    x, y, z = torch.eye(3)
    rare = {"x": 1.0, "y": 1.0, "z": 1.0, ".": 1.0, "##s": 1.0}
    hyp = Vectors(["x", "y", "."], torch.stack([x, y, z]), [False] * 3)
    ref = Vectors(["y", "z", "##s"], torch.stack([y, z, x]), [False] * 3)
    assert move_cost(hyp, ref, rare, rare) == pytest.approx(0.5 * 2**0.5)  # y stays, x goes to z
    assert move_cost(hyp, Vectors(["."], z[None], [False]), rare, rare) == 1.0


def test_bleurt_is_the_output_for_reference_and_prediction(folders):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders["bleurt"])
    model = AutoModelForSequenceClassification.from_pretrained(folders["bleurt"]).eval()

    def output(text: str, ref: str) -> float:
        with torch.no_grad():
            return 100 * model(**tokenizer(ref, text, return_tensors="pt")).logits.item()

    scores = score([f"bleurt={folders['bleurt']}"], TEXTS, REFERENCES)
    expected = [max(output(text, ref) for ref in refs) for text, refs in zip(TEXTS, REFERENCES, strict=True)]
    assert [own["bleurt"] for own in scores.examples] == pytest.approx(expected, abs=1e-3)


def test_bleurt_refuses_a_model_with_several_outputs(folders):
    with pytest.raises(ValueError, match="has 2 outputs"):
        score([f"bleurt={folders['encoder']}"], TEXTS, REFERENCES)
