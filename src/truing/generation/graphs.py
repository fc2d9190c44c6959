"""Decoding steps as CUDA graphs: an accelerator need not wait for each of many small operations to be launched."""

from __future__ import annotations

from collections.abc import Callable

import torch
import transformers
from torch import Tensor

from truing.generation.cache import Decode, SlotCache, rounded
from truing.models.roles import trunk

ROWS, ROOM = 32, 64  # steps whose sequences and tokens share a multiple of these share a graph
OCTAVE = 8  # sizes at most from one number of sequences to twice as many: where there are thousands, steps are larger


class Graphs:
    """The decoding steps of one cache. The first of a size runs as it is, the second is captured, others replay it."""

    def __init__(self, lm: transformers.PreTrainedModel, cache: SlotCache) -> None:
        self.lm, self.cache, self.capacity = lm, cache, cache.capacity
        self.steps: dict[tuple[int, int], _Step] = {}
        self.captured: list[torch.cuda.CUDAGraph] = []

    def __call__(self, token_n: Tensor, length_n: Tensor) -> Tensor:
        """Last hidden states of a new token for each of the first slots, [n, D]; they hold until the next call.

        `length_n`: what each slot holds already; both stand on the host. Slots behind those, up to the next size, read
        a token 0 at place 0: they are free, and a prompt that takes one writes over it.
        """
        grain = max(ROWS, 2 ** (len(token_n).bit_length() - 1) // OCTAVE)
        rows, room = min(rounded(len(token_n), grain), self.cache.slots), rounded(int(length_n.max()) + 1, ROOM)
        self.cache.fit(room)
        if self.cache.capacity != self.capacity:  # then there is other storage, and graphs know it by its address
            self.steps, self.captured, self.capacity = {}, [], self.cache.capacity
        if (rows, room) not in self.steps:
            device = next(self.lm.parameters()).device
            self.steps[rows, room] = _Step(self._reading(room), rows, device, self.captured)
        return self.steps[rows, room](token_n, length_n)[: len(token_n)]

    def _reading(self, room: int) -> Callable[[Tensor, Tensor], Tensor]:
        def read(token_n: Tensor, length_n: Tensor) -> Tensor:
            return trunk(self.lm, token_n, Decode([(self.cache, len(length_n))], length_n, room))

        return read


class _Step:
    """A step of fixed sizes, given its numbers at a fixed place."""

    def __init__(
        self,
        read: Callable[[Tensor, Tensor], Tensor],
        rows: int,
        device: torch.device,
        others: list[torch.cuda.CUDAGraph],
    ) -> None:
        self.read, self.given_2n = read, torch.zeros(2, rows, dtype=torch.long, device=device)
        self.others = others
        self.ran = False  # what is captured has to have run once: libraries set themselves up in a first call
        self.replay: Callable[[], None] | None = None

    def __call__(self, token_n: Tensor, length_n: Tensor) -> Tensor:
        self.given_2n.zero_()
        self.given_2n[:, : len(token_n)] = torch.stack([token_n, length_n]).to(self.given_2n.device)
        if not self.ran:
            self.ran = True
            return self.read(*self.given_2n)
        if self.replay is None:
            self.replay, self.hidden_nD = captured(lambda: self.read(*self.given_2n), self.others)
        self.replay()
        return self.hidden_nD


def captured(work: Callable[[], Tensor], others: list[torch.cuda.CUDAGraph]) -> tuple[Callable[[], None], Tensor]:
    """A function that launches all of `work` again at once, and the tensor in which its result will stand.

    It joins the `others`: one is done before the next begins, so that all of them work in the same memory.
    """
    graph = torch.cuda.CUDAGraph()
    pool = others[0].pool() if others else None
    with torch.cuda.graph(graph, pool, capture_error_mode="thread_local"):  # other threads may sample meanwhile
        result = work()
    others.append(graph)
    return graph.replay, result
