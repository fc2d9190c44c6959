"""A run is a folder: what was asked for, what happened at each step, what came of it."""

from __future__ import annotations

import fcntl
import importlib
import json
import math
import os
import shutil
import sys
import time
import tomllib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import transformers
from tensorboardX import SummaryWriter

import truing
from truing.errors import Busy, UserError
from truing.models.loading import save
from truing.models.roles import Policy, Scorer
from truing.runs import checkpoint, distributed
from truing.runs.settings import OutputSettings, RunSettings
from truing.settings import as_tables, current_name, defaults, flattened, to_toml

# What a run writes beside config.toml, and so what a new run in the same folder replaces. All else there is left alone.
# The summary goes first: a run half cleared away must not pass for a finished one.
FILES = ("summary.json", "metrics.jsonl", "samples.jsonl", "report.html", "responses.jsonl", "decisions.json")
FOLDERS = ("events", "model", "critic", "checkpoints", "state", "quarantine")
ROWS = ("metrics.jsonl", "samples.jsonl")
STATE, LOCK, QUARANTINE, DECISIONS = "state", ".lock", "quarantine", "decisions.json"
HOW = {f.name for f in fields(RunSettings)} - {"seed"}  # settings that do not change what comes out
# Settings that may name a folder, and the words that two of them may hold besides.
SOURCES = {"model", "data", "reward", "reference", "against", "judge", "pretrain_data"}
WORDS = {"exact", "person"}
MOST_WARNINGS = 20


def replace_text(path: Path, text: str) -> None:
    """Write a whole file, or leave the one that is there: never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def to_json(value: Any, indent: int | None = None) -> str:
    """Strict JSON: numbers that are not finite become null, which every reader understands."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, indent=indent)


@dataclass(frozen=True)
class Result:
    """What came of a stage: the folder of its run, and what its summary.json holds."""

    folder: Path
    summary: dict[str, Any]


class Run:
    """The folder of one run, open for writing. Leaving the `with` block closes it; only `finish` makes it finished."""

    def __init__(
        self, settings: OutputSettings, config: Any, stage: str, continues: bool = False, writes: bool = True
    ) -> None:
        """Without `writes` it only knows whether it goes on: another process of the same training writes."""
        folder = Path(settings.out)
        self.settings, self.config, self.stage = settings, config, stage
        self.warnings, self.continues, self.writes, self._folder = list[str](), continues, writes, folder
        self._tracker: Any = _tracker(settings.track) if writes and isinstance(settings, RunSettings) else None
        self._tracking = False
        self._begun, self._start, self._lock = False, time.perf_counter(), _locked(folder) if writes else None
        self._rows: dict[str, TextIO] = {}
        self._decisions: dict[str, str] = {}
        self._events: SummaryWriter | None = None
        self._purge: int | None = None  # events from this step on are made again
        # The folder is made, or an earlier run in it replaced, at the first thing written and not now: bad input, found
        # meanwhile, leaves no empty run behind and costs no earlier one.

    @classmethod
    def open(cls, settings: OutputSettings, config: Any, stage: str) -> Run:
        """Start a run in its folder, or go on with one that was broken off there and has saved its state.

        With `fresh` it starts over whatever is there. Raises UserError where a finished run, one with other settings,
        or something else is in the folder, and Busy where another process works in it. Of several processes that learn
        together the first opens it, and tells the others.
        """
        opened: list[Run] = []

        def by_first() -> bool:
            opened.append(cls._open(settings, config, stage))
            return opened[0].continues

        continues = distributed.by_first(by_first)
        return opened[0] if opened else cls(settings, config, stage, continues, writes=False)

    @classmethod
    def _open(cls, settings: OutputSettings, config: Any, stage: str) -> Run:
        # The first look is without the lock, which is a file: in a folder that is no run nothing is written.
        run = cls(settings, config, stage, _goes_on(settings, config, stage))
        if run._lock is not None:
            run._look_again(run._lock)
        return run

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._rows.values():
            file.close()
        if self._events is not None:
            self._events.close()
        if self._tracking:
            self._tracker.finish()
        if self._lock is not None:
            self._lock.close()

    @property
    def state_home(self) -> Path:
        """The folder of saved states."""
        return self.folder / STATE

    def place(self) -> dict[str, Any]:
        """How far the rows are, to be saved: a run that goes on cuts off what was written after."""
        return {"time_s": time.perf_counter() - self._start, "warnings": list(self.warnings),
                "bytes": {name: (self._folder / name).stat().st_size for name in ROWS
                          if (self._folder / name).exists()}}  # fmt: skip

    def rewind(self, place: dict[str, Any], step: int) -> None:
        """Go back to a saved place, after this step."""
        self._purge = step + 1
        self._start = time.perf_counter() - place["time_s"]
        self.warnings = [*place["warnings"], *(line for line in self.warnings if line not in place["warnings"])]
        for name in ROWS if self.writes else ():
            if (self._folder / name).exists():
                os.truncate(self._folder / name, place["bytes"].get(name, 0))

    @property
    def folder(self) -> Path:
        """Where to write what is not a figure, such as the model."""
        self._begin()
        return self._folder

    def log(self, step: int, **figures: float) -> None:
        """The figures of one step: a row of metrics.jsonl, TensorBoard events, and the tracker if there is one."""
        if not self.writes:
            return
        numbers = {name: _plain(value) for name, value in figures.items()}
        self._append("metrics.jsonl", {"step": step, "time_s": round(time.perf_counter() - self._start, 3), **numbers})
        self._events = self._events or SummaryWriter(str(self.folder / "events"), purge_step=self._purge)
        finite = {name: value for name, value in numbers.items() if value is not None}
        for name, value in finite.items():
            self._events.add_scalar(name, value, step)
        self._events.flush()
        if self._tracking:
            self._tracker.log(finite, step=step)

    def sample(self, step: int, phase: str, **fields: Any) -> None:
        """One response to show: `phase` is "before" or "after" the stage, or "" on the way."""
        if self.writes:
            self._append("samples.jsonl", {"step": step, "phase": phase, **fields})

    def quarantine(self, step: int, **batch: Any) -> None:
        """Keep a batch that moved nothing, to look at: one line in quarantine/, and a word to the person."""
        path = self.folder / QUARANTINE / "batches.jsonl"
        if self.writes:
            path.parent.mkdir(exist_ok=True)
            with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(to_json({"step": step, **batch}) + "\n")
        self.say(f"step {step}: loss or gradient is not finite or leaps: nothing moved, the batch is kept in {path}")

    def decided(self, name: str, choose: Callable[[], str]) -> str:
        """What was chosen by measuring when the run began: one that goes on must not choose anew."""
        return distributed.by_first(partial(self._decided, name, choose))

    def _decided(self, name: str, choose: Callable[[], str]) -> str:
        kept = self._folder / DECISIONS
        if self.continues and not self._decisions and kept.is_file():
            try:
                self._decisions = json.loads(kept.read_text(encoding="utf-8"))
            except ValueError as error:
                raise UserError(f"{kept}: broken JSON: {error}; start over with --fresh") from None
        if name not in self._decisions:
            self._decisions[name] = choose()
            if self._begun:
                self._write_decisions()
        return self._decisions[name]

    def say(self, line: str) -> None:
        """Tell the person what must not pass in silence, now and in the report; the same thing once."""
        if line not in self.warnings:
            self.warnings.append(line)
            if distributed.is_first_with(line):
                print(line, file=sys.stderr, flush=True)

    def note(self, line: str) -> None:
        """Tell the person something that is no cause for concern."""
        if self.writes:
            print(line, file=sys.stderr, flush=True)

    def save(self, role: Policy | Scorer, tokenizer: transformers.PreTrainedTokenizerBase, name: str) -> None:
        """Write a model into this folder of the run."""
        if self.writes:
            save(role, tokenizer, self.folder / name)

    def finish(self, summary: dict[str, Any]) -> Result:
        """Write the final figures. From now on the run is finished."""
        for lines in distributed.gathered(self.warnings):
            self.warnings += [line for line in lines if line not in self.warnings]
        summary = {**summary, "time_s": round(time.perf_counter() - self._start, 1)}
        warnings = [*summary.pop("warnings", []), *self.warnings]
        if len(warnings) > MOST_WARNINGS:
            warnings[MOST_WARNINGS:] = [f"and {len(warnings) - MOST_WARNINGS} more"]
        if warnings:
            summary["warnings"] = warnings
        if self.writes:
            replace_text(self.folder / "summary.json", to_json(summary, indent=2) + "\n")
            shutil.rmtree(self.state_home, ignore_errors=True)  # nothing is left to go on with
        return Result(self._folder, _plain(summary))

    def _look_again(self, lock: TextIO) -> None:
        """Whether all is as it was before the lock was had. Gives it back and raises UserError where it is not."""
        with suppress(UserError):
            if _goes_on(self.settings, self.config, self.stage) == self.continues:
                return
        lock.close()
        raise UserError(
            f"out {self._folder}: another run worked here in the meantime and is left as it is: name another "
            "folder, or give the command again"
        )

    def _begin(self) -> None:
        if self._begun or not self.writes:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if self._lock is None and (lock := _locked(self._folder)) is not None:
                self._look_again(lock)
                self._lock = lock
            self._begun = True  # from here on, and not after a refusal: what is there is another's
            for name in () if self.continues else FILES:
                (self._folder / name).unlink(missing_ok=True)
            for name in () if self.continues else FOLDERS:
                shutil.rmtree(self._folder / name, ignore_errors=True)
            head = f'# truing {truing.__version__}\nstage = "{self.stage}"\n'
            replace_text(self._folder / "config.toml", head + to_toml(self.config))
            self._write_decisions()
        except OSError as error:
            raise UserError(f"out {self._folder}: cannot be written: {error.strerror}") from None
        if self._tracker is not None:
            self._tracker.init(project="truing", name=self._folder.name, config=_plain(as_tables(self.config)))
            self._tracking = True

    def _write_decisions(self) -> None:
        if self._decisions:
            replace_text(self._folder / DECISIONS, to_json(self._decisions, indent=2) + "\n")

    def _append(self, name: str, row: dict[str, Any]) -> None:
        if name not in self._rows:
            self._rows[name] = (self.folder / name).open("a", encoding="utf-8", errors="backslashreplace")
        self._rows[name].write(to_json(row) + "\n")
        self._rows[name].flush()


def _goes_on(settings: OutputSettings, config: Any, stage: str) -> bool:
    """Whether a run goes on with one broken off in its folder; raises UserError where it may not begin."""
    folder, fresh = Path(settings.out), settings.fresh
    if folder.exists() and not folder.is_dir():
        raise UserError(f"out {folder}: this is a file; name a folder")
    _refuse_source(folder, config)
    is_run = (folder / "config.toml").is_file()
    if folder.is_dir() and any(inside.name != LOCK for inside in folder.iterdir()) and not is_run:
        raise UserError(f"out {folder}: the folder holds other things and is no run; name a new or empty folder")
    if (folder / "summary.json").is_file() and not fresh:
        raise UserError(f"out {folder}: a finished run is here; name another folder, or give --fresh")
    continues = bool(checkpoint.saved(folder / STATE)) and not fresh
    if continues:
        _refuse_other_settings(folder, config, stage)
    elif (folder / "checkpoints").is_dir() and not fresh:
        raise UserError(f"out {folder}: a run broken off here left checkpoints; name another folder, or give --fresh")
    return continues


def _refuse_source(folder: Path, config: Any) -> None:
    """A run replaces what is in its folder, and so must not begin from there."""
    values = flattened(config)
    for name in SOURCES & values.keys():
        named = (values[name],) if isinstance(values[name], str) else values[name]
        for source in {*named} - WORDS - {""}:
            if folder.resolve() in (Path(source).resolve(), *Path(source).resolve().parents) and Path(source).exists():
                raise UserError(f"out {folder}: {name} {source} is there, and would be replaced; name another folder")


def _locked(folder: Path) -> TextIO | None:
    """A run's folder has one process at a time. Raises Busy where another has it; None while there is no folder."""
    if not folder.is_dir():
        return None
    try:
        lock = (folder / LOCK).open("a")
    except OSError as error:
        raise UserError(f"out {folder}: cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise Busy(f"out {folder}: another process works in this folder; wait for it, or name another") from None
    return lock


def is_finished(out: str | Path, config: Any) -> bool:
    """Whether a finished run is there. Raises UserError where it had other settings."""
    done = (Path(out) / "summary.json").is_file()
    if done:
        _refuse_other_settings(Path(out), config)
    return done


def _refuse_other_settings(folder: Path, config: Any, stage: str = "") -> None:
    """A run goes on with the settings it began with."""
    path = folder / "config.toml"
    try:
        before = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}): start over with --fresh") from None
    if before.pop("stage", stage) != stage and stage:
        raise UserError(
            f"out {folder}: a run of another stage was broken off here; name another folder, or give --fresh"
        )
    usual, now = defaults(type(config)), tomllib.loads(to_toml(config))
    before = {current_name(name, usual): value for name, value in before.items()}
    # A setting that the other version of Truing did not know is as it was: at its default.
    before, after = (_filled(values, usual) for values in (before, now))
    other = [name for name in sorted({*before, *after} - HOW) if before.get(name) != after.get(name)]
    if other:
        told = "; ".join(f"{name} was {before.get(name)!r} and is {after.get(name)!r}"[:200] for name in other)
        raise UserError(f"out {folder}: the run here had other settings: {told}; name another folder, or "
                        "give --fresh to start over")  # fmt: skip


def _filled(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The settings of a TOML file, and the defaults of those that it does not name, at any depth."""
    filled = dict(values)
    for name, default in defaults.items():
        if is_dataclass(default):
            filled[name] = _filled(values.get(name, {}), vars(default))
        elif default is not None:
            filled.setdefault(name, list(default) if isinstance(default, tuple) else default)
    return filled


def _tracker(name: str) -> Any:
    """The module that takes figures elsewhere: wandb and trackio have the same `init`, `log` and `finish`."""
    if name == "none":
        return None
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f'track = "{name}": {name} is not installed; pip install truing[track]') from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
