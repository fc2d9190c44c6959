"""The seam of generation: token ids go in, responses come out, each token together with its log-prob."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from truing.generation.sampling import Sampling

TokenPrompt = Sequence[int]
TokenPrompts = Sequence[TokenPrompt]
ProgressCallback = Callable[[int], object]
"""Is called with how many responses have ended."""


def no_progress(ended: int) -> None:
    """Nobody is waiting for it."""


@dataclass(kw_only=True)
class Generation:
    """One response as tokens, with the numbers that belong to each of them. Until it has ended it grows."""

    prompt: tuple[int, ...]
    seed: int
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)  # of the distribution each token was drawn from
    kept: list[float] = field(default_factory=list)  # log of the share that top-k, top-p, min-p kept: 0 without them
    values: list[float] = field(default_factory=list)  # of the policy's value head before each token; none without one
    finish_reason: Literal["stop", "length", ""] = ""  # "": it has not ended


class Generator(Protocol):
    """Whatever generates: a policy in this process, or a server."""

    @property
    def context(self) -> float:
        """Most tokens of a prompt together with its response."""
        ...

    def generate(
        self, prompts: TokenPrompts, sampling: Sampling, seeds: Sequence[int], progress: ProgressCallback = no_progress
    ) -> list[Generation]:
        """One response to each prompt, in their order. It depends on its prompt, its seed, the sampling and the
        weights, not on the others. Raises UserError for a prompt that leaves no room in the context."""
        ...


class StreamingGenerator(Generator, Protocol):
    """A generator that also gives a response while it grows."""

    def stream(self, prompt: TokenPrompt, sampling: Sampling, seed: int) -> Iterator[Generation]:
        """The same response again and again while it grows, until it has ended."""
        ...
