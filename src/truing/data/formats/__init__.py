"""Files in and out: whatever layout rows have, records come of them, and bad rows are named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from truing.data.formats import argilla, files, hh, hub, instructions, label_studio, native, oasst, openrlhf, trl
from truing.data.formats.convert import convert
from truing.data.records import Comparison, Message, Prompt, Record
from truing.data.validate import BadRow, Complaints, cut
from truing.errors import UserError, nearest, neighbour

Layout = Literal["native", "trl", "hh", "openrlhf", "oasst"]

# How a stage reads its records: `read` below, or something that reads more than files.
Check = Callable[[Record], object]
Read = Callable[[Sequence[str], tuple[type, ...], bool, Callable[[str], None] | None, Check | None], list[Any]]

# The first whose columns match reads the row: from the most to the least particular.
READERS: tuple[ModuleType, ...] = (native, oasst, argilla, label_studio, instructions, hh, openrlhf, trl)
WRITERS: dict[str, ModuleType] = {"native": native, "trl": trl, "hh": hh, "openrlhf": openrlhf, "oasst": oasst}
COLUMNS = (
    *("record", "prompt", "completion", "chosen", "rejected", "label", "messages", "response"),
    *("instruction", "input", "output", "message_tree_id", "text"),
)
RUN_FILES = ("responses.jsonl", "samples.jsonl")


def read(
    sources: str | Sequence[str],
    kinds: tuple[type, ...],
    strict: bool = False,
    report: Callable[[str], None] | None = None,
    check: Check | None = None,
) -> list[Any]:
    """Records of these kinds from files, folders, runs or hub ids; others are turned into them where they can be.

    A bad row is left out and told to `report` as `file:row 17: reason`; `strict` raises UserError at the first. A
    source without a single good row raises UserError too. `check` raises BadRow of what a stage cannot use.
    """
    listed = [sources] if isinstance(sources, str) else sources
    return [
        record for source in listed for record in _read_one(source, kinds, Complaints(source, strict, report), check)
    ]


def _read_one(source: str, kinds: tuple[type, ...], complaints: Complaints, check: Check | None) -> list[Record]:
    records: list[Record] = []
    asked: dict[str, tuple[str, tuple[Message, ...]]] = {}
    seen = 0
    for name, place, row in _rows(source, complaints):
        seen += 1
        complaints.source = name
        try:
            found = _records_of(row)
            for record in found:
                _refuse_other_prompt(record, f"{name}:{place}", asked)
                if check is not None:
                    check(record)
            records += found
        except BadRow as error:
            complaints.add(place, str(error))
    complaints.close()
    wanted = convert(records, kinds)
    if not wanted:
        raise UserError(_nothing(source, kinds, seen, records, complaints))
    return wanted


def _refuse_other_prompt(record: Record, place: str, asked: dict[str, tuple[str, tuple[Message, ...]]]) -> None:
    """BadRow where the id of a record's prompt is that of another prompt before: only one of them would be learned."""
    prompt = record if isinstance(record, Prompt) else record.prompt
    first, messages = asked.setdefault(prompt.id, (place, prompt.messages))
    if messages != prompt.messages:
        raise BadRow(f"the id {cut(prompt.id)} belongs to another prompt, of {first}")


def _nothing(source: str, kinds: tuple[type, ...], seen: int, records: list[Record], complaints: Complaints) -> str:
    """Why a source gave no record of the wanted kinds."""
    wanted = " or ".join(kind.__name__ for kind in kinds)
    if complaints.first:
        return f"data {source}: no {wanted} in it (bad rows: {complaints.count}); the first: {complaints.first}"
    if not seen:
        return f"data {source}: no {wanted} in it: it is empty"
    held = ", ".join(f"{count} {name}" for name, count in Counter(type(r).__name__ for r in records).items())
    return f"data {source}: no {wanted} in it: its {seen} rows hold {held}"


def read_texts(source: str, strict: bool = False, report: Callable[[str], None] | None = None) -> list[str]:
    """Documents: a .txt file is one, so is each row with a "text"; a folder gives those of all its files."""
    path = Path(source)
    paths = (
        [p for p in sorted(path.rglob("*")) if p.suffix == ".txt" or _has_rows(p)]
        if path.is_dir() and not hub.is_saved(path)
        else [path]
    )
    texts: list[str] = []
    complaints = Complaints(source, strict, report)
    for one in paths:
        if one.suffix == ".txt":
            texts.append(_text(one))
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


def write(
    records: Sequence[Record],
    path: str | Path,
    layout: Layout = "native",
    report: Callable[[str], None] | None = None,
) -> int:
    """Write records in a layout; the suffix chooses the container. The file appears whole or not at all.

    The layouts of others order every pair: ties are left out of them and told to `report`, never put in an order.
    Returns how many rows were written.
    """
    listed = list(records) if layout == "native" else [_ordered(record) for record in records if not _is_tie(record)]
    ties = len(records) - len(listed)
    if ties and report:
        report(f"{path}: {ties} ties left out: {layout} rows cannot hold them")
    if ties and not listed:
        raise UserError(f"{path}: nothing to write: all {ties} comparisons are ties, which {layout} rows cannot hold")
    rows = []
    for number, record in enumerate(listed, start=1):
        try:
            rows.append(WRITERS[layout].row_of(record))
        except BadRow as error:
            raise UserError(f"{path}: record {number}: {error}; native rows hold everything") from error
    return files.save(Path(path), rows)


def _is_tie(record: Record) -> bool:
    return isinstance(record, Comparison) and record.target == 0.5


def _ordered(record: Record) -> Record:
    """A comparison with the more probable answer as the chosen one."""
    if isinstance(record, Comparison) and record.target < 0.5:
        return replace(record, chosen=record.rejected, rejected=record.chosen, target=1 - record.target)
    return record


def _rows(source: str, complaints: Complaints) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """File name, place and content of each row."""
    path = Path(source)
    if path.is_dir():
        if hub.is_saved(path):
            yield from ((source, place, row) for place, row in hub.rows(source))
            return
        run = [path / name for name in RUN_FILES if (path / name).is_file()]
        if not run and (path / "metrics.jsonl").is_file():
            raise UserError(f"data {source}: this run holds neither {' nor '.join(RUN_FILES)}")
        listed = run[:1] or [p for p in sorted(path.iterdir()) if _has_rows(p)]
        if not listed:
            raise UserError(f"data {source}: the folder holds no {', '.join(files.SUFFIXES)} file")
    elif path.is_file():
        listed = [path]
    elif hub.is_id(source) and not path.parent.is_dir():
        yield from ((source, place, row) for place, row in hub.rows(source))
        return
    else:
        raise UserError(f"data {source}: there is no such file or folder{neighbour(path)}")
    for file in listed:
        complaints.source = str(file)
        yield from ((str(file), place, row) for place, row in files.rows(file, complaints))


def _has_rows(path: Path) -> bool:
    return path.name.endswith(files.SUFFIXES) and not path.name.startswith(".") and path.is_file()


def _records_of(row: dict[str, Any]) -> list[Record]:
    for reader in READERS:
        if reader.matches(row):
            return reader.records_of(row)
    hints = (nearest(column, COLUMNS) for column in sorted(row))
    hint = next((h for h in hints if h.startswith("did you mean")), f"valid: {', '.join(COLUMNS)}")
    raise BadRow(f"unknown columns {cut(', '.join(sorted(row)) or 'none at all')}; {hint}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8: byte {error.object[error.start]:#04x} at {error.start}") from error
    except OSError as error:
        raise UserError(f"data {path}: {error.strerror}") from error
