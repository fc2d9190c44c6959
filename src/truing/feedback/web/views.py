"""A task as the browser gets it: everything needed to judge, nothing of who wrote it or what others said."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from truing.feedback.store import content, events, projects, queue, tasks
from truing.feedback.store.database import StoredRow, now
from truing.feedback.tasks import kinds, leases
from truing.feedback.tasks.kinds import chat
from truing.feedback.web.safe_text import markdown
from truing.feedback.web.site import Site

FLAGS = [
    {"name": "harmful", "words": "Harmful or unsafe"},
    {"name": "false", "words": "Says what is not so"},
    {"name": "personal", "words": "Private data"},
    {"name": "broken", "words": "Broken or unreadable"},
]


def task(connection: Connection, site: Site, identity: str) -> dict[str, Any]:
    """The assignment as JSON: the conversation, the answers in the order fixed for it, the questions."""
    row = leases.assignment(connection, identity)
    config = {**projects.settings(connection, row.project_id), **row.config}
    parent = _parent(connection, row)
    kind = kinds.TABLE[row.kind]
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
        "flags": config.get("flags", FLAGS),
        "keep_best": kind.keep_best if len(row.shown_order) > kind.keep_best > 0 else None,
        "turns": kind.turns,
        "onboarding": row.gold and tasks.is_quiz(connection, row.task_id),
        "reviewed": _reviewed(connection, row) if row.reviews_id else None,
        "lease_s": site.lease_s,
    }


def turn(role: str, text: str, site: Site) -> dict[str, Any]:
    """One message of a conversation."""
    return {"role": role, "text": text, "html": markdown(text) if site.show_markdown else None}


def answers(connection: Connection, site: Site, order: list[str]) -> list[dict[str, Any]]:
    """Answers by id, in this order: their text and nothing else."""
    texts = content.texts(connection, order)
    html = markdown if site.show_markdown else lambda text: None
    return [{"id": identity, "text": texts[identity], "html": html(texts[identity])} for identity in order]


def progress(connection: Connection, site: Site, person: str) -> dict[str, int]:
    """Labels of this person, in all and of the last day; tasks open to them, with those they have; tasks there are."""
    mine, today = events.count_of_person(connection, site.project, person, now() - 86_400)
    left, total = queue.count_left(connection, site.project, person)
    return {"mine": mine, "today": today, "left": left, "total": total}


def _parent(connection: Connection, row: StoredRow) -> str | None:
    """The turn that the answers, or the next words of a chat, follow."""
    if kinds.TABLE[row.kind].turns:
        return last_turn(connection, row.id)
    return row.parent_id


def last_turn(connection: Connection, identity: str) -> str | None:
    """The answer chosen last in a chat that stands; the conversation goes on from it."""
    turns = events.payloads(connection, identity, chat.TURN)
    return turns[0]["goes_on"] if turns else None


def _reviewed(connection: Connection, row: StoredRow) -> dict[str, str]:
    """What the other person said, in words that name answers by their letters here."""
    said = events.event(connection, row.reviews_id)
    letter = {identity: chr(65 + place) for place, identity in enumerate(row.shown_order)}
    payload = kinds.stored(said.kind, said.payload)
    words = kinds.EVENTS[said.kind].words
    told = words(payload, letter) if words else ""
    return {"words": f"{told} ({payload.reason})" if payload.reason else told}


def quiz(connection: Connection, site: Site, person: str) -> dict[str, Any]:
    """Whether the quiz is still before this person, and how much of it."""
    left = queue.count_free(connection, "quiz", site.project, person, now())
    return {"needed": left > 0, "left": left}
