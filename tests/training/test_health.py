import pytest

from truing.training.health import FEW, overoptimised, signs, worse_than_length

WELL = {
    "kl/per_response": 2.0, "policy/first_ratio": 1.0, "policy/entropy": 1.5, "response/unfinished": 0.1,
    "reward/std": 0.5, "advantage/std": 1.0, "reward/mean": 0.0,
}  # fmt: skip


def test_a_run_that_does_well_has_no_signs():
    assert signs([WELL] * 10) == []


@pytest.mark.parametrize(
    ("ill", "word"),
    [
        ({"kl/per_response": 80.0}, "runs away"),
        ({"policy/first_ratio": 1.2}, "ratio"),
        ({"policy/entropy": 0.05}, "collapsed"),
        ({"response/unfinished": 1.0}, "length limit"),
        ({"reward/std": 0.0}, "nothing to learn"),
        ({"advantage/std": 0.0}, "score the same"),
    ],
)
def test_each_sign_is_named_once_it_is_sure(ill, word):
    told = signs([WELL] + [WELL | ill] * FEW)
    assert len(told) == 1 and word in told[0]


def test_one_bad_iteration_is_no_collapse():
    assert signs([WELL, WELL, WELL | {"policy/entropy": 0.05, "reward/std": 0.0}]) == []


def test_reward_that_rises_only_where_it_is_learned():
    rising = [WELL | {"reward/mean": i / 10} for i in range(10)]
    assert "gamed" in overoptimised(rising, 0.5, 0.2)[0]
    assert overoptimised(rising, 0.2, 0.5) == [] and overoptimised(rising[::-1], 0.5, 0.2) == []


def test_a_reward_model_that_lengths_beat_is_told():
    quality = {"reward_model_accuracy": 0.55, "longer_wins_accuracy": 0.6, "shorter_wins_accuracy": 0.4}
    assert "longer" in worse_than_length(quality)[0]
    assert worse_than_length(quality | {"reward_model_accuracy": 0.7}) == []
