"""What a policy became: reward, drift from a reference, entropy, length, repetition, and what best-of-n would reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from truing.data.chat import Chat
from truing.data.prompts import distinct_prompts, with_room
from truing.data.records import Prompt, Response
from truing.data.rollouts import Rollouts
from truing.data.settings import DataSettings
from truing.evaluation.answers import generate_watched
from truing.generation.generator import Generator
from truing.generation.local import LocalGenerator
from truing.generation.records import Generated, requests
from truing.generation.sampling import Sampling
from truing.maths import ragged, statistics
from truing.models.loading import load_chat, load_policy, other_tokens, same_tokens
from truing.models.memory import MicroBatches
from truing.models.roles import Policy
from truing.rewards.combine import load_reward, readable
from truing.rewards.function import Reward
from truing.rewards.model import ScorerSetup
from truing.runs.run import Result, Run
from truing.runs.settings import OutputSettings
from truing.settings import Flat, require


@dataclass(frozen=True)
class Config:
    """Figures of one policy, beside those of the policy it came from."""

    model: str
    """The policy: a hub id, a folder, or an earlier run."""
    inputs: Flat[DataSettings]
    """Prompts: files, folders, runs or hub ids."""
    reward: tuple[str, ...]
    """What scores: a reward model's run, file.py:function, regex:PATTERN, exact, http://…"""
    reference: str = ""
    """The policy it came from: drift is measured from it, and its own figures stand beside; empty: none."""
    prompts: int = 100
    """At most so many prompts, the first ones; 0: all."""
    answers: int = 8
    """Answers to each prompt; the best-of-n curve goes up to this n."""
    sampling: Sampling = field(default_factory=Sampling)
    """How responses are drawn."""
    budget_tokens: int = 8192
    """Most tokens of one forward pass."""
    run: Flat[OutputSettings] = OutputSettings("runs/evaluate")
    """Where the run is written."""

    def __post_init__(self) -> None:
        require(
            self,
            ("reward", bool(self.reward), "one source at least"),
            ("prompts", self.prompts >= 0, "0 or more"),
            ("answers", self.answers >= 1, "1 or more"),
            ("budget_tokens", self.budget_tokens >= 1, "1 or more"),
        )


def repeats(token_ids: Sequence[int], size: int = 4) -> bool:
    """Whether some run of `size` tokens comes three times or more: the usual way in which small policies get stuck."""
    runs = [tuple(token_ids[i : i + size]) for i in range(len(token_ids) - size + 1)]
    return any(runs.count(run) >= 3 for run in set(runs))


def shape(responses: Sequence[Response]) -> dict[str, float]:
    """Length in tokens, share of unfinished and of repetitive responses."""
    return {
        "length": float(np.mean([len(r.token_ids) for r in responses])),
        "unfinished": float(np.mean([r.finish_reason == "length" for r in responses])),
        "repeated": float(np.mean([repeats(r.token_ids) for r in responses])),
    }


@torch.no_grad()
def drift(
    policy: Policy, reference: Policy | None, rollouts: Rollouts, temperature: float, micro_batches: MicroBatches
) -> dict[str, float]:
    """Mean entropy a token, and KL from the reference a response (exact over the vocabulary at every token)."""

    def measured(some: Sequence[Tensor]) -> dict[str, float]:
        entropy, kl_B = 0.0, torch.zeros(len(rollouts))
        for index_B in some:
            part = rollouts.tokens.select(index_B)
            now = policy(part, temperature, reference)
            entropy += now.entropy_N.sum().item()
            if now.exact_kl_N is not None:
                kl_B[index_B] = ragged.total(now.exact_kl_N, part.lengths_B)
        figures = {"entropy": entropy / len(rollouts.logp_N)}
        return figures | {"kl": kl_B.mean().item()} if reference is not None else figures

    return micro_batches.run(rollouts.tokens.parts, measured)


@dataclass(frozen=True)
class Scored:
    """What a policy answered to P prompts, K times each, and the score of each answer."""

    generated: Generated
    score_PK: np.ndarray

    @property
    def figures(self) -> dict[str, object]:
        """Reward with its interval, shape of the answers."""
        mean, low, high = _mean(self.score_PK)
        rewards: dict[str, object] = {"reward": mean, "reward_interval": [low, high]}
        return rewards | shape(self.generated.responses)


def scored_answers(
    generator: Generator, chat: Chat, prompts: Sequence[Prompt], reward: Reward, config: Config, label: str
) -> Scored:
    """Let a generator answer each prompt as often as configured, and score its answers."""
    asked = requests(prompts, config.answers, config.run.seed)
    generated = generate_watched(generator, chat, asked, config.sampling, label)
    scores = reward(generated.prompts, generated.responses)
    return Scored(generated, np.array(scores).reshape(len(prompts), config.answers))


def evaluate(config: Config) -> Result:
    """The whole stage, from prompts to a run's folder."""
    with Run.open(config.run, config, "evaluate") as run:
        inputs = config.inputs
        chat = load_chat(config.model, inputs.chat_format)
        if config.reference and not same_tokens(config.reference, config.model):
            raise other_tokens("reference", config.reference, config.model)
        prompts = distinct_prompts(inputs, run.say, chat.check, config.prompts)
        reward = load_reward(config.reward, chat, inputs.chat_format, setup=ScorerSetup(warn=run.say))
        reference = load_policy(config.reference) if config.reference else None
        temperature = config.sampling.temperature or 1.0
        micro_batches = MicroBatches(config.budget_tokens, run.say)
        figures: dict[str, Any] = {}
        policies = [("", load_policy(config.model), "after")]
        if reference is not None:
            policies.append(("reference_", reference, "before"))
        for _, policy, _ in policies:
            prompts = with_room(prompts, chat, policy.context, run.say, inputs.strict)
            prompts = readable(prompts, config.reward, policy.context, inputs, config.sampling, run.say)
        for prefix, policy, phase in policies:
            label = prefix.rstrip("_") or "policy"
            answers = scored_answers(LocalGenerator(policy, chat), chat, prompts, reward, config, label)
            rollouts, base = answers.generated.rollouts, reference if not prefix else None
            measured = answers.figures | drift(policy, base, rollouts, temperature, micro_batches)
            measured |= {"best_of_n": best_of_n(answers.score_PK)}
            figures |= {f"{prefix}{name}": value for name, value in measured.items()}
            firsts = answers.generated.responses[:: config.answers]
            for prompt, first, score in zip(prompts, firsts, answers.score_PK[:, 0], strict=True):
                run.sample(0, phase, prompt=prompt.text, response=first.text, score=score)
        return run.finish(figures)


def _mean(score_PK: np.ndarray) -> tuple[float, float, float]:
    """The mean reward with its interval, prompts being independent; right or wrong is a share, unsure even if all is
    right."""
    if np.isin(score_PK, (0.0, 1.0)).all():
        return statistics.win_rate(score_PK.ravel(), np.repeat(np.arange(len(score_PK)), score_PK.shape[1]))
    low, high = statistics.mean_interval(score_PK.mean(1))
    return float(score_PK.mean()), low, high


def best_of_n(score_PK: np.ndarray) -> list[dict[str, float]]:
    """Expected reward of the best of n answers, with its KL from the policy, log n - (n - 1) / n, for n = 1, 2, 4 …"""
    ns = [2**i for i in range(score_PK.shape[1].bit_length()) if 2**i <= score_PK.shape[1]]
    curve = statistics.best_of_n_curve(score_PK, ns)
    return [{"n": n, "kl": statistics.best_of_n_kl(n), "reward": float(r)} for n, r in zip(ns, curve, strict=True)]
