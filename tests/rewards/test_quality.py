import math

import pytest

from truing.rewards.quality import ScoredPair, quality


def test_figures_by_hand():
    pairs = [
        ScoredPair(2.0, 1.0, 10, 5, "a"),  # right, chosen longer
        ScoredPair(1.0, 3.0, 4, 8, "a"),  # wrong, chosen shorter
        ScoredPair(1.0, 1.0, 6, 6, "b"),  # equal: one half, both
        ScoredPair(0.0, 5.0, 9, 2, "c", target=0.0),  # the rejected one was better: right; the better is shorter
        ScoredPair(9.0, 0.0, 1, 2, "d", target=0.5),  # a tie: left out
    ]
    told = quality(pairs)
    assert told["held_out_pairs"] == 4 and told["held_out_prompts"] == 3
    assert told["reward_model_accuracy"] == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    assert told["longer_wins_accuracy"] == pytest.approx((1 + 0 + 0.5 + 0) / 4)
    assert told["shorter_wins_accuracy"] == pytest.approx(1 - 1.5 / 4)
    low, high = told["reward_model_accuracy_interval"]
    assert 0 <= low < 0.625 < high <= 1


def test_calibration_of_a_model_that_knows_how_sure_it_is():
    gap = math.log(3)  # says 75 %
    pairs = [ScoredPair(gap, 0, 1, 1, str(i), 1.0 if i % 4 else 0.0) for i in range(400)]
    assert quality(pairs)["calibration_error"] == pytest.approx(0, abs=1e-9)
    overconfident = [ScoredPair(10, 0, 1, 1, str(i), 1.0 if i % 4 else 0.0) for i in range(400)]
    assert quality(overconfident)["calibration_error"] == pytest.approx(0.25, abs=1e-3)


def test_only_ties():
    assert quality([ScoredPair(1, 0, 1, 1, "a", 0.5)]) == {"held_out_pairs": 0}
