"""Judgements in and out: other tools' files become annotations, snapshots become files with a manifest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

import truing
from truing.data import formats
from truing.data.formats.convert import ranking_to_comparisons
from truing.data.formats.files import save
from truing.data.records import (
    Comparison,
    Conversation,
    Demonstration,
    Edit,
    Flag,
    Prompt,
    Ranking,
    Rating,
    Record,
    Response,
)
from truing.errors import UserError
from truing.feedback import assign, auth, snapshot, store
from truing.feedback import schema as t
from truing.feedback.database import Database, new_id, now

JUDGEMENTS = (Comparison, Ranking, Rating, Flag, Edit, Demonstration)
AT_ONCE = 200  # records of one transaction: a page that is open meanwhile does not wait for all of them
NOBODY = "imported"
MIDDLE = (0.5, 0.84)  # margins above which a preference is clear, and much
LAYOUTS = ("native", "trl", "hh", "openrlhf", "oasst", "events")


def bring_in(
    db: Database, sources: Sequence[str], project: str, kind: str = "pair", overlap: int = 1,
    report: Callable[[str], None] | None = None,
) -> dict[str, int]:  # fmt: skip
    """Read files of any layout into the store: judgements as annotations of those who made them, prompts and sampled
    answers as open tasks of a kind. What came in before is not taken twice. Returns how many of each were new."""
    records = formats.read(sources, (*JUDGEMENTS, Conversation, Prompt), report=report)
    with db.writing() as connection:
        place = store.open_project(connection, project)
    counted: Counter[str] = Counter()
    for start in range(0, len(records), AT_ONCE):
        with db.writing() as connection:
            people: dict[str, str] = {}
            for record in records[start : start + AT_ONCE]:
                try:
                    # A record that cannot be held leaves nothing half of it behind.
                    with connection.begin_nested():
                        new = _bring(connection, place, record, people, kind, overlap)
                except UserError as error:
                    counted["left out"] += 1
                    if report:
                        report(f"left out: {error}")
                    continue
                counted[type(record).__name__ if new else "already there"] += 1
    return dict(counted)


def take_out(db: Database, project: str, out: Path, layout: str, frozen: str = "") -> dict[str, Any]:
    """Write a snapshot's judgements (a new one of all that stands, if none is named) in a layout, with a manifest
    beside them. Returns the manifest."""
    if layout not in LAYOUTS:
        raise UserError(f"to = {layout!r}: it must be one of {', '.join(LAYOUTS)}")
    with db.writing() as connection:
        place = store.project_named(connection, project)
        frozen = frozen or snapshot.take(connection, place)
        manifest = snapshot.described(connection, frozen)
        records = snapshot.records(connection, frozen)
        events = list(_events(connection, frozen)) if layout == "events" else []
    told: list[str] = []
    if layout == "events":
        rows = save(out, events)
    else:
        rows = formats.write(_for_layout(records, layout), out, layout, told.append)  # type: ignore[arg-type]
    manifest |= {"layout": layout, "rows": rows, "file": out.name, "truing": truing.__version__, "left_out": told}
    manifest["records"] = dict(Counter(type(record).__name__ for record in records))
    manifest["annotators"] = sorted({r.annotator for r in records if not isinstance(r, Prompt | Conversation)})
    path = out.with_name(f"{out.name}.manifest.json")
    path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def _for_layout(records: Sequence[Record], layout: str) -> list[Record]:
    """What a layout can hold of the records."""
    if layout == "native":
        return list(records)
    if layout == "oasst":
        found: list[Record] = [record for record in records if isinstance(record, Ranking)]
    else:
        found = [record for record in records if isinstance(record, Comparison)]
        found += [c for r in records if isinstance(r, Ranking) for c in ranking_to_comparisons(r)]
        found += [
            Comparison(r.prompt, r.after, r.before, annotator=r.annotator, origin="edit")
            for r in records
            if isinstance(r, Edit)
        ]
    if not found:
        held = ", ".join(sorted({type(record).__name__ for record in records}))
        raise UserError(f"there is nothing that the layout {layout} can hold: the snapshot has {held}")
    return found


def _events(connection: Connection, frozen: str) -> Iterator[dict[str, Any]]:
    """The annotations themselves, with the answers as they were shown."""
    c, member = t.annotation.c, t.snapshot_annotation.c
    asked = (
        select(t.annotation, t.assignment.c.shown_order, t.task.c.prompt_id, t.guideline.c.version.label("guideline"))
        .join(member_table := t.snapshot_annotation, member.annotation_id == c.id)
        .join(t.assignment, t.assignment.c.id == c.assignment_id)
        .join(t.task, t.task.c.id == c.task_id)
        .outerjoin(t.guideline, t.guideline.c.id == t.assignment.c.guideline_id)
        .where(member_table.c.snapshot_id == frozen)
        .order_by(c.number)
    )
    m = t.message.c
    for row in connection.execute(asked).all():
        shown = dict(connection.execute(select(m.id, m.content).where(m.id.in_(row.shown_order))).all())  # type: ignore[arg-type]
        yield {
            "id": row.id, "number": row.number, "kind": row.kind, "version": row.version, "payload": row.payload,
            "annotator": row.annotator_id, "created_at": row.created_at, "duration_ms": row.duration_ms,
            "active_ms": row.active_ms, "guideline": row.guideline,
            "prompt": store.conversation_to(connection, row.prompt_id, None),
            "shown": [{"id": one, "text": shown[one]} for one in row.shown_order],
        }  # fmt: skip


def _bring(connection: Connection, project: str, record: Any, people: dict[str, str], kind: str, overlap: int) -> bool:
    """One record into the store; False if it is there already."""
    if isinstance(record, Prompt | Conversation):
        return _bring_task(connection, project, record, kind, overlap)
    key = f"import-{store.digest(json.dumps(asdict(record), sort_keys=True))[:40]}"
    person = _person(connection, record.annotator or NOBODY, people)
    c = t.annotation.c
    if connection.scalar(select(c.id).where(c.annotator_id == person, c.idempotency_key == key)):
        return False
    prompt = store.add_prompt(connection, project, record.prompt, "import")
    asked, texts = _texts(record)
    ids = [_message(connection, prompt, text) for text in texts]
    candidates = store.add_candidates(connection, prompt, ids, selection="import") if ids else None
    config = {"scale": {"low": record.low, "high": record.high, "words": []}} if isinstance(record, Rating) else {}
    task = store.add_task(connection, project, asked, prompt, candidates, config=config)
    moment, identity = now(), new_id()
    connection.execute(
        insert(t.assignment).values(
            id=identity, task_id=task, annotator_id=person, state="leased", leased_at=moment, lease_expires=moment + 1,
            shown_order=ids,
        )
    )  # fmt: skip
    assign.submit(connection, identity, person, _payload(record, ids), key)
    return True


def _bring_task(connection: Connection, project: str, record: Prompt | Conversation, kind: str, overlap: int) -> bool:
    conversation = record if isinstance(record, Conversation) else Conversation(record)
    before = store.counts(connection, project)["prompts"]
    prompt = store.add_prompt(connection, project, conversation.prompt, "import")
    if store.counts(connection, project)["prompts"] == before:
        asked = select(t.task.c.id).where(t.task.c.prompt_id == prompt, t.task.c.kind == kind)
        if connection.scalar(asked):
            return False
    if conversation.responses or kind in ("demo", "chat"):
        store.add_conversation(connection, project, conversation, kind, overlap, "import")
    return True


def _texts(record: Any) -> tuple[str, list[str]]:
    """The kind of task that a record answers, and the answers it is about."""
    if isinstance(record, Comparison):
        return "pair", [record.chosen, record.rejected]
    if isinstance(record, Ranking):
        return "rank", list(record.responses)
    if isinstance(record, Rating):
        return ("binary" if (record.low, record.high) == (0, 1) else "rate"), [record.response]
    if isinstance(record, Flag):
        return "binary", [record.response]
    return ("edit", [record.before]) if isinstance(record, Edit) else ("demo", [])


def _payload(record: Any, ids: Sequence[str]) -> dict[str, Any]:
    if isinstance(record, Comparison):
        winner = 0 if record.target >= 0.5 else 1
        if record.target == 0.5:
            return {"verdict": "tie"}
        clear = max(record.margin, 2 * abs(record.target - 0.5) if record.target not in (0, 1) else 0.0)
        strength = 1 + sum(clear > limit for limit in MIDDLE)
        return {"verdict": "better", "winner": ids[winner], "strength": strength}
    if isinstance(record, Ranking):
        place = {tier: i for i, tier in enumerate(sorted(set(record.tiers)))}
        return {"tiers": {i: place[tier] for i, tier in zip(ids, record.tiers, strict=True)}}
    if isinstance(record, Rating):
        if (record.low, record.high) == (0, 1):
            return {"good": {ids[0]: record.value > 0.5}}
        return {"ratings": {ids[0]: round(record.value)}}
    if isinstance(record, Flag):
        return {"good": {ids[0]: False}, "flags": {ids[0]: [record.name]}}
    if isinstance(record, Edit):
        return {"message": ids[0], "text": record.after}
    return {"text": record.response}


def _person(connection: Connection, name: str, people: dict[str, str]) -> str:
    if name not in people:
        found = auth.person_named(connection, name, "annotator")
        people[name] = found or auth.add_person(connection, name)
    return people[name]


def _message(connection: Connection, prompt: str, text: str) -> str:
    """The answer with this text below the prompt, made if there is none."""
    m = t.message.c
    found = connection.scalar(select(m.id).where(m.prompt_id == prompt, m.parent_id.is_(None), m.content == text))
    return found or store.add_message(connection, prompt, Response(text))
