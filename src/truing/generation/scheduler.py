"""Who generates next, in which band and slot: lists of sequences only, no tensors."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from truing.generation.generator import Generation


@dataclass(kw_only=True)
class InFlight(Generation):
    """A response on its way."""

    limit: int  # most tokens it may have
    uniforms: list[float]  # the random number that draws each of them

    @property
    def length(self) -> int:
        """Tokens of prompt and response so far."""
        return len(self.prompt) + len(self.token_ids)


@dataclass(eq=False)
class Band:
    """Sequences of like length, so that none pays for a longer one: `active[i]` has slot i."""

    slots: int
    room: int  # tokens that a slot is first made for
    active: list[InFlight] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether no slot is free."""
        return len(self.active) == self.slots


class Limits(NamedTuple):
    """Most sequences at a time."""

    sequences: int
    of_a_band: int


class Admitted(NamedTuple):
    """A sequence and the slot that it has from now on."""

    sequence: InFlight
    band: Band
    slot: int


class Move(NamedTuple):
    """A sequence of so many tokens goes from one slot of its band to another, which is free."""

    band: Band
    source: int
    target: int
    length: int


class Scheduler:
    """A slot is free as soon as its sequence ends; what waits takes it at once, in order."""

    def __init__(self, limits: Callable[[int], Limits], prefill_tokens: int) -> None:
        """`limits`: for sequences of up to so many tokens. `prefill_tokens`: most prompt tokens let in together."""
        self.limits, self.prefill_tokens = limits, prefill_tokens
        self.waiting: deque[InFlight] = deque()
        self.bands: list[Band] = []
        self.longest = 1

    @property
    def active(self) -> list[InFlight]:
        """All that have a slot, band after band."""
        return [sequence for band in self.bands for sequence in band.active]

    @property
    def busy(self) -> bool:
        """Whether anything waits or is on its way."""
        return bool(self.waiting or self.bands)

    def add(self, sequence: InFlight) -> None:
        """Let a sequence wait."""
        self.longest = max(self.longest, len(sequence.prompt) + sequence.limit)
        self.waiting.append(sequence)

    def longest_first(self) -> None:
        """Let long prompts in first: neighbours of like length waste the least, and the last ones are short."""
        self.waiting = deque(sorted(self.waiting, key=lambda sequence: -len(sequence.prompt)))

    def admit(self) -> list[Admitted]:
        """Give free slots to what waits, while its distinct prompts, each of which is read once, are not too many."""
        admitted: list[Admitted] = []
        prompts: set[tuple[int, ...]] = set()
        tokens = 0
        while self.waiting and (band := self._with_a_free_slot()) is not None:
            prompt = self.waiting[0].prompt
            if prompt not in prompts:
                if prompts and tokens + len(prompt) > self.prefill_tokens:
                    break
                tokens += len(prompt)
                prompts.add(prompt)
            admitted.append(Admitted(self.waiting.popleft(), band, len(band.active)))
            band.active.append(admitted[-1].sequence)
        return admitted

    def _with_a_free_slot(self) -> Band | None:
        """The band opened last, for where long prompts come first what waits now is short; or a new one."""
        known = next((band for band in reversed(self.bands) if not band.full), None)
        if known is not None:
            return known
        sequences, of_a_band = self.limits(self.longest)
        unused = sequences - sum(band.slots for band in self.bands)
        if unused < 1:
            return None
        room = len(self.waiting[0].prompt) + self.waiting[0].limit  # enough for all where long prompts come first
        self.bands.append(Band(min(unused, of_a_band, len(self.waiting)), room))
        return self.bands[-1]

    def release(self) -> tuple[list[InFlight], list[Move]]:
        """Take out what has ended, and bands in which nothing is left. The last sequence of its band moves into each
        hole, in the order of the moves."""
        ended = [sequence for sequence in self.active if sequence.finish_reason]
        moves: list[Move] = []
        for band in self.bands if ended else ():
            for slot in reversed(range(len(band.active))):
                if band.active[slot].finish_reason:
                    last = band.active.pop()
                    if slot < len(band.active):
                        moves.append(Move(band, len(band.active), slot, last.length - 1))
                        band.active[slot] = last
        self.bands = [band for band in self.bands if band.active]
        return ended, moves
