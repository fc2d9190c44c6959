"""OpenRLHF's columns: input, chosen, rejected, margin; input and output."""

from __future__ import annotations

from typing import Any

from truing.data.records import Comparison, Demonstration, Message, Prompt, Record
from truing.data.validate import BadRow, messages, number, text


def matches(row: dict[str, Any]) -> bool:
    """Whether the columns are OpenRLHF's."""
    return "input" in row and "instruction" not in row and "prompt" not in row


def records_of(row: dict[str, Any]) -> list[Record]:
    """What the row says."""
    given = row["input"]
    turns = messages(given, "input") if isinstance(given, list) else (Message("user", text(row, "input")),)
    prompt = Prompt(turns)
    if "chosen" in row or "rejected" in row:
        return [Comparison(prompt, text(row, "chosen"), text(row, "rejected"), margin=number(row, "margin", 0.0))]
    return [Demonstration(prompt, text(row, "output"))] if "output" in row else [prompt]


def row_of(record: Record) -> dict[str, Any]:
    """The record in OpenRLHF's columns."""
    if isinstance(record, Prompt):
        return {"input": _list(record)}
    if isinstance(record, Demonstration):
        return {"input": _list(record.prompt), "output": record.response}
    if isinstance(record, Comparison):
        pair = {"chosen": record.chosen, "rejected": record.rejected, "margin": record.margin}
        return {"input": _list(record.prompt), **pair}
    raise BadRow(f"OpenRLHF's columns cannot hold a {type(record).__name__}")


def _list(prompt: Prompt) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in prompt.messages]
