"""What a row from outside must hold before it becomes a record, and how the bad ones are told."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from truing.data.records import Message, Prompt, Record
from truing.errors import UserError

MOST_TOLD = 20
ROLES = {"system": "system", "user": "user", "assistant": "assistant", "human": "user", "gpt": "assistant"}
LARGEST = (1 << 63) - 1  # what a column of whole numbers holds, in a store and in Parquet
FIGURES = ("margin", "target", "weight", "error", "value", "low", "high", "score")


class BadRow(Exception):
    """A row cannot be used; the message says why."""


@dataclass(frozen=True)
class Unread:
    """Something that a row says and its reader does not understand: it is reported, the rest of the row is read."""

    what: str


@dataclass(frozen=True)
class Unusable:
    """One of the things that a row says, with why it cannot be used: it is told as a bad row is, the rest is read."""

    why: str


Said = Record | Unread | Unusable


def usable(read: Callable[..., Sequence[Said]], *given: Any) -> list[Said]:
    """What `read` makes of one of the things that a row says: where it raises BadRow, the others are not lost."""
    try:
        return [*read(*given)]
    except BadRow as error:
        return [Unusable(str(error))]


def understood(found: Sequence[Said], prompt: Prompt) -> list[Said]:
    """What people said of a prompt; the prompt itself where nobody said anything. BadRow where nothing can be read: a
    row that people have judged is not a row that nobody has."""
    refuse_useless(found)
    return [*found] or [prompt]


def refuse_useless(found: Sequence[Said]) -> None:
    """BadRow where a row says something, and nothing of it can be read."""
    if not found or not all(isinstance(one, Unread | Unusable) for one in found):
        return
    if wrong := next((one for one in found if isinstance(one, Unusable)), None):
        raise BadRow(wrong.why)
    unread = dict.fromkeys(one.what for one in found if isinstance(one, Unread))
    raise BadRow(f"what it says is not understood: {', '.join(unread)}")


def without_null(value: Any) -> Any:
    """A row without what is null: a column that a row lacks is null in Parquet and NaN in JSON that pandas writes.

    NaN stays where a figure is read: one that went wrong must not become the default.
    """
    if isinstance(value, list | tuple):
        return [without_null(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {key: inner for key, inner in value.items() if inner is not None}
    return {key: without_null(inner) for key, inner in kept.items() if key in FIGURES or not _is_nan(inner)}


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def shown(value: object) -> str:
    """A value as it is shown in an error: one line, cut at 80 characters."""
    return cut(json.dumps(value, ensure_ascii=False, default=str))


def cut(text: str) -> str:
    """A text at 80 characters at most."""
    return text if len(text) <= 80 else text[:77] + "..."


def text(row: dict[str, Any], key: str) -> str:
    """A text that is there and not empty."""
    if key not in row:
        raise BadRow(f'"{key}" is missing')
    value = row[key]
    if not isinstance(value, str):
        raise BadRow(f'"{key}" must be a text, not {shown(value)}')
    if not value.strip():
        raise BadRow(f'"{key}" is empty')
    return value


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number, finite and within the range of a float; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number of 64 bits; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST


def number(row: dict[str, Any], key: str, default: float | None = None) -> float:
    """A finite number."""
    value = row.get(key, default)
    if not is_number(value):
        raise BadRow(f'"{key}" must be a number, not {shown(value)}')
    return float(value)


def messages(value: object, key: str) -> tuple[Message, ...]:
    """A conversation: a list of {"role", "content"}, or ShareGPT's {"from", "value"}. Only the last must not be empty.

    A content may be a list of text parts.
    """
    if not isinstance(value, list | tuple) or not value:
        raise BadRow(f'"{key}" must be a list of messages, not {shown(value)}')
    turns = []
    for turn in value:
        if isinstance(turn, dict) and {"from", "value"} <= turn.keys():
            turn = {"role": turn["from"], "content": turn["value"]}
        if not isinstance(turn, dict) or "role" not in turn or "content" not in turn:
            raise BadRow(f'"{key}": a message needs "role" and "content", not {shown(turn)}')
        if not isinstance(turn["role"], str) or turn["role"] not in ROLES:
            raise BadRow(f'"{key}": the role {shown(turn["role"])} is none of {", ".join(ROLES)}')
        turns.append(Message(ROLES[turn["role"]], _content(turn["content"], key)))  # type: ignore[arg-type]
    if not turns[-1].content.strip():
        raise BadRow(f'"{key}": the last message is empty')
    return tuple(turns)


def _content(value: object, key: str) -> str:
    parts = value if isinstance(value, list | tuple) else [{"text": value}]
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type", "text") == "text"]
    if len(texts) < len(parts) or not all(isinstance(one, str) for one in texts):
        raise BadRow(f'"{key}": the content of a message must be a text or a list of text parts, not {shown(value)}')
    return "".join(texts)  # type: ignore[arg-type]


class Complaints:
    """Counts bad rows, and what is bad in rows of which the rest is read; tells the first ones, or stops at the first
    where `strict`."""

    def __init__(self, source: str, strict: bool, report: Callable[[str], None] | None) -> None:
        self.source, self.strict, self.report = source, strict, report or (lambda line: None)
        self.count = 0
        self.parts = 0
        self.first = ""

    def add(self, place: str, reason: str, part: bool = False) -> None:
        """One more bad row; or `part` of one, of which the rest is read."""
        line = f"{self.source}:{place}: {reason}"
        if self.strict:
            raise UserError(f"{line} (strict stops at the first bad row)")
        self.count += not part
        self.parts += part
        self.first = self.first or line
        if self.count + self.parts <= MOST_TOLD:
            self.report(f"{line}; left out" + (", the rest of the row is read" if part else ""))

    def passes(self, record: Any, place: str, check: Callable[[Any], object] | None) -> bool:
        """Whether a check lets a record pass; where it raises BadRow, that is one more bad row."""
        try:
            if check is not None:
                check(record)
        except BadRow as error:
            self.add(place, str(error))
            return False
        return True

    def close(self) -> None:
        """Say how many there were in all, where not all were told."""
        if self.count + self.parts > MOST_TOLD:
            parts = f" and {self.parts} bad parts of others" if self.parts else ""
            told = f"left out in all; the first {MOST_TOLD} are told above"
            self.report(f"{self.source}: {self.count} bad rows{parts} {told}")
