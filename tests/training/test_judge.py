import math

import pytest
import torch

from truing.data.batches import Sequences
from truing.data.records import Message, Prompt, Response
from truing.data.rollouts import Rollouts
from truing.errors import UserError
from truing.training.judge import LEFT_OUT, Judge, ScoreSettings, refusing, scored

NAN, INF = math.nan, math.inf


SHAPED = ScoreSettings(missing_end_penalty=0.5, scale_rewards=True)


class Told:
    """A run that only listens."""

    def __init__(self):
        self.warnings = []

    def say(self, line):
        self.warnings.append(line)


def said(groups):
    numbers = torch.arange(float(2 * len(groups)))
    tokens = Sequences.of([[1]] * len(groups), [[5 + i, 6] for i in range(len(groups))])
    return Rollouts(tokens, numbers, 0 * numbers, torch.zeros(len(groups), dtype=torch.bool), torch.tensor(groups))


def test_a_response_without_a_score_keeps_none_and_moves_no_moment():
    """Broken on purpose: moments of all scores -> red."""
    prompts, answers = [Prompt((Message("user", "x"),))] * 4, [Response("a", finish_reason="stop")] * 4
    some, all_good = Judge(lambda p, r: [1.0, NAN, 3.0, NAN], SHAPED), Judge(lambda p, r: [1.0, 3.0], SHAPED)
    score_B = some(prompts, answers)
    assert score_B.isnan().tolist() == [False, True, False, True]
    assert torch.equal(score_B[::2], all_good(prompts[:2], answers[:2])) and some.moments == all_good.moments


def test_responses_without_a_score_are_left_out():
    whole, score_B = said([0, 0, 1, 1, 2]), torch.tensor([NAN, 1.0, 2.0, 3.0, INF])
    left, left_B = scored(whole, score_B, compares=False)
    assert left_B.tolist() == [1, 2, 3] and left.group_B.tolist() == [0, 1, 1]
    assert left.logp_N.tolist() == [2, 3, 4, 5, 6, 7]


def test_an_answer_alone_with_its_prompt_goes_where_answers_are_compared():
    """Broken on purpose: groups of one kept -> red."""
    left, left_B = scored(said([0, 0, 1, 1, 2, 2]), torch.tensor([NAN, 1.0, 2.0, 3.0, NAN, NAN]), compares=True)
    assert left_B.tolist() == [2, 3] and left.group_B.tolist() == [1, 1]


def test_where_all_are_good_nothing_is_touched():
    whole = said([0, 0])
    assert scored(whole, torch.ones(2), compares=True)[0] is whole


@pytest.mark.parametrize(("scores", "compares"), [([NAN, NAN, NAN, NAN], False), ([NAN, 1.0, NAN, 1.0], True)])
def test_an_iteration_without_anything_to_learn_from_stops(scores, compares):
    with pytest.raises(UserError, match="nothing can be learned"):
        scored(said([0, 0, 1, 1]), torch.tensor(scores), compares)


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
