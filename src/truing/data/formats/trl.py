"""TRL's columns: prompt, prompt / completion, prompt / chosen / rejected, unpaired labels; texts or conversations."""

from __future__ import annotations

from typing import Any

from truing.data.records import Comparison, Demonstration, Edit, Message, Prompt, Rating, Record
from truing.data.validate import BadRow, messages, number, shown, text

COLUMNS = ("prompt", "messages", "completion", "chosen", "rejected")


def matches(row: dict[str, Any]) -> bool:
    """Whether a column is TRL's."""
    return any(column in row for column in COLUMNS)


def records_of(row: dict[str, Any]) -> list[Record]:
    """What the row says. With the whole conversation beside a preference (UltraFeedback's way), both count."""
    found: list[Record] = []
    if "chosen" in row or "rejected" in row:
        found.append(_comparison(row))
    if "messages" in row:
        found.append(_conversation(row))
    if found:
        return found
    if "prompt" not in row:
        raise BadRow('"prompt" is missing')
    prompt = Prompt(_turns(row, "prompt"), tags=_tags(row))
    if "completion" not in row:
        return [prompt]
    answer = _answer(row, "completion", prompt)
    if "label" not in row:
        return [Demonstration(prompt, answer)]
    if not isinstance(row["label"], bool):
        raise BadRow(f'"label" must be true or false, not {shown(row["label"])}')
    return [Rating(prompt, answer, float(row["label"]), 0.0, 1.0)]


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


def _comparison(row: dict[str, Any]) -> Comparison:
    for key in ("chosen", "rejected"):
        if key not in row:
            raise BadRow(f'"{key}" is missing')
    margin = number(row, "margin", 0.0)
    if "prompt" in row:
        prompt = Prompt(_turns(row, "prompt"), tags=_tags(row))
        return Comparison(prompt, _answer(row, "chosen", prompt), _answer(row, "rejected", prompt), margin=margin)
    if isinstance(row["chosen"], str) and isinstance(row["rejected"], str):
        # TRL would cut the two texts where they begin to differ; that is in the middle of the answers as often as not.
        raise BadRow('"prompt" is missing: where "chosen" and "rejected" are texts it must be a column of its own')
    chosen, rejected = (messages(row[key], key) for key in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1] or len(chosen) < 2:
        raise BadRow('"chosen" and "rejected" must be the same conversation up to their last message')
    if not chosen[-1].role == rejected[-1].role == "assistant":
        raise BadRow('the last message of "chosen" and "rejected" must be the assistant\'s')
    return Comparison(Prompt(chosen[:-1], tags=_tags(row)), chosen[-1].content, rejected[-1].content, margin=margin)


def _conversation(row: dict[str, Any]) -> Record:
    turns = messages(row["messages"], "messages")
    if turns[-1].role != "assistant":
        return Prompt(turns, tags=_tags(row))
    if len(turns) < 2:
        raise BadRow('"messages" holds an answer to nothing')
    return Demonstration(Prompt(turns[:-1], tags=_tags(row)), turns[-1].content)


def _turns(row: dict[str, Any], key: str) -> tuple[Message, ...]:
    if isinstance(row[key], str) or row[key] is None:
        return (Message("user", text(row, key)),)
    return messages(row[key], key)


def _answer(row: dict[str, Any], key: str, prompt: Prompt) -> str:
    value = row.get(key)
    if not isinstance(value, list | tuple):
        return text(row, key)
    turns = messages(value, key)
    if turns[:-1] not in ((), prompt.messages) or turns[-1].role != "assistant":
        raise BadRow(f'"{key}" must be one message of the assistant, or the prompt and it, not {shown(value)}')
    return turns[-1].content


def _tags(row: dict[str, Any]) -> tuple[str, ...]:
    tags = row.get("tags", ())
    if not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
        raise BadRow(f'"tags" must be a list of texts, not {shown(tags)}')
    return tuple(tags)


def _list(turns: tuple[Message, ...]) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in turns]


def _said(answer: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": answer}]
