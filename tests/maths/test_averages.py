"""Weights of tokens: their sums, what they hold equal, and that parts of a minibatch add up."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.maths.averages import per_limit, per_response, per_token
from truing.maths.ragged import tokens_of, total

torch.set_num_threads(1)

LENGTHS = torch.tensor([2, 1, 5])  # B = 3, N = 8
lengths_lists = st.lists(st.integers(1, 9), min_size=1, max_size=7)


def test_per_token():
    torch.testing.assert_close(per_token(LENGTHS, 10), torch.full((8,), 1 / 8))


def test_per_response():
    # 1/(3·2) twice, 1/(3·1), 1/(3·5) five times
    torch.testing.assert_close(per_response(LENGTHS, 10), torch.tensor([1 / 6] * 2 + [1 / 3] + [1 / 15] * 5))


def test_per_limit():
    torch.testing.assert_close(per_limit(LENGTHS, 10), torch.full((8,), 1 / 30))


@settings(max_examples=40)
@given(lengths_lists)
def test_weights_are_those_of_the_plain_means(lengths: list[int]):
    """Against the padded, masked means that other trainers write."""
    limit, lengths_B = 12, torch.tensor(lengths)
    loss_N = torch.randn(sum(lengths), generator=torch.Generator().manual_seed(1))
    responses = loss_N.split(lengths)
    expected = {
        per_token: loss_N.mean(),
        per_response: torch.stack([r.mean() for r in responses]).mean(),
        per_limit: torch.stack([r.sum() / limit for r in responses]).mean(),
    }
    for average, value in expected.items():
        torch.testing.assert_close((average(lengths_B, limit) * loss_N).sum(), value, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("average", [per_token, per_response, per_limit])
def test_parts_of_a_minibatch_add_up_in_any_order(average):
    loss_N = torch.randn(8, generator=torch.Generator().manual_seed(2))
    weight_N = average(LENGTHS, 10)
    whole = (weight_N * loss_N).sum()
    parts = [tokens_of(torch.tensor(index), LENGTHS) for index in ([2], [0, 1])]
    torch.testing.assert_close(sum((weight_N[p] * loss_N[p]).sum() for p in parts), whole)
    order_B = torch.tensor([2, 0, 1])
    torch.testing.assert_close(average(LENGTHS[order_B], 10), weight_N[tokens_of(order_B, LENGTHS)])


def test_per_response_gives_responses_equal_say_and_per_token_does_not():
    torch.testing.assert_close(total(per_response(LENGTHS, 10), LENGTHS), torch.full((3,), 1 / 3))
    torch.testing.assert_close(total(per_token(LENGTHS, 10), LENGTHS), LENGTHS / 8)
