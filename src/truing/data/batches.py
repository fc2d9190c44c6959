"""Token sequences laid end to end, cut into batches by token budget, in an order that can be found again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from truing.data.seeds import derived
from truing.maths import ragged

SHARED_FROM = 8  # tokens of a prompt; to read a shorter one again costs less than to share it


@dataclass(frozen=True)
class Sequences:
    """B prompts and their responses, tokens laid end to end: M prompt tokens and N response tokens.

    S tokens are read: M + N, less those of a prompt that is read once for several responses.
    """

    prompt_M: Tensor
    prompt_lengths_B: Tensor
    token_N: Tensor
    lengths_B: Tensor
    learned_N: Tensor | None = None  # bool: whether a response token is learned by fine-tuning; None: all are

    @staticmethod
    def of(
        prompts: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        learned: Sequence[Sequence[bool]] | None = None,
    ) -> Sequences:
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
            None if learned is None else torch.tensor([is_one for row in learned for is_one in row]),
        )

    def __len__(self) -> int:
        return len(self.lengths_B)

    @cached_property
    def total_B(self) -> Tensor:
        """Tokens of prompt and response together, [B]."""
        return self.prompt_lengths_B + self.lengths_B

    @cached_property
    def sharing(self) -> list[list[int]]:
        """Sequences that share a prompt, each alone that does not, in the order they are read."""
        members: dict[object, list[int]] = {}
        for i, ids in enumerate(self.prompt_M.split(self.prompt_lengths_B.tolist())):
            members.setdefault(ids.numpy().tobytes() if len(ids) >= SHARED_FROM else i, []).append(i)
        return list(members.values())

    @cached_property
    def pieces(self) -> tuple[list[int], dict[int, int]]:
        """Lengths of the runs of tokens that are read, and which runs continue which: whole sequences, or a prompt
        and then each of its responses."""
        lengths, after = list[int](), dict[int, int]()
        for members in self.sharing:
            if len(members) > 1:
                prompt = len(lengths)
                lengths.append(int(self.prompt_lengths_B[members[0]]))
                after |= {prompt + 1 + k: prompt for k in range(len(members))}
            lengths += (self.total_B if len(members) == 1 else self.lengths_B)[members].tolist()
        return lengths, after

    @cached_property
    def places_B(self) -> tuple[Tensor, Tensor]:
        """Where each prompt and each response begins among the S tokens, [B] and [B]."""
        prompt_B, response_B = torch.empty_like(self.lengths_B), torch.empty_like(self.lengths_B)
        at = 0
        for members in self.sharing:
            length_b = self.lengths_B[members]
            prompt_B[members] = at
            response_B[members] = at + self.prompt_lengths_B[members] + ragged.starts(length_b)
            at += int(self.prompt_lengths_B[members[0]] + length_b.sum())
        return prompt_B, response_B

    @cached_property
    def response_place_N(self) -> Tensor:
        """Where each response token stands among the S tokens, [N]."""
        return self.places_B[1].repeat_interleave(self.lengths_B) + ragged.position(self.lengths_B)

    @cached_property
    def before_place_N(self) -> Tensor:
        """Where the token before each response token stands among the S tokens, [N]: it speaks of the next one."""
        before_N = self.response_place_N - 1
        return before_N.index_copy(0, ragged.starts(self.lengths_B), self.places_B[0] + self.prompt_lengths_B - 1)

    @cached_property
    def token_S(self) -> Tensor:
        """All tokens in the order they are read, [S]."""
        token_S = torch.empty(sum(self.pieces[0]), dtype=torch.long)
        prompt_place_M = ragged.spread(self.places_B[0], self.prompt_lengths_B) + ragged.position(self.prompt_lengths_B)
        token_S[prompt_place_M] = self.prompt_M
        token_S[self.response_place_N] = self.token_N
        return token_S

    @cached_property
    def last_place_B(self) -> Tensor:
        """Where the last token of each sequence stands among the S tokens, [B]."""
        return self.places_B[1] + self.lengths_B - 1

    def responses(self) -> list[list[int]]:
        """The token ids of each response."""
        return [ids.tolist() for ids in self.token_N.split(self.lengths_B.tolist())]

    def select(self, index_B: Tensor) -> Sequences:
        """The sequences at these places, in this order."""
        place_N = ragged.tokens_of(index_B, self.lengths_B)
        return Sequences(
            self.prompt_M[ragged.tokens_of(index_B, self.prompt_lengths_B)],
            self.prompt_lengths_B[index_B],
            self.token_N[place_N],
            self.lengths_B[index_B],
            None if self.learned_N is None else self.learned_N[place_N],
        )

    def parts(self, budget_tokens: int) -> list[Tensor]:
        """Micro-batches: indices into B, each at most so many tokens (never less than one sequence).

        Responses to one prompt stay together as far as they fit.
        """
        together: list[list[int]] = []
        read: list[int] = []
        for members in self.sharing:
            room = -1
            for i in members:
                length = int(self.lengths_B[i])
                if length > room:
                    prompt = int(self.prompt_lengths_B[i])
                    together.append([])
                    read.append(prompt)
                    room = budget_tokens - prompt
                together[-1].append(i)
                read[-1] += length
                room -= length
        return [torch.tensor([i for k in some.tolist() for i in together[k]])
                for some in within_budget(read, budget_tokens)]  # fmt: skip


def within_budget(lengths: Sequence[int], budget: int) -> list[Tensor]:
    """Indices grouped so that each group's lengths add up to the budget at most. Longest first."""
    groups: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        place = next((g for g, free in enumerate(room) if free >= lengths[index]), None)
        if place is None:
            groups.append([])
            room.append(budget)
            place = len(groups) - 1
        groups[place].append(index)
        room[place] -= lengths[index]
    return [torch.tensor(group) for group in groups]


def shuffled(count: int, seed: int, epoch: int) -> list[int]:
    """The order of `count` items in one epoch, from seed and epoch alone: any place can be found again."""
    generator = torch.Generator().manual_seed(derived(seed, epoch))
    return torch.randperm(count, generator=generator).tolist()


def minibatches(count: int, size: int, rows: int, seed: int, first: int = 0) -> Iterator[list[int]]:
    """Indices of the minibatches from number `first` on, in which `rows` items are read in all.

    Pass after pass in shuffled order, every item once in each. All minibatches have `size` items but the last of all,
    which has what is left; one may hold the end of a pass and the beginning of the next.
    """
    if count < 1:
        raise ValueError("minibatches needs one item at least")
    orders: dict[int, list[int]] = {}
    for start in range(first * size, rows, size):
        chosen = []
        for place in range(start, min(start + size, rows)):
            epoch = place // count
            if epoch not in orders:
                orders = {e: order for e, order in orders.items() if e >= epoch - 1}
                orders[epoch] = shuffled(count, seed, epoch)
            chosen.append(orders[epoch][place % count])
        yield chosen


def rows_in(epochs: float, count: int) -> int:
    """How many of `count` rows are read in so many passes, which may end in the middle of one; one row at least."""
    return max(1, round(epochs * count))
