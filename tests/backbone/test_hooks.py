"""Positions in front of an attention module's keys: seen by all, by some, or times a number for each query."""

import pytest
import torch

from peft_cli.backbone.attention import attend
from peft_cli.backbone.hooks import Attention

B, HEADS, T, P, D_HEAD = 2, 4, 5, 3, 6


@pytest.fixture(params=[4, 2], ids=["a key for each head", "shared keys"])
def states(request):
    torch.manual_seed(0)
    heads = [HEADS, request.param, request.param]
    return [torch.randn(B, n, T, D_HEAD) for n in heads], torch.randn(2, B, request.param, P, D_HEAD)


def mask() -> torch.Tensor:
    """Causal, and added to the scores [B, 1, T, T]."""
    return torch.full((T, T), -1e9).triu(1).expand(B, 1, T, T)


def by_hand(states, front, factor, sees) -> torch.Tensor:
    """softmax([factor q P_k, q K] / sqrt(d)) [factor P_v; V], without the positions in front where `sees` is false."""
    query, key, value = states
    key, value, (front_key, front_value) = [
        x.repeat_interleave(HEADS // key.shape[1], dim=-3) for x in (key, value, front)
    ]
    factor, sees = factor[:, None, :, None], sees[:, None, :, None]
    in_front = (factor * query @ front_key.transpose(-1, -2)).masked_fill(~sees, -torch.inf)
    scores = torch.cat([in_front, query @ key.transpose(-1, -2) + mask() * D_HEAD**0.5], -1) / D_HEAD**0.5
    weights = scores.softmax(-1)
    return (factor * weights[..., :P] @ front_value + weights[..., P:] @ value).transpose(1, 2)


def changed(front) -> Attention:
    attention = Attention(torch.nn.Identity())
    attention.change_kv(lambda k, v: (torch.cat([front[0], k], 2), torch.cat([front[1], v], 2)))
    return attention


def test_every_query_sees_what_is_put_in_front(states):
    everything, nothing_done = torch.ones(B, T, dtype=torch.bool), torch.ones(B, T)
    out, _ = attend(changed(states[1]).module, *states[0], mask())
    assert torch.allclose(out, by_hand(*states, nothing_done, everything), atol=1e-6)


def test_a_hidden_position_is_seen_by_some_queries(states):
    attention, sees = changed(states[1]), torch.rand(B, T) > 0.5
    attention.limit_visibility(lambda n_rows, n_tokens: sees)
    out, _ = attend(attention.module, *states[0], mask())
    assert torch.allclose(out, by_hand(*states, torch.ones(B, T), sees), atol=1e-6)


def test_a_gate_is_a_factor_of_keys_and_values_for_each_query(states):
    attention, gate = changed(states[1]), torch.rand(B, T)
    attention.gate_front(lambda: gate)
    out, _ = attend(attention.module, *states[0], mask())
    assert torch.allclose(out, by_hand(*states, gate, torch.ones(B, T, dtype=torch.bool)), atol=1e-6)
