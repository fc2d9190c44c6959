"""HH-RLHF's two texts: whole dialogues in Human and Assistant turns, alike up to the last answer."""

from __future__ import annotations

import re
from typing import Any

from truing.data.records import Comparison, Message, Prompt, Record
from truing.data.validate import BadRow, text

TURN = {"user": "\n\nHuman: ", "assistant": "\n\nAssistant: "}
LAST = "\n\nAssistant:"
HOLDS = {Comparison: "comparisons"}
COLUMNS = ("chosen", "rejected")


def matches(row: dict[str, Any]) -> bool:
    """Whether the row holds two dialogues as text."""
    pair = [row.get("chosen"), row.get("rejected")]
    return "prompt" not in row and all(isinstance(x, str) for x in pair) and any(LAST in str(x) for x in pair)


def records_of(row: dict[str, Any]) -> list[Record]:
    """The comparison of the two last answers. The text is split at its LAST Assistant, never guessed."""
    (before, chosen), (other, rejected) = (_split(text(row, key), key) for key in ("chosen", "rejected"))
    if before != other:
        raise BadRow("the two dialogues differ before their last answer")
    return [Comparison(Prompt(_turns(before)), chosen, rejected)]


def row_of(record: Record) -> dict[str, Any]:
    """The comparison as two dialogues."""
    if not isinstance(record, Comparison):
        raise BadRow(f"HH's two texts cannot hold a {type(record).__name__}")
    if any(m.role == "system" for m in record.prompt.messages):
        raise BadRow("HH's dialogues have no system message")
    before = "".join(TURN[m.role] + m.content for m in record.prompt.messages) + LAST
    row = {"chosen": f"{before} {record.chosen}", "rejected": f"{before} {record.rejected}"}
    # A text that itself holds "\n\nHuman:" would come back as other turns.
    answers = (_split(row["chosen"], "chosen")[1], _split(row["rejected"], "rejected")[1])
    if _turns(before.removesuffix(LAST)) != record.prompt.messages or answers != (record.chosen, record.rejected):
        raise BadRow("HH's two texts cannot hold a turn mark (Human:, Assistant:) inside a message")
    return row


def _split(dialogue: str, key: str) -> tuple[str, str]:
    before, found, answer = dialogue.rpartition(LAST)
    if not found:
        raise BadRow(f'"{key}" has no "Assistant:" turn')
    if not answer.strip():
        raise BadRow(f'"{key}": the last answer is empty')
    return before, answer.removeprefix(" ")


def _turns(dialogue: str) -> tuple[Message, ...]:
    pieces = re.split(r"\n\n(Human|Assistant):", dialogue)
    if pieces[0].strip() or len(pieces) < 3:
        raise BadRow('a dialogue begins with "Human:"')
    roles = ("user" if name == "Human" else "assistant" for name in pieces[1::2])
    return tuple(Message(role, said.removeprefix(" ")) for role, said in zip(roles, pieces[2::2], strict=True))  # type: ignore[arg-type]
