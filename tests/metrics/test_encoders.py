"""bertscore, moverscore and bleurt on tiny BERTs with random weights: what they compute, not what it is worth."""

import builtins
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
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


@pytest.mark.parametrize("argument", ["{encoder}", "{encoder}@last", "{encoder}@", "@1"])
def test_bertscore_needs_a_folder_and_a_layer(folders, argument):
    with pytest.raises(ValueError, match="names no layer"):
        score([f"bertscore={argument.format(**folders)}"], TEXTS, REFERENCES)


@pytest.mark.parametrize("name", ["bertscore={encoder}@1", "moverscore={encoder}", "bleurt={bleurt}"])
def test_a_text_is_cut_to_what_the_model_reads_and_nothing_is_printed(folders, name, capsys):
    long, cut = ([" ".join(["a pub"] * n)] for n in (100, 32))  # the models have 32 positions
    values = [score([name.format(**folders)], texts, [["a pub by the river"]]).values for texts in (long, cut)]
    assert values[0] == values[1] and capsys.readouterr() == ("", "")


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
    without_words = Vectors(["."], z[None], [False])
    assert move_cost(hyp, without_words, rare, rare) == move_cost(without_words, ref, rare, rare) == 1.0


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


def test_bleurt_refuses_a_model_with_several_outputs(folders, tmp_path):
    shutil.copytree(folders["bleurt"], tmp_path / "model")
    BertForSequenceClassification(BertConfig(**CONFIG, num_labels=2)).save_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="has 2 outputs"):
        score([f"bleurt={tmp_path / 'model'}"], TEXTS, REFERENCES)


@pytest.fixture
def copied(folders, tmp_path, monkeypatch):
    """A copy of the encoder; a question on the terminal fails the test."""
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("a question was asked"))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    return Path(shutil.copytree(folders["encoder"], tmp_path / "model"))


@pytest.mark.parametrize("name", ["bertscore=...@1", "moverscore=...", "bleurt=..."])
def test_code_in_a_models_folder_is_not_run(copied, name):
    (copied / "evil.py").write_text('from pathlib import Path\nPath(__file__).with_name("ran").touch()\n')
    names = {auto: f"evil.{auto}" for auto in ("AutoConfig", "AutoModel", "AutoModelForSequenceClassification")}
    config = json.loads((copied / "config.json").read_text()) | {"model_type": "evil", "auto_map": names}
    (copied / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"the folder {copied} has no model that can be loaded") as error:
        score([name.replace("...", str(copied))], TEXTS, REFERENCES)
    assert "\n" not in str(error.value) and not list(copied.parent.rglob("ran"))


def test_pickled_weights_are_refused(copied):
    torch.save(load_file(copied / "model.safetensors"), copied / "pytorch_model.bin")
    (copied / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="has no model that can be loaded"):
        score([f"moverscore={copied}"], TEXTS, REFERENCES)


def test_a_bleurt_needs_its_pooler(folders, tmp_path):
    folder = Path(shutil.copytree(folders["bleurt"], tmp_path / "model"))
    without(folder, "bert.pooler.")
    with pytest.raises(ValueError, match=r"the weights bert\.pooler\.dense\.bias, .* are absent"):
        score([f"bleurt={folder}"], TEXTS, REFERENCES)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff" * 40])
def test_a_broken_file_of_a_model_is_one_sentence(copied, name, content):
    (copied / name).write_bytes(content)
    with pytest.raises(ValueError, match="has no model that can be loaded") as error:
        score([f"bertscore={copied}@1"], TEXTS, REFERENCES)
    assert "\n" not in str(error.value)


def test_a_layer_that_a_model_has_not_got_is_one_sentence(folders):
    with pytest.raises(ValueError, match="has the layers 0 to 2, and not 3"):
        score([f"bertscore={folders['encoder']}@3"], TEXTS, REFERENCES)


def without(folder: Path, start: str) -> None:
    """Removes the weights whose names have a beginning from a model's folder."""
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith(start)}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


def test_a_model_that_lacks_weights_is_refused(copied):
    without(copied, "encoder.layer.1.attention.self.key.")
    with pytest.raises(ValueError, match=r"the weights encoder\.layer\.1\.attention\.self\.key\.bias, .* are absent"):
        score([f"bertscore={copied}@1"], TEXTS, REFERENCES)


def test_the_vectors_of_tokens_need_no_pooler(copied, folders):
    expected = score([f"bertscore={folders['encoder']}@2"], TEXTS, REFERENCES).values
    without(copied, "pooler.")
    assert score([f"bertscore={copied}@2"], TEXTS, REFERENCES).values == expected


def test_a_model_without_its_classifier_is_no_bleurt(folders, tmp_path):
    folder = Path(shutil.copytree(folders["bleurt"], tmp_path / "model"))
    without(folder, "classifier.")
    with pytest.raises(ValueError, match=r"the weights classifier\.bias, classifier\.weight are absent"):
        score([f"bleurt={folder}"], TEXTS, REFERENCES)
