"""The likelihood of games against the paper's equation written slowly, and its derivatives against differences."""

import numpy as np
import pytest

from truing.maths.games import Games

GAMES = [(0, 1, 1.0), (1, 0, 1.0), (2, 0, 0.5), (1, 2, 0.0), (0, 2, 0.5), (1, 0, 0.0), (3, 4, 1.0)]
X = np.array([0.3, -0.5, 0.9, 0.2, -0.4, -0.7])  # five strengths and the log of the tie parameter


def test_the_likelihood_is_davidsons():
    slowly = 0.0
    for first, second, outcome in GAMES:
        a, b, tie = np.exp(X[first]), np.exp(X[second]), np.exp(X[5])
        between = tie * np.sqrt(a * b)
        slowly += np.log({1.0: a, 0.0: b, 0.5: between}[outcome] / (a + b + between))
    assert Games.of(GAMES, 5).value(X) == pytest.approx(slowly)


@pytest.mark.parametrize("games", [GAMES, [game for game in GAMES if game[2] != 0.5]])
def test_derivatives_are_those_of_the_likelihood(games):
    played = Games.of(games, 5)
    x = X[: played.contrast_PX.shape[1]]
    gradient_X, information_XX = played.derivatives(x)
    for i, step in enumerate(np.eye(len(x)) * 1e-5):
        assert gradient_X[i] == pytest.approx((played.value(x + step) - played.value(x - step)) / 2e-5, abs=1e-8)
        slope = (played.derivatives(x + step)[0] - played.derivatives(x - step)[0]) / 2e-5
        np.testing.assert_allclose(information_XX[i], -slope, atol=1e-8)


def test_scores_of_clusters_add_up_to_the_gradient():
    played = Games.of(GAMES, 5)
    score_CX = played.cluster_scores(X, np.array([0, 1, 0, 2, 1, 1, 2]))
    assert score_CX.shape == (3, 6)
    np.testing.assert_allclose(score_CX.sum(0), played.derivatives(X)[0], atol=1e-12)
    np.testing.assert_allclose(score_CX[1], Games.of([GAMES[i] for i in (1, 4, 5)], 5).derivatives(X)[0], atol=1e-12)


def test_groups_and_who_won_or_lost_all():
    played = Games.of(GAMES, 6)
    assert played.groups().tolist() == [0, 0, 0, 1, 1, 2]
    # 0 won against 1 twice and lost to it once; 2 won once and tied; 3 won its game, 4 lost it, 5 had none
    assert played.is_one_sided().tolist() == [False, False, True, True, True, True]


def test_the_maximum_is_flat_and_what_is_fixed_stays():
    played, penalty_XX = Games.of(GAMES, 5), np.diag([0.1] * 5 + [0.0])
    top_X = played.fitted(np.zeros(6), penalty_XX)
    np.testing.assert_allclose(played.derivatives(top_X)[0] - penalty_XX @ top_X, 0, atol=1e-6)
    fixed_KX = np.eye(6)[[0]]
    held_X = played.fitted(np.full(6, 0.25), penalty_XX, fixed_KX)
    assert held_X[0] == 0.25
    np.testing.assert_allclose((played.derivatives(held_X)[0] - penalty_XX @ held_X)[1:], 0, atol=1e-6)


def test_no_finite_maximum_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"give prior=0\.1"):
        Games.of([(0, 1, 1.0), (1, 2, 1.0)], 3).fitted(np.zeros(3), np.ones((3, 3)) / 3)
