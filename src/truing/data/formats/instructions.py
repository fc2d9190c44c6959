"""Alpaca's columns: instruction, input, output, chosen and rejected; and seed tasks with instances."""

from __future__ import annotations

from typing import Any

from truing.data.formats import columns
from truing.data.records import Message, Record
from truing.data.validate import BadRow, Said, refuse_useless, shown, text, usable

COLUMNS = ("instruction", "input", "output", "instances", *columns.COMPARED, *columns.PROMPT, *columns.JUDGED)


def matches(row: dict[str, Any]) -> bool:
    """Whether the row is an instruction."""
    return "instruction" in row


def records_of(row: dict[str, Any]) -> list[Said]:
    """What the row says: demonstrations, or ratings where they are labelled, and a comparison where two answers stand
    in it. An instance that cannot be used costs no other."""
    instances = row.get("instances", [row])
    if not isinstance(instances, list) or not instances or not all(isinstance(i, dict) for i in instances):
        raise BadRow(f'"instances" must be a list of objects, not {shown(instances)}')
    found = [said for instance in instances for said in usable(_instance, row, instance)]
    refuse_useless(found)
    return found


def _instance(row: dict[str, Any], instance: dict[str, Any]) -> list[Record]:
    found: list[Record] = []
    given = instance.get("input") or ""
    if not isinstance(given, str):
        raise BadRow(f'"input" must be a text, not {shown(given)}')
    question = text(row, "instruction") + (f"\n\n{given}" if given.strip() else "")
    prompt = columns.prompt_after(row, (Message("user", question),))
    if "chosen" in instance or "rejected" in instance:
        found.append(columns.comparison(row, prompt, text(instance, "chosen"), text(instance, "rejected")))
    if "output" in instance:
        found.append(columns.answered(row, prompt, text(instance, "output")))
    if "output" not in instance and "chosen" not in instance:
        found.append(prompt)
    return found
