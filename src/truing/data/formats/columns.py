"""Columns that mean the same in many layouts: what stands before a prompt, and who judged by what."""

from __future__ import annotations

from typing import Any

from truing.data.records import Comparison, Demonstration, Message, Prompt, Rating
from truing.data.validate import BadRow, is_whole, messages, number, shown, text

SYSTEM = ("system", "system_prompt")
LABELS = ("label", "kto_tag")
PROMPT = (*SYSTEM, "history", "tags", "split")
COMPARED = ("chosen", "rejected", "margin", "weight")
JUDGED = (*LABELS, "criterion", "annotator")


def prompt_of(row: dict[str, Any], key: str) -> Prompt:
    """The prompt of a column, a text or a list of messages, after what the columns `system` and `history` say."""
    given = row[key]
    return prompt_after(row, (Message("user", text(row, key)),) if isinstance(given, str) else messages(given, key))


def prompt_after(row: dict[str, Any], turns: tuple[Message, ...]) -> Prompt:
    """These turns as a prompt, after what the columns `system` and `history` say."""
    told = tuple(Message("system", text(row, key)) for key in SYSTEM if str(row.get(key) or "").strip())
    turns = (*_history(row.get("history")), *turns)
    if turns[:1] != told:  # the conversation may begin with the same message itself
        turns = (*told, *turns)
    if told and [turn.role for turn in turns].count("system") > 1:
        raise BadRow(f"the columns say two system messages: {shown([t.content for t in turns if t.role == 'system'])}")
    split = row.get("split")
    return Prompt(turns, split=split if split in ("train", "test") else "", tags=_tags(row))


def _history(value: object) -> tuple[Message, ...]:
    """Earlier turns: LLaMA-Factory's pairs of a question and its answer, or messages."""
    if value is None or value == []:
        return ()
    if isinstance(value, list) and all(isinstance(one, list | tuple) for one in value):
        if any(len(pair) != 2 or not all(isinstance(said, str) for said in pair) for pair in value):
            raise BadRow(f'"history" must be pairs of a question and its answer, not {shown(value)}')
        return tuple(m for asked, said in value for m in (Message("user", asked), Message("assistant", said)))
    return messages(value, "history")


def _tags(row: dict[str, Any]) -> tuple[str, ...]:
    tags = row.get("tags", ())
    if not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
        raise BadRow(f'"tags" must be a list of texts, not {shown(tags)}')
    return tuple(tags)


def comparison(row: dict[str, Any], prompt: Prompt, chosen: str, rejected: str) -> Comparison:
    """Two answers with the row's margin, weight, criterion and annotator."""
    margin, weight = number(row, "margin", 0.0), number(row, "weight", 1.0)
    if weight < 0:
        raise BadRow(f'"weight" must be 0 or more, not {shown(weight)}')
    who, by = _name(row, "annotator"), _name(row, "criterion")
    return Comparison(prompt, chosen, rejected, margin=margin, weight=weight, criterion=by, annotator=who)


def answered(row: dict[str, Any], prompt: Prompt, response: str) -> Demonstration | Rating:
    """An answer to learn from; a judgement of it, good or bad, where the row has a label."""
    who, by = _name(row, "annotator"), _name(row, "criterion")
    for key in (key for key in LABELS if key in row):
        if row[key] not in (True, False):  # 1 and 0 are these two: not every file has booleans
            raise BadRow(f'"{key}" must be true or false, not {shown(row[key])}')
        return Rating(prompt, response, float(row[key]), 0.0, 1.0, by, who)
    return Demonstration(prompt, response, who)


def is_label(rating: Rating) -> bool:
    """Whether it says good or bad, which is all that a label can."""
    return (rating.low, rating.high) == (0.0, 1.0) and rating.value in (0.0, 1.0)


def _name(row: dict[str, Any], key: str) -> str:
    value = row.get(key, "")
    if not isinstance(value, str) and not is_whole(value):
        raise BadRow(f'"{key}" must be a text, not {shown(value)}')
    return str(value)


def carried(record: Any) -> dict[str, Any]:
    """What a record says besides the answers, as columns of a row: those that it has."""
    prompt = record if isinstance(record, Prompt) else record.prompt
    columns = {"tags": list(prompt.tags), "split": prompt.split}
    if not isinstance(record, Prompt):
        columns |= {"annotator": record.annotator}
    if isinstance(record, Comparison | Rating):
        columns |= {"criterion": record.criterion}
    if isinstance(record, Comparison) and record.weight != 1:
        columns |= {"weight": record.weight}
    return {name: value for name, value in columns.items() if value not in ("", [])}


def turns_of(prompt: Prompt) -> list[dict[str, str]]:
    """The messages as rows hold them."""
    return [{"role": m.role, "content": m.content} for m in prompt.messages]
