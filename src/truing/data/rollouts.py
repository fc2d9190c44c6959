"""Responses laid end to end: rollouts, as generation returns them, and experience, which learning reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from torch import Tensor

from truing.data.batches import Sequences
from truing.maths import ragged


@dataclass(frozen=True)
class Rollouts:
    """B sampled responses, N tokens. Fields that end in _N hold a number per token, in _B a number per response."""

    tokens: Sequences
    logp_N: Tensor  # of the distribution sampled from
    kept_N: Tensor  # log of the share of probability that top-k, top-p, min-p kept: zero without them
    value_N: Tensor  # the estimate of the policy's value head before each token: NaN where generation gave none
    truncated_B: Tensor  # bool: cut by the length limit, not ended by the model
    group_B: Tensor  # responses to one prompt share a number

    @property
    def lengths_B(self) -> Tensor:
        return self.tokens.lengths_B

    def __len__(self) -> int:
        return len(self.tokens)

    def named(self) -> dict[str, Tensor]:
        """Every tensor in it by name, those of the tokens too."""
        tokens = {f"tokens.{f.name}": getattr(self.tokens, f.name) for f in fields(Sequences)}
        return {name: tensor for name, tensor in tokens.items() if tensor is not None} | _tensors(self)

    @staticmethod
    def of(named: Mapping[str, Tensor]) -> Rollouts:
        """From such tensors."""
        tokens, others = _divided(named, "tokens.")
        return Rollouts(tokens=Sequences(**tokens), **others)

    def select(self, index_B: Tensor) -> Rollouts:
        """The responses at these places, in this order, with all that belongs to them."""
        chosen = _select(_tensors(self), index_B, self.token_places(index_B))
        return Rollouts(tokens=self.tokens.select(index_B), **chosen)

    def token_places(self, index_B: Tensor) -> Tensor:
        """Where the tokens of these responses lie in the flat vectors, in this order."""
        return ragged.tokens_of(index_B, self.lengths_B)


@dataclass(frozen=True)
class Experience:
    """Rollouts with what was said of them before anything learned from them: scores, estimates and credit."""

    rollouts: Rollouts
    score_B: Tensor
    old_N: Tensor  # log-probs the ratio is taken against
    ref_N: Tensor  # log-probs under the reference: NaN where neither a KL coefficient nor a check needs them
    value_N: Tensor  # the critic's estimate before each token: without a critic, the mean of all scores before
    tail_value_B: Tensor  # the critic's estimate after the last token: zero where it was not asked
    advantage_N: Tensor
    return_N: Tensor

    @property
    def tokens(self) -> Sequences:
        return self.rollouts.tokens

    @property
    def lengths_B(self) -> Tensor:
        return self.rollouts.lengths_B

    @property
    def kl_B(self) -> Tensor:
        """KL from the reference, by each response's log-ratio: estimate k1, summed over its tokens."""
        return ragged.total(self.old_N - self.ref_N, self.lengths_B)

    def __len__(self) -> int:
        return len(self.rollouts)

    def named(self) -> dict[str, Tensor]:
        """Every tensor in it by name, those of the rollouts too."""
        return {f"rollouts.{name}": tensor for name, tensor in self.rollouts.named().items()} | _tensors(self)

    @staticmethod
    def of(named: Mapping[str, Tensor]) -> Experience:
        """From such tensors."""
        rollouts, others = _divided(named, "rollouts.")
        return Experience(rollouts=Rollouts.of(rollouts), **others)

    def select(self, index_B: Tensor) -> Experience:
        """The responses at these places, in this order, with all that belongs to them."""
        chosen = _select(_tensors(self), index_B, self.rollouts.token_places(index_B))
        return Experience(rollouts=self.rollouts.select(index_B), **chosen)


@dataclass(frozen=True)
class Minibatch:
    """The responses of one update, and the weight of each token in the mean over all of them."""

    experience: Experience
    weight_N: Tensor

    def __len__(self) -> int:
        return len(self.experience)

    def select(self, index_B: Tensor) -> Minibatch:
        """The responses at these places; a token weighs what it weighs in the whole."""
        return Minibatch(self.experience.select(index_B), self.weight_N[self.experience.rollouts.token_places(index_B)])

    def parts(self, budget_tokens: int) -> list[Minibatch]:
        """Micro-batches of at most so many tokens, prompts counted in."""
        return [self.select(index_B) for index_B in self.experience.tokens.parts(budget_tokens)]


def _tensors(owner: Rollouts | Experience) -> dict[str, Tensor]:
    """Its own tensors by name."""
    return {f.name: getattr(owner, f.name) for f in fields(owner) if f.name.endswith(("_N", "_B"))}


def _select(named: Mapping[str, Tensor], index_B: Tensor, index_N: Tensor) -> dict[str, Tensor]:
    return {name: tensor[index_N if name.endswith("_N") else index_B] for name, tensor in named.items()}


def _divided(named: Mapping[str, Tensor], prefix: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Those whose names begin so, without it, and the others."""
    inner = {name.removeprefix(prefix): t for name, t in named.items() if name.startswith(prefix)}
    return inner, {name: t for name, t in named.items() if not name.startswith(prefix)}
