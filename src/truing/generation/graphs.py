"""Decoding steps as CUDA graphs: an accelerator need not wait for each of many small operations to be launched."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
import transformers
from torch import Tensor

from truing.generation.cache import Decode, SlotCache, rounded
from truing.models.forward import trunk

ROWS, ROOM = 32, 64  # steps whose sequences and tokens share a multiple of these share a graph
OCTAVE = 8  # sizes at most from one number of sequences to twice as many: where there are thousands, steps are larger

CAPTURING = threading.Lock()


class Graphs:
    """The decoding steps of one cache. The first of a size runs as it is, the second is captured, others replay it."""

    def __init__(self, lm: transformers.PreTrainedModel, cache: SlotCache) -> None:
        self.lm, self.cache, self.capacity = lm, cache, cache.capacity
        self.steps: dict[tuple[int, int], _Step] = {}
        self.graphs: list[torch.cuda.CUDAGraph] = []

    def __call__(self, token_n: Tensor, length_n: Tensor) -> Tensor:
        """Last hidden states of a new token for each of the first slots, [n, D]; they hold until the next call.

        `length_n`: what each slot holds already; both stand on the host. Slots behind those, up to the next size, read
        a token 0 at place 0: they are free, and a prompt that takes one writes over it.
        """
        grain = max(ROWS, 2 ** (len(token_n).bit_length() - 1) // OCTAVE)
        rows, longest = min(rounded(len(token_n), grain), self.cache.slots), int(length_n.max()) + 1
        self.cache.fit(longest)
        room = min(rounded(longest, ROOM), self.cache.capacity)
        if self.cache.capacity != self.capacity:  # then there is other storage, and graphs know it by its address
            self.steps, self.graphs, self.capacity = {}, [], self.cache.capacity
        if (rows, room) not in self.steps:
            device = next(self.lm.parameters()).device
            self.steps[rows, room] = _Step(_reading(self.lm, self.cache, room), rows, device, self.graphs)
        return self.steps[rows, room](token_n, length_n)[: len(token_n)]


def _reading(lm: transformers.PreTrainedModel, cache: SlotCache, room: int) -> Callable[[Tensor, Tensor], Tensor]:
    """What a step does. It knows nothing of the graphs, which know it: storage is free as soon as they are."""
    return lambda token_n, length_n: trunk(lm, token_n, Decode([(cache, len(length_n))], length_n, room))


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

    Where it works is the memory in which the `others` do: none of them is replayed before this one's result was used.
    """
    graph = torch.cuda.CUDAGraph()
    pool = others[0].pool() if others else None
    # Other threads may sample meanwhile, but torch captures one graph at a time.
    with CAPTURING, torch.cuda.graph(graph, pool, capture_error_mode="thread_local"):
        result = work()
    others.append(graph)
    return graph.replay, result


def asks_the_device(config: transformers.PreTrainedConfig) -> bool:
    """Whether a step of this model waits for a number of the device, which nothing that is captured can do."""
    rope = config.to_dict().get("rope_parameters") or {}
    kinds = [rope, *(kind for kind in rope.values() if isinstance(kind, dict))]  # one for all layers, or by their kind
    return any(kind.get("rope_type") == "dynamic" for kind in kinds)
