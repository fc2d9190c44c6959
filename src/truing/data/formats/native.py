"""Our own rows: every field of a record, under `"record"` its class. Nothing is lost on the way out and in again."""

from __future__ import annotations

import math
import types
from dataclasses import asdict, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from truing.data.records import (
    Comparison,
    Conversation,
    Demonstration,
    Edit,
    Flag,
    Message,
    Prompt,
    Ranking,
    Rating,
    Record,
    Response,
)
from truing.data.validate import LARGEST, BadRow, is_number, shown
from truing.errors import nearest

CLASSES: dict[str, type] = {
    kind.__name__: kind
    for kind in (Prompt, Demonstration, Comparison, Ranking, Rating, Flag, Edit, Conversation, Response, Message)
}
WHOLE = ("Prompt", "Demonstration", "Comparison", "Ranking", "Rating", "Flag", "Edit", "Conversation")
HINTS = {kind: get_type_hints(kind) for kind in CLASSES.values()}
COLUMNS = ()  # one that is no field is refused
NAMES = {
    str: "a text",
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    tuple: "a list",
    type(None): "null",
}


def matches(row: dict[str, Any]) -> bool:
    """Whether the row is one of ours."""
    return "record" in row


def row_of(record: Record) -> dict[str, Any]:
    """The record as a row."""
    row = {"record": type(record).__name__, **_plain(asdict(record))}
    for response in row["responses"] if isinstance(record, Conversation) else ():
        # Parquet's lists hold one type: a name and its number go side by side only as an object.
        response["sampling"] = [{"name": name, "value": value} for name, value in response["sampling"]]
    return row


def records_of(row: dict[str, Any]) -> list[Record]:
    """The record that the row is."""
    name = row["record"]
    if name not in WHOLE:
        raise BadRow(f'"record": {shown(name)} is unknown; {nearest(str(name), WHOLE)}')
    record = _build(CLASSES[name], {key: value for key, value in row.items() if key != "record"}, name)
    _check(record)
    return [record]


def _build(kind: type, values: object, key: str) -> Any:
    if not isinstance(values, dict):
        raise BadRow(f'"{key}" must be an object, not {shown(values)}')
    hints = HINTS[kind]
    for name in values:
        if name not in hints:
            raise BadRow(f'"{name}" is no field of {kind.__name__}; {nearest(str(name), hints)}')
    built = {name: _value(hints[name], value, name) for name, value in values.items()}
    try:
        return kind(**built)
    except TypeError as error:  # a field without a default is missing
        raise BadRow(f"{kind.__name__}: {str(error).partition('() ')[2] or error}") from error


def _value(hint: Any, value: Any, key: str) -> Any:
    """The value as the field's type has it; BadRow where it is of another one."""
    if is_dataclass(hint):
        return _build(hint, value, key)  # type: ignore[arg-type]
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        if value not in inner:
            raise BadRow(f'"{key}": {shown(value)} is none of {", ".join(map(str, inner))}')
        return value
    if origin in (Union, types.UnionType):
        return None if value is None else _value(inner[0], value, key)
    if origin is tuple and isinstance(value, list | tuple):
        if inner[-1] is Ellipsis:
            return tuple(_value(inner[0], one, key) for one in value)
        if len(value) == len(inner):
            return tuple(_value(one, part, key) for one, part in zip(inner, value, strict=True))
    if origin is tuple and isinstance(value, dict) and value.keys() == {"name", "value"}:
        return _value(hint, (value["name"], value["value"]), key)
    if hint is float and is_number(value):
        return float(value)
    if hint is bool and isinstance(value, bool):
        return value
    if hint in (int, str) and isinstance(value, hint) and not isinstance(value, bool):
        if isinstance(value, int) and abs(value) > LARGEST:
            raise BadRow(f'"{key}" must be a whole number of 64 bits, not {shown(value)}')
        return value
    raise BadRow(f'"{key}" must be {NAMES[origin or hint]}, not {shown(value)}')


def _check(record: Any) -> None:
    """What the types cannot say of a record."""
    prompt = record if isinstance(record, Prompt) else record.prompt
    rules: list[tuple[bool, str]] = [(bool(prompt.messages), '"messages" is empty')]
    if isinstance(record, Comparison):
        rules += [(0 <= record.target <= 1, '"target" must be between 0 and 1')]
        rules += [(record.weight >= 0, '"weight" must be 0 or more')]
    if isinstance(record, Comparison | Ranking | Rating):
        rules += [(0 <= record.error < 1, '"error" must be at least 0 and below 1')]
    if isinstance(record, Ranking):
        rules += [(len(record.responses) == len(record.tiers), '"tiers" needs a rank for each of "responses"')]
        rules += [(len(record.responses) >= 2, '"responses": a ranking needs two answers or more')]
    if isinstance(record, Rating):
        rules += [(record.low < record.high, '"low" must be below "high"')]
        rules += [(math.isfinite(record.high - record.low), '"low" and "high" are too far apart')]
        rules += [(record.low <= record.value <= record.high, '"value" must be between "low" and "high"')]
    for holds, rule in rules:
        if not holds:
            raise BadRow(rule)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value
