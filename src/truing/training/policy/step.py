"""The heart: one iteration of policy optimisation, for every row of the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial

import torch
from torch import Tensor

from truing.data.records import Prompt
from truing.data.rollouts import Experience, Minibatch, Rollouts
from truing.fault_points import seam
from truing.maths.advantages import bootstrap_truncated, whiten
from truing.maths.kl import k3
from truing.maths.ragged import at_last_token, cumulative_from_end
from truing.runs.checkpoint import State
from truing.training.loop import Update, watched
from truing.training.optimize import speed
from truing.training.policy.algorithms import SUBTRACTS_VALUE, Algorithm
from truing.training.policy.collect import Collect, Collected
from truing.training.policy.learners import AuxiliaryGradients, Estimates, Learners


@dataclass(frozen=True)
class Plan:
    """What an iteration does besides what its algorithm says."""

    max_new_tokens: int  # of a response
    rng: torch.Generator  # shuffles
    check: bool = False  # compute collected log-probs again, and ask the reference in any case
    train_policy: bool = True  # False: only a critic of its own learns
    auxiliary: AuxiliaryGradients | None = None  # a term of its own in each update (PPO-ptx)
    measure: Callable[[Experience], dict[str, float]] | None = None  # looks at the experience before anything moves
    quarantine: Callable[[Minibatch], None] = lambda batch: None  # is given what moved nothing


@dataclass
class Iteration:
    """How far an iteration has come: its experience, and the updates made of it."""

    known_experience: Experience | None = None  # once it has begun
    first_response: str = ""
    dropped: int = 0  # responses without a score
    seconds: dict[str, float] = field(default_factory=dict)  # by what they were spent on
    measured: dict[str, float] = field(default_factory=dict)  # besides the updates, by metric
    updates: list[Update] = field(default_factory=list)
    order_B: Tensor = field(default_factory=partial(torch.empty, 0, dtype=torch.long))  # of the responses in this pass

    @property
    def experience(self) -> Experience:
        """What it learns from."""
        assert self.known_experience is not None, "it has not begun"
        return self.known_experience

    @property
    def has_begun(self) -> bool:
        """Whether there is experience to learn from."""
        return self.known_experience is not None

    @property
    def responses(self) -> int:
        """How many were sampled."""
        return len(self.experience) + self.dropped

    @property
    def metrics(self) -> dict[str, float]:
        """What it did, once it has learned: docs/metrics.md explains each name."""
        each = [update.metrics for update in self.updates]
        means = {name: sum(metrics[name] for metrics in each) / len(each) for name in each[0]}
        times = {f"time/{name}_s": seconds for name, seconds in self.seconds.items()}
        first = {"policy/first_ratio": each[0]["policy/ratio"], "reward/dropped": float(self.dropped)}
        return self.measured | means | times | first

    def begin(self, experience: Experience, collected: Collected) -> None:
        """Learn from this experience from now on."""
        self.clear()
        self.known_experience = experience
        self.first_response, self.dropped = collected.first_response, collected.dropped
        self.seconds = {"sample": collected.generate_s, "judge": collected.score_s}

    def add(self, measured: Mapping[str, float], **seconds: float) -> None:
        """Add what was measured, by metric, and seconds by what they were spent on."""
        self.measured |= measured
        self.seconds |= {name: self.seconds.get(name, 0.0) + spent for name, spent in seconds.items()}

    def minibatches(self, algo: Algorithm, plan: Plan) -> Iterator[Minibatch]:
        """The minibatches that are left of several shuffled passes: how many updates are recorded says which."""
        count = min(algo.minibatches, len(self.experience))
        while len(self.updates) < algo.epochs * count:
            number = len(self.updates) % count
            if number == 0:
                self.order_B = torch.randperm(len(self.experience), generator=plan.rng)
            batch = self.experience.select(self.order_B.tensor_split(count)[number])
            yield Minibatch(batch, algo.average(batch.lengths_B, plan.max_new_tokens))

    def record(self, update: Update) -> None:
        """What was done with the minibatch at work."""
        self.updates.append(update)

    def clear(self) -> None:
        """Forget all of it: the next iteration has not begun."""
        self.known_experience, self.first_response, self.dropped = None, "", 0
        self.seconds, self.measured, self.updates = {}, {}, []
        self.order_B = torch.empty(0, dtype=torch.long)

    def capture(self) -> State:
        """All of it; before it begins there is nothing."""
        if not self.has_begun:
            return State({}, {})
        facts = {name: getattr(self, name) for name in ("first_response", "dropped", "seconds", "measured")}
        facts["updates"] = [asdict(update) for update in self.updates]
        return State({"order_B": self.order_B, **self.experience.named()}, facts)

    def restore(self, state: State) -> None:
        """Go on with it."""
        self.clear()
        if state.facts:
            tensors, facts = dict(state.tensors), state.facts
            self.order_B, self.known_experience = tensors.pop("order_B"), Experience.of(tensors)
            self.first_response, self.dropped = facts["first_response"], facts["dropped"]
            self.seconds, self.measured = facts["seconds"], facts["measured"]
            self.updates = [Update.of(**update) for update in facts["updates"]]


def step(
    learners: Learners, prompts: Sequence[Prompt], collect: Collect, algo: Algorithm, plan: Plan, iteration: Iteration
) -> Iterator[None]:
    """Collect, give credit, learn. Yields wherever the run may be saved, and goes on where `iteration` stands, which
    has the metrics at the end."""
    if not iteration.has_begun:
        collected = collect(prompts, algo)
        begin = time.perf_counter()
        estimates = learners.estimate(collected.rollouts, algo, plan.check)
        experience = credit(collected.rollouts, estimates, collected.score_B, algo)
        learners.observe(collected.score_B)
        iteration.begin(experience, collected)
        iteration.add(described(experience, estimates, algo, plan.check), judge=time.perf_counter() - begin)
        if plan.measure is not None:
            iteration.add(plan.measure(experience))
        yield
    begin = time.perf_counter()
    for batch in iteration.minibatches(algo, plan):
        update = partial(learners.update, batch, algo, plan.auxiliary, plan.train_policy)
        iteration.record(watched(update, partial(plan.quarantine, batch)))
        seam("minibatch")
        yield
    iteration.add({}, learn=time.perf_counter() - begin)
    iteration.add(rates(learners, iteration, algo, plan.check))


def credit(rollouts: Rollouts, estimates: Estimates, score_B: Tensor, algo: Algorithm) -> Experience:
    """Rollouts with advantage and return: a score becomes a reward on the last token, KL costs, and the estimator of
    the algorithm spreads it over the tokens."""
    old_N, value_N, tail_value_B = estimates.old_N, estimates.value_N, estimates.tail_value_B
    reward_N = score_rewards(rollouts, score_B, tail_value_B, algo) - kl_costs(old_N, estimates.ref_N, algo)
    advantage_N = algo.advantage(reward_N, value_N, rollouts.lengths_B, rollouts.group_B, algo)
    if algo.advantage in SUBTRACTS_VALUE:
        return_N = advantage_N + value_N
    else:
        return_N = cumulative_from_end(reward_N, rollouts.lengths_B, algo.gamma)
    advantage_N = whiten(advantage_N) if algo.whiten else advantage_N
    return Experience(rollouts, score_B, old_N, estimates.ref_N, value_N, tail_value_B, advantage_N, return_N)


def score_rewards(rollouts: Rollouts, score_B: Tensor, tail_value_B: Tensor, algo: Algorithm) -> Tensor:
    """What each token earns by the scores alone, [N]: the last one all of it."""
    score_N = at_last_token(score_B, rollouts.lengths_B)
    if not algo.bootstrap:
        return score_N
    return bootstrap_truncated(score_N, tail_value_B, rollouts.truncated_B, rollouts.lengths_B, algo.gamma)


def kl_costs(old_N: Tensor, ref_N: Tensor, algo: Algorithm) -> Tensor:
    """What KL from the reference takes from each token's reward, [N]."""
    return algo.kl_in_reward * algo.kl(old_N, ref_N) if algo.kl_in_reward else torch.zeros_like(old_N)


def described(experience: Experience, estimates: Estimates, algo: Algorithm, check: bool) -> dict[str, float]:
    """Metrics of the responses themselves, before learning."""
    metrics = {
        "reward/mean": experience.score_B.mean().item(),
        "reward/std": experience.score_B.std(correction=0).item(),
        "response/length": experience.lengths_B.float().mean().item(),
        "response/unfinished": experience.rollouts.truncated_B.float().mean().item(),
        "advantage/std": experience.advantage_N.std(correction=0).item(),
    }
    if algo.asks_reference(check):
        metrics["kl/per_response"] = experience.kl_B.mean().item()
        metrics["kl/per_token"] = k3(experience.old_N, experience.ref_N).mean().item()
    if check:
        metrics["check/logprob_gap"] = estimates.logprob_gap
    if algo.critic:
        value_N, return_N = experience.value_N, experience.return_N
        left = (return_N - value_N).var(correction=0) / return_N.var(correction=0).clamp_min(1e-8)
        metrics |= {"critic/explained_variance": (1 - left).item(), "critic/value": value_N.mean().item()}
    return metrics


def rates(learners: Learners, iteration: Iteration, algo: Algorithm, check: bool) -> dict[str, float]:
    """Response tokens a second and the share of the machine's peak, over all that the iteration took."""
    rollouts = iteration.experience.rollouts
    flops = learners.flops(rollouts, algo.epochs, algo.asks_reference(check))
    return speed(len(rollouts.logp_N), flops, sum(iteration.seconds.values()), learners.policy.device)
