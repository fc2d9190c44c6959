"""Answers and scores of several processes that learn together: each works on its share of the prompts, all know all.

With one process this is speaking and judging as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import pairwise

import torch
from torch import Tensor

from truing.data.chat import Chat
from truing.data.records import Prompt, Response
from truing.data.rollouts import Rollouts
from truing.generation.sampling import Sampling
from truing.generation.speak import speak
from truing.models.roles import Policy
from truing.rewards.function import Reward
from truing.training import processes


def spoken(
    policy: Policy, chat: Chat, prompts: Sequence[Prompt], answers: int, sampling: Sampling, seed: int
) -> tuple[Rollouts, list[Prompt], list[Response]]:
    """As `speak`. The seeds are those of the whole list, so what is said does not depend on the number of processes."""
    if processes.count() == 1:
        return speak(policy, chat, prompts, answers, sampling, seed)
    own = processes.share(len(prompts)).tolist()
    tensors, responses = dict[str, Tensor](), list[Response]()
    if own:
        some = [prompts[i] for i in own]
        said, _, responses = speak(policy, chat, some, answers, sampling, seed, first=own[0])
        tensors = said.named()
    said = Rollouts.of(processes.end_to_end(tensors))
    rows = [row for some in processes.gathered([asdict(r) for r in responses]) for row in some]
    group_B = torch.arange(len(said)) // answers
    asked = [prompt for prompt in prompts for _ in range(answers)]
    return replace(said, group_B=group_B), asked, [_response(row) for row in rows]


def judged(reward: Reward) -> Reward:
    """The same reward, asked once for each response: each process asks for all answers to its share of the prompts."""

    def score(prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[float]:
        if processes.count() == 1:
            return reward(prompts, responses)
        starts = [0, *(i + 1 for i, (one, other) in enumerate(pairwise(prompts)) if one is not other), len(prompts)]
        own = processes.share(len(starts) - 1).tolist()
        scores: list[float] = []
        if own:
            begin, end = starts[own[0]], starts[own[-1] + 1]
            scores = [float(score) for score in reward(prompts[begin:end], responses[begin:end])]
        return [score for some in processes.gathered(scores) for score in some]

    return score


def _response(row: dict) -> Response:
    """A record that has been through JSON."""
    sampling = tuple((name, value) for name, value in row["sampling"])
    return Response(**{**row, "token_ids": tuple(row["token_ids"]), "logprobs": tuple(row["logprobs"]),
                       "sampling": sampling})  # fmt: skip
