"""What a run needs to go on after it was broken off, to the bit: gathered now and then, and put back."""

from __future__ import annotations

import hashlib
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import safetensors
import torch
import transformers
from safetensors import SafetensorError
from torch import Tensor, nn

import truing
from truing.errors import UserError
from truing.models.memory import free_bytes
from truing.models.roles import Role
from truing.runs import checkpoint, distributed
from truing.runs.background import Behind
from truing.runs.checkpoint import State
from truing.runs.run import Run
from truing.runs.settings import RunSettings
from truing.runs.signals import Stopped, Stopping

FORMAT = 1  # of what states hold: one of another format is refused
ROOM = 2.0  # a copy of the state is made where so many times its size is free in memory


class Part(Protocol):
    """Something with state."""

    def capture(self) -> State: ...

    def restore(self, state: State) -> None: ...


@dataclass
class Weights:
    """The weights of a role that move; with `everything`, those too that no gradient moves."""

    role: Role
    everything: bool = False

    def capture(self) -> State:
        return State({name: p.detach() for name, p in self._named()}, {})

    @torch.no_grad()
    def restore(self, state: State) -> None:
        for name, parameter in self._named():
            parameter.copy_(state.tensors[name])
        self.role.follow()

    def _named(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, p) for name, p in self.role.named_parameters() if self.everything or p.requires_grad]


@dataclass
class Draws:
    """A random generator."""

    generator: torch.Generator

    def capture(self) -> State:
        return State({"state": self.generator.get_state()}, {})

    def restore(self, state: State) -> None:
        self.generator.set_state(state.tensors["state"])


@dataclass
class Facts:
    """Plain values, by a function that tells them and one that takes them."""

    told: Callable[[], dict[str, Any]]
    taken: Callable[[dict[str, Any]], None]

    def capture(self) -> State:
        return State({}, self.told())

    def restore(self, state: State) -> None:
        self.taken(state.facts)


class Keeper:
    """Saves the parts of a run when it is due or when told to stop, and puts them back when it goes on.

    `data` is a fingerprint of what is learned from: a run does not go on with other data. What is saved is copied at
    once and written while the training goes on; where memory does not hold the copy, the training waits. Where the disk
    cannot be written, UserError is raised at the next save, or when the keeper is left.
    """

    def __init__(self, run: Run, parts: Mapping[str, Part], data: str) -> None:
        settings = run.settings
        assert isinstance(settings, RunSettings), "a stage that saves its state has the settings for it"
        self.run, self.parts, self.data = run, dict(parts), data
        self.every_s, self.allow_inexact = settings.save_state_s, settings.allow_inexact
        self.stopping, self._behind = Stopping(), Behind()
        self._saved, self._held_s, self._count = time.monotonic(), 0.0, 0

    def __enter__(self) -> Keeper:
        self.stopping.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wait()
        except UserError as lost:
            if error is None:
                raise
            self.run.note(f"the last state could not be written: {lost}")
        finally:
            self._behind.close()
            self.stopping.__exit__(kind, error, trace)

    def resume(self) -> int:
        """Put back the newest state that verifies. Returns the steps done: 0 where there is none."""
        if len(set(distributed.gathered(self.data))) > 1:
            raise UserError(f"{self.run.folder}: the processes read different data: is a file being written?")
        if not self.run.continues:
            return 0
        state, passed_over = checkpoint.newest(self.run.state_home)
        for line in passed_over:
            self.run.say(line)
        if state is None:
            raise UserError(f"{self.run.state_home}: no saved state verifies: start over with --fresh")
        self._refuse_other_format(state.facts)
        self._compare(state.facts)
        for name, part in self.parts.items():
            tensors = {
                key.removeprefix(f"{name}/"): t for key, t in state.tensors.items() if key.startswith(f"{name}/")
            }
            part.restore(State(tensors, state.facts["parts"][name]))
        self.run.rewind(state.facts["run"], int(state.facts["step"]))
        self.run.note(f"goes on after step {state.facts['step']}, from {self.run.state_home}")
        return int(state.facts["step"])

    def passed(self, step: int) -> None:
        """`step` steps are done: save if it is due, or if a signal asked; then raises Stopped, in all processes."""
        asked = distributed.largest(self.stopping.asked)
        if not asked and (self.every_s < 0 or time.monotonic() - self._saved < self.every_s):
            return
        self.save(step)
        if asked:
            self._wait()
            distributed.largest(0)  # who ends first has all ended: what the first process writes must be whole by then
            raise Stopped(
                f"stopped after step {step}; all is saved in {self.run.folder}: the same command goes on", 128 + asked
            )

    def save(self, step: int) -> None:
        """Copy everything, and begin to write it down; first the save before has to end. The first process does it."""
        if not self.run.writes:
            return
        begin = time.monotonic()
        self._behind.wait()
        captured = {name: part.capture() for name, part in self.parts.items()}
        tensors: dict[str, Tensor] = {
            f"{name}/{key}": t for name, s in captured.items() for key, t in s.tensors.items()
        }
        facts = {
            "format": FORMAT,
            "step": step,
            "parts": {name: s.facts for name, s in captured.items()},
            "run": self.run.place(),
            "data": self.data,
            "machine": machine(),
        }
        state = State(tensors, facts)
        fits = ROOM * checkpoint.size(state) < free_bytes()
        state = checkpoint.frozen(state) if fits else state
        self._behind.begin(partial(_write, self.run.state_home, state))
        if not fits:
            self._behind.wait()
        self._saved = time.monotonic()
        self._held_s += self._saved - begin
        self._count += 1

    @property
    def cost(self) -> dict[str, float]:
        """How often state was saved, the seconds that took, and those in which the training waited, for the summary."""
        told = {"states_saved": self._count, "saving_s": round(self._behind.spent_s, 2),
                "saving_held_s": round(self._held_s, 2)}  # fmt: skip
        return told if self._count else {}

    def _wait(self) -> None:
        begin = time.monotonic()
        try:
            self._behind.wait()
        finally:
            self._held_s += time.monotonic() - begin

    def _refuse_other_format(self, facts: Mapping[str, Any]) -> None:
        """States without a format are of the first. A stage's parts may have become others within a format."""
        then = facts.get("format", 1)
        if then != FORMAT or facts["parts"].keys() != self.parts.keys():
            now = truing.__version__
            what = f"with other parts than Truing {now} saves"
            if then != FORMAT:
                what = f"in format {then}, and Truing {now} reads format {FORMAT}"
            raise UserError(
                f"{self.run.state_home}: saved by Truing {facts['machine']['truing']} {what}: finish the run with the "
                "version that began it, or start over with --fresh"
            )

    def _compare(self, facts: Mapping[str, Any]) -> None:
        if facts["data"] != self.data:
            raise UserError(f"{self.run.folder}: the data are not those the run began with: fingerprint "
                            f"{facts['data']} then, {self.data} now; bring the old data back, or start over with "
                            "--fresh")  # fmt: skip
        here = machine()
        other = [f"{name} {then} then, {here.get(name)} now" for name, then in facts["machine"].items()
                 if here.get(name) != then]  # fmt: skip
        if other and not self.allow_inexact:
            raise UserError(f"{self.run.folder}: going on here cannot give the same bits: {'; '.join(other)}; give "
                            "--allow-inexact to go on all the same")  # fmt: skip
        if other:
            self.run.say(f"the run went on elsewhere, so its bits may differ: {'; '.join(other)}")


def _write(home: Path, state: State) -> None:
    try:
        checkpoint.write(home, state)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{home}: the state could not be written: {error}; what was saved before is still there: mend "
                        "the disk, then the same command goes on") from error  # fmt: skip


def machine() -> dict[str, Any]:
    """What the bits of a result depend on, besides the configuration."""
    return {
        "truing": truing.__version__, "torch": torch.__version__, "transformers": transformers.__version__,
        "safetensors": safetensors.__version__, "python": platform.python_version(), "system": sys.platform,
        "processor": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "processes": distributed.count(),
    }  # fmt: skip


def fingerprint(*what: Tensor | Iterable[Any]) -> str:
    """A hash of tensors, or of records or anything whose text tells all of it, in their order."""
    digest = hashlib.sha256()
    for several in what:
        if isinstance(several, Tensor):
            digest.update(several.contiguous().numpy().tobytes())
        for one in () if isinstance(several, Tensor) else several:
            digest.update(repr(one).encode("utf-8", "backslashreplace"))
            digest.update(b"\0")
        digest.update(b"\1")
    return digest.hexdigest()[:16]
