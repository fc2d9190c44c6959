"""State on disk: written whole or not at all, and read only where every byte is what was written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from truing.errors import UserError
from truing.fault_points import seam

KEPT = 2  # the newest, and the one before it should the newest not verify
PREFIX, MANIFEST = "save-", "manifest.json"
TENSORS, FACTS = "tensors.safetensors", "facts.json"


@dataclass(frozen=True)
class State:
    """Numbers by name, and whatever else there is to know."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def size(state: State) -> int:
    """Bytes of its tensors."""
    return sum(t.numel() * t.element_size() for t in state.tensors.values())


def frozen(state: State) -> State:
    """A copy in this machine's memory that stays as it is while the training moves on."""
    tensors = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in state.tensors.items()}
    return State(tensors, json.loads(json.dumps(state.facts)))


def write(home: Path, state: State) -> Path:
    """Add a state to a folder of states, under the next number, and remove all but the newest.

    Files are flushed to disk one by one, the manifest with their sizes and hashes last; then the folder gets its name,
    the parent is flushed, and only then older ones go. Raises UserError where there is too little space.
    """
    home.mkdir(parents=True, exist_ok=True)
    _sweep(home)
    needed = size(state)
    free = shutil.disk_usage(home).free
    if free < needed * 1.05 + 2**20:
        raise UserError(f"{home}: {free / 2**20:.0f} MiB are free and the state takes {needed / 2**20:.0f}: make room; "
                        "what was saved before is still there")  # fmt: skip
    writing = Path(tempfile.mkdtemp(prefix=".saving-", dir=home))
    try:
        seam("save")
        save_file({name: t.detach().cpu().contiguous() for name, t in state.tensors.items()}, writing / TENSORS)
        _flush(writing / TENSORS)
        _write_json(writing / FACTS, state.facts)
        files = {name: {"bytes": (writing / name).stat().st_size, "sha256": sha256(writing / name)}
                 for name in (TENSORS, FACTS)}  # fmt: skip
        _write_json(writing / MANIFEST, {"files": files})
        _flush(writing)
        before = saved(home)
        number = int(before[0].name.removeprefix(PREFIX)) + 1 if before else 1
        target = home / f"{PREFIX}{number:06d}"
        seam("save")
        writing.rename(target)
    except BaseException:
        shutil.rmtree(writing, ignore_errors=True)
        raise
    seam("save")
    _flush(home)
    for old in saved(home)[KEPT:]:
        seam("save")
        shutil.rmtree(old)
    return target


def newest(home: Path) -> tuple[State | None, list[str]]:
    """The newest state that verifies, and a line about each that was passed over."""
    passed_over: list[str] = []
    for folder in saved(home):
        try:
            return _read(folder), passed_over
        except (OSError, ValueError, KeyError, TypeError) as error:
            passed_over.append(f"{folder}: passed over, {error}")
    return None, passed_over


def saved(home: Path) -> list[Path]:
    """Folders of states, newest first."""
    return sorted(home.glob(f"{PREFIX}*"), reverse=True) if home.is_dir() else []


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(folder: Path) -> State:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    for name in (TENSORS, FACTS):
        told, path = manifest["files"][name], folder / name
        if path.stat().st_size != told["bytes"]:
            raise ValueError(f"{name} has {path.stat().st_size} bytes and not {told['bytes']}")
        if sha256(path) != told["sha256"]:
            raise ValueError(f"{name} is not what was written (SHA-256 differs)")
    return State(load_file(folder / TENSORS), json.loads((folder / FACTS).read_text(encoding="utf-8")))


def _write_json(path: Path, value: Any) -> None:
    seam("save")
    path.write_text(json.dumps(value, allow_nan=True), encoding="utf-8")
    _flush(path)


def _flush(path: Path) -> None:
    """To the disk itself, a file's bytes or a folder's names."""
    seam("save")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(home: Path) -> None:
    """Remove what a killed process left half written."""
    for left in home.glob(".saving-*"):
        shutil.rmtree(left, ignore_errors=True)
