"""Rows in and out of files: .jsonl, .json, both with .gz, and .parquet."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from truing.data.validate import BadRow, Complaints, shown
from truing.errors import UserError, first_line

SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet")
LONGEST_LINE = 32 * 2**20
WHOLE = 512 * 2**20  # bytes of a .json file, which is read at once
AT_ONCE = 1024  # rows of a .parquet file
RATIO, SMALL = 100, 64 * 2**20  # text packs to a tenth; a file that unpacks to more than both of these is a bomb

Row = dict[str, Any]


def kind_of(path: Path) -> str:
    """The suffix that says how the file is read."""
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if path.name.endswith(suffix):
            return suffix
    raise UserError(f"{path}: rows are read from and written to {', '.join(SUFFIXES)} files")


def rows(path: Path, complaints: Complaints) -> Iterator[tuple[str, Row]]:
    """Each row with its place (`row 17`, counted from 1; in .jsonl this is the line). Bad ones go to `complaints`."""
    kind = kind_of(path)
    try:
        reader = {"parquet": _parquet, "json": _json, "jsonl": _jsonl}[kind.split(".")[1]]
        for place, value in reader(path, kind.endswith(".gz"), complaints):
            if isinstance(value, dict):
                yield f"row {place}", value
            else:
                complaints.add(f"row {place}", f"a row must be an object, not {shown(value)}")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: a broken gzip file: {error}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def _open(path: Path, packed: bool) -> IO[bytes]:
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


class _Bounded:
    """A file that says so when it unpacks to far more than it should."""

    def __init__(self, path: Path, packed: bool) -> None:
        self.path, self.file, self.seen = path, _open(path, packed), 0
        self.most = max(SMALL, RATIO * path.stat().st_size) if packed else sys.maxsize

    def close(self) -> None:
        """Let the file go."""
        self.file.close()

    def line(self) -> bytes:
        """The next line, or LONGEST_LINE bytes of it. Raises UserError for a bomb."""
        return self._counted(self.file.readline(LONGEST_LINE))

    def whole(self) -> bytes:
        """All of it. Raises UserError for a bomb, and for more than memory should hold."""
        pieces = []
        while piece := self._counted(self.file.read(2**20)):
            pieces.append(piece)
            if self.seen > WHOLE:
                raise UserError(f"{self.path}: more than {WHOLE >> 20} MiB of JSON in one piece; write a row a line, "
                                "name it .jsonl: rows are then read one by one")  # fmt: skip
        return b"".join(pieces)

    def _counted(self, piece: bytes) -> bytes:
        self.seen += len(piece)
        if self.seen > self.most:
            raise UserError(f"{self.path}: it unpacks to more than {RATIO} times its size: a damaged file or a bomb; "
                            "unpack it yourself if it is neither")  # fmt: skip
        return piece


def _jsonl(path: Path, packed: bool, complaints: Complaints) -> Iterator[tuple[int, object]]:
    with closing(_Bounded(path, packed)) as file:
        number = 0
        while line := file.line():
            number += 1
            if not line.endswith(b"\n") and len(line) >= LONGEST_LINE:
                complaints.add(f"row {number}", f"the line is longer than {LONGEST_LINE >> 20} MiB")
                while (rest := file.line()) and not rest.endswith(b"\n"):
                    pass
                continue
            try:
                value = _loads(line, first=number == 1)
            except BadRow as error:
                complaints.add(f"row {number}", str(error))
                continue
            if value is not None:
                yield number, value


def _loads(line: bytes, first: bool) -> object:
    """The value of one line; None where it is blank."""
    try:
        text = line.decode("utf-8-sig" if first else "utf-8").strip()
    except UnicodeDecodeError as error:
        raise BadRow(f"not UTF-8: byte {error.object[error.start]:#04x} at {error.start}") from error
    if not text:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"broken JSON: {error}: {shown(text)}") from error
    if _may_be_half(text) and has_half_character(value):
        raise BadRow(r"half of a \ud800 pair stands alone: it is no character")
    return value


def _may_be_half(text: str) -> bool:
    return "\\ud" in text or "\\uD" in text


def has_half_character(value: object) -> bool:
    """Whether a text in the value holds a lone surrogate: JSON can escape one, UTF-8 cannot hold it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _json(path: Path, packed: bool, complaints: Complaints) -> Iterator[tuple[int, object]]:
    with closing(_Bounded(path, packed)) as file:
        try:
            text = file.whole().decode("utf-8-sig")
            value = json.loads(text) if text.strip() else []
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not UTF-8: byte {error.object[error.start]:#04x} at {error.start}") from error
        except (ValueError, RecursionError) as error:
            hint = "; a row a line? name it .jsonl" if "Extra data" in str(error) else ""
            raise UserError(f"{path}: broken JSON: {error}{hint}") from error
    in_doubt = _may_be_half(text)
    for number, row in enumerate(value if isinstance(value, list) else [value], start=1):
        if in_doubt and has_half_character(row):
            complaints.add(f"row {number}", r"half of a \ud800 pair stands alone: it is no character")
        else:
            yield number, row


def _parquet(path: Path, packed: bool, complaints: Complaints) -> Iterator[tuple[int, object]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
            if sum(group.total_byte_size for group in groups) > max(SMALL, RATIO * path.stat().st_size):
                raise UserError(f"{path}: it unpacks to more than {RATIO} times its size: a damaged file or a bomb")
            number = 0
            for batch in file.iter_batches(AT_ONCE):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except pyarrow.ArrowException as error:
        raise UserError(f"{path}: not a parquet file: {first_line(error)}") from error


def save(path: Path, table: Iterable[Row]) -> int:
    """Write rows; the file appears whole or not at all. Returns how many."""
    kind = kind_of(path)
    listed = list(table)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(temporary, kind, listed)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except BadRow as error:
        raise UserError(f"{path}: {error}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error
    return len(listed)


def _write(path: Path, kind: str, listed: list[Row]) -> None:
    if kind == ".parquet":
        _write_parquet(path, listed)
        return
    with _text(path, kind.endswith(".gz")) as file:
        if kind.startswith(".jsonl"):
            for row in listed:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        else:
            json.dump(listed, file, ensure_ascii=False, indent=1)


def _write_parquet(path: Path, listed: list[Row]) -> None:
    import pyarrow
    from pyarrow import parquet

    keys = list(dict.fromkeys(key for row in listed for key in row))
    try:
        table = pyarrow.Table.from_pylist([{key: row.get(key) for key in keys} for row in listed])
        parquet.write_table(table, path)
    except (pyarrow.ArrowException, OverflowError) as error:
        raise BadRow(
            f"parquet holds rows of one shape: {first_line(error)}; write .jsonl, or one kind of record"
        ) from error


def _text(path: Path, packed: bool) -> IO[str]:
    if packed:
        return io.TextIOWrapper(gzip.open(path, "wb"), encoding="utf-8")  # type: ignore[arg-type]
    return path.open("w", encoding="utf-8")
