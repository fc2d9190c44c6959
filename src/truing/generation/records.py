"""Responses that are asked for, and what was generated: as records, and as rollouts to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import nan

import torch

from truing.data import seeds
from truing.data.batches import Sequences
from truing.data.chat import Chat
from truing.data.records import Prompt, Response
from truing.data.rollouts import Rollouts
from truing.errors import UserError
from truing.generation.generator import Generation, Generator, ProgressCallback, no_progress
from truing.generation.sampling import Sampling


@dataclass(frozen=True)
class Request:
    """One response that is asked for."""

    prompt: Prompt
    seed: int
    group: int  # the place of its prompt among all


def requests(prompts: Sequence[Prompt], answers: int, seed: int) -> list[Request]:
    """`answers` responses to each prompt, one after the other.

    Each has a seed made of `seed`, the place of its prompt and its own number: it does not depend on the others.
    """
    if not prompts or answers < 1:
        raise UserError("sampling needs one prompt and one answer at least")
    return [
        Request(prompt, seeds.of_response(seed, i, j), i) for i, prompt in enumerate(prompts) for j in range(answers)
    ]


@dataclass(frozen=True)
class Generated:
    """What was generated, in the order of the requests."""

    prompts: list[Prompt]  # of each response
    responses: list[Response]
    rollouts: Rollouts


def generate(
    generator: Generator,
    chat: Chat,
    asked: Sequence[Request],
    sampling: Sampling,
    progress: ProgressCallback = no_progress,
) -> Generated:
    """Ask a generator for these responses. `chat` makes token ids of prompts, and text of responses."""
    prompts, own_seeds = [request.prompt for request in asked], [request.seed for request in asked]
    prompt_ids = {prompt: chat.prompt_ids(prompt.messages) for prompt in dict.fromkeys(prompts)}
    generations = generator.generate([prompt_ids[prompt] for prompt in prompts], sampling, own_seeds, progress)
    responses = [response_of(generation, chat, sampling) for generation in generations]
    return Generated(prompts, responses, rollouts_of(generations, [request.group for request in asked]))


def response_of(generation: Generation, chat: Chat, sampling: Sampling) -> Response:
    """A generation as people read it: its text ends before a stop string."""
    numbers = {name: float(value) for name, value in asdict(sampling).items() if isinstance(value, int | float)}
    return Response(
        text=sampling.cut(chat.text(generation.token_ids)),
        token_ids=tuple(generation.token_ids),
        logprobs=tuple(generation.logprobs),
        finish_reason=generation.finish_reason,
        seed=generation.seed,
        sampling=tuple(sorted(numbers.items())),
    )


def rollouts_of(generations: Sequence[Generation], groups: Sequence[int]) -> Rollouts:
    """Generations laid end to end. `groups`: a number for each, the same for responses to one prompt."""
    logp_N = torch.tensor([x for g in generations for x in g.logprobs])
    values = [x for g in generations for x in g.values or [nan] * len(g.token_ids)]
    return Rollouts(
        tokens=Sequences.of([g.prompt for g in generations], [g.token_ids for g in generations]),
        logp_N=logp_N,
        kept_N=torch.tensor([x for g in generations for x in g.kept]),
        value_N=torch.tensor(values),
        truncated_B=torch.tensor([g.finish_reason == "length" for g in generations]),
        group_B=torch.tensor(groups),
    )
