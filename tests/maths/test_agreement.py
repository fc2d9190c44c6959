"""Agreement by hand, by other implementations, and by simulation."""

import choix
import krippendorff
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters
from statsmodels.stats.inter_rater import fleiss_kappa as other_fleiss

from truing.maths.agreement import (
    bootstrap_interval,
    cohen_kappa,
    davidson,
    dawid_skene,
    fleiss_kappa,
    krippendorff_alpha,
    percent_agreement,
    to_elo,
)
from truing.maths.statistics import bradley_terry_fit, elo


def labels(seed, items=40, raters=4, categories=3, missing=0.0, skill=0.7):
    rng = np.random.default_rng(seed)
    true_I = rng.integers(categories, size=items)
    guess_IR = rng.integers(categories, size=(items, raters))
    label_IR = np.where(rng.random((items, raters)) < skill, true_I[:, None], guess_IR)
    return np.where(rng.random((items, raters)) < missing, -1, label_IR)


def test_percent_agreement_by_hand():
    # Item 1: three agree, 3 of 3 pairs. Item 2: two of three, 1 of 3 pairs. Item 3 has one judgement and counts not.
    assert percent_agreement([[0, 0, 0], [1, 1, 0], [2, -1, -1]]) == pytest.approx((1 + 1 / 3) / 2)


def test_cohen_kappa_by_hand_and_as_scikit_learn_has_it():
    # 2 of 4 agree; chance: 0.5 * 0.75 + 0.5 * 0.25 = 0.5; (0.5 - 0.5) / 0.5 = 0.
    assert cohen_kappa([[0, 0], [0, 0], [1, 0], [1, 1]]) == pytest.approx(0.5)
    for seed in range(5):
        label_IR = labels(seed, raters=2, categories=4)
        for ours, theirs in (("none", None), ("linear", "linear"), ("quadratic", "quadratic")):
            other = cohen_kappa_score(label_IR[:, 0], label_IR[:, 1], weights=theirs)
            assert cohen_kappa(label_IR, ours) == pytest.approx(other, abs=1e-9)
    with pytest.raises(ValueError, match="two raters"):
        cohen_kappa(labels(0, raters=3))


def test_fleiss_kappa_as_statsmodels_has_it_and_on_the_paper_example():
    for seed in range(5):
        label_IR = labels(seed, raters=5)
        assert fleiss_kappa(label_IR) == pytest.approx(other_fleiss(aggregate_raters(label_IR)[0]), abs=1e-9)
    # The table of the encyclopaedias: 10 items, 14 raters, 5 categories, kappa 0.210.
    table = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1], [7, 7, 0, 0, 0],
             [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]  # fmt: skip
    label_IR = [[category for category, n in enumerate(row) for _ in range(n)] for row in table]
    assert fleiss_kappa(label_IR) == pytest.approx(0.210, abs=5e-4)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_krippendorff_alpha_as_the_package_has_it(level):
    for seed in range(6):
        label_IR = labels(seed, missing=0.3)
        data = np.where(label_IR < 0, np.nan, label_IR).T.astype(float)
        other = krippendorff.alpha(reliability_data=data, level_of_measurement=level, value_domain=[0.0, 1.0, 2.0])
        assert krippendorff_alpha(label_IR, level) == pytest.approx(other, abs=1e-9)


def test_agreement_does_not_depend_on_names_or_order():
    label_IR = labels(3, missing=0.2)
    rng = np.random.default_rng(0)
    shuffled = label_IR[rng.permutation(len(label_IR))][:, rng.permutation(4)]
    renamed = np.where(label_IR < 0, -1, np.array([2, 0, 1])[label_IR])
    for statistic in (percent_agreement, fleiss_kappa, krippendorff_alpha):
        assert statistic(shuffled) == pytest.approx(statistic(label_IR))
        assert statistic(renamed) == pytest.approx(statistic(label_IR))


def test_what_the_data_cannot_tell_is_nan_and_perfect_agreement_is_one():
    for statistic in (percent_agreement, fleiss_kappa, krippendorff_alpha):
        assert np.isnan(statistic([[0, -1], [-1, 1]]))
        assert statistic([[0, 0], [1, 1], [1, 1]]) == 1
    assert np.isnan(fleiss_kappa([[1, 1], [1, 1]]))
    assert np.isnan(krippendorff_alpha(np.full((3, 2), -1)))


def test_bootstrap_interval_holds_the_value_and_shrinks_with_data():
    few, many = labels(1, items=40), labels(1, items=640)
    low, high = bootstrap_interval(few, krippendorff_alpha, draws=300)
    assert low < krippendorff_alpha(few) < high
    narrow = bootstrap_interval(many, krippendorff_alpha, draws=300)
    assert narrow[1] - narrow[0] < (high - low) / 2.5
    assert np.isnan(bootstrap_interval(np.zeros((0, 2)), percent_agreement)[0])


def test_dawid_skene_recovers_accuracies_to_five_points():
    rng = np.random.default_rng(7)
    accuracy_R = np.linspace(0.55, 0.95, 8)
    true_I = rng.integers(2, size=1200)
    right_IR = rng.random((1200, 8)) < accuracy_R
    label_IR = np.where(right_IR, true_I[:, None], 1 - true_I[:, None])
    for i in range(1200):
        label_IR[i, rng.permutation(8)[4:]] = -1  # four people judge each item
    found = dawid_skene(label_IR, 2)
    assert np.abs(found.accuracy_R - accuracy_R).max() < 0.05
    majority = np.where(label_IR < 0, 0, 2 * label_IR - 1).sum(1) > 0
    assert (found.posterior_IC.argmax(1) == true_I).mean() > (majority == true_I).mean()


def test_dawid_skene_keeps_one_who_judged_once_in_doubt():
    found = dawid_skene([[0, 0, -1], [1, 1, -1], [0, 0, 0]], 2)
    assert found.accuracy_R[2] < found.accuracy_R[0] < 1


def simulated_games(seed, strength_M, count, tie=0.0):
    rng = np.random.default_rng(seed)
    games = []
    for _ in range(count):
        i, j = rng.choice(len(strength_M), 2, replace=False)
        a, b = np.exp(strength_M[i]), np.exp(strength_M[j])
        between = tie * np.sqrt(a * b)
        games.append((int(i), int(j), float(rng.choice([1, 0, 0.5], p=np.array([a, b, between]) / (a + b + between)))))
    return games


def test_davidson_without_ties_is_bradley_terry():
    games = simulated_games(0, [0.8, 0.1, -0.3, -0.6], 300)
    found = davidson(games, 4, prior=0).strength_M
    won = [(i, j) if outcome == 1 else (j, i) for i, j, outcome in games]
    other = choix.ilsr_pairwise(4, won, alpha=0)
    np.testing.assert_allclose(found, other - other.mean(), atol=1e-6)
    wins_MM = np.zeros((4, 4))
    for winner, loser in won:
        wins_MM[winner, loser] += 1
    np.testing.assert_allclose(found, bradley_terry_fit(wins_MM), atol=1e-6)


def test_davidson_of_two_models_by_hand():
    # 6 wins, 2 losses, 4 ties: pi_1 / pi_2 = 3 (the ties say nothing of it), nu = 4 / sqrt(6 * 2).
    games = [(0, 1, 1.0)] * 6 + [(0, 1, 0.0)] * 2 + [(0, 1, 0.5)] * 4
    found = davidson(games, 2, prior=0)
    assert found.strength_M[0] - found.strength_M[1] == pytest.approx(np.log(3), abs=1e-6)
    assert found.tie == pytest.approx(4 / np.sqrt(12), abs=1e-6)


def test_davidson_intervals_cover_as_often_as_they_say():
    strength_M = np.array([0.7, 0.1, -0.2, -0.6])
    inside = []
    for seed in range(400):
        interval_M2 = davidson(simulated_games(seed, strength_M, 150, tie=0.5), 4, prior=1e-6).interval_M2
        inside.append((interval_M2[:, 0] <= strength_M) & (strength_M <= interval_M2[:, 1]))
    assert 0.93 <= np.mean(inside) <= 0.97


def test_davidson_clusters_widen_intervals_of_repeated_games():
    games = simulated_games(0, [0.5, -0.5], 60)
    once, thrice = davidson(games, 2), davidson(games * 3, 2)
    honest = davidson(games * 3, 2, clusters=[i % 60 for i in range(180)])
    width = [s.interval_M2[0, 1] - s.interval_M2[0, 0] for s in (once, thrice, honest)]
    assert width[1] < 0.7 * width[0] < width[2] < 1.3 * width[0]


def test_davidson_of_an_unbeaten_model_is_finite_and_of_no_games_unknown():
    found = davidson([(0, 1, 1.0)] * 5, 3)
    assert np.isfinite(found.strength_M).all() and found.strength_M[0] > found.strength_M[2] > found.strength_M[1]
    assert np.isnan(davidson([], 2).strength_M).all()


def test_to_elo_turns_odds_of_ten_into_400_points():
    assert to_elo([np.log(10), 0]).tolist() == pytest.approx([1400, 1000])
    games = simulated_games(1, [0.6, 0.0, -0.6], 3000)
    np.testing.assert_allclose(elo(games, 3, k=4), to_elo(davidson(games, 3).strength_M), atol=60)
