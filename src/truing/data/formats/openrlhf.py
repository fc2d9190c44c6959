"""OpenRLHF's columns: input, chosen, rejected, margin; input and output."""

from __future__ import annotations

from typing import Any

from truing.data.formats import columns
from truing.data.records import Comparison, Demonstration, Prompt, Record
from truing.data.validate import BadRow, text

HOLDS = {Comparison: "comparisons", Demonstration: "demonstrations"}
COLUMNS = ("input", "output", *columns.COMPARED, *columns.PROMPT, *columns.JUDGED)


def matches(row: dict[str, Any]) -> bool:
    """Whether the columns are OpenRLHF's."""
    return "input" in row and not {"instruction", "prompt", "messages", "conversations"} & row.keys()


def records_of(row: dict[str, Any]) -> list[Record]:
    """What the row says."""
    prompt = columns.prompt_of(row, "input")
    found: list[Record] = []
    if "chosen" in row or "rejected" in row:
        found.append(columns.comparison(row, prompt, text(row, "chosen"), text(row, "rejected")))
    if "output" in row:
        found.append(columns.answered(row, prompt, text(row, "output")))
    return found or [prompt]


def row_of(record: Record) -> dict[str, Any]:
    """The record in OpenRLHF's columns."""
    if isinstance(record, Prompt):
        return {"input": columns.turns_of(record), **columns.carried(record)}
    if isinstance(record, Demonstration):
        return {"input": columns.turns_of(record.prompt), "output": record.response, **columns.carried(record)}
    if isinstance(record, Comparison):
        pair = {"chosen": record.chosen, "rejected": record.rejected, "margin": record.margin}
        return {"input": columns.turns_of(record.prompt), **pair, **columns.carried(record)}
    raise BadRow(f"OpenRLHF's columns cannot hold a {type(record).__name__}")
