"""TRL's columns: prompt, prompt / completion, prompt / chosen / rejected, unpaired labels; texts or conversations.

`question` and `answer`, and ShareGPT's `conversations`, are read as `prompt`, `completion` and `messages`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from truing.data.formats import columns
from truing.data.records import Comparison, Demonstration, Prompt, Rating, Record
from truing.data.validate import BadRow, messages, shown, text

PROMPTS = ("prompt", "question")
COMPLETIONS = ("completion", "answer")
CONVERSATIONS = ("messages", "conversations")
# What a file of its rows holds: records of the first class of which there are any
HOLDS = {Comparison: "comparisons", Rating: "labels", Demonstration: "demonstrations"}
COLUMNS = (*PROMPTS, *COMPLETIONS, *CONVERSATIONS, *columns.COMPARED, *columns.PROMPT, *columns.JUDGED)


def matches(row: dict[str, Any]) -> bool:
    """Whether a column is TRL's."""
    return any(column in row for column in (*PROMPTS, *COMPLETIONS, *CONVERSATIONS, "chosen", "rejected"))


def records_of(row: dict[str, Any]) -> list[Record]:
    """What the row says. An answer or a whole conversation beside a preference (UltraFeedback's way) counts too."""
    asked, said, talk = (_first(row, names) for names in (PROMPTS, COMPLETIONS, CONVERSATIONS))
    found: list[Record] = []
    if "chosen" in row or "rejected" in row:
        for key in ("chosen", "rejected"):
            if key not in row:
                raise BadRow(f'"{key}" is missing')
        if talk and not asked and isinstance(row["chosen"], dict):
            asked, talk = talk, ""  # ShareGPT's way: the conversation is what the two messages answer
        compared = _comparison(row, asked)
        found.append(compared)
        if said:
            found.append(columns.answered(row, compared.prompt, _answer(row, said, compared.prompt)))
    if talk:
        found.append(_conversation(row, talk))
    if found:
        return found
    if not asked:
        raise BadRow('"prompt" is missing')
    prompt = columns.prompt_of(row, asked)
    return [columns.answered(row, prompt, _answer(row, said, prompt))] if said else [prompt]


def row_of(record: Record) -> dict[str, Any]:
    """The record in TRL's conversational columns. Rankings, flags and conversations have none."""
    if isinstance(record, Prompt):
        return {"prompt": columns.turns_of(record), **columns.carried(record)}
    row: dict[str, Any]
    if isinstance(record, Demonstration) and record.conversation:
        return {"messages": columns.turns_of(record.prompt) + _said(record.response), **columns.carried(record)}
    if isinstance(record, Demonstration):
        row = {"completion": _said(record.response)}
    elif isinstance(record, Comparison):
        row = {"chosen": _said(record.chosen), "rejected": _said(record.rejected), "margin": record.margin}
    elif isinstance(record, Rating) and columns.is_label(record):
        row = {"completion": _said(record.response), "label": bool(record.value)}
    else:
        raise BadRow(f"TRL's columns cannot hold a {type(record).__name__}{_of(record)}")
    return {"prompt": columns.turns_of(record.prompt), **row, **columns.carried(record)}


def _of(record: Record) -> str:
    return f" of {record.value:g} on the scale {record.low:g} to {record.high:g}" if isinstance(record, Rating) else ""


def _first(row: dict[str, Any], names: Sequence[str]) -> str:
    return next((name for name in names if name in row), "")


def _comparison(row: dict[str, Any], asked: str) -> Comparison:
    if asked:
        prompt = columns.prompt_of(row, asked)
        return columns.comparison(row, prompt, _answer(row, "chosen", prompt), _answer(row, "rejected", prompt))
    if isinstance(row["chosen"], str) and isinstance(row["rejected"], str):
        # TRL would cut the two texts where they begin to differ; that is in the middle of the answers as often as not.
        raise BadRow('"prompt" is missing: where "chosen" and "rejected" are texts it must be a column of its own')
    chosen, rejected = (messages(row[key], key) for key in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1] or len(chosen) < 2:
        raise BadRow('"chosen" and "rejected" must be the same conversation up to their last message')
    if not chosen[-1].role == rejected[-1].role == "assistant":
        raise BadRow('the last message of "chosen" and "rejected" must be the assistant\'s')
    prompt = columns.prompt_after(row, chosen[:-1])
    return columns.comparison(row, prompt, chosen[-1].content, rejected[-1].content)


def _conversation(row: dict[str, Any], key: str) -> Record:
    turns = messages(row[key], key)
    if turns[-1].role != "assistant":
        return columns.prompt_after(row, turns)
    if len(turns) < 2:
        raise BadRow(f'"{key}" holds an answer to nothing')
    one = columns.answered(row, columns.prompt_after(row, turns[:-1]), turns[-1].content)
    if isinstance(one, Demonstration) and any(turn.role == "assistant" for turn in turns[:-1]):
        return replace(one, conversation=True)
    return one


def _answer(row: dict[str, Any], key: str, prompt: Prompt) -> str:
    value = row[key]
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list | tuple):
        return text(row, key)
    turns = messages(value, key)
    before = turns[:-1]
    if turns[-1].role != "assistant" or before != prompt.messages[len(prompt.messages) - len(before) :]:
        raise BadRow(f'"{key}" must be one message of the assistant, or the prompt and it, not {shown(value)}')
    return turns[-1].content


def _said(answer: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": answer}]
