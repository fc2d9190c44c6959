"""Sampling: several answers to each prompt, scored and selected if wanted, for people to judge or for learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from truing.data import formats
from truing.data.chat import Chat
from truing.data.formats import Read, native
from truing.data.prompts import distinct_prompts, with_room
from truing.data.records import Conversation, Prompt, Response
from truing.data.seeds import derived
from truing.data.settings import DataSettings
from truing.fault_points import seam
from truing.generation.generator import Generator
from truing.generation.local import LocalGenerator
from truing.generation.records import generate, requests
from truing.generation.sampling import Sampling
from truing.generation.select import By, select
from truing.models.loading import load_chat, load_policy
from truing.models.precision import Precision
from truing.rewards.combine import load_reward, readable
from truing.rewards.function import Reward
from truing.rewards.model import ScorerSetup
from truing.runs.progress import Progress
from truing.runs.resume import Facts, Keeper, Part, fingerprint
from truing.runs.run import Result, Run
from truing.runs.settings import RunSettings
from truing.settings import Flat, require
from truing.training.optimize import settled_precision, tell


@dataclass(frozen=True)
class Config:
    """Several responses to each prompt."""

    model: str
    """Who answers: a hub id, a folder, or an earlier run."""
    inputs: Flat[DataSettings]
    """Prompts: files, folders, runs or hub ids."""
    answers: int = 4
    """Responses to each prompt."""
    prompts: int = 0
    """At most so many prompts, the first ones; 0: all."""
    sampling: Sampling = field(default_factory=Sampling)
    """How responses are drawn."""
    reward: tuple[str, ...] = ()
    """What scores each response: a reward model's run, file.py:function, regex:PATTERN, exact, http://…"""
    keep: int = 0
    """Keep so many of the answers (1 with a reward is best-of-n); 0: all."""
    keep_by: By = "reward"
    """Keep the highest scores, the most different answers, or both."""
    precision: Precision = "auto"
    """What is computed with; auto takes bfloat16 where this machine does it faster."""
    run: Flat[RunSettings] = RunSettings("runs/sample")
    """The run's folder; responses.jsonl in it holds the answers, token ids and log-probs included."""

    def __post_init__(self) -> None:
        require(
            self,
            ("answers", self.answers >= 1, "1 or more"),
            ("prompts", self.prompts >= 0, "0 or more"),
            ("keep", 0 <= self.keep <= self.answers, "between 0 and answers"),
            (
                "keep_by",
                not self.keep or self.keep_by == "diversity" or self.reward,
                '"diversity" where no reward is given',
            ),
        )


def kept(responses: Sequence[Response], config: Config) -> list[Response]:
    """The answers to one prompt that the configuration keeps."""
    if not config.keep:
        return list(responses)
    scores = [r.score for r in responses] if config.reward else None
    ids = [r.token_ids for r in responses]
    return [responses[i] for i in select(ids, scores, config.keep, config.keep_by)]  # type: ignore[arg-type]


@dataclass(frozen=True)
class Sampler:
    """A generator answers, a reward scores where there is one, and what the configuration keeps is kept."""

    generator: Generator
    chat: Chat
    reward: Reward | None
    config: Config

    def __call__(self, prompts: Sequence[Prompt], seed: int) -> list[Conversation]:
        """Each prompt with its answers."""
        config = self.config
        generated = generate(self.generator, self.chat, requests(prompts, config.answers, seed), config.sampling)
        responses = [replace(response, author=config.model) for response in generated.responses]
        if self.reward is not None:
            scores = self.reward(generated.prompts, responses)
            responses = [replace(response, score=score) for response, score in zip(responses, scores, strict=True)]
        answers = [responses[i * config.answers : (i + 1) * config.answers] for i in range(len(prompts))]
        return [Conversation(prompt, tuple(kept(some, config))) for prompt, some in zip(prompts, answers, strict=True)]


def train(config: Config, read: Read = formats.read) -> Result:
    """The whole stage, from prompts to a run's folder, which holds each with its answers in responses.jsonl."""
    with Run.open(config.run, config, "sample") as run:
        inputs = config.inputs
        chat = load_chat(config.model, inputs.chat_format)
        prompts = distinct_prompts(inputs, run.say, chat.check, config.prompts, read)
        policy = load_policy(config.model).requires_grad_(False)
        precision = settled_precision(config.precision, policy, run)
        policy.compute_as(precision, moves=False)
        prompts = with_room(prompts, chat, policy.context, run.say, inputs.strict)
        prompts = readable(prompts, config.reward, policy.context, inputs, config.sampling, run.say)
        setup = ScorerSetup(precision, warn=run.say)
        reward = load_reward(config.reward, chat, inputs.chat_format, setup=setup) if config.reward else None
        tell(precision, policy, run)
        sampler = Sampler(LocalGenerator(policy, chat), chat, reward, config)
        conversations: list[Conversation] = []
        chunk = max(1, 256 // config.answers)
        parts: dict[str, Part] = {"said": Facts(
            lambda: {"rows": [native.row_of(c) for c in conversations]},
            lambda facts: conversations.extend(c for row in facts["rows"] for c in native.records_of(row)),  # type: ignore[misc]
        )}  # fmt: skip
        with (
            Keeper(run, parts, fingerprint(prompts)) as keeper,
            Progress(len(prompts), "sample") as progress,
        ):
            for start in range(keeper.resume(), len(prompts), chunk):
                answered = sampler(prompts[start : start + chunk], derived(config.run.seed, start))
                conversations += answered
                for conversation in answered:
                    first = conversation.responses[0]
                    run.sample(0, "", prompt=conversation.prompt.text, response=first.text, score=first.score)
                progress.update(min(start + chunk, len(prompts)), {}, answered[-1].responses[-1].text)
                seam("chunk")
                keeper.passed(start + chunk)
        formats.write(conversations, run.folder / "responses.jsonl")
        return run.finish({**_summary(conversations), **keeper.cost})


def _summary(conversations: Sequence[Conversation]) -> dict[str, float]:
    said = [r for c in conversations for r in c.responses]
    summary = {
        "prompts": len(conversations),
        "responses": len(said),
        "length": float(np.mean([len(r.token_ids) for r in said])),
        "unfinished": float(np.mean([r.finish_reason == "length" for r in said])),
    }
    scores = [r.score for r in said if r.score is not None]
    return {**summary, "reward": float(np.mean(scores))} if scores else summary
