"""TRL's columns: prompt, prompt / completion, prompt / chosen / rejected, unpaired labels; texts or conversations."""

from __future__ import annotations

from typing import Any

from truing.data.records import Comparison, Demonstration, Edit, Message, Prompt, Rating, Record
from truing.data.validate import BadRow, messages, number, shown, text

ANSWERS = ("completion", "chosen", "rejected")


def matches(row: dict[str, Any]) -> bool:
    """Whether the columns are TRL's."""
    return "prompt" in row or "messages" in row or {"chosen", "rejected"} <= row.keys()


def records_of(row: dict[str, Any]) -> list[Record]:
    """What the row says."""
    if "messages" in row:
        turns = messages(row["messages"], "messages")
        if turns[-1].role == "assistant" and len(turns) > 1:
            return [Demonstration(Prompt(turns[:-1]), turns[-1].content)]
        return [Prompt(turns)]
    if "prompt" not in row:
        return [_implicit(row)]
    prompt = Prompt(_turns(row, "prompt"), tags=_tags(row))
    if "chosen" in row or "rejected" in row:
        chosen, rejected = _answer(row, "chosen"), _answer(row, "rejected")
        return [Comparison(prompt, chosen, rejected, margin=number(row, "margin", 0.0))]
    if "completion" in row:
        answer = _answer(row, "completion")
        if "label" in row:
            if not isinstance(row["label"], bool):
                raise BadRow(f'"label" must be true or false, not {shown(row["label"])}')
            return [Rating(prompt, answer, float(row["label"]), 0.0, 1.0)]
        return [Demonstration(prompt, answer)]
    return [prompt]


def row_of(record: Record) -> dict[str, Any]:
    """The record in TRL's conversational columns. Rankings, flags and conversations have none."""
    if isinstance(record, Prompt):
        return {"prompt": _list(record.messages)}
    if isinstance(record, Demonstration):
        return {"prompt": _list(record.prompt.messages), "completion": _said(record.response)}
    if isinstance(record, Edit):
        record = Comparison(record.prompt, record.after, record.before)
    if isinstance(record, Comparison):
        pair = {"chosen": _said(record.chosen), "rejected": _said(record.rejected), "margin": record.margin}
        return {"prompt": _list(record.prompt.messages), **pair}
    if isinstance(record, Rating) and (record.low, record.high) == (0.0, 1.0):
        return {
            "prompt": _list(record.prompt.messages),
            "completion": _said(record.response),
            "label": record.value > 0.5,
        }
    raise BadRow(f"TRL's columns cannot hold a {type(record).__name__}")


def _implicit(row: dict[str, Any]) -> Comparison:
    """Conversations that share everything but the last answer."""
    chosen, rejected = (messages(row[key], key) for key in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1] or len(chosen) < 2:
        raise BadRow('"chosen" and "rejected" must be the same conversation up to their last message')
    return Comparison(Prompt(chosen[:-1]), chosen[-1].content, rejected[-1].content, margin=number(row, "margin", 0.0))


def _turns(row: dict[str, Any], key: str) -> tuple[Message, ...]:
    return (
        (Message("user", text(row, key)),) if isinstance(row[key], str) or row[key] is None else messages(row[key], key)
    )


def _answer(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    if isinstance(value, list | tuple):
        turns = messages(value, key)
        if len(turns) != 1 or turns[0].role != "assistant":
            raise BadRow(f'"{key}" must be one message of the assistant, not {shown(value)}')
        return turns[0].content
    return text(row, key)


def _tags(row: dict[str, Any]) -> tuple[str, ...]:
    tags = row.get("tags", ())
    if not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
        raise BadRow(f'"tags" must be a list of texts, not {shown(tags)}')
    return tuple(tags)


def _list(turns: tuple[Message, ...]) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in turns]


def _said(answer: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": answer}]
