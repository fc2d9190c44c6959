"""Files in and out: whatever layout rows have, records come of them, and bad rows are named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from truing.data.convert import convert, distinct, edit_to_comparison
from truing.data.formats import (
    argilla,
    files,
    hh,
    hub,
    instructions,
    label_studio,
    native,
    oasst,
    openrlhf,
    samples,
    trl,
)
from truing.data.records import Comparison, Demonstration, Edit, Message, Prompt, Rating, Record
from truing.data.validate import MOST_TOLD, BadRow, Complaints, Said, Unread, Unusable, cut, without_null
from truing.errors import UserError, nearest, neighbour

# How a stage reads its records: `read` below, or something that reads more than files.
Check = Callable[[Record], object]
Read = Callable[[Sequence[str], tuple[type, ...], bool, Callable[[str], None] | None, Check | None], list[Any]]

# The first whose columns match reads the row: from the most to the least particular.
READERS: tuple[ModuleType, ...] = (
    *(native, argilla, label_studio, oasst, samples),  # by what only they have
    *(instructions, hh, openrlhf, trl),
)
# A layout that is written, too, is a row here: its module has `row_of`, and says in HOLDS what a file of it holds.
WRITERS: dict[str, ModuleType] = {"native": native, "trl": trl, "hh": hh, "openrlhf": openrlhf, "oasst": oasst}
if TYPE_CHECKING:
    FileLayout = str
else:
    FileLayout = Literal[tuple(WRITERS)]
COLUMNS = {"record": None, **{column: None for reader in READERS for column in reader.COLUMNS}}
SAID = ("messages", "chosen", "rejected", "response", "responses", "tiers", "value", "low", "high")
EVENT = {"payload", "shown", "guideline", "annotator"}  # columns of an export that is for reading
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
    source without a single good row raises UserError too. What compares a text with itself is left out, also where
    nothing else is there; what no reader understands is not read. Both are counted and told in a line for each source.
    So is, where a row holds several people's judgements, one that cannot be used: the others are read. `check` raises
    BadRow of what a stage cannot use.
    """
    listed = [sources] if isinstance(sources, str) else sources
    return [
        record for source in listed for record in _read_one(source, kinds, Complaints(source, strict, report), check)
    ]


def _read_one(source: str, kinds: tuple[type, ...], complaints: Complaints, check: Check | None) -> list[Record]:
    records: list[Record] = []
    asked: dict[str, tuple[str, tuple[Message, ...]]] = {}
    unread: Counter[str] = Counter()
    same: list[str] = []
    seen = 0
    for name, place, row in _rows(source, complaints):
        seen += 1
        complaints.source = name
        try:
            found = _records_of(row)
            for record in found:
                if not isinstance(record, Unread | Unusable):
                    _refuse_other_prompt(record, f"{name}:{place}", asked)
        except BadRow as error:
            complaints.add(place, str(error))
            continue
        for record in found:
            if isinstance(record, Unread):
                unread[record.what] += 1
                continue
            if isinstance(record, Unusable):
                complaints.add(place, record.why, part=True)
                continue
            kept = distinct(record, kinds)
            records += [kept] if kept is not None and complaints.passes(kept, place, check) else []
            same += [] if kept == record else [place if name == source else f"{name}:{place}"]
    complaints.close()
    lines = _remarks(source, unread, same)
    for line in lines:
        complaints.report(line)
    wanted = convert(records, kinds)
    if not wanted and not same:
        raise UserError("; ".join([_nothing(source, kinds, seen, records, complaints), *lines]))
    return wanted


def _remarks(source: str, unread: Counter[str], same: Sequence[str]) -> list[str]:
    """Lines about what was not read in the rows of a source, and about answers that were compared with themselves."""
    lines = []
    if unread:
        told = [f"{what} ({count})" for what, count in unread.most_common(MOST_TOLD)]
        lines.append(f"{source}: not read: {_listed(told, len(unread))}")
    if same:
        places = _listed(same[:MOST_TOLD], len(same))
        lines.append(f"{source}: {len(same)} judgements compare a text with itself, which is left out: {places}")
    return lines


def _listed(told: Sequence[str], count: int) -> str:
    return ", ".join(told) + (", …" if count > len(told) else "")


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
        parts = f", bad parts of others: {complaints.parts}" if complaints.parts else ""
        bad = f"bad rows: {complaints.count}{parts}"
        return f"data {source}: no {wanted} in it ({bad}); the first: {complaints.first}"
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
    layout: FileLayout = "native",
    report: Callable[[str], None] | None = None,
) -> int:
    """Write records in a layout; the suffix chooses the container. The file appears whole or not at all.

    The layouts of others order every pair: ties are left out of them, and what their rows do not hold is counted; both
    are told to `report`. A record that would be read as another one is refused. Returns how many rows were written.
    """
    listed, left_out = list(records), []
    for what, is_one in (("ties", _is_tie), ("empty answers", _is_empty)) if layout != "native" else ():
        kept = [record for record in listed if not is_one(record)]
        if len(kept) < len(listed):
            left_out.append(f"{len(listed) - len(kept)} {what}")
        listed = kept
    if left_out and not listed:
        raise UserError(f"{path}: nothing to write but {' and '.join(left_out)}, which {layout} rows cannot hold")
    if left_out and report:
        report(f"{path}: left out: {' and '.join(left_out)}, which {layout} rows cannot hold")
    listed = listed if layout == "native" else [_ordered(record) for record in listed]
    rows = []
    lost: Counter[str] = Counter()
    for number, record in enumerate(listed, start=1):
        try:
            rows.append(WRITERS[layout].row_of(record))
            lost.update(_lost(record, rows[-1]) if layout != "native" else ())
        except BadRow as error:
            raise UserError(f"{path}: record {number}: {error}; native rows hold everything") from error
    written = files.save(Path(path), rows)
    if lost and report:
        report(f"{path}: {layout} rows do not hold: {', '.join(f'{name} ({n})' for name, n in lost.items())}")
    return written


def _lost(record: Record, row: dict[str, Any]) -> list[str]:
    """The fields of a record that its row does not give back. BadRow where it gives back another judgement."""
    try:
        read_again = _records_of(row)
        if wrong := next((one for one in read_again if isinstance(one, Unusable)), None):
            raise BadRow(wrong.why)
    except BadRow as error:
        raise BadRow(f"it could not be read again: {error}") from error
    back = _fields(next((one for one in read_again if type(one) is type(record)), None))
    names = [name for name, value in _fields(record).items() if name not in back or back[name] != value]
    if changed := [name for name in names if name in SAID]:
        raise BadRow(f"it would be read again with other {' and '.join(changed)}")
    return names


def _fields(record: Any) -> dict[str, Any]:
    """The fields of a record and of its prompt; their name and origin change nothing that they say."""
    whole = ({} if isinstance(record, Prompt) or record is None else vars(record.prompt)) | vars(record or ())
    return {name: value for name, value in whole.items() if name not in ("prompt", "id", "origin")}


def fits_other_layouts(record: Record) -> bool:
    """Whether rows of another tool can hold the record as far as its answers go: none is empty, and two do not tie."""
    return not _is_tie(record) and not _is_empty(record)


def _is_tie(record: Record) -> bool:
    return isinstance(record, Comparison) and record.target == 0.5


def _is_empty(record: Record) -> bool:
    """Whether one of its answers says nothing, which no reader takes for an answer."""
    said = {Comparison: ("chosen", "rejected"), Demonstration: ("response",), Rating: ("response",), Edit: ("after",)}
    return any(not vars(record)[name].strip() for name in said.get(type(record), ()))


def _ordered(record: Record) -> Record:
    """A comparison with the more probable answer as the chosen one, as an edit is too."""
    if isinstance(record, Edit):
        return edit_to_comparison(record)
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


def _records_of(row: dict[str, Any]) -> list[Said]:
    """What a row says, and the names of the columns that its reader does not read."""
    there = without_null(row)
    if row.keys() >= EVENT:
        raise BadRow("a raw event of a store, which does not come in again: export native rows")
    for reader in READERS:
        if reader.matches(there):
            others = [name for name in there if reader.COLUMNS and name not in reader.COLUMNS]
            return [*reader.records_of(there), *(Unread(f'column "{cut(name)}"') for name in others)]
    if row and not there:
        raise BadRow(f"nothing but null in it, in the columns {cut(', '.join(sorted(row)))}")
    if "text" in there:
        raise BadRow('"text" holds documents, for truing pretrain; sft needs prompt and completion, or messages')
    hints = (nearest(column, COLUMNS) for column in sorted(there) if column not in COLUMNS)
    hint = next((h for h in hints if h.startswith("did you mean")), f"valid: {', '.join(COLUMNS)}")
    raise BadRow(f"unknown columns {cut(', '.join(sorted(there)) or 'none at all')}; {hint}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8: byte {error.object[error.start]:#04x} at {error.start}") from error
    except OSError as error:
        raise UserError(f"data {path}: {error.strerror}") from error
