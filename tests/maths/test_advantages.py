"""Credit: hand numbers, slow loops written from the papers, limits and invariances."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.maths import advantages
from truing.maths.advantages import (
    RunningMoments,
    batch_mean,
    bootstrap_truncated,
    gae,
    global_norm,
    group_mean,
    group_norm,
    k_step,
    leave_one_out,
    reward_to_go,
    reward_to_go_minus_baseline,
    total_return,
    whiten,
)
from truing.maths.ragged import at_last_token, spread, tokens_of

torch.set_num_threads(1)

# B = 4 responses, N = 10 tokens, T = 4; two groups, not neighbours.
LENGTHS = torch.tensor([2, 1, 4, 3])
GROUP = torch.tensor([5, 2, 2, 5])
ESTIMATORS = [
    total_return,
    reward_to_go,
    reward_to_go_minus_baseline,
    k_step,
    gae,
    batch_mean,
    leave_one_out,
    group_mean,
    group_norm,
    global_norm,
]


@dataclass(frozen=True)
class Algo:
    gamma: float = 1.0
    lam: float = 0.95
    k_steps: int = 2


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    reward_N, value_N = torch.randn(2, int(LENGTHS.sum()), generator=rng, dtype=torch.float64)
    return reward_N, value_N


def scores(*score_B: float) -> torch.Tensor:
    """Rewards that are a score on the last token and nothing before."""
    return at_last_token(torch.tensor(score_B, dtype=torch.float64), LENGTHS)


def each(*x_B: float) -> torch.Tensor:
    return spread(torch.tensor(x_B, dtype=torch.float64), LENGTHS)


def by_loops(term):
    """term(rewards, values, t) of one response, for every token, in plain Python."""

    def estimator(reward_N, value_N):
        out = []
        rows = zip(reward_N.split(LENGTHS.tolist()), value_N.split(LENGTHS.tolist()), strict=True)
        for reward_T, value_T in rows:
            rewards, values = reward_T.tolist(), value_T.tolist()
            out += [term(rewards, values, t) for t in range(len(rewards))]
        return torch.tensor(out, dtype=torch.float64)

    return estimator


def test_total_return():
    reward_N = torch.tensor([1.0, 2.0, 3.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 8.0], dtype=torch.float64)
    got = total_return(reward_N, None, LENGTHS, GROUP, Algo(gamma=0.5))
    # 1 + 2/2 | 3 | 1 + ½ + ¼ + ⅛ | 8/4
    torch.testing.assert_close(got, each(2.0, 3.0, 1.875, 2.0))


def test_reward_to_go():
    reward_N = torch.tensor([1.0, 2.0, 3.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 8.0], dtype=torch.float64)
    got = reward_to_go(reward_N, None, LENGTHS, GROUP, Algo(gamma=0.5))
    assert got.tolist() == [2, 2, 3, 1.875, 1.75, 1.5, 1, 2, 4, 8]


def test_reward_to_go_minus_baseline():
    reward_N, value_N = batch()
    got = reward_to_go_minus_baseline(reward_N, value_N, LENGTHS, GROUP, Algo(gamma=0.9))
    slow = by_loops(lambda r, v, t: sum(0.9 ** (i - t) * r[i] for i in range(t, len(r))) - v[t])
    torch.testing.assert_close(got, slow(reward_N, value_N))


def test_k_step_by_hand():
    lengths_B = torch.tensor([3])
    reward_N, value_N = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([10.0, 20.0, 40.0])
    got = k_step(reward_N, value_N, lengths_B, torch.tensor([0]), Algo(gamma=0.5, k_steps=2))
    # 1 + 2/2 + 40/4 − 10, 2 + 4/2 + 0 − 20, 4 − 40
    assert got.tolist() == [2, -16, -36]


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(1, 6), st.floats(0, 1))
def test_k_step(seed: int, k: int, gamma: float):
    reward_N, value_N = batch(seed)

    def term(r, v, t):
        near = sum(gamma ** (i - t) * r[i] for i in range(t, min(t + k, len(r))))
        return near + (gamma**k * v[t + k] if t + k < len(v) else 0.0) - v[t]

    got = k_step(reward_N, value_N, LENGTHS, GROUP, Algo(gamma=gamma, k_steps=k))
    torch.testing.assert_close(got, by_loops(term)(reward_N, value_N))


def test_gae_by_hand():
    """γ = ½, λ = ½. δ = (1 + 20/2 − 10, 2 + 40/2 − 20, 4 − 40) = (1, 2, −36); from the end, with γλ = ¼."""
    reward_N, value_N = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([10.0, 20.0, 40.0])
    got = gae(reward_N, value_N, torch.tensor([3]), torch.tensor([0]), Algo(gamma=0.5, lam=0.5))
    assert got.tolist() == [1 - 7 / 4, 2 - 36 / 4, -36]


@settings(max_examples=40)
@given(st.integers(0, 1000), st.floats(0, 1), st.floats(0, 1))
def test_gae(seed: int, gamma: float, lam: float):
    """Against the loop from the end over each response that every trainer writes."""
    reward_N, value_N = batch(seed)
    expected = []
    for reward_T, value_T in zip(reward_N.split(LENGTHS.tolist()), value_N.split(LENGTHS.tolist()), strict=True):
        row, next_value, running = [], 0.0, 0.0
        for r, v in reversed(list(zip(reward_T.tolist(), value_T.tolist(), strict=True))):
            running = r + gamma * next_value - v + gamma * lam * running
            next_value = v
            row.append(running)
        expected += reversed(row)
    got = gae(reward_N, value_N, LENGTHS, GROUP, Algo(gamma, lam))
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


def test_gae_at_lambda_one_is_monte_carlo_and_at_zero_one_step():
    reward_N, value_N = batch(1)
    for gamma in (1.0, 0.9):
        algo = Algo(gamma, lam=1.0)
        monte_carlo = reward_to_go_minus_baseline(reward_N, value_N, LENGTHS, GROUP, algo)
        torch.testing.assert_close(gae(reward_N, value_N, LENGTHS, GROUP, algo), monte_carlo)
        torch.testing.assert_close(k_step(reward_N, value_N, LENGTHS, GROUP, replace(algo, k_steps=99)), monte_carlo)
        one_step = k_step(reward_N, value_N, LENGTHS, GROUP, Algo(gamma, k_steps=1))
        torch.testing.assert_close(gae(reward_N, value_N, LENGTHS, GROUP, Algo(gamma, lam=0.0)), one_step)


def test_gae_is_the_weighted_mean_of_k_step_advantages():
    """Eq. 16 as first written: (1−λ)(Â⁽¹⁾ + λÂ⁽²⁾ + …); past the end all Â⁽ᵏ⁾ are equal, so λ³ is left for k = 4."""
    reward_N, value_N = batch(2)
    lam = 0.7
    weights = [1 - lam, (1 - lam) * lam, (1 - lam) * lam**2, lam**3]
    mixture = sum(w * k_step(reward_N, value_N, LENGTHS, GROUP, Algo(0.9, k_steps=k)) for k, w in enumerate(weights, 1))
    torch.testing.assert_close(gae(reward_N, value_N, LENGTHS, GROUP, Algo(0.9, lam)), mixture)


def test_a_perfect_critic_leaves_no_advantage():
    reward_N, _ = batch(3)
    algo = Algo(gamma=0.9, lam=0.6, k_steps=2)
    value_N = reward_to_go(reward_N, None, LENGTHS, GROUP, algo)
    for estimator in (gae, k_step, reward_to_go_minus_baseline):
        torch.testing.assert_close(estimator(reward_N, value_N, LENGTHS, GROUP, algo), torch.zeros_like(reward_N))


def test_batch_mean():
    # mean of 1, 2, 3, 6 is 3
    got = batch_mean(scores(1, 2, 3, 6), None, LENGTHS, GROUP, Algo())
    torch.testing.assert_close(got, each(-2, -1, 0, 3))


def test_leave_one_out():
    # groups {0, 3} with 1 and 6, {1, 2} with 2 and 3: the other's score is the baseline
    got = leave_one_out(scores(1, 2, 3, 6), None, LENGTHS, GROUP, Algo())
    torch.testing.assert_close(got, each(-5, -1, 1, 5))
    # one group of four: 1 − 11/3, 2 − 10/3, 3 − 9/3, 6 − 6/3
    got = leave_one_out(scores(1, 2, 3, 6), None, LENGTHS, torch.zeros(4, dtype=torch.int64), Algo())
    torch.testing.assert_close(got, each(-8 / 3, -4 / 3, 0, 4))


def test_group_mean():
    # means 3.5 and 2.5
    got = group_mean(scores(1, 2, 3, 6), None, LENGTHS, GROUP, Algo())
    torch.testing.assert_close(got, each(-2.5, -0.5, 0.5, 2.5))


def test_group_mean_is_a_scaled_leave_one_out():
    reward_N, _ = batch(4)
    one_group_B = torch.zeros(4, dtype=torch.int64)
    whole = leave_one_out(reward_N, None, LENGTHS, one_group_B, Algo())
    torch.testing.assert_close(group_mean(reward_N, None, LENGTHS, one_group_B, Algo()), whole * 3 / 4)


def test_group_norm():
    # sample deviations: of (1, 6) 5/√2 = 3.5355, of (2, 3) 1/√2
    got = group_norm(scores(1, 2, 3, 6), None, LENGTHS, GROUP, Algo())
    root = 0.5**0.5
    wide, narrow = 2.5 / (5 * root + 1e-4), 0.5 / (root + 1e-4)
    torch.testing.assert_close(got, each(-wide, -narrow, narrow, wide))
    one_group_B = torch.zeros(4, dtype=torch.int64)
    deviation = statistics.stdev([1, 2, 3, 6]) + 1e-4
    got = group_norm(scores(1, 2, 3, 6), None, LENGTHS, one_group_B, Algo())
    torch.testing.assert_close(got, each(*((x - 3) / deviation for x in (1, 2, 3, 6))))


@pytest.mark.parametrize("estimator", [group_mean, group_norm])
def test_a_group_of_equal_rewards_teaches_exactly_nothing(estimator):
    """In float32 with numbers whose mean would be rounded: 0.1 three times and 777.7 seven times."""
    lengths_B = torch.ones(10, dtype=torch.int64)
    reward_N = torch.tensor([0.1] * 3 + [777.7] * 7)
    group_B = torch.tensor([0] * 3 + [1] * 7)
    assert estimator(reward_N, None, lengths_B, group_B, Algo()).tolist() == [0.0] * 10


def test_group_norm_forgets_the_scale_of_the_rewards_and_group_mean_does_not():
    reward_N = scores(1, 2, 3, 6)
    normed = group_norm(reward_N, None, LENGTHS, GROUP, Algo())
    torch.testing.assert_close(group_norm(50 * reward_N, None, LENGTHS, GROUP, Algo()), normed, rtol=1e-3, atol=0)
    mean = group_mean(reward_N, None, LENGTHS, GROUP, Algo())
    torch.testing.assert_close(group_mean(50 * reward_N, None, LENGTHS, GROUP, Algo()), 50 * mean)


@pytest.mark.parametrize("estimator", [leave_one_out, group_mean, group_norm])
def test_a_shift_of_all_scores_to_one_prompt_changes_no_credit(estimator):
    before = estimator(scores(1, 2, 3, 6), None, LENGTHS, GROUP, Algo())
    after = estimator(scores(101, 2, 3, 106), None, LENGTHS, GROUP, Algo())
    torch.testing.assert_close(after, before)


@pytest.mark.parametrize("estimator", [leave_one_out, group_mean, group_norm])
def test_a_group_of_one_is_refused(estimator):
    with pytest.raises(ValueError, match=f"{estimator.__name__}.*answers >= 2"):
        estimator(scores(1, 2, 3, 6), None, LENGTHS, torch.tensor([0, 0, 0, 1]), Algo())


@pytest.mark.parametrize("estimator", [gae, k_step, reward_to_go_minus_baseline])
def test_a_missing_critic_is_named(estimator):
    with pytest.raises(ValueError, match=f"{estimator.__name__}.*critic"):
        estimator(scores(1, 2, 3, 6), None, LENGTHS, GROUP, Algo())


def test_k_step_refuses_no_steps():
    reward_N, value_N = batch()
    with pytest.raises(ValueError, match="k_steps >= 1"):
        k_step(reward_N, value_N, LENGTHS, GROUP, Algo(k_steps=0))


def test_global_norm():
    reward_N, _ = batch(5)
    to_go = reward_to_go(reward_N, None, LENGTHS, GROUP, Algo(gamma=0.9)).tolist()
    mean, deviation = statistics.fmean(to_go), statistics.pstdev(to_go)
    expected = torch.tensor([(x - mean) / deviation for x in to_go], dtype=torch.float64)
    got = global_norm(reward_N, None, LENGTHS, GROUP, Algo(gamma=0.9))
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_order_of_responses_only_reorders_the_credit(estimator):
    reward_N, value_N = batch(6)
    order_B = torch.tensor([2, 0, 3, 1])
    index_N = tokens_of(order_B, LENGTHS)
    straight = estimator(reward_N, value_N, LENGTHS, GROUP, Algo(0.9))
    moved = estimator(reward_N[index_N], value_N[index_N], LENGTHS[order_B], GROUP[order_B], Algo(0.9))
    torch.testing.assert_close(moved, straight[index_N])


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_dtype_is_kept_and_float32_agrees(estimator):
    reward_N, value_N = batch(7)
    wide = estimator(reward_N, value_N, LENGTHS, GROUP, Algo(0.9))
    narrow = estimator(reward_N.float(), value_N.float(), LENGTHS, GROUP, Algo(0.9))
    assert wide.dtype == torch.float64 and narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.double(), wide, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gamma_has_an_effect(estimator):
    reward_N, value_N = batch(8)
    args = (reward_N, value_N, LENGTHS, GROUP)
    assert not torch.allclose(estimator(*args, Algo(1.0)), estimator(*args, Algo(0.5)))


def test_lam_and_k_steps_have_an_effect():
    reward_N, value_N = batch(9)
    args = (reward_N, value_N, LENGTHS, GROUP)
    assert not torch.allclose(gae(*args, Algo(lam=0.9)), gae(*args, Algo(lam=0.5)))
    assert not torch.allclose(k_step(*args, Algo(k_steps=1)), k_step(*args, Algo(k_steps=2)))


def test_whiten():
    # 1, 2, 3, 6: mean 3, variance (4 + 1 + 0 + 9)/4 = 3.5
    x_N = torch.tensor([1.0, 2.0, 3.0, 6.0], dtype=torch.float64)
    expected = torch.tensor([-2.0, -1.0, 0.0, 3.0], dtype=torch.float64) / 3.5**0.5
    torch.testing.assert_close(whiten(x_N), expected, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(whiten(x_N, shift_mean=False), expected + 3, rtol=1e-7, atol=1e-7)


@settings(max_examples=40)
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30))
def test_whiten_gives_mean_zero_and_deviation_one_or_nothing(numbers: list[float]):
    x_N = torch.tensor(numbers, dtype=torch.float64)
    white_N = whiten(x_N)
    assert abs(white_N.mean().item()) < 1e-6
    spread_before = x_N.var(correction=0).item()
    assert white_N.var(correction=0).item() == pytest.approx(spread_before / (spread_before + 1e-8), abs=1e-6)


def test_whiten_of_equal_numbers_is_zero():
    """In float32 the mean of ten 777.7 is not 777.7, and the difference would be blown up to 0.5."""
    assert whiten(torch.full((10,), 777.7)).tolist() == [0.0] * 10


def test_whitening_parts_is_not_whitening_the_whole():
    """Why it must see the whole batch: the reason for the rule, not a wish."""
    x_N = torch.tensor([1.0, 2.0, 3.0, 6.0])
    assert not torch.allclose(torch.cat([whiten(x_N[:2]), whiten(x_N[2:])]), whiten(x_N), atol=0.1)


def test_bootstrap_truncated():
    reward_N = scores(1, 2, 3, 6)
    tail_B = torch.tensor([10.0, 20.0, 30.0, 40.0], dtype=torch.float64)
    cut_B = torch.tensor([False, True, False, True])
    got = bootstrap_truncated(reward_N, tail_B, cut_B, LENGTHS, 0.5)
    torch.testing.assert_close(got, scores(1, 12, 3, 26))  # 2 + 20/2, 6 + 40/2


def test_gae_of_a_cut_response_is_that_of_the_longer_one():
    """If the critic knows the future exactly, being cut changes no credit of the tokens that were seen."""
    lengths_B, group_B, algo = torch.tensor([5]), torch.tensor([0]), Algo(gamma=0.9, lam=1.0)
    reward_N, value_N = batch(10)[0][:5], batch(10)[1][:5]
    whole = gae(reward_N, value_N, lengths_B, group_B, algo)
    future = reward_to_go(reward_N, None, lengths_B, group_B, algo)[3:4]  # what follows the third token
    seen_N = bootstrap_truncated(reward_N[:3], future, torch.tensor([True]), torch.tensor([3]), algo.gamma)
    torch.testing.assert_close(gae(seen_N, value_N[:3], torch.tensor([3]), group_B, algo), whole[:3])


@settings(max_examples=40)
@given(st.lists(st.lists(st.floats(-100, 100), max_size=6), min_size=1, max_size=6))
def test_running_moments_do_not_depend_on_the_parts(parts: list[list[float]]):
    moments = RunningMoments()
    for part in parts:
        moments = moments.update(torch.tensor(part, dtype=torch.float64))
    numbers = [x for part in parts for x in part]
    assert moments.count == len(numbers)
    if numbers:
        assert moments.mean == pytest.approx(statistics.fmean(numbers), abs=1e-9)
        expected = statistics.pstdev(numbers)
        if expected > 1e-6:
            assert moments.std == pytest.approx(expected, rel=1e-6)


def test_running_moments_by_hand():
    moments = RunningMoments().update(torch.tensor([1.0, 2.0])).update(torch.tensor([3.0, 6.0]))
    assert (moments.mean, moments.m2, moments.count) == (3.0, 14.0, 4)
    assert moments.std == 3.5**0.5
    assert RunningMoments().std == RunningMoments().update(torch.tensor([5.0, 5.0])).std == 1.0


def test_every_estimator_is_tried_above():
    public = {name for name, f in vars(advantages).items() if callable(f) and f.__module__ == advantages.__name__}
    public = {name for name in public if not name.startswith("_")}
    others = {"whiten", "bootstrap_truncated", "RunningMoments", "Discounting"}
    assert public - others == {f.__name__ for f in ESTIMATORS}
