"""Argilla's records, nested or flat: fields shown, and people's responses to questions about them."""

from __future__ import annotations

from typing import Any

from truing.data.formats import columns
from truing.data.records import Comparison, Demonstration, Prompt, Ranking, Rating, Record
from truing.data.validate import BadRow, Said, Unread, is_number, is_whole, shown, understood, usable

PROMPTS = ("prompt", "instruction", "question", "input", "context", "conversation", "messages")
NEITHER = ("tie", "both", "none", "equal", "same", "neither")
SAID = ".responses"  # ends the column of a question in a flat row
OWN = ("id", "status", "_server_id", "external_id", "metadata", "inserted_at", "updated_at")
COLUMNS = ()  # fields have names of the project's own


def matches(row: dict[str, Any]) -> bool:
    """Whether the row is a record as Argilla exports it: `fields` and `responses`, or columns `….responses`."""
    return _is_nested(row) or any(key.endswith(SAID) for key in row)


def _is_nested(row: dict[str, Any]) -> bool:
    return isinstance(row.get("fields"), dict) and isinstance(row.get("responses"), dict)


def records_of(row: dict[str, Any]) -> list[Said]:
    """Rankings, choices between answers, ratings and texts, each by the person who submitted it.

    An answer is a field that is not the prompt. A question whose value is a list is a ranking of fields; a text that
    names a field is a choice between two; a number rates the field that the question's name ends with, or the only one;
    any other text in answer to a question about no answer is a demonstration. Drafts and discarded ones do not count.
    A response that cannot be used costs no other.
    """
    nested = _is_nested(row)
    there = row["fields"] if nested else {name: row[name] for name in row if "." not in name and name not in OWN}
    fields = {name: value for name, value in there.items() if isinstance(value, str | list) and value}
    asked = next((name for name in PROMPTS if name in fields), None)
    if asked is None:
        raise BadRow(
            f"no field is a prompt: there are {shown(list(fields))}; one must be named {', '.join(PROMPTS[:3])} …"
        )
    prompt = columns.prompt_of(fields, asked)
    others = {name: value for name, value in fields.items() if name not in (asked, *columns.PROMPT)}
    answers = {name: value for name, value in others.items() if isinstance(value, str)}
    questions = row["responses"] if nested else [key.removesuffix(SAID) for key in row if key.endswith(SAID)]

    def answered(question: str) -> list[Said]:
        responses = row["responses"][question] if nested else _flat_responses(row, f"{question}{SAID}")
        if not isinstance(responses, list):
            raise BadRow(f'"responses": {question} must hold a list of responses, not {shown(responses)}')
        return [said for one in responses for said in usable(_response, prompt, answers, question, one)]

    return understood([said for question in questions for said in usable(answered, question)], prompt)


def _flat_responses(row: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """A flat row's responses to a question as nested ones: beside the values stand `….users` and `….status`."""
    parts = {"value": row[key], "user_id": row.get(f"{key}.users"), "status": row.get(f"{key}.status")}
    there = {name: part for name, part in parts.items() if part is not None}
    if not all(isinstance(part, list) and len(part) == len(row[key]) for part in there.values()):
        raise BadRow(f'"{key}" and what stands beside it must be lists of one length, not {shown(parts)}')
    return [dict(zip(there, one, strict=True)) for one in zip(*there.values(), strict=True)]


def _response(prompt: Prompt, answers: dict[str, str], question: str, response: Any) -> list[Said]:
    if not isinstance(response, dict):
        raise BadRow(f'"responses": {question} must hold objects with a value, not {shown(response)}')
    value, person = response.get("value"), str(response.get("user_id") or "")
    if response.get("status", "submitted") != "submitted" or value is None or not str(value).strip():
        return []
    return [_said(prompt, answers, question, value, person)]


def _said(prompt: Prompt, answers: dict[str, str], question: str, value: Any, person: str) -> Record | Unread:
    if isinstance(value, str) and value in answers:
        others = [text for name, text in answers.items() if name != value]
        if len(others) != 1:
            raise BadRow(f"{question}: a choice is between two answers, and there are {len(answers)}")
        return Comparison(prompt, answers[value], others[0], annotator=person, criterion=question, origin="argilla")
    if isinstance(value, str) and len(answers) == 2 and value.lower() in NEITHER:
        one, two = answers.values()
        return Comparison(prompt, one, two, 0.5, annotator=person, criterion=question, origin="argilla")
    if isinstance(value, str) and not answers:
        return Demonstration(prompt, value, person)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _rating(prompt, answers, question, value, person)
    if isinstance(value, list) and (not value or any(isinstance(one, dict) or str(one) in answers for one in value)):
        return _ranking(prompt, answers, question, value, person)
    return Unread(f'question "{question}"')


def _rating(prompt: Prompt, answers: dict[str, str], question: str, value: float, person: str) -> Rating:
    if not is_number(value):
        raise BadRow(f"{question}: a rating must be a number, not {shown(value)}")
    named = [text for name, text in answers.items() if question.endswith(name)] or list(answers.values())
    if len(named) != 1:
        raise BadRow(f"{question}: it is not clear which of the {len(answers)} answers the rating is of")
    return Rating(prompt, named[0], float(value), min(1.0, float(value)), max(5.0, float(value)), question, person)


def _ranking(prompt: Prompt, answers: dict[str, str], question: str, value: list[Any], person: str) -> Ranking:
    """`[{"value": field, "rank": 1}, …]`, where a rank may be shared, or fields in order."""
    ranks: dict[str, int] = {}
    for place, one in enumerate(value, start=1):
        name, rank = (one.get("value"), one.get("rank")) if isinstance(one, dict) else (one, place)
        if not isinstance(name, str) or name not in answers or not is_whole(rank):
            raise BadRow(f"{question}: {shown(one)} ranks none of {', '.join(answers)}")
        ranks[name] = rank
    if len(ranks) < 2:
        raise BadRow(f"{question}: a ranking needs two answers or more, not {shown(value)}")
    tier = {rank: i for i, rank in enumerate(sorted(set(ranks.values())))}
    said, tiers = tuple(answers[name] for name in ranks), tuple(tier[rank] for rank in ranks.values())
    return Ranking(prompt, said, tiers, question, person, "argilla")
