"""What a row from outside must hold before it becomes a record, and how the bad ones are told."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, TypeGuard

from truing.data.records import Message
from truing.errors import UserError

MOST_TOLD = 20
ROLES = ("system", "user", "assistant")


class BadRow(Exception):
    """A row cannot be used; the message says why."""


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


def number(row: dict[str, Any], key: str, default: float | None = None) -> float:
    """A finite number."""
    value = row.get(key, default)
    if not is_number(value):
        raise BadRow(f'"{key}" must be a number, not {shown(value)}')
    return float(value)


def messages(value: object, key: str) -> tuple[Message, ...]:
    """A conversation: a list of {"role", "content"}. Only the last must not be empty."""
    if not isinstance(value, list | tuple) or not value:
        raise BadRow(f'"{key}" must be a list of messages, not {shown(value)}')
    turns = []
    for turn in value:
        if not isinstance(turn, dict) or "role" not in turn or "content" not in turn:
            raise BadRow(f'"{key}": a message needs "role" and "content", not {shown(turn)}')
        if not isinstance(turn["role"], str) or turn["role"] not in ROLES:
            raise BadRow(f'"{key}": the role {shown(turn["role"])} is none of {", ".join(ROLES)}')
        if not isinstance(turn["content"], str):
            raise BadRow(f'"{key}": the content of a message must be a text, not {shown(turn["content"])}')
        turns.append(Message(turn["role"], turn["content"]))  # type: ignore[arg-type]
    if not turns[-1].content.strip():
        raise BadRow(f'"{key}": the last message is empty')
    return tuple(turns)


class Complaints:
    """Counts bad rows; tells the first ones, or stops at the first where `strict`."""

    def __init__(self, source: str, strict: bool, report: Callable[[str], None] | None) -> None:
        self.source, self.strict, self.report = source, strict, report or (lambda line: None)
        self.count = 0
        self.first = ""

    def add(self, place: str, reason: str) -> None:
        """One more bad row."""
        line = f"{self.source}:{place}: {reason}"
        if self.strict:
            raise UserError(f"{line} (strict stops at the first bad row)")
        self.count += 1
        self.first = self.first or line
        if self.count <= MOST_TOLD:
            self.report(f"{line}; left out")

    def close(self) -> None:
        """Say how many there were in all, where not all were told."""
        if self.count > MOST_TOLD:
            self.report(f"{self.source}: {self.count} bad rows left out in all; the first {MOST_TOLD} are told above")
