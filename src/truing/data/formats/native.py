"""Our own rows: every field of a record, under `"record"` its class. Nothing is lost on the way out and in again."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from truing.data import records as nouns
from truing.data.records import Conversation, Prompt, Record, Response
from truing.data.validate import BadRow, messages, shown
from truing.errors import nearest

CLASSES: dict[str, type] = {
    name: getattr(nouns, name)
    for name in ("Prompt", "Demonstration", "Comparison", "Ranking", "Rating", "Flag", "Edit", "Conversation")
}
# Each field's type as annotated tells what JSON may hold for it.
KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "float": (int, float)}


def matches(row: dict[str, Any]) -> bool:
    """Whether the row is one of ours."""
    return "record" in row


def row_of(record: Record) -> dict[str, Any]:
    """The record as a row."""
    return {"record": type(record).__name__, **_plain(asdict(record))}


def records_of(row: dict[str, Any]) -> list[Record]:
    """The record that the row is."""
    kind = CLASSES.get(str(row["record"]))
    if kind is None:
        raise BadRow(f'"record": {shown(row["record"])} is unknown; {nearest(str(row["record"]), CLASSES)}')
    return [_build(kind, {key: value for key, value in row.items() if key != "record"})]


def _build(kind: type, values: dict[str, Any]) -> Any:
    known = {field.name: str(field.type) for field in fields(kind)}
    for key, value in values.items():
        if key not in known:
            raise BadRow(f'"{key}" is no field of {kind.__name__}; {nearest(key, known)}')
        allowed = KINDS.get(known[key])
        if allowed and (not isinstance(value, allowed) or isinstance(value, bool)):
            raise BadRow(f'"{key}" must be {"a text" if allowed == (str,) else "a number"}, not {shown(value)}')
    built = {key: _value(kind, key, value) for key, value in values.items()}
    try:
        return kind(**built)
    except TypeError as error:
        raise BadRow(f"{kind.__name__}: {error}") from error


def _value(kind: type, key: str, value: Any) -> Any:
    if key == "prompt":
        if not isinstance(value, dict):
            raise BadRow(f'"prompt" must be an object, not {shown(value)}')
        return _build(Prompt, value)
    if key == "messages":
        return messages(value, key)
    if key == "responses" and kind is Conversation:
        return tuple(_build(Response, r) for r in value)
    if isinstance(value, list):
        return tuple(tuple(v) if isinstance(v, list) else v for v in value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value
