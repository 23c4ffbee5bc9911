import pytest
import torch

from peft_cli.evaluate import Decoding, predict
from peft_cli.method.pt import PT
from tests.conftest import examples_for, make_backbone

DECODING = Decoding(
    beams=2, length_penalty=1.0, max_new_tokens=5, min_new_tokens=0, no_repeat_ngram=0, batch_size=2
)  # fmt: skip


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_decoder_runs_the_prompt_once_for_all_batches_and_again_when_it_changed(family):
    backbone = make_backbone(family)
    method = PT(backbone, length=7, init="random", text=None, lr=0.1)
    lengths = []

    def count(module, args, kwargs):
        embeds = kwargs.get("inputs_embeds")
        lengths.append(0 if embeds is None else embeds.shape[1])

    backbone.model.base_model.register_forward_pre_hook(count, with_kwargs=True)
    examples = examples_for(backbone) * 3
    first = predict(backbone, method, examples, DECODING).texts
    assert lengths.count(7) == 1 and len(first) == len(examples)
    with torch.no_grad():
        method.prompt += 1
    predict(backbone, method, examples, DECODING)
    assert lengths.count(7) == 2


def test_predictions_come_in_the_order_of_the_examples():
    backbone = make_backbone("gpt2")
    method = PT(backbone, length=7, init="random", text=None, lr=0.1)
    examples = examples_for(backbone)
    together = predict(backbone, method, examples, DECODING).texts
    assert together == [predict(backbone, method, [example], DECODING).texts[0] for example in examples]
