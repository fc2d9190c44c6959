"""Label Studio's JSON export: tasks with their data, and annotations with results of named controls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from truing.data.records import Comparison, Demonstration, Message, Prompt, Ranking, Rating, Record
from truing.data.validate import BadRow, shown

PROMPTS = ("prompt", "instruction", "question", "input", "text")


def matches(row: dict[str, Any]) -> bool:
    """Whether the row is a task as Label Studio exports it: `data` and `annotations`."""
    return isinstance(row.get("data"), dict) and isinstance(row.get("annotations"), list)


def records_of(row: dict[str, Any]) -> list[Record]:
    """What each person's annotation says; a skipped (cancelled) one says nothing.

    Answers are the texts of `data` besides the prompt, in their order; a list of objects with `id` and `body` or `text`
    (the ranker's) are answers too. `pairwise` chooses the left or right of two; `ranker` orders by id; `rating` rates a
    single answer; `textarea` is a demonstration.
    """
    data = row["data"]
    asked = next((name for name in PROMPTS if isinstance(data.get(name), str) and data[name].strip()), None)
    if asked is None:
        raise BadRow(f"no field of data is a prompt: there are {shown(list(data))}; one must be named {PROMPTS[0]} …")
    prompt = Prompt((Message("user", data[asked]),))
    answers = _answers({name: value for name, value in data.items() if name != asked})
    found: list[Record] = []
    for annotation in row["annotations"]:
        if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
            raise BadRow(f'"annotations": each must have a "result", not {shown(annotation)}')
        if not annotation.get("was_cancelled"):
            for result in annotation["result"]:
                found += _said(prompt, answers, result, _person(annotation.get("completed_by")))
    return found or [prompt]


def _answers(data: dict[str, Any]) -> dict[str, str]:
    answers: dict[str, str] = {}
    for name, value in data.items():
        if isinstance(value, str) and value.strip():
            answers[name] = value
        elif isinstance(value, list):
            for item in value:
                text = item.get("body") or item.get("text") if isinstance(item, dict) else None
                if isinstance(text, str):
                    answers[str(item.get("id"))] = text
    return answers


def _said(prompt: Prompt, answers: dict[str, str], result: dict[str, Any], person: str) -> Iterator[Record]:
    kind, value = result.get("type"), result.get("value")
    if not isinstance(value, dict):
        raise BadRow(f'"result": it has no value: {shown(result)}')
    texts = list(answers.values())
    if kind == "pairwise":
        side = value.get("selected")
        if len(texts) != 2 or side not in ("left", "right"):
            raise BadRow(f"pairwise: {shown(side)} of {len(texts)} answers; it must be left or right of two")
        chosen, rejected = texts if side == "left" else texts[::-1]
        yield Comparison(prompt, chosen, rejected, annotator=person, origin="label_studio")
    elif kind == "ranker":
        ranked = value.get("ranker")
        ids: Any = next(iter(ranked.values()), []) if isinstance(ranked, dict) else ranked
        if not isinstance(ids, list) or len(ids) < 2 or any(str(i) not in answers for i in ids):
            raise BadRow(f"ranker: {shown(ranked)} does not order the answers {', '.join(answers)}")
        said = tuple(answers[str(i)] for i in ids)
        yield Ranking(prompt, said, tuple(range(len(said))), annotator=person, origin="label_studio")
    elif kind == "rating" and len(texts) == 1 and isinstance(value.get("rating"), int):
        yield Rating(prompt, texts[0], value["rating"], 1, max(5, value["rating"]), annotator=person)
    elif kind == "textarea":
        for text in value.get("text") or []:
            yield Demonstration(prompt, str(text), person)


def _person(who: object) -> str:
    return str(who.get("email") or who.get("id") or "") if isinstance(who, dict) else "" if who is None else str(who)
