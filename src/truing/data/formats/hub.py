"""Hugging Face `datasets`: a hub id, with `:split` if it is not train, or a folder that `save_to_disk` wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from truing.errors import UserError

HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+(:\w+)?$")


def is_saved(folder: Path) -> bool:
    """Whether the folder is one that `save_to_disk` wrote."""
    return (folder / "dataset_info.json").is_file() or (folder / "dataset_dict.json").is_file()


def rows(source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row with its place."""
    import datasets

    name, _, split = source.partition(":")
    split = split or "train"
    try:
        if Path(name).is_dir():
            loaded = datasets.load_from_disk(name)
            table = loaded[split] if isinstance(loaded, datasets.DatasetDict) else loaded
        else:
            table = datasets.load_dataset(name, split=split)
    except Exception as error:  # the library raises a dozen kinds for "not there" and "not now"
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"data {source}: {first}") from error
    for number, row in enumerate(table, start=1):
        yield f"row {number}", {key: value for key, value in dict(row).items() if value is not None}
