"""Argilla's records: fields shown, and people's responses to questions about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from truing.data.records import Comparison, Demonstration, Message, Prompt, Ranking, Rating, Record
from truing.data.validate import BadRow, is_number, messages, shown

PROMPTS = ("prompt", "instruction", "question", "input", "context", "conversation", "messages")
NEITHER = ("tie", "both", "none", "equal", "same", "neither")


def matches(row: dict[str, Any]) -> bool:
    """Whether the row is a record as Argilla exports it: `fields` and `responses`."""
    return isinstance(row.get("fields"), dict) and isinstance(row.get("responses"), dict)


def records_of(row: dict[str, Any]) -> list[Record]:
    """Rankings, choices between answers, ratings and texts, each by the person who submitted it.

    An answer is a field that is not the prompt. A question whose value is a list is a ranking of fields; a text that
    names a field is a choice between two; a number rates the field that the question's name ends with, or the only one;
    any other text in answer to a question about no answer is a demonstration. Drafts and discarded ones do not count.
    """
    fields = {name: value for name, value in row["fields"].items() if isinstance(value, str | list) and value}
    asked = next((name for name in PROMPTS if name in fields), None)
    if asked is None:
        raise BadRow(
            f"no field is a prompt: there are {shown(list(fields))}; one must be named {', '.join(PROMPTS[:3])} …"
        )
    given = fields.pop(asked)
    prompt = Prompt(messages(given, asked) if isinstance(given, list) else (Message("user", given),))
    answers = {name: value for name, value in fields.items() if isinstance(value, str)}
    found: list[Record] = []
    for question, responses in row["responses"].items():
        if not isinstance(responses, list):
            raise BadRow(f'"responses": {question} must hold a list of responses, not {shown(responses)}')
        for response in responses:
            if isinstance(response, dict) and response.get("status", "submitted") == "submitted":
                found += _said(prompt, answers, question, response.get("value"), str(response.get("user_id") or ""))
    return found or [prompt]


def _said(prompt: Prompt, answers: dict[str, str], question: str, value: Any, person: str) -> Iterator[Record]:
    if isinstance(value, list):
        yield _ranking(prompt, answers, question, value, person)
    elif isinstance(value, str) and value in answers:
        others = [text for name, text in answers.items() if name != value]
        if len(others) != 1:
            raise BadRow(f"{question}: a choice is between two answers, and there are {len(answers)}")
        yield Comparison(prompt, answers[value], others[0], annotator=person, criterion=question, origin="argilla")
    elif isinstance(value, str) and len(answers) == 2 and value.lower() in NEITHER:
        one, two = answers.values()
        yield Comparison(prompt, one, two, 0.5, annotator=person, criterion=question, origin="argilla")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if not is_number(value):
            raise BadRow(f"{question}: a rating must be a number, not {shown(value)}")
        named = [text for name, text in answers.items() if question.endswith(name)] or list(answers.values())
        if len(named) != 1:
            raise BadRow(f"{question}: it is not clear which of the {len(answers)} answers the rating is of")
        yield Rating(prompt, named[0], float(value), 1.0, max(5.0, float(value)), question, person)
    elif isinstance(value, str) and value.strip() and not answers:
        yield Demonstration(prompt, value, person)


def _ranking(prompt: Prompt, answers: dict[str, str], question: str, value: list[Any], person: str) -> Ranking:
    """`[{"value": field, "rank": 1}, …]`, where a rank may be shared, or fields in order."""
    ranks: dict[str, int] = {}
    for place, one in enumerate(value, start=1):
        name, rank = (one.get("value"), one.get("rank")) if isinstance(one, dict) else (one, place)
        if name not in answers or not isinstance(rank, int):
            raise BadRow(f"{question}: {shown(one)} ranks none of {', '.join(answers)}")
        ranks[name] = rank
    if len(ranks) < 2:
        raise BadRow(f"{question}: a ranking needs two answers or more, not {shown(value)}")
    tier: dict[int, int] = defaultdict(int, {rank: i for i, rank in enumerate(sorted(set(ranks.values())))})
    said, tiers = tuple(answers[name] for name in ranks), tuple(tier[rank] for rank in ranks.values())
    return Ranking(prompt, said, tiers, question, person, "argilla")
