"""The reward as learning sees it, and what happens where a score is no number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor

from truing.data.records import Prompt, Response
from truing.maths.advantages import RunningMoments
from truing.rewards.combine import Refuse, stop
from truing.rewards.function import Reward
from truing.runs import distributed
from truing.runs.checkpoint import State
from truing.runs.run import Run
from truing.settings import require

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


class Scoring:
    """The reward as learning sees it: with the penalty for unfinished responses, clipped, scaled by its running spread.

    A response without a score (NaN) keeps none, and enters no moment.
    """

    def __init__(self, reward: Reward, settings: ScoreSettings) -> None:
        self.reward, self.settings = reward, settings
        self.moments = RunningMoments()

    def rewards(self, prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[float]:
        """The reward's own number for each response, of which every prompt has the same count, one after the other.

        Each process asks for all responses to its share of the prompts; all know all.
        """
        answers = len(responses) // len(prompts)
        own = distributed.share(len(prompts)).tolist()
        scores: list[float] = []
        if own:
            asked = [prompts[i] for i in own for _ in range(answers)]
            scores = [float(x) for x in self.reward(asked, responses[own[0] * answers : (own[-1] + 1) * answers])]
        return [score for some in distributed.gathered(scores) for score in some]

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[Response]) -> Tensor:
        """The score of each response, score_B. Several belong to a prompt, as in `rewards`."""
        settings = self.settings
        score_B = torch.tensor(self.rewards(prompts, responses), dtype=torch.float32)
        unfinished_B = torch.tensor([float(r.finish_reason == "length") for r in responses])
        score_B = score_B - settings.missing_end_penalty * unfinished_B
        if settings.scale_rewards:
            self.moments = self.moments.update(score_B[score_B.isfinite()])
            score_B = score_B / self.moments.std
        return score_B.clamp(-settings.reward_clip, settings.reward_clip) if settings.reward_clip else score_B

    def capture(self) -> State:
        """The moments of the scores so far."""
        return State({}, asdict(self.moments))

    def restore(self, state: State) -> None:
        """Go on with these."""
        self.moments = RunningMoments(**state.facts)


def refusing(bad: Bad, run: Run) -> Refuse:
    """What happens at a score that is no number: the run stops, or it is told once and the response is left out."""

    def tell_once(line: str) -> None:
        if not any(told.endswith(LEFT_OUT) for told in run.warnings):
            run.say(line + LEFT_OUT)

    return {"stop": stop, "drop": tell_once}[bad]
