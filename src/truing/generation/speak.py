"""A policy answers prompts: the responses as records, and as rollouts to learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

import torch

from truing.data.batches import Sequences
from truing.data.chat import Chat
from truing.data.lengths import short_enough
from truing.data.records import Prompt, Response
from truing.data.rollouts import Rollouts
from truing.errors import UserError
from truing.generation.engine import Engine, InFlight
from truing.generation.sampling import Sampling
from truing.models.loading import listed
from truing.models.roles import Policy


def end_ids(policy: Policy, chat: Chat) -> list[int]:
    """Every token that ends a response: the chat's, and those the model's own generation settings name."""
    return sorted({chat.end_id, *chat.ends, *listed(policy.lm_inside.generation_config.eos_token_id)})


def speak(
    policy: Policy,
    chat: Chat,
    prompts: Sequence[Prompt],
    answers: int,
    sampling: Sampling,
    seed: int,
    author: str = "",
    first: int = 0,
    passed: Callable[[int], object] = lambda done: None,
) -> tuple[Rollouts, list[Prompt], list[Response]]:
    """`answers` responses to each prompt, grouped by prompt: rollouts, the prompt of each, and each as a record.

    Response j to prompt i has a seed of its own made of (`seed`, i, j): it does not depend on its neighbours.
    Prompts are counted from `first`, for who speaks for a part of a list. `passed` is told how many have been given.
    """
    if not prompts or answers < 1:
        raise UserError("sampling needs one prompt and one answer at least")
    engine = Engine(policy, sampling, end_ids(policy, chat), chat.text)
    flights: list[InFlight] = []
    asked: list[Prompt] = []
    for i, prompt in enumerate(prompts):
        ids = chat.prompt_ids(prompt.messages)
        for j in range(answers):
            flights.append(engine.add(ids, (seed * 1_000_003 + first + i) * 1_009 + j))
            asked.append(prompt)
    engine.run(passed)
    settings = tuple(sorted((k, float(v)) for k, v in asdict(sampling).items() if isinstance(v, int | float)))
    responses = [
        Response(
            text=cut_at_stops(chat.text(f.token_ids), sampling.stop),
            token_ids=tuple(f.token_ids),
            logprobs=tuple(f.logprobs),
            finish_reason="stop" if f.finish_reason == "stop" else "length",
            author=author,
            seed=f.seed,
            sampling=settings,
        )
        for f in flights
    ]
    return _rollouts(flights, answers), asked, responses


def with_room(
    prompts: Sequence[Prompt], policy: Policy, chat: Chat, say: Callable[[str], None], strict: bool = False
) -> list[Prompt]:
    """The prompts that leave room for an answer in the model's context; how many do not is told, with the first.

    Raises UserError at the first where `strict`, and where none is left.
    """
    context = policy.context
    lengths = [len(chat.prompt_ids(prompt.messages)) for prompt in prompts]
    what = f"prompts leave no room in the model's context of {context} tokens"
    return [prompts[i] for i in short_enough(prompts, lengths, context - 1, what, say, strict)]


def cut_at_stops(text: str, stops: Sequence[str]) -> str:
    """The text before the first stop string in it."""
    places = [place for place in map(text.find, stops) if place >= 0]
    return text[: min(places)] if places else text


def _rollouts(flights: list[InFlight], answers: int) -> Rollouts:
    logp_N = torch.tensor([x for f in flights for x in f.logprobs])
    values = [v for f in flights for v in f.values]
    return Rollouts(
        tokens=Sequences.of([f.prompt for f in flights], [f.token_ids for f in flights]),
        logp_N=logp_N,
        kept_N=torch.tensor([x for f in flights for x in f.kept]),
        value_N=torch.tensor(values) if values else torch.zeros_like(logp_N),
        truncated_B=torch.tensor([f.finish_reason == "length" for f in flights]),
        group_B=torch.arange(len(flights)) // answers,
    )
