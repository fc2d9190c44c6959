import math

import pytest
import torch

from truing.data.records import Message, Prompt, Response
from truing.errors import UserError
from truing.training.policy.scoring import LEFT_OUT, ScoreSettings, Scoring, refusing

NAN, INF = math.nan, math.inf


SHAPED = ScoreSettings(missing_end_penalty=0.5, scale_rewards=True)


class Told:
    """A run that only listens."""

    def __init__(self):
        self.warnings = []

    def say(self, line):
        self.warnings.append(line)


def test_a_response_without_a_score_keeps_none_and_moves_no_moment():
    """Broken on purpose: moments of all scores -> red."""
    prompts, answers = [Prompt((Message("user", "x"),))] * 4, [Response("a", finish_reason="stop")] * 4
    some, all_good = Scoring(lambda p, r: [1.0, NAN, 3.0, NAN], SHAPED), Scoring(lambda p, r: [1.0, 3.0], SHAPED)
    score_B = some(prompts, answers)
    assert score_B.isnan().tolist() == [False, True, False, True]
    assert torch.equal(score_B[::2], all_good(prompts[:2], answers[:2])) and some.moments == all_good.moments


def test_scores_are_penalised_scaled_and_clipped():
    prompts = [Prompt((Message("user", "x"),))] * 2
    answers = [Response("a", finish_reason="stop"), Response("b", finish_reason="length")]

    def ten(prompts, responses):
        return [10.0, 4.0]

    assert Scoring(ten, ScoreSettings(missing_end_penalty=1.0))(prompts, answers).tolist() == [10, 3]
    assert Scoring(ten, ScoreSettings(reward_clip=5.0))(prompts, answers).tolist() == [5, 4]
    assert Scoring(ten, ScoreSettings(scale_rewards=True))(prompts, answers).tolist() == pytest.approx([10 / 3, 4 / 3])


def test_the_moments_are_put_back():
    one, other = (Scoring(lambda p, r: [1.0, 3.0], SHAPED) for _ in range(2))
    prompts, answers = [Prompt((Message("user", "x"),))] * 2, [Response("a", finish_reason="stop")] * 2
    one(prompts, answers)
    other.restore(one.capture())
    assert other.moments == one.moments and other.moments.count == 2


def test_the_reward_is_asked_about_each_response_beside_its_prompt():
    """Two prompts that are equal are two: it is the place that counts."""
    prompts = [Prompt((Message("user", text),)) for text in ("x", "x", "y")]
    answers = [Response(text) for text in "abcdef"]
    asked = []

    def reward(prompts, responses):
        asked.extend((p.text, r.text) for p, r in zip(prompts, responses, strict=True))
        return range(6)

    assert Scoring(reward, ScoreSettings()).rewards(prompts, answers) == [0, 1, 2, 3, 4, 5]
    assert asked == [("x", "a"), ("x", "b"), ("x", "c"), ("x", "d"), ("y", "e"), ("y", "f")]


def test_dropping_is_told_once_and_stopping_stops():
    run = Told()
    refuse = refusing("drop", run)
    refuse("reward a gave nan for prompt 1")
    refuse("reward a gave None for prompt 2")
    assert run.warnings == ["reward a gave nan for prompt 1" + LEFT_OUT]
    refusing("drop", run)("after a resume, the warnings put back")
    assert len(run.warnings) == 1
    with pytest.raises(UserError, match="prompt 3"):
        refusing("stop", run)("prompt 3")
