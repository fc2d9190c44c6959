"""Token sequences laid end to end, cut into batches by token budget, in an order that can be found again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from truing.maths import ragged


@dataclass(frozen=True)
class Sequences:
    """B prompts and their responses, tokens laid end to end: M prompt tokens, N response tokens, S = M + N in all."""

    prompt_M: Tensor
    prompt_lengths_B: Tensor
    token_N: Tensor
    lengths_B: Tensor

    @staticmethod
    def of(prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]) -> Sequences:
        """From lists of token ids. Every prompt and every response needs one token at least."""
        for name, rows in (("prompt", prompts), ("response", responses)):
            for row, ids in enumerate(rows):
                if not ids:
                    raise ValueError(f"{name} {row} has no tokens: a sequence needs one at least")
        return Sequences(
            torch.tensor([i for ids in prompts for i in ids], dtype=torch.long),
            torch.tensor([len(ids) for ids in prompts], dtype=torch.long),
            torch.tensor([i for ids in responses for i in ids], dtype=torch.long),
            torch.tensor([len(ids) for ids in responses], dtype=torch.long),
        )

    def __len__(self) -> int:
        return len(self.lengths_B)

    @cached_property
    def total_B(self) -> Tensor:
        """Tokens of prompt and response together, [B]."""
        return self.prompt_lengths_B + self.lengths_B

    @cached_property
    def response_place_N(self) -> Tensor:
        """Where each response token stands among the S tokens, [N]."""
        start_B = ragged.starts(self.total_B) + self.prompt_lengths_B - ragged.starts(self.lengths_B)
        return torch.arange(len(self.token_N)) + ragged.spread(start_B, self.lengths_B)

    @cached_property
    def token_S(self) -> Tensor:
        """All tokens in the order they are read, [S]."""
        token_S = torch.empty(len(self.prompt_M) + len(self.token_N), dtype=torch.long)
        start_B = ragged.starts(self.total_B) - ragged.starts(self.prompt_lengths_B)
        token_S[torch.arange(len(self.prompt_M)) + ragged.spread(start_B, self.prompt_lengths_B)] = self.prompt_M
        token_S[self.response_place_N] = self.token_N
        return token_S

    @cached_property
    def last_place_B(self) -> Tensor:
        """Where the last token of each sequence stands among the S tokens, [B]."""
        return ragged.starts(self.total_B) + self.total_B - 1

    def responses(self) -> list[list[int]]:
        """The token ids of each response."""
        return [ids.tolist() for ids in self.token_N.split(self.lengths_B.tolist())]

    def select(self, index_B: Tensor) -> Sequences:
        """The sequences at these places, in this order."""
        return Sequences(
            self.prompt_M[ragged.tokens_of(index_B, self.prompt_lengths_B)],
            self.prompt_lengths_B[index_B],
            self.token_N[ragged.tokens_of(index_B, self.lengths_B)],
            self.lengths_B[index_B],
        )

    def parts(self, budget_tokens: int) -> list[Tensor]:
        """Micro-batches: indices into B, each at most `budget_tokens` tokens (never less than one sequence)."""
        return within_budget(self.total_B.tolist(), budget_tokens)


def within_budget(lengths: Sequence[int], budget_tokens: int) -> list[Tensor]:
    """Indices grouped so that each group's lengths add up to the budget at most. Longest first."""
    groups: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        place = next((g for g, free in enumerate(room) if free >= lengths[index]), None)
        if place is None:
            groups.append([])
            room.append(budget_tokens)
            place = len(groups) - 1
        groups[place].append(index)
        room[place] -= lengths[index]
    return [torch.tensor(group) for group in groups]


def shuffled(count: int, seed: int, epoch: int) -> list[int]:
    """The order of `count` items in one epoch, from seed and epoch alone: any place can be found again."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(count, generator=generator).tolist()


def minibatches(count: int, size: int, steps: int, seed: int, first: int = 0) -> Iterator[list[int]]:
    """Indices of minibatches `first` … `steps` - 1: whole epochs in shuffled order, none dropped."""
    if count < 1:
        raise ValueError("minibatches needs one item at least")
    orders: dict[int, list[int]] = {}
    for step in range(first, steps):
        chosen = []
        for place in range(step * size, (step + 1) * size):
            epoch = place // count
            if epoch not in orders:
                orders = {e: order for e, order in orders.items() if e >= epoch - 1}
                orders[epoch] = shuffled(count, seed, epoch)
            chosen.append(orders[epoch][place % count])
        yield chosen
