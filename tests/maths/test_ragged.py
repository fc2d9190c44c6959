"""Flat tokens against slow loops over lists, and the promise that neighbours change nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.maths import ragged

torch.set_num_threads(1)

# B = 3 responses, N = 6 tokens, T = 3: all different.
LENGTHS = torch.tensor([2, 1, 3])
X = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])

lengths_lists = st.lists(st.integers(1, 9), min_size=1, max_size=7)


def rows(x_N: torch.Tensor, lengths: list[int]) -> list[list[float]]:
    """The slow way: one Python list per response."""
    values, out = x_N.tolist(), []
    for length in lengths:
        out.append(values[:length])
        values = values[length:]
    return out


def numbers(lengths: list[int], seed: int = 0) -> torch.Tensor:
    return torch.randn(sum(lengths), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_owner():
    assert ragged.owner(LENGTHS).tolist() == [0, 0, 1, 2, 2, 2]


def test_starts():
    assert ragged.starts(LENGTHS).tolist() == [0, 2, 3]


def test_position():
    assert ragged.position(LENGTHS).tolist() == [0, 1, 0, 0, 1, 2]


def test_spread():
    assert ragged.spread(torch.tensor([5.0, 6.0, 7.0]), LENGTHS).tolist() == [5, 5, 6, 7, 7, 7]


def test_total():
    # 1+2, 4, 8+16+32
    assert ragged.total(X, LENGTHS).tolist() == [3, 4, 56]


def test_last():
    assert ragged.last(X, LENGTHS).tolist() == [2, 4, 32]


def test_at_last_token():
    assert ragged.at_last_token(torch.tensor([5.0, 6.0, 7.0]), LENGTHS).tolist() == [0, 5, 6, 0, 0, 7]


def test_later():
    assert ragged.later(X, LENGTHS).tolist() == [2, 0, 0, 16, 32, 0]
    assert ragged.later(X, LENGTHS, 2).tolist() == [0, 0, 0, 32, 0, 0]
    assert ragged.later(X, LENGTHS, 6).tolist() == [0] * 6


def test_later_does_not_let_a_neighbours_nan_in():
    x_N = torch.tensor([1.0, 2.0, float("nan"), 8.0, 16.0, 32.0])
    assert ragged.later(x_N, LENGTHS).tolist() == [2, 0, 0, 16, 32, 0]


def test_cumulative_from_end():
    # decay 1/2: [1 + 2/2, 2 | 4 | 8 + 16/2 + 32/4, 16 + 32/2, 32]
    assert ragged.cumulative_from_end(X, LENGTHS, 0.5).tolist() == [2, 2, 4, 24, 32, 32]
    assert ragged.cumulative_from_end(X, LENGTHS).tolist() == [3, 2, 4, 56, 48, 32]
    assert ragged.cumulative_from_end(X, LENGTHS, 0.0).tolist() == X.tolist()


@settings(max_examples=50)
@given(lengths_lists, st.floats(0, 1))
def test_cumulative_from_end_is_the_backward_recursion(lengths: list[int], decay: float):
    x_N = numbers(lengths)
    expected: list[float] = []
    for row in rows(x_N, lengths):
        sums, running = [], 0.0
        for x in reversed(row):
            running = x + decay * running
            sums.append(running)
        expected += reversed(sums)
    got = ragged.cumulative_from_end(x_N, torch.tensor(lengths), decay)
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


@settings(max_examples=30)
@given(lengths_lists, st.integers(0, 5))
def test_neighbours_and_order_do_not_change_a_bit(lengths: list[int], seed: int):
    """float32, compared exactly: a response alone gives the same bits as one among others, in any order."""
    lengths_B = torch.tensor(lengths)
    x_N = numbers(lengths, seed).float()
    order_B = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(seed))
    moved_N, moved_B = x_N[ragged.tokens_of(order_B, lengths_B)], lengths_B[order_B]
    together_N = ragged.cumulative_from_end(x_N, lengths_B, 0.9)
    assert torch.equal(
        ragged.cumulative_from_end(moved_N, moved_B, 0.9), together_N[ragged.tokens_of(order_B, lengths_B)]
    )
    assert torch.equal(ragged.total(moved_N, moved_B), ragged.total(x_N, lengths_B)[order_B])
    first_N = x_N[: lengths[0]]
    alone_N = ragged.cumulative_from_end(first_N, lengths_B[:1], 0.9)
    assert torch.equal(alone_N, together_N[: lengths[0]])


def test_tokens_of():
    # response 2 holds tokens 3 4 5, response 0 tokens 0 1; a response may be chosen twice
    assert ragged.tokens_of(torch.tensor([2, 0]), LENGTHS).tolist() == [3, 4, 5, 0, 1]
    assert ragged.tokens_of(torch.tensor([1, 1]), LENGTHS).tolist() == [2, 2]


def test_pad():
    assert ragged.pad(X, LENGTHS, fill=-1).tolist() == [[1, 2, -1], [4, -1, -1], [8, 16, 32]]
    assert ragged.pad(torch.ones(6, 2), LENGTHS).shape == (3, 3, 2)


def test_flat():
    assert ragged.flat(torch.tensor([[1, 2, 0], [4, 0, 0], [8, 16, 32]]), LENGTHS).tolist() == X.tolist()


@settings(max_examples=30)
@given(lengths_lists)
def test_flat_undoes_pad_and_total_is_the_padded_sum(lengths: list[int]):
    x_N, lengths_B = numbers(lengths), torch.tensor(lengths)
    padded_BT = ragged.pad(x_N, lengths_B)
    assert padded_BT.shape == (len(lengths), max(lengths))
    assert torch.equal(ragged.flat(padded_BT, lengths_B), x_N)
    torch.testing.assert_close(ragged.total(x_N, lengths_B), padded_BT.sum(1))
    torch.testing.assert_close(ragged.total(x_N, lengths_B).tolist(), [sum(row) for row in rows(x_N, lengths)])


def test_group_sum():
    # groups 7: 1 + 4 + 8, 3: 2 — numbered as one likes, mixed
    assert ragged.group_sum(torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([7, 3, 7, 7])).tolist() == [13, 2, 13, 13]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ragged.total(x, LENGTHS),
        lambda x: ragged.last(x, LENGTHS),
        lambda x: ragged.later(x, LENGTHS),
        lambda x: ragged.cumulative_from_end(x, LENGTHS, 0.7),
        lambda x: ragged.pad(x, LENGTHS),
        lambda x: ragged.spread(ragged.total(x, LENGTHS), LENGTHS),
        lambda x: ragged.at_last_token(ragged.last(x, LENGTHS), LENGTHS),
        lambda x: ragged.group_sum(x, torch.tensor([0, 1, 0, 2, 1, 0])),
    ],
)
def test_gradients_flow(function):
    x_N = numbers([2, 1, 3]).requires_grad_()
    assert torch.autograd.gradcheck(function, (x_N,))
