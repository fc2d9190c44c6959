"""Hugging Face `datasets`: a hub id, with `:split` if it is not train, or a folder that `save_to_disk` wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from truing.errors import UserError, neighbour

HUB_ID = re.compile(r"^\w[\w.-]*/[\w.-]+(:\w+)?$")
# A path that was mistyped must not be looked for on the network.
FILE = re.compile(r"\.(jsonl|json|gz|parquet|csv|tsv|txt|arrow|toml|zip|zst)$")


def is_id(source: str) -> bool:
    """Whether the source can be a hub id: `owner/name` or `owner/name:split`, and no file's name."""
    return bool(HUB_ID.match(source)) and not FILE.search(source)


def is_saved(folder: Path) -> bool:
    """Whether the folder is one that `save_to_disk` wrote."""
    return (folder / "dataset_info.json").is_file() or (folder / "dataset_dict.json").is_file()


def rows(source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row with its place."""
    import datasets

    is_folder = Path(source).is_dir()
    name, _, split = (source, "", "") if is_folder else source.partition(":")
    try:
        table = datasets.load_from_disk(name) if is_folder else datasets.load_dataset(name, split=split or "train")
    except Exception as error:  # the library raises a dozen kinds for "not there" and "not now"
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        elsewhere = (
            "" if is_folder else f"there is no such file or folder{neighbour(Path(name))}, and the hub gives none: "
        )
        raise UserError(f"data {source}: {elsewhere}{first}") from error
    if isinstance(table, datasets.DatasetDict):
        if "train" not in table:
            splits = ", ".join(f"{source}/{one}" for one in sorted(table))
            raise UserError(f"data {source}: it has no train split; name one of {splits}")
        table = table["train"]
    for number, row in enumerate(table, start=1):
        yield f"row {number}", dict(row)
