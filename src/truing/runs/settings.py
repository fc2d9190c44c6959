"""Settings of every command that makes a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from truing.settings import require


@dataclass(frozen=True)
class OutputSettings:
    """The folder that a command writes its run into."""

    out: str
    """The run's folder."""
    seed: int = 0
    """Of everything random: fresh weights, the order, the draws."""
    fresh: bool = False
    """Start over: a run broken off in the same folder is not continued, a finished one is replaced."""

    def __post_init__(self) -> None:
        require(self, ("out", bool(self.out), "a folder's name"))


@dataclass(frozen=True)
class RunSettings(OutputSettings):
    """A run that saves its state on the way, and may send its figures to a tracker."""

    save_state_s: float = 120.0
    """Seconds between two saves of all that is needed to go on to the bit after a break; below 0: when stopped only."""
    allow_inexact: bool = False
    """Go on with a run on another machine, other versions or more or fewer processes: the bits may differ."""
    track: Literal["none", "wandb", "trackio"] = "none"
    """Also send the figures to this service."""
