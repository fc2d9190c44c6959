"""Losses of tokens: hand numbers, limits, and gradients against finite differences in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.maths.ragged import tokens_of
from truing.maths.surrogates import (
    clip_fraction,
    clipped_ratio,
    negative_log_likelihood,
    score_function,
    sequence_ratio,
    value_error,
)

torch.set_num_threads(1)

LENGTHS = torch.tensor([2, 1, 3])  # B = 3, N = 6


@dataclass(frozen=True)
class Algo:
    clip_low: float = 0.2
    clip_high: float = 0.2
    dual_clip: float = 0.0


def batch(seed: int = 0, gap: float = 0.3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    old_N, noise_N, advantage_N = torch.randn(3, 6, generator=rng, dtype=torch.float64)
    return old_N + gap * noise_N, old_N, advantage_N


def slow_clipped(ratio: float, advantage: float, algo: Algo) -> float:
    """PPO's eq. 7 by cases, one token."""
    if advantage >= 0:
        return -min(ratio, 1 + algo.clip_high) * advantage
    gain = max(ratio, 1 - algo.clip_low) * advantage
    return -max(gain, algo.dual_clip * advantage) if algo.dual_clip else -gain


def test_negative_log_likelihood():
    assert negative_log_likelihood(torch.tensor([-1.5, -0.25])).tolist() == [1.5, 0.25]


def test_score_function():
    loss_N = score_function(torch.tensor([-1.0, -2.0]), torch.zeros(2), torch.tensor([3.0, -1.0]), LENGTHS, Algo())
    assert loss_N.tolist() == [3, -2]  # −3·(−1), −(−1)·(−2)


def test_clipped_ratio():
    ratio_N = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.1, 9.0], dtype=torch.float64)
    advantage_N = torch.tensor([2.0, -2.0, 2.0, -2.0, 2.0, -2.0], dtype=torch.float64)
    # held at 1.2 · 2 | not held, 1.5 · −2 | not held, 0.5 · 2 | held at 0.8 · −2 | inside, 1.1 · 2 | 9 · −2
    expected = [-2.4, 3.0, -1.0, 1.6, -2.2, 18.0]
    loss_N = clipped_ratio(ratio_N.log(), torch.zeros(6), advantage_N, LENGTHS, Algo())
    torch.testing.assert_close(loss_N, torch.tensor(expected, dtype=torch.float64))
    # dual clip 3: the last stops at 3 · −2
    loss_N = clipped_ratio(ratio_N.log(), torch.zeros(6), advantage_N, LENGTHS, Algo(dual_clip=3.0))
    torch.testing.assert_close(loss_N, torch.tensor([*expected[:5], 6.0], dtype=torch.float64))


@settings(max_examples=60)
@given(
    st.integers(0, 1000), st.floats(0.01, 0.9), st.floats(0.01, 2), st.sampled_from([0.0, 1.5, 3.0]), st.floats(0, 3)
)
def test_clipped_ratio_is_the_paper_by_cases(seed: int, low: float, high: float, dual: float, gap: float):
    """Each bound moves only its own side, so a low and a high mixed up cannot pass."""
    algo = Algo(low, high, dual)
    logp_N, old_N, advantage_N = batch(seed, gap)
    ratios = (logp_N - old_N).exp().tolist()
    expected = [slow_clipped(r, a, algo) for r, a in zip(ratios, advantage_N.tolist(), strict=True)]
    got_N = clipped_ratio(logp_N, old_N, advantage_N, LENGTHS, algo)
    torch.testing.assert_close(got_N, torch.tensor(expected, dtype=torch.float64))


def test_sequence_ratio():
    """Log ratios (0.1, 0.3 | 0.4 | 0, 0, −0.9): means 0.2, 0.4, −0.3. Upper bound 1.3, lower 0.8, all A = ±1."""
    log_ratio_N = torch.tensor([0.1, 0.3, 0.4, 0.0, 0.0, -0.9], dtype=torch.float64)
    advantage_N = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, -1.0], dtype=torch.float64)
    loss_N = sequence_ratio(log_ratio_N, torch.zeros(6), advantage_N, LENGTHS, Algo(0.2, 0.3))
    expected = [-math.exp(0.2)] * 2 + [-1.3] + [0.8] * 3  # exp(0.4) = 1.49 > 1.3; exp(−0.3) = 0.74 < 0.8
    torch.testing.assert_close(loss_N, torch.tensor(expected, dtype=torch.float64))


def test_sequence_ratio_of_one_token_responses_is_clipped_ratio():
    ones_B = torch.ones(6, dtype=torch.int64)
    args = (*batch(1, 0.5), ones_B, Algo(dual_clip=2.0))
    torch.testing.assert_close(sequence_ratio(*args), clipped_ratio(*args))


@pytest.mark.parametrize("surrogate", [clipped_ratio, sequence_ratio])
def test_at_ratio_one_the_gradient_is_the_policy_gradient(surrogate):
    """Fresh samples: whatever the clip, the first update is that of the score function (A constant a response)."""
    logp_N, _, _ = batch()
    advantage_N = torch.tensor([1.0, 1.0, -2.0, 0.5, 0.5, 0.5], dtype=torch.float64)
    gradients = []
    for f in (surrogate, score_function):
        x_N = logp_N.clone().requires_grad_()
        f(x_N, logp_N, advantage_N, LENGTHS, Algo(0.1, 0.1, 3.0)).sum().backward()
        gradients.append(x_N.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("surrogate", [clipped_ratio, sequence_ratio])
def test_without_bounds_it_is_plain_importance_weighting(surrogate):
    logp_N, old_N, advantage_N = batch(2, 1.0)
    ratio_N = (logp_N - old_N).exp()
    if surrogate is sequence_ratio:
        ratio_N = torch.cat([r.mean().exp().expand(len(r)) for r in (logp_N - old_N).split(LENGTHS.tolist())])
    free = surrogate(logp_N, old_N, advantage_N, LENGTHS, Algo(math.inf, math.inf))
    torch.testing.assert_close(free, -ratio_N * advantage_N)


@pytest.mark.parametrize("surrogate", [score_function, clipped_ratio, sequence_ratio])
@pytest.mark.parametrize("dual", [0.0, 1.5])
def test_gradients_against_finite_differences(surrogate, dual: float):
    logp_N, old_N, advantage_N = batch(5, 0.6)
    algo = Algo(0.15, 0.3, dual)
    assert torch.autograd.gradcheck(
        lambda x: surrogate(x, old_N, advantage_N, LENGTHS, algo), (logp_N.requires_grad_(),)
    )


@pytest.mark.parametrize("surrogate", [score_function, clipped_ratio, sequence_ratio])
def test_order_of_responses_only_reorders_the_losses(surrogate):
    logp_N, old_N, advantage_N = batch(6, 0.5)
    order_B = torch.tensor([2, 0, 1])
    index_N = tokens_of(order_B, LENGTHS)
    moved = surrogate(logp_N[index_N], old_N[index_N], advantage_N[index_N], LENGTHS[order_B], Algo())
    assert torch.equal(moved, surrogate(logp_N, old_N, advantage_N, LENGTHS, Algo())[index_N])


def test_clip_fraction():
    ratio_N = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.1, 9.0])
    advantage_N = torch.tensor([2.0, -2.0, 2.0, -2.0, 2.0, -2.0])
    # binding: the first (above, A > 0) and the fourth (below, A < 0)
    assert clip_fraction(
        clipped_ratio, ratio_N.log(), torch.zeros(6), advantage_N, LENGTHS, Algo()
    ).item() == pytest.approx(2 / 6)
    # and with the dual clip the last
    assert clip_fraction(
        clipped_ratio, ratio_N.log(), torch.zeros(6), advantage_N, LENGTHS, Algo(dual_clip=3.0)
    ).item() == pytest.approx(3 / 6)


def test_clip_fraction_of_a_sequence_ratio_looks_at_whole_responses():
    """Mean log ratios 0, log 1.5, log 0.5: with A > 0 the second is held (one token), the third is not."""
    log_ratio_N = torch.tensor([0.4, -0.4, math.log(1.5), math.log(0.5), math.log(0.25), 0.0])
    share = clip_fraction(sequence_ratio, log_ratio_N, torch.zeros(6), torch.ones(6), LENGTHS, Algo())
    assert share.item() == pytest.approx(1 / 6)
    assert clip_fraction(score_function, log_ratio_N, torch.zeros(6), torch.ones(6), LENGTHS, Algo()).item() == 0


@settings(max_examples=40)
@given(st.integers(0, 1000), st.sampled_from([0.0, 1.5]))
def test_clip_fraction_is_the_share_of_tokens_without_gradient(seed: int, dual: float):
    logp_N, old_N, advantage_N = batch(seed, 0.6)
    algo = Algo(0.1, 0.25, dual)
    logp_N.requires_grad_()
    clipped_ratio(logp_N, old_N, advantage_N, LENGTHS, algo).sum().backward()
    assert logp_N.grad is not None
    share = clip_fraction(clipped_ratio, logp_N, old_N, advantage_N, LENGTHS, algo)
    assert not share.requires_grad
    assert share.item() == pytest.approx((logp_N.grad == 0).double().mean().item())


def test_value_error():
    value_N, old_N, return_N = (
        torch.tensor([1.0, 1.0, 3.0]),
        torch.tensor([0.0, 0.9, 1.0]),
        torch.tensor([2.0, 2.0, 2.0]),
    )
    # plain: ½·1, ½·1, ½·1
    assert value_error(value_N, old_N, return_N, 0.0).tolist() == [0.5, 0.5, 0.5]
    # held within ±0.5: 0.5 -> ½·1.5², 1.0 -> ½·1, 1.5 -> ½·0.25 < ½·1
    assert value_error(value_N, old_N, return_N, 0.5).tolist() == [1.125, 0.5, 0.5]


def test_value_error_with_a_wide_clip_is_the_plain_one_and_a_held_value_gets_no_gradient():
    value_N, old_N, return_N = batch(7, 1.0)
    assert torch.equal(value_error(value_N, old_N, return_N, 1e9), value_error(value_N, old_N, return_N, 0.0))
    moved_N = torch.tensor([1.0], requires_grad=True)  # from 0 towards 2, past the bound of 0.2: enough for now
    value_error(moved_N, torch.zeros(1), torch.tensor([2.0]), 0.2).sum().backward()
    assert moved_N.grad is not None and moved_N.grad.item() == 0


@pytest.mark.parametrize("clip", [0.0, 0.2])
def test_value_error_gradient_against_finite_differences(clip: float):
    value_N, old_N, return_N = batch(8, 0.5)
    assert torch.autograd.gradcheck(lambda x: value_error(x, old_N, return_N, clip), (value_N.requires_grad_(),))


@pytest.mark.parametrize("name", ["clip_low", "clip_high", "dual_clip"])
def test_each_number_has_an_effect(name: str):
    ratio_N = torch.tensor([1.5, 0.5, 9.0])  # held above, held below, held by the dual clip
    args = (ratio_N.log(), torch.zeros(3), torch.tensor([1.0, -1.0, -1.0]), LENGTHS)
    base = Algo(0.2, 0.2, 2.5)
    other = replace(base, **{name: getattr(base, name) * 0.6})
    assert (clipped_ratio(*args, base) != clipped_ratio(*args, other)).sum() == 1
