"""Two policies answer the same prompts; how often is the first one's answer preferred?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from truing.data.chat import Chat
from truing.data.prompts import distinct_prompts, with_room
from truing.data.records import Prompt, Record, Response
from truing.data.settings import DataSettings
from truing.errors import UserError
from truing.evaluation.answers import generate_watched
from truing.evaluation.judge import by_person, by_reward, outcomes
from truing.generation.generator import Generator
from truing.generation.local import LocalGenerator
from truing.generation.records import requests
from truing.generation.sampling import Sampling
from truing.maths import statistics
from truing.models.loading import load_chat, load_context, load_policy
from truing.rewards.combine import load_reward, readable
from truing.rewards.model import ScorerSetup
from truing.runs.run import Result, Run
from truing.runs.settings import OutputSettings
from truing.settings import Flat, require


@dataclass(frozen=True)
class Config:
    """Win rate of one policy against another."""

    model: str
    """The policy that is to win: a hub id, a folder, or an earlier run."""
    against: str
    """The policy it is compared with."""
    inputs: Flat[DataSettings]
    """Prompts: files, folders, runs or hub ids."""
    judge: tuple[str, ...] = ("person",)
    """Who decides: person (you, here), or a reward: a reward model's run, file.py:function, regex:…, exact, http://…"""
    prompts: int = 100
    """At most so many prompts, the first ones; 0: all."""
    answers: int = 1
    """Answers each gives to each prompt."""
    both_orders: bool = False
    """Show each pair twice, in both orders, and count the mean; else once, each of the two first as often."""
    sampling: Sampling = field(default_factory=Sampling)
    """How responses are drawn."""
    run: Flat[OutputSettings] = OutputSettings("runs/compare")
    """Where the run is written."""

    def __post_init__(self) -> None:
        require(
            self,
            ("judge", bool(self.judge), "one at least"),
            ("prompts", self.prompts >= 0, "0 or more"),
            ("answers", self.answers >= 1, "1 or more"),
        )


def answers_of(
    generator: Generator, chat: Chat, prompts: Sequence[Prompt], config: Config, seed: int, author: str
) -> list[Response]:
    """What a generator answers to these prompts, each as often as configured."""
    asked = requests(prompts, config.answers, seed)
    generated = generate_watched(generator, chat, asked, config.sampling, author)
    return [replace(response, author=author) for response in generated.responses]


def win_rate(prompts: Sequence[Prompt], outcome: Sequence[float]) -> dict[str, Any]:
    """Share of comparisons won, ties one half, with a 95 % interval whose independent units are the prompts."""
    clusters = np.unique([p.id for p in prompts], return_inverse=True)[1]
    rate, low, high = statistics.win_rate(outcome, clusters=clusters)
    return {
        "win_rate": rate,
        "win_rate_interval": [low, high],
        "wins": sum(o > 0.5 for o in outcome),
        "ties": sum(o == 0.5 for o in outcome),
        "losses": sum(o < 0.5 for o in outcome),
    }


def evaluate(config: Config) -> Result:
    """The whole stage, from prompts to a run's folder."""
    with Run.open(config.run, config, "compare") as run:
        inputs, seed, models = config.inputs, config.run.seed, (config.model, config.against)
        chats = [load_chat(model, inputs.chat_format) for model in models]
        contexts = [load_context(model) for model in models]

        def check(record: Record) -> None:
            for chat in chats:
                chat.check(record)

        prompts = distinct_prompts(inputs, run.say, check, config.prompts)
        if config.judge == ("person",):
            judge = by_person()
        else:
            judge = by_reward(load_reward(config.judge, None, inputs.chat_format, setup=ScorerSetup(warn=run.say)))
            prompts = readable(prompts, config.judge, max(contexts), inputs, config.sampling, run.say)
        for chat, context in zip(chats, contexts, strict=True):
            prompts = with_room(prompts, chat, context, run.say, inputs.strict)
        ours, theirs = (
            answers_of(LocalGenerator(load_policy(model), chat), chat, prompts, config, seed + number, model)
            for number, (model, chat) in enumerate(zip(models, chats, strict=True))
        )
        asked = [prompt for prompt in prompts for _ in range(config.answers)]
        judged: list[list[float]] = [[] for _ in asked]
        try:
            for place, outcome in outcomes(judge, asked, ours, theirs, config.both_orders, seed):
                prompt, our, their = asked[place].text, ours[place].text, theirs[place].text
                run.sample(0, "before", prompt=prompt, response=their)
                run.sample(0, "after", prompt=prompt, response=our, outcome=outcome)
                judged[place].append(outcome)
        except EOFError:
            kept = f"what was judged is kept in {config.run.out}/samples.jsonl until the next run there"
            raise UserError(
                f"judge: nobody answers any more; {kept if any(judged) else 'nothing was judged'}"
            ) from None
        equal = sum(our.text.strip() == their.text.strip() for our, their in zip(ours, theirs, strict=True))
        if equal:
            run.say(f"{equal} of {len(asked)} pairs are of equal answers, and count as ties")
        figures = win_rate(asked, [float(np.mean(said)) for said in judged])
        return run.finish(figures)
