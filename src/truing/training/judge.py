"""The reward as learning sees it, and what becomes of a response whose score is no number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from truing.data.records import Prompt, Response
from truing.data.rollouts import Rollouts
from truing.errors import UserError
from truing.maths.advantages import RunningMoments
from truing.maths.ragged import group_sum
from truing.rewards.combine import Refuse, stop
from truing.rewards.function import Reward
from truing.settings import require
from truing.training.run import Run

Bad = Literal["stop", "drop"]
LEFT_OUT = "; such responses are left out and counted in reward/dropped"


@dataclass(frozen=True)
class ScoreSettings:
    """What is done to scores before they are learned from."""

    missing_end_penalty: float = 0.0
    """Taken from the score of a response that did not end by itself."""
    reward_clip: float = 0.0
    """Scores are held within plus and minus this; 0: off."""
    scale_rewards: bool = False
    """Divide scores by their running standard deviation; the mean is not taken off."""
    bad_rewards: Bad = "stop"
    """A score that is NaN, None, infinite or a text: stop, naming prompt and source, or drop the response and count."""

    def __post_init__(self) -> None:
        require(self, ("reward_clip", self.reward_clip >= 0, "0 or more"))


class Judge:
    """Scores with the penalty for unfinished responses, clipped, scaled by their running spread: score_B.

    A response without a score (NaN) keeps none, and enters no moment.
    """

    def __init__(self, reward: Reward, settings: ScoreSettings) -> None:
        self.reward, self.settings = reward, settings
        self.moments = RunningMoments()

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[Response]) -> Tensor:
        settings = self.settings
        score_B = torch.tensor(self.reward(prompts, responses), dtype=torch.float32)
        unfinished_B = torch.tensor([float(r.finish_reason == "length") for r in responses])
        score_B = score_B - settings.missing_end_penalty * unfinished_B
        if settings.scale_rewards:
            self.moments = self.moments.update(score_B[score_B.isfinite()])
            score_B = score_B / self.moments.std
        return score_B.clamp(-settings.reward_clip, settings.reward_clip) if settings.reward_clip else score_B


def refusing(bad: Bad, run: Run) -> Refuse:
    """What happens at a score that is no number: the run stops, or it is told once and the response is left out."""

    def tell_once(line: str) -> None:
        if not any(told.endswith(LEFT_OUT) for told in run.warnings):
            run.say(line + LEFT_OUT)

    return {"stop": stop, "drop": tell_once}[bad]


def scored(said: Rollouts, score_B: Tensor, compares: bool) -> tuple[Rollouts, Tensor]:
    """The responses that have a score, and their scores: the others are in no mean, no group and no loss.

    Where answers to one prompt are compared (`compares`), one left alone with its prompt goes too: it says nothing.
    Raises UserError where nothing is left.
    """
    good_B = score_B.isfinite()
    if compares:
        good_B &= group_sum(good_B.float(), said.group_B) > 1
    if good_B.all():
        return said, score_B
    if not good_B.any():
        what = "two answers with scores that are numbers" if compares else "an answer with a score that is a number"
        raise UserError(f"reward: not one prompt has {what} ({len(said)} responses): nothing can be learned from them; "
                        "mend the reward, then the same command goes on from the last saved state")  # fmt: skip
    index_B = good_B.nonzero().flatten()
    return said.select(index_B), score_B[index_B]
