from dataclasses import replace

import pytest
import torch

from peft_cli.cost import Meter, step_times
from peft_cli.method.ft import FT
from peft_cli.method.lora import LoRA
from peft_cli.method.pt import PT
from peft_cli.run_folder.usage import PeakMemory, counted
from tests import test_train as training
from tests.conftest import D_MODEL, EXAMPLES, LAYERS, make_backbone

RECIPE = replace(training.RECIPE, batch_size=2)


def measured(make, backbone=None, **changes):
    backbone = backbone or make_backbone("gpt2")
    method = make(backbone)
    meter = Meter(backbone, method)
    meter.measure_step(EXAMPLES, replace(RECIPE, **changes))
    return meter, method


def prompt(length):
    return lambda backbone: PT(backbone, length, "random", None, lr=0.1)


def test_flops_of_a_step_are_those_of_its_matrix_products():
    meter, _ = measured(prompt(4))
    rows = meter.backbone.encode(EXAMPLES[:2])
    length = 4 + max(len(row.source) + len(row.target) for row in rows)
    tokens, scored = 4 + 2 * (length - 4), sum(len(row.target) for row in rows)  # a decoder's prompt runs once
    vocabulary = meter.backbone.config.vocab_size
    blocks = LAYERS * 2 * tokens * 12 * D_MODEL**2
    forward = blocks + 2 * scored * D_MODEL * vocabulary
    attention = LAYERS * 4 * 2 * length * length * D_MODEL
    # Frozen weights need no gradient, so the backward pass is one product for each of the forward's; but nothing goes
    # back to the rows' embeddings (query, key and value of block one), nor from the prompt's end (all but its keys).
    unneeded = 2 * (3 * (tokens - 4) + 9 * 4) * D_MODEL**2
    low, high = 2 * forward - unneeded, 2 * forward - unneeded + attention * 4.5
    assert low <= meter.exact["flops_per_step"] <= high


def test_attention_is_counted_on_a_cpu_as_on_a_gpu():
    query, key, value = (torch.randn(2, 3, length, 16, requires_grad=True) for length in (5, 7, 7))
    with counted(()) as counts:
        torch.nn.functional.scaled_dot_product_attention(query, key, value).sum().backward()
    product = 2 * 2 * 3 * 5 * 7 * 16  # two of them forward; backward four, and the scores again
    assert counts["flops_per_step"] == (2 + 5) * product


def test_a_longer_prompt_costs_more_and_full_tuning_saves_no_weights():
    short, long = (measured(prompt(length))[0].exact for length in (2, 20))
    assert all(long[key] > short[key] for key in ("flops_per_step", "saved_for_backward_bytes"))


def top_block(backbone):
    return FT(backbone, 1, output_embedding=False, lr=1e-3)


def test_cached_activations_are_there_already():
    cached, computed = (measured(top_block, cache_gb=gb)[0].exact["flops_per_step"] for gb in (1.0, 0.0))
    assert cached < 0.8 * computed


def test_dropout_saves_what_it_dropped():
    backbones = [make_backbone("gpt2") for _ in range(2)]
    for module in backbones[1].model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    saved = [measured(top_block, backbone, dropout=True)[0].exact["saved_for_backward_bytes"] for backbone in backbones]
    own = [measured(lambda backbone, rate=rate: LoRA(backbone, 2, 4, rate, ["query"], 1e-3))[0] for rate in (0.0, 0.5)]
    assert saved[1] > saved[0]
    assert own[1].exact["saved_for_backward_bytes"] > own[0].exact["saved_for_backward_bytes"]


def test_the_costs_of_a_run_that_was_killed_are_those_of_all_its_processes():
    meter, other = (measured(top_block)[0] for _ in range(2))
    meter.step_seconds = [1.0, 2.0, 3.0]
    state = meter.state_dict()
    peak = 2 * state["used"]["peak_memory_bytes"]
    other.load_state_dict(state | {"seconds": 50.0, "used": state["used"] | {"peak_memory_bytes": peak}})
    costs = other.read(0.1, bytes_stored=5)
    assert costs["step_seconds"]["median"] == 2.0 and costs["peak_memory_bytes"] == peak
    assert other.seconds_before == 50.0 and 50.0 < other.state_dict()["seconds"] < 100.0 and state["seconds"] > 0
    assert "flops_per_step" in Meter(meter.backbone, meter.method).read(0.1, bytes_stored=5)


def test_measuring_leaves_gradients_and_random_state_alone():
    torch.manual_seed(0)
    backbone = make_backbone("gpt2")
    method = prompt(4)(backbone)
    before = torch.get_rng_state()
    Meter(backbone, method).measure_step(EXAMPLES, RECIPE)
    assert torch.equal(torch.get_rng_state(), before) and method.prompt.grad is None


def test_parameters_are_counted_before_and_after_fold():
    meter, method = measured(lambda backbone: FT(backbone, 1, output_embedding=False, lr=1e-3))
    costs = meter.read(0.1, bytes_stored=5)
    assert costs["params_trained"] == costs["params_stored"] == sum(p.numel() for p in method.parameters())
    assert costs["params_backbone"] == sum(p.numel() for p in meter.backbone.model.parameters())
    assert costs["tokens_per_second"] is None and costs["energy_joules"] is None


def test_what_a_task_stores_and_whether_it_shares_a_batch_are_told():
    costs = [measured(make)[0].read(0.1, bytes_stored=5) for make in (prompt(4), lambda b: FT(b, 1, False, lr=1e-3))]
    assert [cost["shares_batches"] for cost in costs] == [True, False]
    assert costs[0]["tensors_stored"] == 1 and costs[1]["tensors_stored"] == 12  # of a block of GPT-2


def test_step_times_leave_out_the_first_steps():
    times = step_times([9.0, 9.0, 9.0, 1.0, 2.0, 3.0])
    assert times["median"] == 2.0 and times["p10"] == pytest.approx(1.2) and times["p90"] == pytest.approx(2.8)


@pytest.mark.parametrize("seconds", [[2.0], [1.0, 2.0, 3.0], [1.0, 2.0, 2.0, 3.0]])
def test_step_times_of_a_short_run_are_those_of_all_its_steps(seconds):
    times = step_times(seconds)
    assert times["median"] == 2.0 and min(seconds) <= times["p10"] <= times["p25"] <= times["p75"] <= times["p90"]


def test_step_times_without_a_step_are_null():
    assert step_times([]) == dict.fromkeys(("median", "p10", "p25", "p75", "p90"))


def test_peak_memory_sees_what_was_taken_since():
    memory = PeakMemory(torch.device("cpu"))
    before = memory.read()["peak_memory_bytes"]
    block = torch.ones(50_000_000)
    assert memory.read()["peak_memory_bytes"] >= before + 0.9 * block.nbytes
    del block
