"""Preference losses: hand numbers, enumeration of all orders, symmetries, finite differences in float64."""

from __future__ import annotations

import math
from itertools import combinations, permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.maths.preferences import bradley_terry, centring, k_wise, pairs, plackett_luce

torch.set_num_threads(1)

scores_lists = st.lists(st.floats(-5, 5), min_size=2, max_size=6)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def wide(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def test_bradley_terry():
    # odds 3 to 1: P = ¾; the other way round ¼
    loss_P = bradley_terry(wide(math.log(3), 0.0), wide(0.0, math.log(3)))
    torch.testing.assert_close(loss_P, wide(-math.log(0.75), -math.log(0.25)))


def test_bradley_terry_margin_ties_soft_labels_and_error_by_hand():
    chosen, rejected = wide(math.log(3)), wide(0.0)
    # a margin of log 3 takes all the lead: P = ½
    torch.testing.assert_close(bradley_terry(chosen, rejected, math.log(3)), wide(math.log(2)))
    # a tie: −½ log ¾ − ½ log ¼
    tie = -0.5 * math.log(0.75) - 0.5 * math.log(0.25)
    torch.testing.assert_close(bradley_terry(chosen, rejected, 0.0, 0.5), wide(tie))
    # a soft label 0.9: −0.9 log ¾ − 0.1 log ¼
    soft = -0.9 * math.log(0.75) - 0.1 * math.log(0.25)
    torch.testing.assert_close(bradley_terry(chosen, rejected, 0.0, 0.9), wide(soft))
    # one judgement in five at random: P = 0.8·¾ + 0.1 = 0.7
    torch.testing.assert_close(bradley_terry(chosen, rejected, error=0.2), wide(-math.log(0.7)))
    # all at once, as vectors: better side must lead by 1
    got = bradley_terry(chosen, rejected, wide(1.0), wide(0.9), 0.2)
    up, down = (0.8 * sigmoid(x - 1) + 0.1 for x in (math.log(3), -math.log(3)))
    torch.testing.assert_close(got, wide(-0.9 * math.log(up) - 0.1 * math.log(down)))


@settings(max_examples=60)
@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0, 2), st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.5]))
def test_bradley_terry_is_symmetric(a: float, b: float, margin: float, target: float, error: float):
    straight = bradley_terry(wide(a), wide(b), margin, target, error)
    swapped = bradley_terry(wide(b), wide(a), margin, 1 - target, error)
    torch.testing.assert_close(straight, swapped)
    torch.testing.assert_close(bradley_terry(wide(a + 3), wide(b + 3), margin, target, error), straight)


@pytest.mark.parametrize("error", [0.0, 0.1])
@pytest.mark.parametrize("target", [0.0, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("margin", [0.0, 0.7])
def test_bradley_terry_gradient_against_finite_differences(error: float, target: float, margin: float):
    chosen = wide(-2.0, 0.0, 0.3, 9.0).requires_grad_()
    rejected = wide(1.0, 0.0, -0.4, -9.0).requires_grad_()
    assert torch.autograd.gradcheck(lambda c, r: bradley_terry(c, r, margin, target, error), (chosen, rejected))


@pytest.mark.parametrize("error", [0.0, 1e-3, 0.2])
def test_bradley_terry_stays_finite_far_out(error: float):
    chosen = torch.tensor([-1000.0, 1000.0, 0.0], requires_grad=True)
    loss_P = bradley_terry(chosen, torch.zeros(3), error=error)
    loss_P.sum().backward()
    assert loss_P.isfinite().all() and chosen.grad is not None and chosen.grad.isfinite().all()
    # what a hopelessly wrong label costs: without error 1000, with it log(2/ε)
    assert loss_P[0].item() == pytest.approx(math.log(2 / error) if error else 1000.0)


def test_the_error_rate_bounds_what_a_wrong_label_teaches():
    """Without it a wrong label pulls with force 1 however sure the model is; with it the pull dies away."""
    for error, force in ((0.0, 1.0), (0.1, 0.0)):
        score = torch.tensor([-30.0], requires_grad=True)
        bradley_terry(score, torch.zeros(1), error=error).backward()
        assert score.grad is not None
        assert -score.grad.item() == pytest.approx(force, abs=1e-6)


@pytest.mark.parametrize("error", [-0.1, 1.0])
def test_bradley_terry_refuses_an_impossible_error(error: float):
    with pytest.raises(ValueError, match="error"):
        bradley_terry(wide(0.0), wide(0.0), error=error)


def test_soft_labels_are_learned_as_they_are():
    """The minimum over the score difference is where σ(Δ) is the label (and (1−ε)σ + ε/2 with an error rate)."""
    gap = torch.linspace(-6, 6, 12001, dtype=torch.float64)
    for error in (0.0, 0.2):
        best = gap[bradley_terry(gap, torch.zeros_like(gap), 0.0, 0.7, error).argmin()].item()
        assert (1 - error) * sigmoid(best) + error / 2 == pytest.approx(0.7, abs=1e-3)


def test_pairs():
    # answers 0 (second), 1 (best), 2 (second): 1 > 0, 0 ~ 2, 1 > 2
    assert pairs([1, 0, 1]) == ([1, 0, 1], [0, 2, 2], [1.0, 0.5, 1.0])


@given(st.lists(st.integers(0, 3), min_size=2, max_size=9))
def test_pairs_are_all_of_them_once(tiers: list[int]):
    better_P, worse_P, target_P = pairs(tiers)
    assert sorted(tuple(sorted(p)) for p in zip(better_P, worse_P, strict=True)) == list(
        combinations(range(len(tiers)), 2)
    )
    for better, worse, target in zip(better_P, worse_P, target_P, strict=True):
        assert (tiers[better] < tiers[worse] and target == 1) or (tiers[better] == tiers[worse] and target == 0.5)


def test_k_wise():
    # scores log 4, log 2, 0 in this order: the pairs' odds are 2:1, 4:1, 2:1
    loss = k_wise(wide(math.log(4), math.log(2), 0.0), (0, 1, 2))
    assert loss.item() == pytest.approx(-(2 * math.log(2 / 3) + math.log(4 / 5)) / 3)


def test_k_wise_of_two_is_bradley_terry_and_of_ties_is_least_at_equal_scores():
    assert k_wise(wide(0.3, 1.1), (1, 0), 0.1) == bradley_terry(wide(1.1), wide(0.3), error=0.1)[0]
    score_K = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    k_wise(score_K, (0, 0, 0)).backward()
    assert score_K.grad is not None and score_K.grad.abs().max() == 0


@settings(max_examples=40)
@given(scores_lists, st.randoms())
def test_k_wise_and_plackett_luce_do_not_depend_on_the_order_of_answers(scores: list[float], random):
    tiers = [random.randint(0, 2) for _ in scores]
    order = random.sample(range(len(scores)), len(scores))
    for loss in (k_wise, plackett_luce):
        straight = loss(wide(*scores), tiers)
        moved = loss(wide(*(scores[i] for i in order)), [tiers[i] for i in order])
        torch.testing.assert_close(moved, straight)
        torch.testing.assert_close(loss(wide(*scores) + 7, tiers), straight, rtol=1e-9, atol=1e-9)


def test_plackett_luce():
    # strengths 4, 2, 1: picked best of all 4/7, then 2/3
    loss = plackett_luce(wide(math.log(4), math.log(2), 0.0), (0, 1, 2))
    assert loss.item() == pytest.approx(-math.log(4 / 7) - math.log(2 / 3))
    # the worst ranked first, the rest left open: 1/7
    assert plackett_luce(wide(math.log(4), math.log(2), 0.0), (1, 1, 0)).item() == pytest.approx(-math.log(1 / 7))
    # Breslow: 4 and 2 tied before 1: 4/7 · 2/7
    tied = plackett_luce(wide(math.log(4), math.log(2), 0.0), (0, 0, 1))
    assert tied.item() == pytest.approx(-math.log(4 / 7) - math.log(2 / 7))


@settings(max_examples=25)
@given(st.lists(st.floats(-3, 3), min_size=2, max_size=5), st.sampled_from([0.0, 0.3]))
def test_plackett_luce_is_a_distribution_over_orders(scores: list[float], error: float):
    """The probabilities of all K! orders add up to 1, those that start alike to that partial ranking's."""
    score_K, answers = wide(*scores), len(scores)
    chance = {
        order: math.exp(-plackett_luce(score_K, [order.index(i) for i in range(answers)], error).item())
        for order in permutations(range(answers))
    }
    assert sum(chance.values()) == pytest.approx(1)
    first = sum(p for order, p in chance.items() if order[0] == 1)
    partial = plackett_luce(score_K, [0 if i == 1 else 1 for i in range(answers)], error)
    assert math.exp(-partial.item()) == pytest.approx(first)


def test_plackett_luce_of_two_is_bradley_terry_and_of_one_tier_is_nothing():
    score_K = wide(0.3, 1.1).requires_grad_()
    for error in (0.0, 0.2):
        expected = bradley_terry(score_K[1], score_K[0], error=error)
        torch.testing.assert_close(plackett_luce(score_K, (1, 0), error), expected)
    plackett_luce(score_K, (0, 0)).backward()
    assert score_K.grad is not None and score_K.grad.tolist() == [0, 0]


@pytest.mark.parametrize("loss", [k_wise, plackett_luce])
@pytest.mark.parametrize("tiers", [(0, 1, 2, 3), (2, 0, 1, 1), (0, 0, 1, 1), (3, 3, 3, 3), (5, 0, 5, 5)])
def test_ranking_gradients_against_finite_differences(loss, tiers):
    score_K = wide(0.3, -1.2, 2.0, 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, tiers), (score_K,))


@pytest.mark.parametrize("loss", [k_wise, plackett_luce])
def test_rankings_that_do_not_fit_their_scores_are_refused(loss):
    with pytest.raises(ValueError, match="3 tiers, 2 scores"):
        loss(wide(1.0, 2.0), (0, 1, 2))
    with pytest.raises(ValueError, match="at least 2"):
        loss(wide(1.0), (0,))


def test_centring():
    # (1 + 2)², (−1 + 1)²
    assert centring(wide(1.0, -1.0), wide(2.0, 1.0)).tolist() == [9, 0]


def test_centring_gradient_against_finite_differences():
    assert torch.autograd.gradcheck(centring, (wide(1.0, -2.0).requires_grad_(), wide(0.5, 0.1).requires_grad_()))


def test_centring_settles_the_constant_and_leaves_the_difference():
    chosen, rejected = wide(5.0).requires_grad_(), wide(4.0).requires_grad_()
    centring(chosen, rejected).sum().backward()
    assert chosen.grad is not None and rejected.grad is not None
    assert torch.equal(chosen.grad, rejected.grad)  # both move alike: their difference does not
