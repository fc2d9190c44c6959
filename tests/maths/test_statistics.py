"""Figures and their doubt: against statsmodels, scipy and scikit-learn, by enumeration, and by coverage."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.calibration import calibration_curve
from statsmodels.stats.proportion import proportion_confint

from truing.maths.statistics import (
    best_of_n_curve,
    best_of_n_kl,
    bradley_terry_fit,
    calibration,
    clopper_pearson,
    elo,
    interval_text,
    mean_interval,
    wilson,
    win_rate,
)


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (3, 10), (10, 10), (250, 1000), (1, 1)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_wilson(successes: int, n: int, level: float):
    expected = proportion_confint(successes, n, alpha=1 - level, method="wilson")
    assert wilson(successes, n, level) == pytest.approx(expected, abs=1e-12)


def test_wilson_by_hand():
    # none of ten, z² = 3.8415: from 0 to z²/(n + z²)
    low, high = wilson(0, 10)
    assert low == 0 and high == pytest.approx(3.8415 / 13.8415, abs=1e-5)


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_what_is_no_proportion(successes: int, n: int):
    with pytest.raises(ValueError, match="wilson"):
        wilson(successes, n)


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (3, 10), (10, 10), (1, 1)])
def test_clopper_pearson(successes: int, n: int):
    assert clopper_pearson(successes, n) == pytest.approx(proportion_confint(successes, n, method="beta"), abs=1e-12)


def test_clopper_pearson_by_hand():
    # all of n: the lowest p with pⁿ = 0.025
    assert clopper_pearson(4, 4) == pytest.approx((0.025 ** (1 / 4), 1.0))
    assert clopper_pearson(0, 0) == (0, 1)
    with pytest.raises(ValueError, match="clopper_pearson"):
        clopper_pearson(2, 1)


def test_mean_interval():
    """By hand for two numbers; for many it is scipy's percentile bootstrap."""
    # 1 and 3: mean 2, standard error 1, t of one degree of freedom 12.706
    assert mean_interval([1.0, 3.0]) == pytest.approx((2 - 12.706, 2 + 12.706), abs=1e-3)
    x = np.random.default_rng(0).exponential(size=500)
    low, high = mean_interval(x)
    half = 1.96 * x.std(ddof=1) / math.sqrt(500)
    assert (low, high) == pytest.approx((x.mean() - half, x.mean() + half), abs=half * 0.12)
    other = stats.bootstrap((x,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert (low, high) == pytest.approx((other.low, other.high), abs=half * 0.12)


def test_mean_interval_heeds_its_level():
    x = np.random.default_rng(0).normal(size=50)
    low, high = mean_interval(x, level=0.5)
    wide_low, wide_high = mean_interval(x, level=0.99)
    assert wide_low < low < x.mean() < high < wide_high


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8])
def test_mean_interval_covers_the_truth_with_few_numbers(n: int):
    """Normal numbers: 95 % of 1000 intervals cover 0; an expanded bootstrap manages 75 % at n = 3."""
    rng = np.random.default_rng(1)
    intervals = [mean_interval(rng.normal(size=n)) for _ in range(1000)]
    assert 0.93 <= sum(low <= 0 <= high for low, high in intervals) / 1000 <= 0.97


def test_mean_interval_of_copies_is_no_narrower_when_clustered():
    """Each number ten times over is no more knowledge: with clusters the interval is as if seen once."""
    x = np.random.default_rng(0).normal(size=40)
    copies, names = np.repeat(x, 10), np.repeat([f"prompt {i}" for i in range(40)], 10)
    assert mean_interval(copies, clusters=names) == pytest.approx(mean_interval(x), abs=0.08)
    naive_low, naive_high = mean_interval(copies)
    low, high = mean_interval(copies, clusters=names)
    assert high - low > 2.5 * (naive_high - naive_low)  # √10 = 3.2


def test_mean_interval_of_hardly_anything():
    assert mean_interval([3.0]) == (-math.inf, math.inf)
    assert mean_interval([3.0, 5.0], clusters=[1, 1]) == (-math.inf, math.inf)
    assert mean_interval([3.0, 3.0, 3.0]) == (3.0, 3.0)
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([])
    with pytest.raises(ValueError, match="one id for each"):
        mean_interval([1.0, 2.0], clusters=[1])


def test_win_rate():
    # 5 wins, 2 ties, 3 losses: 6 of 10
    outcomes = [1] * 5 + [0.5] * 2 + [0] * 3
    assert win_rate(outcomes) == pytest.approx((0.6, *wilson(6, 10)))


def test_win_rate_both_orders_of_a_prompt_count_once_when_they_agree():
    once = np.array([1, 0, 1, 1, 0, 1, 1, 1.0] * 5)
    twice, prompt = np.repeat(once, 2), np.repeat(np.arange(40), 2)
    rate, low, high = win_rate(twice, clusters=prompt)
    # C/(C−1) = 40/39 of the variance is all that differs from 40 independent outcomes
    assert (rate, low, high) == pytest.approx(win_rate(once), abs=0.005)
    _, naive_low, naive_high = win_rate(twice)
    assert high - low > 1.3 * (naive_high - naive_low)


def test_win_rate_when_one_side_wins_all_rests_on_the_number_of_clusters():
    assert win_rate([1.0] * 20, clusters=[0] * 10 + [1] * 10) == pytest.approx((1.0, *wilson(2, 2)))
    assert win_rate([0.0, 0.0], clusters=[4, 4]) == pytest.approx((0.0, *wilson(0, 1)))


def test_win_rate_of_a_judge_that_only_likes_the_first_place_is_a_tie():
    """Both orders of each prompt split 1 : 0. No spread between prompts: still not surer than n outcomes."""
    assert win_rate([1, 0] * 15, clusters=np.repeat(np.arange(15), 2)) == pytest.approx((0.5, *wilson(15, 30)))


def test_win_rate_covers_the_truth_with_clusters():
    rng, hits = np.random.default_rng(2), 0
    prompt = np.repeat(np.arange(30), 6)
    for _ in range(400):  # prompts differ: chances from Beta(1, 1), mean 0.5
        outcomes = rng.random(180) < np.repeat(rng.random(30), 6)
        _, low, high = win_rate(outcomes.astype(float), clusters=prompt)
        hits += low <= 0.5 <= high
    assert 0.92 <= hits / 400 <= 0.99


def test_win_rate_of_means_of_two_orders():
    # won once and tied once is 0.75: (0.75 + 1 + 0.25 + 0) / 4 = 0.5 of n = 4; the variance seen between them,
    # (0.0625 + 0.25 + 0.0625 + 0.25) / 4² · 4/3 = 0.0521, is that of 0.25 / 0.0521 = 4.8 outcomes: 4 at most
    outcomes = [0.75, 1, 0.25, 0]
    assert win_rate(outcomes) == pytest.approx((0.5, *wilson(2, 4)))
    assert win_rate(outcomes, clusters=range(4)) == pytest.approx((0.5, *wilson(2, 4)))


def test_win_rate_covers_the_truth_with_means_of_two_orders():
    """A judge that leans to the first place, and ties: values between spread less, so it covers more than was asked."""
    rng, hits, prompt = np.random.default_rng(4), 0, np.repeat(np.arange(30), 4)
    for _ in range(400):
        chance = np.repeat(rng.random(30), 4)[None] * 0.7 + np.array([[0.3], [0.0]])  # first, then second: mean 0.5
        decided, won = rng.random((2, 120)) < 0.7, rng.random((2, 120)) < chance
        outcomes = np.where(decided, won, 0.5).mean(0)
        _, low, high = win_rate(outcomes, clusters=prompt)
        hits += low <= 0.5 <= high
    assert hits / 400 >= 0.95


@pytest.mark.parametrize("prompts", [2, 3, 5, 10])
def test_win_rate_covers_the_truth_with_few_clusters(prompts: int):
    """Prompts of ten outcomes each, chances from Beta(1.2, 0.8): mean 0.6. With z in place of t 79 % at two prompts."""
    rng, hits = np.random.default_rng(3), 0
    prompt = np.repeat(np.arange(prompts), 10)
    for _ in range(300):
        outcomes = rng.random(len(prompt)) < rng.beta(1.2, 0.8, prompts)[prompt]
        _, low, high = win_rate(outcomes.astype(float), clusters=prompt)
        hits += low <= 0.6 <= high
    assert hits / 300 >= 0.93


def test_win_rate_of_few_clusters_by_hand():
    # two prompts of four: 3 of 4 and 1 of 4 won, 0.5 in all. Variance between them ((1)² + (−1)²) / 8² · 2 = 0.0625,
    # that of 4 outcomes; Student's t 12.7 makes it 4 · (1.96 / 12.7)² = 0.1: but two prompts are two outcomes at least
    outcomes, prompts = [1, 1, 1, 0, 1, 0, 0, 0], [1] * 4 + [2] * 4
    assert win_rate(outcomes, prompts) == pytest.approx((0.5, *wilson(1, 2)))
    # all of unequal prompts won: as if all outcomes of a prompt were one, (1 + 3)² / (1² + 3²) = 1.6 outcomes
    assert win_rate([1.0] * 4, [1, 2, 2, 2]) == pytest.approx((1.0, *wilson(1.6, 1.6)))


def test_interval_text():
    assert interval_text((0.25, 0.5)) == "[0.25, 0.5]"
    assert interval_text((1060.4, math.inf), ".0f") == "[1060, –)"
    assert interval_text((None, 940.0), ".0f") == "(–, 940]"
    assert interval_text((-math.inf, None)) == "(–, –)"


@pytest.mark.parametrize("outcomes", [[], [1.1, 1.0], [-0.25, 1.0], [math.nan, 1.0]])
def test_win_rate_refuses_other_numbers(outcomes: list[float]):
    with pytest.raises(ValueError, match="outcomes"):
        win_rate(outcomes)


def test_best_of_n_kl():
    assert best_of_n_kl(1) == 0
    assert best_of_n_kl(4) == pytest.approx(1.386294 - 0.75, abs=1e-6)
    with pytest.raises(ValueError, match="n >= 1"):
        best_of_n_kl(0)


def test_best_of_n_kl_is_that_of_the_best_of_n():
    """Of a continuous score the best of n has density n u^(n−1) on its quantile u: KL to the uniform by quadrature."""
    u = (np.arange(200_000) + 0.5) / 200_000
    density = 5 * u**4
    assert best_of_n_kl(5) == pytest.approx((density * np.log(density)).mean(), abs=1e-5)


def test_best_of_n_curve():
    # best of 2 of (1, 2, 6): the pairs' bests are 2, 6, 6
    np.testing.assert_allclose(best_of_n_curve([[6, 1, 2]], [1, 2, 3]), [3, 14 / 3, 6])


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(1, 5))
def test_best_of_n_curve_is_the_mean_over_all_subsets(seed: int, n: int):
    scores_PK = np.random.default_rng(seed).integers(0, 4, (3, 5)).astype(float)  # with ties
    expected = np.mean([[max(subset) for subset in combinations(row, n)] for row in scores_PK])
    np.testing.assert_allclose(best_of_n_curve(scores_PK, [n]), [expected])


def test_best_of_n_curve_refuses_more_than_there_are():
    with pytest.raises(ValueError, match="best of 4"):
        best_of_n_curve([[1, 2, 3]], [4])


def test_calibration():
    # bin 0.2–0.3: mean 0.24 seen 0.5; bin 0.9–1: mean 0.95 seen 1: error ½·0.26 + ½·0.05
    rows, error = calibration([0.21, 0.27, 0.9, 1.0], [0, 1, 1, 1])
    assert error == pytest.approx(0.5 * 0.26 + 0.5 * 0.05)
    assert [(round(r.low, 9), round(r.high, 9), r.count, r.outcome) for r in rows] == [
        (0.2, 0.3, 2, 0.5),
        (0.9, 1.0, 2, 1.0),
    ]


def test_calibration_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    probability = rng.random(2000)
    outcome = (rng.random(2000) < probability**2).astype(int)
    rows, error = calibration(probability, outcome, bins=7)
    observed, predicted = calibration_curve(outcome, probability, n_bins=7)
    np.testing.assert_allclose([r.outcome for r in rows], observed)
    np.testing.assert_allclose([r.probability for r in rows], predicted)
    assert sum(r.count for r in rows) == 2000
    assert error == pytest.approx(sum(r.count * abs(r.outcome - r.probability) for r in rows) / 2000)
    assert calibration(probability, probability)[1] == pytest.approx(0)


def test_calibration_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        calibration([1.2], [1])
    with pytest.raises(ValueError, match="as many"):
        calibration([0.5], [1, 0])


def test_bradley_terry_fit():
    # two players, 3 : 1 — strengths ±½ log 3
    np.testing.assert_allclose(bradley_terry_fit([[0, 3], [1, 0]]), [0.5 * math.log(3), -0.5 * math.log(3)])


def test_bradley_terry_fit_agrees_with_logistic_regression():
    """statsmodels: each game a row, +1 for the first player and −1 for the second, the last player's strength 0."""
    rng = np.random.default_rng(0)
    strength_M = np.array([0.0, 0.8, -0.5, 1.5])
    wins_MM, rows, won = np.zeros((4, 4)), [], []
    for i, j in combinations(range(4), 2):
        for _ in range(60):
            first_wins = rng.random() < 1 / (1 + math.exp(strength_M[j] - strength_M[i]))
            wins_MM[(i, j) if first_wins else (j, i)] += 1
            rows.append(np.eye(4)[i] - np.eye(4)[j])
            won.append(float(first_wins))
    fit = sm.Logit(won, np.array(rows)[:, :3]).fit(disp=0).params
    expected = np.append(fit, 0.0)
    np.testing.assert_allclose(bradley_terry_fit(wins_MM), expected - expected.mean(), atol=1e-6)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(2, 6))
def test_bradley_terry_fit_expects_the_wins_it_saw(seed: int, players: int):
    """At the maximum each player's expected wins are its wins; names do not matter; far-out starts converge too."""
    rng = np.random.default_rng(seed)
    wins_MM = rng.integers(1, 30, (players, players)) * (1 - np.eye(players))
    wins_MM[0] *= 100
    strength_M = bradley_terry_fit(wins_MM)
    chance_MM = 1 / (1 + np.exp(strength_M[None] - strength_M[:, None]))
    np.testing.assert_allclose(((wins_MM + wins_MM.T) * chance_MM).sum(1), wins_MM.sum(1), rtol=1e-6)
    order = rng.permutation(players)
    np.testing.assert_allclose(bradley_terry_fit(wins_MM[np.ix_(order, order)]), strength_M[order], atol=1e-6)
    assert strength_M.sum() == pytest.approx(0, abs=1e-9)


def test_bradley_terry_fit_settles_on_a_lopsided_ring():
    """Found by search: Newton's method with unbounded steps runs away on this one."""
    ring_MM = np.zeros((8, 8))
    for i, wins in enumerate([274, 101, 750, 599, 176, 382, 6, 3]):
        ring_MM[i, (i + 1) % 8] = wins
    strength_M = bradley_terry_fit(ring_MM)
    flow = [wins / (1 + math.exp(strength_M[i] - strength_M[(i + 1) % 8])) for i, wins in enumerate(ring_MM.max(1))]
    np.testing.assert_allclose(flow, flow[0], rtol=1e-6)  # surprise is the same on each edge of a ring


def test_bradley_terry_fit_names_the_way_out_when_no_strengths_exist():
    unbeaten = [[0, 5, 5], [0, 0, 3], [0, 2, 0]]
    with pytest.raises(ValueError, match="prior=1"):
        bradley_terry_fit(unbeaten)
    strength_M = bradley_terry_fit(unbeaten, prior=1)
    assert strength_M[0] > strength_M[1] > strength_M[2] and np.isfinite(strength_M).all()


def test_bradley_terry_fit_of_groups_that_never_met_centres_each_by_itself():
    # 3 : 1 between the first two, 1 : 1 between the next two, and one who met nobody
    wins_MM = np.zeros((5, 5))
    wins_MM[0, 1], wins_MM[1, 0], wins_MM[2, 3], wins_MM[3, 2] = 3, 1, 1, 1
    half = 0.5 * math.log(3)
    np.testing.assert_allclose(bradley_terry_fit(wins_MM), [half, -half, 0, 0, 0], atol=1e-12)


def test_bradley_terry_fit_of_no_games_one_player_or_ties_alone_is_zero():
    for wins_MM in (np.zeros((3, 3)), [[0.0]], [[7.0]], [[0, 2.5], [2.5, 0]], np.zeros((0, 0))):
        for prior in (0.0, 1.0):
            assert bradley_terry_fit(wins_MM, prior).tolist() == [0.0] * len(wins_MM)


@pytest.mark.parametrize("wins", [[[0, -1], [1, 0]], [[0, math.nan], [1, 0]], [[0, 1]], [1, 2]])
def test_bradley_terry_fit_refuses_what_are_no_wins(wins: list):
    with pytest.raises(ValueError, match="wins of each over each"):
        bradley_terry_fit(wins)


def test_elo():
    # equal players: the winner takes k/2 from the other; then 1008 against 992, expected 0.523, a tie costs 0.368
    np.testing.assert_allclose(elo([(0, 1, 1.0)], 2), [1008, 992])
    expected = 1 / (1 + 10 ** (-16 / 400))
    np.testing.assert_allclose(
        elo([(0, 1, 1.0), (0, 1, 0.5)], 2), [1008 + 16 * (0.5 - expected), 992 - 16 * (0.5 - expected)]
    )


def test_elo_keeps_the_sum_and_ends_near_the_fitted_strengths():
    rng = np.random.default_rng(0)
    games = [(0, 1, float(rng.random() < 0.75)) for _ in range(20_000)]
    rating_M = elo(games, 2, k=1.0)
    assert rating_M.sum() == pytest.approx(2000)
    assert rating_M[0] - rating_M[1] == pytest.approx(400 * math.log10(3), abs=25)  # odds 3 : 1
