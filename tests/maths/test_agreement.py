"""Agreement by hand, by other implementations, and by simulation."""

import choix
import krippendorff
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters
from statsmodels.stats.inter_rater import fleiss_kappa as other_fleiss

from truing.maths.agreement import (
    agreeing_pairs,
    bootstrap_interval,
    cohen_kappa,
    davidson,
    dawid_skene,
    fleiss_kappa,
    identifiable,
    krippendorff_alpha,
    to_elo,
)
from truing.maths.games import Games
from truing.maths.statistics import bradley_terry_fit, elo


def labels(seed, items=40, raters=4, categories=3, missing=0.0, skill=0.7):
    rng = np.random.default_rng(seed)
    true_I = rng.integers(categories, size=items)
    guess_IR = rng.integers(categories, size=(items, raters))
    label_IR = np.where(rng.random((items, raters)) < skill, true_I[:, None], guess_IR)
    return np.where(rng.random((items, raters)) < missing, -1, label_IR)


def percent_agreement(label_IR):
    each = agreeing_pairs(label_IR)
    return float(each.mean()) if len(each) else float("nan")


def test_agreeing_pairs_by_hand():
    # Item 1: three agree, 3 of 3 pairs. Item 2: two of three, 1 of 3 pairs. Item 3 has one judgement and counts not.
    assert agreeing_pairs([[0, 0, 0], [1, 1, 0], [2, -1, -1], [0, 1, -1]]).tolist() == pytest.approx([1, 1 / 3, 0])


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


def test_bootstrap_interval_draws_clusters_as_a_whole_and_knows_nothing_of_one_alone():
    label_IR = labels(1, items=30)
    copies_IR, prompts = np.repeat(label_IR, 6, axis=0), [f"p{i}" for i in range(30) for _ in range(6)]
    once = np.diff(bootstrap_interval(label_IR, percent_agreement))[0]
    thrice = np.diff(bootstrap_interval(copies_IR, percent_agreement, clusters=prompts))[0]
    assert thrice == pytest.approx(once, rel=0.15)
    assert np.diff(bootstrap_interval(copies_IR, percent_agreement))[0] < once / 2
    assert np.isnan(bootstrap_interval(copies_IR, percent_agreement, clusters=["p"] * 180)[0])


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


def test_dawid_skene_learns_nothing_from_what_one_rater_alone_judged():
    rng = np.random.default_rng(0)
    alone_IR = np.full((90, 3), -1)
    alone_IR[np.arange(90), np.arange(90) % 3] = rng.integers(2, size=90)
    found = dawid_skene(alone_IR, 2)
    assert found.interval_R2.tolist() == [[0, 1]] * 3 and (found.worth_R < 1e-3).all()
    shared_IR = labels(4, items=60, raters=3, categories=2, skill=0.8)
    both, shared = dawid_skene(np.concatenate([shared_IR, alone_IR]), 2), dawid_skene(shared_IR, 2)
    np.testing.assert_allclose(both.accuracy_R, shared.accuracy_R, atol=0.02)


def test_dawid_skene_knows_that_two_who_disagree_cannot_be_told_apart():
    """Three say which of them errs: the worth of each is near its number of judgements; of two it is hardly any."""
    rng = np.random.default_rng(2)
    true_I = rng.integers(2, size=400)
    label_IR = np.where(rng.random((400, 3)) < [0.95, 0.75, 0.85], true_I[:, None], 1 - true_I[:, None])
    three, two = dawid_skene(label_IR, 2), dawid_skene(label_IR[:, :2], 2)
    assert three.worth_R.min() > 60 > 20 > two.worth_R.max()
    np.testing.assert_array_less(three.interval_R2[:, 0], [0.95, 0.75, 0.85])
    np.testing.assert_array_less([0.95, 0.75, 0.85], three.interval_R2[:, 1])
    assert two.interval_R2[0, 0] < 0.75 and two.interval_R2[1, 1] > 0.95


def test_dawid_skene_intervals_hold_the_truth():
    rng, hits = np.random.default_rng(5), []
    accuracy_R = np.array([1.0, 0.9, 0.7, 0.9])
    for _ in range(60):
        true_I = rng.integers(2, size=60)
        label_IR = np.where(rng.random((60, 4)) < accuracy_R, true_I[:, None], 1 - true_I[:, None])
        for i in range(60):
            label_IR[i, rng.integers(4)] = -1
        low_R, high_R = dawid_skene(label_IR, 2).interval_R2.T
        hits.append((low_R <= accuracy_R) & (accuracy_R <= high_R + 0.005))
    assert np.mean(hits) >= 0.93


def test_dawid_skene_counts_what_was_judged_at_one_sitting_as_one():
    label_IR = labels(2, items=60, raters=3, categories=2)
    each, at_once = dawid_skene(label_IR, 2), dawid_skene(label_IR, 2, at_once_R=[3, 1, 1])
    np.testing.assert_allclose(at_once.worth_R, each.worth_R / [3, 1, 1])
    assert np.diff(at_once.interval_R2[0]) > 1.3 * np.diff(each.interval_R2[0])
    assert at_once.interval_R2[1:].tolist() == each.interval_R2[1:].tolist()


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
    for seed in range(120):
        interval_M2 = davidson(simulated_games(seed, strength_M, 150, tie=0.5), 4, prior=1e-6).interval_M2
        inside.append((interval_M2[:, 0] <= strength_M) & (strength_M <= interval_M2[:, 1]))
    assert 0.93 <= np.mean(inside) <= 0.97


@pytest.mark.parametrize("games", [5, 8, 20, 30])
def test_davidson_intervals_of_two_models_cover_as_often_as_they_say(games):
    """All outcomes of so many games, and strengths from N(0, 1 logit), by quadrature: 94.9 to 96.6 %."""
    gap = np.linspace(-10, 10, 4001)
    inside, weight = np.zeros(4001), stats.norm.pdf(gap / np.sqrt(2))
    for won in range(games + 1):
        low, high = davidson([(0, 1, 1.0)] * won + [(0, 1, 0.0)] * (games - won), 2).interval_M2[0]
        chance = 1 / (1 + np.exp(-gap))
        inside += stats.binom.pmf(won, games, chance) * ((low <= gap / 2) & (gap / 2 <= high))
    assert 0.94 <= inside @ weight / weight.sum() <= 0.97


def test_davidson_of_one_game_by_hand():
    # cutoff 1.96² · (1 + 1) / (1 + 2 − 2) = 7.683: −2 log σ(gap) = 7.683 at σ = 0.02145, a gap of −3.82; the mean is 0
    found = davidson([(0, 1, 1.0)], 2)
    assert found.interval_M2.tolist() == [
        [pytest.approx(-1.910, abs=2e-3), np.inf],
        [-np.inf, pytest.approx(1.910, abs=2e-3)],
    ]


def test_davidson_without_ties_has_the_profile_likelihood_of_the_binomial():
    # 6 of 10: the gaps at which 2 (log-likelihood at 0.6 less there) is 1.96² · 11 / 10 = 4.226
    low, high = 2 * davidson([(0, 1, 1.0)] * 6 + [(0, 1, 0.0)] * 4, 2).interval_M2[0]
    for gap in (low, high):
        chance = 1 / (1 + np.exp(-gap))
        fallen = 12 * np.log(0.6 / chance) + 8 * np.log(0.4 / (1 - chance))
        assert fallen == pytest.approx(4.226, abs=5e-3)
    ties = davidson([(0, 1, 1.0)] * 6 + [(0, 1, 0.0)] * 4 + [(0, 1, 0.5)] * 5, 2).interval_M2[0] * 2
    assert ties == pytest.approx([low, high], abs=0.03)  # of two models ties tell nothing but the small-sample factor


@pytest.mark.parametrize("prompts", [None, [0] * 5])
def test_davidson_never_has_an_interval_without_width(prompts):
    for games in ([(0, 1, 0.5)] * 5, [(0, 1, 1.0)] * 5, [(0, 1, 1.0)] * 2 + [(0, 1, 0.0)] * 2 + [(0, 1, 0.5)]):
        found = davidson(games, 2, prompts)
        assert (found.interval_M2[:, 1] - found.interval_M2[:, 0] > 1).all()
    assert np.isinf(davidson([(0, 1, 0.5)] * 5, 2, prompts).interval_M2).all()
    assert np.isinf(davidson([], 2).interval_M2).all()


def test_davidson_opens_the_end_of_one_who_won_all_and_leaves_the_others_theirs():
    games = [
        (0, 1, 1.0),
        (0, 2, 1.0),
        (0, 3, 1.0),
        *[(1, 2, 1.0), (2, 3, 1.0), (3, 1, 1.0), (2, 1, 1.0), (3, 2, 1.0)] * 3,
    ]
    interval_M2 = davidson(games, 4).interval_M2
    assert interval_M2[0, 1] == np.inf and np.isfinite(interval_M2[0, 0])
    assert np.isfinite(interval_M2[1:]).all()


def test_davidson_keeps_groups_that_never_met_apart():
    one, other = [(0, 2, 1.0), (2, 0, 1.0), (0, 2, 1.0)], [(1, 3, 1.0), (3, 4, 1.0), (4, 1, 1.0), (1, 4, 1.0)]
    found = davidson(one + other, 6)
    assert found.group_M[0] == found.group_M[2] and len({*found.group_M[[0, 1, 5]]}) == 3
    np.testing.assert_allclose(found.strength_M[[0, 2]], davidson(one, 3).strength_M[[0, 2]], atol=1e-6)
    np.testing.assert_allclose(found.interval_M2[[0, 2]], davidson(one, 3).interval_M2[[0, 2]], atol=3e-3)
    assert found.strength_M[[1, 3, 4]].sum() == pytest.approx(0, abs=1e-9)
    assert found.strength_M[5] == 0 and np.isinf(found.interval_M2[5]).all()


def test_davidson_takes_one_prompt_as_one_game_at_least():
    """12 of 20 on one prompt: as 0.6 of one game, cutoff 3.8415 · 2. Prompts of one game each change nothing."""
    games = [(0, 1, 1.0)] * 12 + [(0, 1, 0.0)] * 8
    low, _ = 2 * davidson(games, 2, ["p"] * 20).interval_M2[0]
    chance = 1 / (1 + np.exp(-low))
    fallen = 2 * (0.6 * np.log(0.6 / chance) + 0.4 * np.log(0.4 / (1 - chance)))
    assert fallen == pytest.approx(3.8415 * 2, abs=5e-3)
    np.testing.assert_allclose(davidson(games, 2, range(20)).interval_M2, davidson(games, 2).interval_M2)


def test_davidson_covers_the_truth_with_few_prompts_of_many_games():
    """Prompts of eight games, each with a chance of its own around 0.7: 95 % cover in 1,500 runs."""
    rng, hits, gap = np.random.default_rng(0), 0, np.log(0.7 / 0.3)
    for _ in range(150):
        won = rng.binomial(8, rng.beta(1.4, 0.6, size=5))
        games = [(0, 1, float(i < w)) for w in won for i in range(8)]
        low, high = 2 * davidson(games, 2, np.repeat(range(5), 8).tolist()).interval_M2[0]
        hits += low <= gap <= high
    assert hits / 150 >= 0.93


def test_davidson_of_20_models_and_100_000_games_takes_each_pair_once():
    """What is fitted is as large as the pairs that met, not as the games: 190 here."""
    rng = np.random.default_rng(0)
    strength_M = rng.normal(size=20)
    first_G = rng.integers(20, size=100_000)
    second_G = (first_G + rng.integers(1, 20, size=100_000)) % 20
    won_G = rng.random(100_000) < 1 / (1 + np.exp(strength_M[second_G] - strength_M[first_G]))
    games = list(zip(first_G.tolist(), second_G.tolist(), won_G.astype(float).tolist(), strict=True))
    assert len(Games.of(games, 20).games_P) == 190
    found = davidson(games, 20, rng.integers(5000, size=100_000).tolist())
    assert np.abs(found.strength_M - (strength_M - strength_M.mean())).max() < 0.15


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


@pytest.mark.parametrize(
    ("together", "known"),
    [
        (["AB"], ""), (["AB", "BC"], ""), (["AB", "BC", "CD"], ""), (["ABC"], "ABC"), (["AB", "BC", "CA"], "ABC"),
        (["AB", "BC", "CD", "DA"], ""), (["AB", "BC", "CD", "DE", "EA"], "ABCDE"), (["ABC", "DE"], "ABC"),
        (["ABC", "CD", "DE"], "ABCDE"), (["A", "B", "C"], ""), ([], ""),
    ],
)  # fmt: skip
def test_identifiable(together, known):
    """Rings of three and of five settle who errs, and for those linked to them; chains and rings of four do not."""
    label_IR = np.full((len(together), 5), -1)
    for i, people in enumerate(together):
        label_IR[i, ["ABCDE".index(person) for person in people]] = i % 2
    assert "".join(name for name, told in zip("ABCDE", identifiable(label_IR), strict=True) if told) == known


def test_what_is_not_identifiable_has_two_explanations():
    """Along a chain the one in the middle may be at random, or, as likely, the two at its ends."""
    middle, ends = (0.0, 0.5, 0.0), (0.5, 0.0, 0.5)
    agree = [[(1 - 2 * e[a]) * (1 - 2 * e[b]) for a, b in ((0, 1), (1, 2))] for e in (middle, ends)]
    assert agree[0] == agree[1]
