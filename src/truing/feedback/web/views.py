"""A task as the browser gets it: everything needed to judge, nothing of who wrote it or what others said."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, case, func, select

from truing.feedback.store import content
from truing.feedback.store import schema as t
from truing.feedback.store.database import now
from truing.feedback.tasks import kinds, leases
from truing.feedback.tasks.kinds import chat
from truing.feedback.web.site import Site
from truing.feedback.web.texts import markdown


def task(connection: Connection, site: Site, identity: str) -> dict[str, Any]:
    """The assignment as JSON: the conversation, the answers in the order fixed for it, the questions."""
    row = leases.assignment(connection, identity)
    project = connection.execute(select(t.project.c.config).where(t.project.c.id == row.project_id)).scalar_one()
    config = {**project, **row.config}
    parent = _parent(connection, row)
    kind = kinds.TABLE[row.kind]
    quiz = row.gold and connection.scalar(select(t.gold.c.onboarding).where(t.gold.c.task_id == row.task_id))
    return {
        "assignment": row.id,
        "kind": row.kind,
        "messages": [
            turn(m["role"], m["content"], site) for m in content.conversation_to(connection, row.prompt_id, parent)
        ],
        "answers": answers(connection, site, row.shown_order),
        "question": config.get("question") or kind.question,
        "criteria": config.get("criteria", []) if kind.criteria else [],
        "scale": kinds.scale_of(kind, config),
        "flags": config.get("flags", content.FLAGS),
        "keep_best": kind.keep_best if len(row.shown_order) > kind.keep_best > 0 else None,
        "turns": kind.turns,
        "onboarding": bool(quiz),
        "reviewed": _reviewed(connection, row) if row.reviews_id else None,
        "lease_s": site.lease_s,
    }


def turn(role: str, text: str, site: Site) -> dict[str, Any]:
    """One message of a conversation."""
    return {"role": role, "text": text, "html": markdown(text) if site.show_markdown else None}


def answers(connection: Connection, site: Site, order: list[str]) -> list[dict[str, Any]]:
    """Answers by id, in this order: their text and nothing else."""
    c = t.message.c
    texts = {row.id: row.content for row in connection.execute(select(c.id, c.content).where(c.id.in_(order)))}
    html = markdown if site.show_markdown else lambda text: None
    return [{"id": identity, "text": texts[identity], "html": html(texts[identity])} for identity in order]


_SAID = (
    select(
        func.count(),
        func.coalesce(func.sum(case((t.annotation.c.created_at >= bindparam("day"), 1), else_=0)), 0),
    )
    .select_from(t.annotation.join(t.task, t.annotation.c.task_id == t.task.c.id))
    .where(t.annotation.c.annotator_id == bindparam("annotator"), t.task.c.project_id == bindparam("project"))
    .where(t.annotation.c.kind != leases.SKIP, *leases.standing())
)
_PLAIN = (t.task.c.project_id == bindparam("project"), t.task.c.gold.is_(False))
_TASKS = select(func.count(), func.coalesce(func.sum(case((t.task.c.state == "open", 1), else_=0)), 0)).where(*_PLAIN)
_OVER = (
    select(func.count())
    .select_from(t.assignment.join(t.task, t.assignment.c.task_id == t.task.c.id))
    .where(*_PLAIN, t.task.c.state == "open", t.assignment.c.state != "leased")
    .where(t.assignment.c.annotator_id == bindparam("annotator"))
)


def progress(connection: Connection, site: Site, person: str) -> dict[str, int]:
    """Labels of this person, in all and of the last day; tasks open to them, with those they have; tasks there are."""
    asked = {"project": site.project, "annotator": person, "day": now() - 86_400}
    mine, today = connection.execute(_SAID, asked).one()
    total, still_open = connection.execute(_TASKS, asked).one()
    # Open ones that this person is done with wait for others; those that others have open just now count as open.
    left = still_open - (connection.scalar(_OVER, asked) or 0)
    return {"mine": mine, "today": today, "left": left, "total": total}


def _parent(connection: Connection, row: Any) -> str | None:
    """The turn that the answers, or the next words of a chat, follow."""
    if kinds.TABLE[row.kind].turns:
        return last_turn(connection, row.id)
    return row.parent_id


def last_turn(connection: Connection, identity: str) -> str | None:
    """The answer chosen last in a chat that stands; the conversation goes on from it."""
    c = t.annotation.c
    turns = select(c.payload).where(c.assignment_id == identity, c.kind == chat.TURN, *leases.standing())
    said = connection.scalar(turns.order_by(c.number.desc()).limit(1))
    return said["goes_on"] if said else None


def _reviewed(connection: Connection, row: Any) -> dict[str, str]:
    """What the other person said, in words that name answers by their letters here."""
    c = t.annotation.c
    said = connection.execute(select(c.kind, c.payload).where(c.id == row.reviews_id)).one()
    letter = {identity: chr(65 + place) for place, identity in enumerate(row.shown_order)}
    payload = kinds.stored(said.kind, said.payload)
    words = kinds.EVENTS[said.kind].words
    told = words(payload, letter) if words else ""
    return {"words": f"{told} ({payload.reason})" if payload.reason else told}


def quiz(connection: Connection, site: Site, person: str) -> dict[str, Any]:
    """Whether the quiz is still before this person, and how much of it."""
    rest = select(func.count()).select_from(leases.free_tasks("quiz").order_by(None).subquery())
    left = connection.scalar(rest, {"project": site.project, "annotator": person, "moment": now()}) or 0
    return {"needed": left > 0, "left": left}
