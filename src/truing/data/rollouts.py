"""Responses with what learning needs, laid end to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from truing.data.batches import Sequences
from truing.maths import ragged


@dataclass(frozen=True)
class Rollouts:
    """B sampled responses, N tokens. Fields that end in _N hold a number per token, in _B a number per response."""

    tokens: Sequences
    logp_N: Tensor  # of the distribution sampled from
    kept_N: Tensor  # log of the share of probability that top-k, top-p, min-p kept: zero without them
    truncated_B: Tensor  # bool: cut by the length limit, not ended by the model
    group_B: Tensor  # responses to one prompt share a number
    value_N: Tensor | None = None  # the critic's estimate before each token
    tail_value_B: Tensor | None = None  # its estimate after the last token
    ref_N: Tensor | None = None  # log-probs under the reference
    old_N: Tensor | None = None  # log-probs the ratio is taken against
    advantage_N: Tensor | None = None
    return_N: Tensor | None = None
    score_share_N: Tensor | None = None  # the part of the advantage that scores alone give, drift left out
    weight_N: Tensor | None = None  # of each token in the mean of its minibatch

    @property
    def lengths_B(self) -> Tensor:
        return self.tokens.lengths_B

    def __len__(self) -> int:
        return len(self.tokens)

    def named(self) -> dict[str, Tensor]:
        """Every tensor in it by name, those of the tokens too."""
        tensors = {f"tokens.{f.name}": getattr(self.tokens, f.name) for f in fields(Sequences)}
        tensors |= {f.name: getattr(self, f.name) for f in fields(self) if f.name != "tokens"}
        return {name: tensor for name, tensor in tensors.items() if tensor is not None}

    @staticmethod
    def of(named: Mapping[str, Tensor]) -> Rollouts:
        """From such tensors."""
        tokens = {name.removeprefix("tokens."): t for name, t in named.items() if name.startswith("tokens.")}
        others = {name: t for name, t in named.items() if not name.startswith("tokens.")}
        return Rollouts(tokens=Sequences(**tokens), **others)  # type: ignore[arg-type]

    def select(self, index_B: Tensor) -> Rollouts:
        """The responses at these places, in this order, with all that belongs to them."""
        token_index_N = self.token_places(index_B)
        chosen = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_N") and value is not None:
                chosen[field.name] = value[token_index_N]
            elif field.name.endswith("_B") and value is not None:
                chosen[field.name] = value[index_B]
        return replace(self, tokens=self.tokens.select(index_B), **chosen)

    def token_places(self, index_B: Tensor) -> Tensor:
        """Where the tokens of these responses lie in the flat vectors, in this order."""
        return ragged.tokens_of(index_B, self.lengths_B)

    def split(self, count: int) -> list[Rollouts]:
        """Minibatches: `count` runs of neighbouring responses, sizes differing by one at most."""
        return [self.select(index_B) for index_B in torch.arange(len(self)).tensor_split(count) if len(index_B)]

    def parts(self, budget_tokens: int) -> list[Rollouts]:
        """Micro-batches of at most so many tokens, prompts counted in."""
        return [self.select(index_B) for index_B in self.tokens.parts(budget_tokens)]
