"""Label Studio's JSON export: tasks with their data, and annotations with results of named controls."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from truing.data.formats import columns
from truing.data.records import Comparison, Demonstration, Prompt, Ranking, Rating
from truing.data.validate import BadRow, Said, Unread, is_number, shown, understood, usable

PROMPTS = ("prompt", "instruction", "question", "input", "text")
UNSORTED = "_"  # the ranker's bucket of what nobody moved
READ = ("pairwise", "ranker", "rating", "textarea")  # types of results
GIVEN = (Comparison, Ranking, Rating, Demonstration)
COLUMNS = ()  # fields have names of the project's own


def matches(row: dict[str, Any]) -> bool:
    """Whether the row is a task as Label Studio exports it: `data` and `annotations`, or a row of its JSON_MIN."""
    whole = isinstance(row.get("data"), dict) and isinstance(row.get("annotations"), list)
    return whole or {"annotation_id", "annotator"} <= row.keys()


@dataclass(frozen=True)
class _Task:
    """What is asked: the prompt, where it stands in the data, the texts beside it by name, listed items by id."""

    prompt: Prompt
    asked: str
    texts: dict[str, str]
    items: dict[str, str]


def records_of(row: dict[str, Any]) -> list[Said]:
    """What each person's annotation says; a skipped (cancelled) one says nothing. An unusable one costs no other.

    `pairwise` chooses the left or right of the two fields of data that `to_name` names, in its order; `ranker` orders a
    list of objects with `id` and `body` or `text`; `rating` rates the field it names, or the only answer; `textarea` is
    a demonstration where it is of the prompt or there are no answers.
    """
    if "data" not in row:
        raise BadRow("Label Studio's JSON_MIN does not say which answer stood left: export the project as JSON")
    task = _task(row["data"])
    found = [said for annotation in row["annotations"] for said in usable(_of_person, task, annotation)]
    return understood(found, task.prompt)


def _of_person(task: _Task, annotation: Any) -> list[Said]:
    if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
        raise BadRow(f'"annotations": each must have a "result", not {shown(annotation)}')
    if annotation.get("was_cancelled"):
        return []
    person, time = _person(annotation.get("completed_by")), _time(annotation.get("created_at"))
    said = [one for result in annotation["result"] for one in usable(_said, task, result, person)]
    return [replace(one, time=time) if isinstance(one, GIVEN) else one for one in said]


def _task(data: dict[str, Any]) -> _Task:
    asked = next((name for name in PROMPTS if isinstance(data.get(name), str) and data[name].strip()), None)
    if asked is None:
        raise BadRow(f"no field of data is a prompt: there are {shown(list(data))}; one must be named {PROMPTS[0]} …")
    texts: dict[str, str] = {}
    items: dict[str, str] = {}
    for name, value in data.items():
        if name in (asked, *columns.PROMPT):
            continue
        if isinstance(value, str) and value.strip():
            texts[name] = value
        for item in value if isinstance(value, list) else ():
            text = item.get("body") or item.get("text") if isinstance(item, dict) else None
            if isinstance(text, str) and items.setdefault(str(item.get("id")), text) != text:
                raise BadRow(f'"data": two items have the id {shown(item.get("id"))}')
    return _Task(columns.prompt_of(data, asked), asked, texts, items)


def _said(task: _Task, result: Any, person: str) -> list[Said]:
    if not isinstance(result, dict):
        raise BadRow(f'"result": each must be an object, not {shown(result)}')
    kind, value, named = result.get("type"), result.get("value"), str(result.get("to_name", ""))
    if kind not in READ:  # a relation has no value
        return [_unread(result)]
    if not isinstance(value, dict):
        raise BadRow(f'"result": it has no value: {shown(result)}')
    if kind == "pairwise":
        return [_pair(task, value.get("selected"), named.split(","), person)]
    if kind == "ranker":
        return [_ranking(task, value.get("ranker"), person)]
    if kind == "rating" and named != task.asked:
        return [_rating(task, value.get("rating"), named, person)]
    if kind == "textarea" and (named == task.asked or not (task.texts or task.items)):
        texts = value.get("text") or []
        said = [str(text) for text in (texts if isinstance(texts, list) else [texts])]
        return [Demonstration(task.prompt, text, person) for text in said if text.strip()]
    return [_unread(result)]


def _unread(result: dict[str, Any]) -> Unread:
    return Unread(" ".join([str(result.get("type")), *([f'"{result["from_name"]}"'] if "from_name" in result else [])]))


def _pair(task: _Task, side: object, named: list[str], person: str) -> Comparison:
    sides = [task.texts.get(name.strip()) for name in named]
    if len(sides) != 2 or None in sides or side not in ("left", "right"):
        raise BadRow(
            f'pairwise: {shown(side)} of "to_name" {shown(",".join(named))}: it must be left or right of two fields of '
            f"data, which are {', '.join(task.texts) or 'none'}; name the tags as the fields they show"
        )
    chosen, rejected = sides if side == "left" else sides[::-1]
    return Comparison(task.prompt, str(chosen), str(rejected), annotator=person, origin="label_studio")


def _ranking(task: _Task, ranked: Any, person: str) -> Ranking:
    """The order in the only bucket that things were moved to; several have no order among them that the file tells."""
    buckets = ranked if isinstance(ranked, dict) else {"": ranked}
    moved = [ids for name, ids in buckets.items() if name != UNSORTED and ids]
    ids: Any = moved[0] if len(moved) == 1 else None
    if not isinstance(ids, list) or len({str(i) for i in ids}) < 2 or any(str(i) not in task.items for i in ids):
        raise BadRow(f"ranker: {shown(ranked)} does not order the answers {', '.join(task.items) or 'of any list'}")
    said = tuple(task.items[str(i)] for i in ids)
    return Ranking(task.prompt, said, tuple(range(len(said))), annotator=person, origin="label_studio")


def _rating(task: _Task, value: object, named: str, person: str) -> Rating:
    answers = [task.texts[named]] if named in task.texts else [*task.texts.values(), *task.items.values()]
    if len(answers) != 1 or not is_number(value):
        raise BadRow(f"rating: {shown(value)} must be a number, of one answer; there are {len(answers)}")
    value = float(value)
    return Rating(task.prompt, answers[0], value, min(1.0, value), max(5.0, value), annotator=person)


def _time(written: object) -> float:
    """Seconds since 1970 of a time such as 2026-11-30T12:00:00Z, of UTC where it names no zone; 0 where it is none."""
    try:
        time = datetime.fromisoformat(str(written))
    except ValueError:
        return 0.0
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _person(who: object) -> str:
    return str(who.get("email") or who.get("id") or "") if isinstance(who, dict) else "" if who is None else str(who)
