"""The networks of policy optimisation and what moves them: policy, reference, critic, and one optimizer each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial

import torch
from torch import Tensor

from truing.data.batches import Sequences
from truing.data.rollouts import Minibatch, Rollouts
from truing.maths.advantages import RunningMoments
from truing.maths.kl import k3
from truing.maths.surrogates import clip_fraction, value_error
from truing.models.memory import MicroBatches, on_stderr
from truing.models.precision import Precision
from truing.models.roles import Policy, Scorer
from truing.runs import distributed
from truing.runs.checkpoint import State
from truing.runs.resume import Part, Weights
from truing.training.loop import Update, memory_part
from truing.training.optimize import Optimizer, StepStats, summed_losses
from truing.training.policy.algorithms import Algorithm

LARGEST_GAP = 0.05  # nats; a ratio that starts 5 % off is a quarter of the usual clipping bound
NOTICEABLE_GAP = 0.01
AuxiliaryGradients = Callable[[], dict[str, float]]
"""Adds up the gradients of a term of its own, and returns this process's part of it by name."""


@dataclass(frozen=True)
class Estimates:
    """What the networks say of rollouts before they learn from them: the fields of Experience."""

    old_N: Tensor
    ref_N: Tensor
    value_N: Tensor
    tail_value_B: Tensor
    logprob_gap: float  # largest difference, in nats, between log-probs collected and computed again; 0 unchecked


@dataclass(frozen=True)
class Wanted:
    """What is computed of rollouts before anything learns from them."""

    policy: bool = False  # log-probs of the pass that learns
    reference: bool = False  # log-probs
    critic: bool = False  # values, of a network of its own
    tails: bool = False  # the value head's estimate after the last token
    values: bool = False  # the value head's before each token: generation gave none


@dataclass
class Learners:
    """`reference` None: the policy with its adapter off. `critic` None: the policy's own value head, or no critic."""

    policy: Policy
    reference: Policy | None
    critic: Scorer | None
    policy_optimizer: Optimizer
    critic_optimizer: Optimizer | None
    micro_batches: MicroBatches
    temperature: float = 1.0
    precision: Precision = "float32"  # of the whole run
    warn: Callable[[str], None] = on_stderr
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
    def estimate(self, rollouts: Rollouts, algo: Algorithm, check: bool = False) -> Estimates:
        """What the networks say of rollouts before they move.

        The reference is asked where KL costs something, or to `check`. Log-probs and values of the policy's head were
        collected while sampling: log-probs are computed again only to `check` them, values where generation gave none.
        Where the distribution was cut by top-k, top-p or min-p, `old_N` is of the whole one, as the ratio needs it. A
        gap above LARGEST_GAP decides that from then on they are always computed again, and those are taken. Each
        process looks at its share of the responses, and learns of the others'.
        """
        head = self.policy.value_head is not None
        unvalued = head and bool(rollouts.value_N.isnan().any())
        wanted = Wanted(
            policy=check or self.recomputes,
            reference=algo.asks_reference(check),
            critic=self.critic is not None,
            tails=head and algo.bootstrap > 0,
            values=unvalued,
        )
        found = self._outputs(rollouts, wanted)
        old_N = rollouts.logp_N + rollouts.kept_N
        gap = (found["again_N"] - old_N).abs().max().item() if check else 0.0
        self._look_at(gap)
        value_N = found["value_N"] if self.critic is not None or unvalued else rollouts.value_N
        if self.critic is None and not head:
            value_N = torch.full_like(old_N, self.baseline.mean)
        old_N = found["again_N"] if self.recomputes else old_N
        return Estimates(old_N, found["ref_N"], value_N, found["tail_value_B"], gap)

    @torch.no_grad()
    def log_ratio(self, rollouts: Rollouts) -> Tensor:
        """Log-prob under the policy less that under the reference, [N], both by the pass that learns: where nothing has
        moved, that is zero to the bit."""
        found = self._outputs(rollouts, Wanted(policy=True, reference=True))
        return found["again_N"] - found["ref_N"]

    def observe(self, score_B: Tensor) -> None:
        """Let the baseline know these scores."""
        self.baseline = self.baseline.update(score_B)

    def _look_at(self, gap: float) -> None:
        """Decide whether collected log-probs are computed again from now on, and tell of a large gap."""
        self.recomputes |= gap > LARGEST_GAP
        if gap > NOTICEABLE_GAP:
            what = "from now on they are computed again" if gap > LARGEST_GAP else "they are used as they are"
            self.warn(
                f"log-probs collected while sampling differ from the training pass by up to {gap:.3g} nats: {what}"
            )

    def _outputs(self, rollouts: Rollouts, wanted: Wanted) -> dict[str, Tensor]:
        """What is wanted of all responses, each process computing that of its share."""
        own = rollouts.select(distributed.share(len(rollouts)))
        return distributed.end_to_end(self.micro_batches.run(own.tokens.parts, partial(self._forward, own, wanted)))

    def _forward(self, rollouts: Rollouts, wanted: Wanted, micro_batches: Sequence[Tensor]) -> dict[str, Tensor]:
        """What is wanted of some responses; what is not is NaN, and zero after the last token."""
        ref_N, value_N, again_N = (torch.full_like(rollouts.logp_N, torch.nan) for _ in range(3))
        tail_value_B = torch.zeros(len(rollouts))
        for index_B in micro_batches:
            part = rollouts.tokens.select(index_B)
            place_N = rollouts.token_places(index_B)
            if wanted.reference:
                ref_N[place_N] = self.reference_logprobs(part)
            if wanted.critic and self.critic is not None:
                value_N[place_N], tail_value_B[index_B] = self.critic.values(part)
            if self.policy.value_head is not None and (wanted.policy or wanted.tails or wanted.values):
                now = self.policy(part, self.temperature)
                again_N[place_N], tail_value_B[index_B] = now.logp_N, now.tail_value_B
                if wanted.values:
                    value_N[place_N] = now.value_N
            elif wanted.policy:
                again_N[place_N] = self.policy.logprobs(part, self.temperature)
        return {"ref_N": ref_N, "value_N": value_N, "again_N": again_N, "tail_value_B": tail_value_B}

    def flops(self, rollouts: Rollouts, epochs: int, reference: bool) -> float:
        """What an iteration needs: generating, one look by the critic and, where asked, the `reference`, and learning.
        Reward models are not counted."""
        read, new = len(rollouts.tokens.token_S), len(rollouts.tokens.token_N)
        needed = self.policy.flops(new, new) + epochs * self.policy.learning_flops(read, new)
        if reference:
            needed += (self.reference or self.policy).flops(read, new)
        if self.critic is not None:
            needed += self.critic.flops(read) + epochs * self.critic.learning_flops(read)
        return needed

    def update(
        self, batch: Minibatch, algo: Algorithm, auxiliary: AuxiliaryGradients | None = None, train_policy: bool = True
    ) -> Update:
        """Add up the gradients of a minibatch, and those of an `auxiliary` term, and move by them.

        Without `train_policy`, only a critic of its own moves. Micro-batches only add up, for each token carries its
        weight.
        """
        own = batch.select(distributed.share(len(batch)))
        terms, sums = self.micro_batches.run(own.parts, partial(self._gradients, algo, auxiliary), self.clear)
        terms, sums = summed_losses(terms), distributed.summed(sums)
        means = {name: value / len(batch.weight_N) for name, value in sums.items()}
        return Update(terms, self._step(train_policy), means)

    def _gradients(
        self, algo: Algorithm, auxiliary: AuxiliaryGradients | None, micro_batches: Sequence[Minibatch]
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Add up the gradients of some responses of a minibatch. Returns the terms of their loss, and sums over their
        tokens by metric."""
        terms, sums = dict[str, float](), dict[str, float]()
        for part in micro_batches:
            own, measured = losses(self, part, algo)
            _add(terms, _backward(own) | _backward(critic_loss(self, part, algo)))
            _add(sums, measured)
        return terms | (auxiliary() if auxiliary is not None else {}), sums

    def clear(self) -> None:
        """Forget the gradients added up so far."""
        self.policy_optimizer.clear()
        if self.critic_optimizer is not None:
            self.critic_optimizer.clear()

    def _step(self, train_policy: bool) -> dict[str, StepStats]:
        """Move every network by its gradient."""
        steps = {}
        if train_policy:
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

    def parts(self, reference_moves: bool) -> dict[str, Part]:
        """All that it goes on from, by name."""
        parts: dict[str, Part] = {
            "policy": Weights(self.policy),
            "policy_optimizer": self.policy_optimizer,
            "memory": memory_part(self.micro_batches),
            "learners": self,
        }
        if self.reference is not None and reference_moves:
            parts["reference"] = Weights(self.reference, everything=True)
        if self.critic is not None and self.critic_optimizer is not None:
            parts |= {"critic": Weights(self.critic), "critic_optimizer": self.critic_optimizer}
        return parts

    def capture(self) -> State:
        """What it remembers besides weights."""
        return State({}, {"recomputes": self.recomputes, "baseline": asdict(self.baseline)})

    def restore(self, state: State) -> None:
        """Remember it again."""
        self.recomputes, self.baseline = state.facts["recomputes"], RunningMoments(**state.facts["baseline"])


def losses(learners: Learners, batch: Minibatch, algo: Algorithm) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The terms of the policy's loss of a micro-batch, each a weighted sum, and sums over tokens of what is worth
    knowing, by metric. A critic on its trunk is among them."""
    experience = batch.experience
    old_N, advantage_N, lengths_B = experience.old_N, experience.advantage_N, experience.lengths_B
    reference = (learners.reference or learners.policy) if algo.exact_kl and algo.kl_in_loss else None
    now = learners.policy(experience.tokens, learners.temperature, reference)
    loss_N = algo.surrogate(now.logp_N, old_N, advantage_N, lengths_B, algo)
    terms = {"policy": (batch.weight_N * loss_N).sum()}
    if algo.kl_in_loss:
        kl_N = algo.kl(now.logp_N, experience.ref_N) if now.exact_kl_N is None else now.exact_kl_N
        terms["reference"] = algo.kl_in_loss * (batch.weight_N * kl_N).sum()
    if algo.entropy:
        terms["entropy"] = -algo.entropy * (batch.weight_N * now.entropy_N).sum()
    if now.value_N is not None:
        terms |= _critic_term(now.value_N, batch, algo)
    logp_N = now.logp_N.detach()
    clipped = clip_fraction(algo.surrogate, logp_N, old_N, advantage_N, lengths_B, algo)
    sums = {
        "policy/entropy": now.entropy_N.detach().sum().item(),
        "policy/ratio": (logp_N - old_N).exp().sum().item(),
        "policy/approx_kl": k3(old_N, logp_N).sum().item(),
        "policy/clip_fraction": clipped.item() * len(old_N),
    }
    return terms, sums


def critic_loss(learners: Learners, batch: Minibatch, algo: Algorithm) -> dict[str, Tensor]:
    """The term of a critic of its own. Apart from the policy's, so that the activations of one network are alive."""
    if learners.critic is None:
        return {}
    return _critic_term(learners.critic.values(batch.experience.tokens)[0], batch, algo)


def _critic_term(value_N: Tensor, batch: Minibatch, algo: Algorithm) -> dict[str, Tensor]:
    if not algo.critic:
        return {}
    error_N = value_error(value_N, batch.experience.value_N, batch.experience.return_N, algo.value_clip)
    return {"critic": algo.critic * (batch.weight_N * error_N).sum()}


def _backward(terms: Mapping[str, Tensor]) -> dict[str, float]:
    """Add up the gradients of these terms. Returns their values."""
    if terms:
        sum(terms.values(), torch.zeros(())).backward()
    return {name: term.item() for name, term in terms.items()}


def _add(sums: dict[str, float], more: Mapping[str, float]) -> None:
    for name, value in more.items():
        sums[name] = sums.get(name, 0.0) + value
