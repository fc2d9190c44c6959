"""The networks of policy optimisation and what moves them: policy, reference, critic, and one optimizer each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from truing.data.batches import Sequences
from truing.data.rollouts import Rollouts
from truing.maths.advantages import RunningMoments
from truing.models.memory import MicroBatches
from truing.models.precision import Precision
from truing.models.roles import Policy, Scorer
from truing.training import processes
from truing.training.optimize import Optimizer, StepStats

LARGEST_GAP = 0.05  # nats; a ratio that starts 5 % off is a quarter of the usual clipping bound


@dataclass
class Nets:
    """`reference` None: the policy with its adapter off. `critic` None: the policy's own value head, or no critic."""

    policy: Policy
    reference: Policy | None
    critic: Scorer | None
    policy_optimizer: Optimizer
    critic_optimizer: Optimizer | None
    micro_batches: MicroBatches
    temperature: float = 1.0
    precision: Precision = "float32"  # of the whole run
    quarantine: Callable[[Rollouts], None] = lambda batch: None
    recomputes: bool = False  # log-probs from sampling differ too much from those of learning
    baseline: RunningMoments = field(default_factory=RunningMoments)  # of scores: the values where there is no critic

    @property
    def owner(self) -> Policy | None:
        """Whose base other roles can share: a policy with an adapter, for that base stays as it is."""
        return self.policy if self.reference is None else None

    @torch.no_grad()
    def reference_logprobs(self, tokens: Sequences) -> Tensor:
        """Log-probs of the response tokens under the reference, [N]."""
        if self.reference is not None:
            return self.reference.logprobs(tokens, self.temperature)
        with self.policy.without_adapter():
            return self.policy.logprobs(tokens, self.temperature)

    @torch.no_grad()
    def remember(
        self, said: Rollouts, check: bool, wants_tail: bool, wants_drift: bool = True
    ) -> tuple[Rollouts, float]:
        """Rollouts with what the networks say of them before they move, and the largest log-prob gap found, if asked.

        The reference is asked where its word counts (`wants_drift`).

        Log-probs and trunk values were collected while sampling: they are computed again only to `check` them. Where
        the distribution was cut by top-k, top-p or min-p, `old_N` is of the whole one, as the ratio needs it. A gap
        above LARGEST_GAP decides that from then on they are always computed again, and those are taken. Each process
        looks at its share of the responses, and learns of the others'.
        """
        seen = self._seen(said, check, wants_tail, wants_drift)
        old_N, again_N = said.logp_N + said.kept_N, seen["again_N"]
        gap = (again_N - old_N).abs().max().item() if check else 0.0
        self.recomputes |= gap > LARGEST_GAP
        old_N = again_N if self.recomputes else old_N
        values = seen["value_N"] if self.critic is not None else said.value_N
        reads_values = self.critic is not None or self.policy.value_head is not None
        tails = seen["tail_value_B"] if reads_values else None
        ref_N = seen["ref_N"] if wants_drift else None
        return replace(said, old_N=old_N, ref_N=ref_N, value_N=values, tail_value_B=tails), gap

    @torch.no_grad()
    def log_ratio(self, said: Rollouts) -> Tensor:
        """Log-prob under the policy less that under the reference, [N], both by the pass that learns: where nothing has
        moved, that is zero to the bit."""
        seen = self._seen(said, check=True, wants_tail=False, wants_drift=True)
        return seen["again_N"] - seen["ref_N"]

    def _seen(self, said: Rollouts, check: bool, wants_tail: bool, wants_drift: bool) -> dict[str, Tensor]:
        """What the networks say of responses, each process looking at its share of them."""
        own = said.select(processes.share(len(said)))
        look = partial(self._look, own, check, wants_tail, wants_drift)
        return processes.end_to_end(self.micro_batches.run(own.tokens.parts, look))

    def _look(
        self, said: Rollouts, check: bool, wants_tail: bool, wants_drift: bool, micro_batches: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """What reference, critic and, where it is asked, the policy say of some responses."""
        ref_N, value_N, again_N = (torch.empty_like(said.logp_N) for _ in range(3))
        tail_value_B = torch.zeros(len(said))
        for index_B in micro_batches:
            part = said.tokens.select(index_B)
            place_N = said.token_places(index_B)
            if wants_drift:
                ref_N[place_N] = self.reference_logprobs(part)
            if self.critic is not None:
                value_N[place_N], tail_value_B[index_B] = self.critic.values(part)
            if self.policy.value_head is not None and (check or self.recomputes or wants_tail):
                now = self.policy(part, self.temperature)
                again_N[place_N], tail_value_B[index_B] = now.logp_N, now.tail_value_B
            elif check or self.recomputes:
                again_N[place_N] = self.policy.logprobs(part, self.temperature)
        return {"ref_N": ref_N, "value_N": value_N, "again_N": again_N, "tail_value_B": tail_value_B}

    def flops(self, said: Rollouts, epochs: int) -> float:
        """What an iteration needs: speaking, one look by reference and critic, learning. Reward models not counted."""
        read, new = len(said.tokens.token_S), len(said.tokens.token_N)
        needed = self.policy.flops(new, new) + epochs * self.policy.learning_flops(read, new)
        if said.ref_N is not None:
            needed += (self.reference or self.policy).flops(read, new)
        if self.critic is not None:
            needed += self.critic.flops(read) + epochs * self.critic.learning_flops(read)
        return needed

    def clear(self) -> None:
        """Forget the gradients added up so far."""
        self.policy_optimizer.clear()
        if self.critic_optimizer is not None:
            self.critic_optimizer.clear()

    def step(self, learn_policy: bool = True) -> dict[str, StepStats]:
        """Move every network by its gradient."""
        steps = {}
        if learn_policy:
            steps["policy"] = self.policy_optimizer.step()
        else:
            self.policy_optimizer.clear()
        if self.critic_optimizer is not None:
            steps["critic"] = self.critic_optimizer.step()
        return steps

    @torch.no_grad()
    def pull_reference(self, share: float) -> None:
        """Move the reference this share of the way to the policy: a little often (EMA), or all of it now and then."""
        if self.reference is not None:
            for target, source in zip(self.reference.lm.parameters(), self.policy.lm.parameters(), strict=True):
                target.lerp_(source, share)
            self.reference.follow()
