"""Weights on disk: whole safetensors files of one folder, or a line that says what is wrong with them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from truing.errors import UserError, first_line


def check_files(folder: Path) -> None:
    """Refuse weights that are not whole safetensors files, or that an index looks for outside the folder."""
    for index in folder.glob("*.index.json"):
        try:
            named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise UserError(f"{index}: no index of weights: {first_line(error)}") from error
        outside = sorted(file for file in named if not isinstance(file, str) or Path(file).name != file)
        if outside:
            raise UserError(f"{index}: names weights outside its folder: {outside[0]!r:.80}")
    for file in folder.glob("*.safetensors"):
        try:
            with safe_open(file, "pt"):
                pass
        except SafetensorError as error:
            raise UserError(f"{file}: no whole safetensors file: {first_line(error)}; fetch it again") from error


def checkpoint_hash(folder: Path) -> str:
    """SHA-256 over the weights in a folder, which tells a model's versions apart; "" where there are none."""
    read = hashlib.sha256()
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    for file in files:
        with file.open("rb") as weights:
            while block := weights.read(1 << 20):
                read.update(block)
    return read.hexdigest() if files else ""
