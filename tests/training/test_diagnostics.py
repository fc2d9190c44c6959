import pytest

from truing.rewards.quality import ScoredPair, quality
from truing.training.diagnostics import FEW, WATCHED_SIGNS, History, beforehand, overoptimised, signs, worse_than_length

WELL = {
    "kl/per_response": 2.0, "policy/first_ratio": 1.0, "policy/entropy": 1.5, "response/unfinished": 0.1,
    "reward/std": 0.5, "advantage/std": 1.0, "reward/mean": 0.0,
}  # fmt: skip


def test_what_a_run_leaves_out_or_hardly_moves_is_told_before_it_begins():
    assert beforehand(12, 12, 1e-5, False, False) == beforehand(12, 99, 1e-4, True, False) == []
    (told,) = beforehand(12, 10, 1e-5, False, False)
    assert told == "2 of 12 prompts are never asked: iterations are too few for more"
    (told,) = beforehand(12, 12, 1e-5, True, False)
    assert told == "lr = 1e-05 moves an adapter little: with LoRA 1e-4 is usual"
    (told,) = beforehand(12, 12, 1e-5, False, True)
    assert "biased towards what was kept" in told


def test_the_history_keeps_what_the_signs_are_read_from_and_the_last_kl_that_was_measured():
    history = History()
    history.append({**WELL, "loss/policy": 1.0})
    history.append({name: value for name, value in WELL.items() if name != "kl/per_response"} | {"reward/mean": 2.0})
    assert history.rows == [WELL, WELL | {"reward/mean": 2.0}] and set(WELL) == set(WATCHED_SIGNS)
    again = History()
    again.restore(history.capture())
    assert again.rows == history.rows


def test_a_run_that_does_well_has_no_signs():
    assert signs([WELL] * 10, 8) == []


@pytest.mark.parametrize(
    ("ill", "word"),
    [
        ({"kl/per_response": 80.0}, "runs away"),
        ({"policy/first_ratio": 1.2}, "ratio"),
        ({"policy/entropy": 0.05}, "collapsed"),
        ({"response/unfinished": 1.0}, "length limit"),
        ({"reward/std": 0.0}, "nothing to learn"),
        ({"reward/std": 7e-9, "reward/mean": 0.1}, "nothing to learn"),  # of six times 0.1 in float32
        ({"advantage/std": 0.0}, "score the same"),
    ],
)
def test_each_sign_is_named_once_it_is_sure(ill, word):
    told = signs([WELL] + [WELL | ill] * FEW, 8)
    assert len(told) == 1 and word in told[0]


def test_one_bad_iteration_is_no_collapse():
    assert signs([WELL, WELL, WELL | {"policy/entropy": 0.05, "reward/std": 0.0}], 8) == []


def test_the_score_of_a_single_response_is_no_sign():
    assert signs([WELL] + [WELL | {"reward/std": 0.0, "advantage/std": 0.0}] * FEW, 1) == []


def test_reward_that_rises_only_where_it_is_learned():
    rising = [WELL | {"reward/mean": i / 10} for i in range(10)]
    high, low = {"reward": 0.5, "reward_std": 0.5}, {"reward": 0.2, "reward_std": 0.5}
    assert "gamed" in overoptimised(rising, high, low, 64)[0]
    assert overoptimised(rising, low, high, 64) == [] and overoptimised(rising[::-1], high, low, 64) == []


@pytest.mark.parametrize(("prompts", "spread", "told"), [(1, 0.0, 0), (64, 1.0, 0), (64, 0.5, 1), (19, 0.0, 0)])
def test_a_fall_that_may_be_chance_is_not_told(prompts, spread, told):
    """0.3 against a standard error of spread sqrt(2 / prompts)."""
    rising = [WELL | {"reward/mean": i / 10} for i in range(10)]
    before, after = ({"reward": mean, "reward_std": spread} for mean in (0.5, 0.2))
    assert len(overoptimised(rising, before, after, prompts)) == told


def test_a_reward_model_that_lengths_beat_is_told():
    quality = {
        "reward_model_accuracy": 0.55, "longer_wins_accuracy": 0.6, "shorter_wins_accuracy": 0.4,
        "reward_model_accuracy_interval": [0.52, 0.58], "held_out_pairs": 1000,
    }  # fmt: skip
    assert "longer" in worse_than_length(quality)[0]
    better = {"reward_model_accuracy": 0.7, "reward_model_accuracy_interval": [0.67, 0.73]}
    assert worse_than_length(quality | better) == []


def test_a_reward_model_is_not_judged_by_a_few_pairs():
    """One pair of which the longer one wins and the reward model is wrong."""
    one = ScoredPair(0.0, 1.0, 9, 2, "a")
    assert worse_than_length(quality([one])) == [] and worse_than_length(quality([one] * 3)) == []
    many = [ScoredPair(0.0, 1.0, 9, 2, str(i)) for i in range(20)]
    assert worse_than_length(quality(many))
