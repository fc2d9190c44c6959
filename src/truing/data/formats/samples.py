"""Answers beside their prompt: the rows of a run's samples.jsonl (prompt, response, score), and lists of responses."""

from __future__ import annotations

from typing import Any

from truing.data.formats import columns
from truing.data.records import Conversation, Record, Response
from truing.data.validate import BadRow, number, shown

ASKED, SAID = ("prompt", "question"), ("response", "responses")
COLUMNS = (*ASKED, *SAID, "score", "step", "phase", *columns.PROMPT, *columns.JUDGED)


def matches(row: dict[str, Any]) -> bool:
    """Whether the row holds a prompt and responses, and no column that says more of answers."""
    others = {"chosen", "rejected", "completion", "answer", "messages", "conversations"}
    return any(key in row for key in ASKED) and any(key in row for key in SAID) and not others & row.keys()


def records_of(row: dict[str, Any]) -> list[Record]:
    """A conversation of the answers; a judgement of the only one where the row has a label."""
    prompt = columns.prompt_of(row, next(key for key in ASKED if key in row))
    said = [row["response"]] if "response" in row else row["responses"]
    if not isinstance(said, list) or not said or not all(isinstance(one, str) for one in said):
        raise BadRow(f'"response" must be a text and "responses" a list of texts, not {shown(said)}')
    if any(label in row for label in columns.LABELS):
        if len(said) > 1:
            raise BadRow(f"a label judges one answer, and there are {len(said)}")
        return [columns.answered(row, prompt, said[0])]
    score = number(row, "score") if "score" in row else None
    return [Conversation(prompt, tuple(Response(one, score=score) for one in said))]
