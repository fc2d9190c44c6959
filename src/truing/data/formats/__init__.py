"""Files in and out: whatever layout rows have, records come of them, and bad rows are named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from truing.data.formats import files, hh, hub, instructions, native, oasst, openrlhf, trl
from truing.data.formats.convert import convert
from truing.data.records import Record
from truing.data.validate import BadRow, Complaints
from truing.errors import UserError, nearest

Layout = Literal["native", "trl", "hh", "openrlhf"]

# The first whose columns match reads the row: from the most to the least particular.
READERS: tuple[ModuleType, ...] = (native, oasst, instructions, hh, openrlhf, trl)
WRITERS: dict[str, ModuleType] = {"native": native, "trl": trl, "hh": hh, "openrlhf": openrlhf}
COLUMNS = (
    "record",
    "prompt",
    "completion",
    "chosen",
    "rejected",
    "label",
    "messages",
    "instruction",
    "input",
    "output",
)
RUN_FILES = ("responses.jsonl", "samples.jsonl")


def read(
    sources: str | Sequence[str],
    kinds: tuple[type, ...],
    strict: bool = False,
    report: Callable[[str], None] | None = None,
) -> list[Any]:
    """Records of these kinds from files, folders, runs or hub ids; others are turned into them where they can be.

    A bad row is left out and told to `report` as `file:row 17: reason`; `strict` raises UserError at the first. A
    source without a single good row raises UserError too.
    """
    listed = [sources] if isinstance(sources, str) else sources
    return [record for source in listed for record in _read_one(source, kinds, strict, report)]


def _read_one(source: str, kinds: tuple[type, ...], strict: bool, report: Callable[[str], None] | None) -> list[Record]:
    records: list[Record] = []
    seen = 0
    complaints = Complaints(source, strict, report)
    for name, place, row in _rows(source, complaints):
        seen += 1
        complaints.source = name
        try:
            records += _records_of(row)
        except BadRow as error:
            complaints.add(place, str(error))
    complaints.close()
    found = convert(records, kinds)
    if not found:
        wanted = " or ".join(kind.__name__ for kind in kinds)
        why = f"; the first bad row: {complaints.first}" if complaints.first else ""
        raise UserError(f"data {source}: no {wanted} in it ({seen} rows read, {complaints.count} bad){why}")
    return found


def read_texts(source: str, strict: bool = False, report: Callable[[str], None] | None = None) -> list[str]:
    """Documents: a .txt file is one, so is each row with a "text"; a folder gives those of all its files."""
    path = Path(source)
    paths = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() and not hub.is_saved(path) else [path]
    texts: list[str] = []
    complaints = Complaints(source, strict, report)
    for one in paths:
        if one.suffix == ".txt":
            texts.append(_text(one))
        elif path.is_dir() and not one.name.endswith(files.SUFFIXES):
            continue
        else:
            for name, place, row in _rows(str(one), complaints):
                complaints.source = name
                if isinstance(row.get("text"), str) and row["text"].strip():
                    texts.append(row["text"])
                else:
                    complaints.add(place, '"text" is missing or empty')
    complaints.close()
    if not any(text.strip() for text in texts):
        raise UserError(f"data {source}: no text in it" + (f"; {complaints.first}" if complaints.first else ""))
    return texts


def write(records: Sequence[Record], path: str | Path, layout: Layout = "native") -> int:
    """Write records in a layout; the suffix chooses the container. The file appears whole or not at all."""
    try:
        return files.save(Path(path), [WRITERS[layout].row_of(record) for record in records])
    except BadRow as error:
        raise UserError(f"{path}: {error}") from error


def _rows(source: str, complaints: Complaints) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """File name, place and content of each row."""
    path = Path(source)
    if path.is_dir():
        if hub.is_saved(path):
            yield from ((source, place, row) for place, row in hub.rows(source))
            return
        run = [path / name for name in RUN_FILES if (path / name).is_file()]
        listed = run[:1] or sorted(p for p in path.iterdir() if p.name.endswith(files.SUFFIXES))
        if not listed:
            raise UserError(f"data {source}: the folder holds no {', '.join(files.SUFFIXES)} file")
    elif path.is_file():
        listed = [path]
    elif hub.HUB_ID.match(source) and not source.startswith(".") and not path.parent.is_dir():
        yield from ((source, place, row) for place, row in hub.rows(source))
        return
    else:
        raise UserError(f"data {source}: there is no such file or folder")
    for file in listed:
        complaints.source = str(file)
        yield from ((str(file), place, row) for place, row in files.rows(file, complaints))


def _records_of(row: dict[str, Any]) -> list[Record]:
    for reader in READERS:
        if reader.matches(row):
            return reader.records_of(row)
    unknown = sorted(row)
    hint = nearest(unknown[0], COLUMNS) if unknown else f"valid: {', '.join(COLUMNS)}"
    raise BadRow(f"unknown columns {', '.join(unknown)}; {hint}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8: byte {error.object[error.start]:#04x} at {error.start}") from error
    except OSError as error:
        raise UserError(f"data {path}: {error.strerror}") from error
