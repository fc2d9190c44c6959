"""What a machine, a run or a store is like, and what to do where something is wrong with it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from truing.errors import UserError

Verdict = Literal["ok", "note", "wrong"]
LEAST_FREE_MIB = 1024
# Below this, two connections that write while one restarts the log can, very rarely, lose what was committed.
SQLITE_MENDED = (3, 51, 3)


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what it is, how it stands, and what to do if it is not well."""

    what: str
    verdict: Verdict
    told: str
    remedy: str = ""


@dataclass(frozen=True)
class Config:
    """What to look at, besides the machine."""

    paths: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUN or STORE ...]")] = ()
    """Runs' folders, and stores."""


def check(config: Config) -> None:
    """Look at all, and print what was found; exit code 1 where something is wrong."""
    if not show(examine(list(config.paths))):
        raise SystemExit(1)


def examine(paths: list[str]) -> list[Finding]:
    """The machine, the present folder, and each run's folder or store that is named."""
    found = [finding for look in (versions, sqlite, space, computing) for finding in look()]
    for path in paths:
        found += examine_path(path)
    return found


def versions() -> Iterator[Finding]:
    """Python and the libraries that results depend on."""
    import importlib.metadata as metadata

    import truing

    told = [f"truing {truing.__version__}", f"python {platform.python_version()}"]
    told += [
        f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "peft", "safetensors", "sqlalchemy")
    ]
    yield Finding("versions", "ok", ", ".join(told))


def sqlite() -> Iterator[Finding]:
    """Whether SQLite has the bug by which a restart of its log could lose a commit."""
    version = sqlite3.sqlite_version_info
    if version >= SQLITE_MENDED:
        yield Finding("sqlite", "ok", sqlite3.sqlite_version)
        return
    yield Finding(
        "sqlite", "note", f"{sqlite3.sqlite_version}, older than {'.'.join(map(str, SQLITE_MENDED))}: it has the "
        "WAL-reset bug, by which a crash of two writing processes at one moment could lose a label",
        "keep to one server for a store, as truing label does, and take backups; or use a newer Python or PostgreSQL",
    )  # fmt: skip


def space(folder: Path = Path()) -> Iterator[Finding]:
    """Room on the disk, and the right to write here."""
    free = shutil.disk_usage(folder).free // 2**20
    enough = free >= LEAST_FREE_MIB
    yield _checked("free space", enough, f"{free:,} MiB in {folder.resolve()}",
                   "a run saves three times its model's size: make room, or name --out elsewhere")  # fmt: skip
    writes = os.access(folder, os.W_OK)
    told = "this folder can be written" if writes else f"{folder.resolve()} cannot be written"
    yield _checked("permissions", writes, told, "name --out elsewhere")


def computing() -> Iterator[Finding]:
    """Threads, precision and accelerator, measured."""
    import torch

    from truing.models.precision import WORTH, bfloat16_gain

    cores, threads = (
        len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        torch.get_num_threads(),
    )
    yield _checked("threads", threads <= cores, f"{threads} on {cores} cores",
                   f"set OMP_NUM_THREADS={cores}: more threads than cores wait for each other")  # fmt: skip
    gain = bfloat16_gain(512)
    chosen = "bfloat16" if gain >= WORTH else "float32"
    yield Finding("precision", "ok", f"bfloat16 is {gain:.1f} times as fast as float32 here: auto takes {chosen}")
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "none: the processor computes"
    yield Finding("accelerator", "ok", accelerator)


def examine_path(path: str) -> list[Finding]:
    """A run's folder or a store."""
    from truing.feedback.store.database import is_store

    if is_store(path):
        return list(store(path))
    folder = Path(path)
    if not (folder / "config.toml").is_file():
        raise UserError(f"{path}: no run's folder (no config.toml in it) and no store (*.db or an address)")
    return list(run(folder))


def run(folder: Path) -> Iterator[Finding]:
    """Whether the files of a run are whole."""
    from truing.runs import checkpoint

    yield _try(folder / "config.toml", _read_toml, "the settings are whole", "start over with --fresh")
    for name in ("metrics.jsonl", "samples.jsonl"):
        if (folder / name).is_file():
            yield _try(folder / name, _read_rows, "every row is whole",
                       "a run that goes on cuts off what was written after its last state")  # fmt: skip
    if (folder / "summary.json").is_file():
        yield _try(folder / "summary.json", lambda path: json.loads(path.read_text(encoding="utf-8")),
                   "finished", "run the same command with --fresh")  # fmt: skip
    for model in sorted(folder.glob("*/model.safetensors")):
        yield _try(model, _read_tensors, "the weights are whole", "train again with --fresh, or restore a copy")
    states = checkpoint.saved(folder / "state")
    stages = [path.parent for path in sorted(folder.glob("*/config.toml"))]  # a demo's are runs themselves
    for stage in stages:
        yield from (replace(found, what=f"{stage.name}: {found.what}") for found in run(stage))
    if states:
        newest, passed_over = checkpoint.newest(folder / "state")
        for line in passed_over:
            yield Finding("state", "wrong", line, "the state before it is taken")
        if newest is not None:
            yield Finding("state", "ok", f"broken off after step {newest.facts['step']}; the same command goes on")
        else:
            yield Finding("state", "wrong", "no saved state verifies", "start over with --fresh")
    elif not stages and not (folder / "summary.json").is_file():
        yield Finding("state", "note", "not finished, and nothing was saved to go on from", "run the command again")


def store(source: str) -> Iterator[Finding]:
    """Whether a database is whole and of the present schema."""
    from truing.feedback.store.database import Database

    db = Database.open(source, create=False)
    try:
        if db.is_sqlite:
            broken, strangers = db.integrity()
            told = "; ".join(broken)[:200] or "ok"
            yield _checked(source, not broken, told, "restore a backup (truing feedback backup makes them)")
            named = f"{strangers} rows name others that are not there"
            yield _checked(source, not strangers, named, "restore a backup")
        yield Finding(source, "ok", f"schema {db.revision()}")
    finally:
        db.close()


def _checked(what: str, well: bool, told: str, remedy: str) -> Finding:
    return Finding(what, "ok", told) if well else Finding(what, "wrong", told, remedy)


def _try(path: Path, read: Callable[[Path], object], well: str, remedy: str) -> Finding:
    try:
        read(path)
    except Exception as error:
        return Finding(str(path), "wrong", f"{type(error).__name__}: {str(error)[:120]}", remedy)
    return Finding(str(path), "ok", well)


def _read_toml(path: Path) -> object:
    import tomllib

    return tomllib.loads(path.read_text(encoding="utf-8"))


def _read_rows(path: Path) -> None:
    with path.open(encoding="utf-8") as lines:  # not splitlines: it cuts at line separators within a text, too
        for number, line in enumerate(lines, start=1):
            try:
                json.loads(line)
            except ValueError as error:
                raise ValueError(f"row {number}: {error}") from None


def _read_tensors(path: Path) -> None:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118 (not a mapping)
            file.get_slice(name)


def show(found: list[Finding]) -> bool:
    """Print the findings; the last line is OK, or what to do. True if nothing is wrong."""
    for finding in found:
        print(f"{finding.verdict:<6} {finding.what}: {finding.told}")
    todo = [f for f in found if f.remedy and f.verdict != "ok"]
    for finding in todo:
        print(f"       to do about {finding.what}: {finding.remedy}")
    wrong = sum(f.verdict == "wrong" for f in found)
    print("OK" if not wrong else f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong: see above")
    return not wrong
