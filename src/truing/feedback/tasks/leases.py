"""Who is asked what: leases, answers, skips, undo. The one place where two people could get in each other's way.

A task asks `overlap` different people. A lease holds a place for one of them until it expires; a late answer to a lease
that has run out is kept as an extra label. What a person said is an event that stays; taking it back is another.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection

from truing.data.records import Response
from truing.errors import UserError
from truing.feedback.store import content, events, projects, queue
from truing.feedback.store.content import Author
from truing.feedback.store.database import StoredRow, add, now
from truing.feedback.store.events import RETRACTION, SKIP, Event
from truing.feedback.tasks import kinds
from truing.feedback.tasks.kinds.chat import TURN, choice
from truing.feedback.tasks.kinds.kind import Payload, Shown

LEASE_S = 600.0
HELD = 2  # leases one person may hold: the task before them and the next one, fetched ahead


class Conflict(UserError):
    """The same key with another body, or a second answer where one stands."""


class Unknown(UserError):
    """No such assignment, or one of somebody else."""


class TimeSpent(NamedTuple):
    """Milliseconds that a judgement took on the page, and those of them in which a key or pointer moved."""

    duration_ms: int | None = None
    active_ms: int | None = None


NOT_TIMED = TimeSpent()


def lease(
    connection: Connection,
    project: str,
    annotator: str,
    held: Sequence[str] = (),
    lease_s: float = LEASE_S,
    gold_share: float = 0.0,
) -> str | None:
    """The next thing to ask this person: an assignment's id, or None if nothing is open to them.

    One they hold already and do not name in `held` (a page loaded again) comes first, with the order it was shown in.
    Then what is left of the quiz; then, `gold_share` of the times, a hidden gold task before a plain one.
    """
    moment = now()
    current = queue.leased(connection, project, annotator, moment)
    if rest := [identity for identity in current if identity not in held]:
        return rest[0]
    if len(current) >= HELD:
        return None
    for sort in queue.SORTS:
        if sort == "gold" and random.random() >= gold_share:
            continue
        if taken := queue.take(connection, sort, project, annotator, moment, moment + lease_s):
            _show(connection, taken, project)
            return taken
    return None


def _show(connection: Connection, identity: str, project: str) -> None:
    """Fix the order in which the answers are shown; a second lease of the same task keeps the first one's."""
    row = assignment(connection, identity)
    if row.shown_order:
        return
    order = content.answers(connection, row.candidate_set_id) if row.candidate_set_id else []
    seed = random.SystemRandom().randrange(2**31)
    random.Random(seed).shuffle(order)
    guideline = projects.guideline(connection, project)
    queue.change(connection, identity, shown_order=order, seed=seed, guideline_id=guideline.id if guideline else None)


def assignment(connection: Connection, identity: str, annotator: str | None = None) -> StoredRow:
    """An assignment with its task. Raises Unknown where there is none, or it is another person's."""
    row = queue.assignment(connection, identity)
    if row is None or (annotator is not None and row.annotator_id != annotator):
        raise Unknown(f"there is no assignment {identity[:40]} of yours")
    return row


def heartbeat(connection: Connection, identity: str, annotator: str, lease_s: float = LEASE_S) -> bool:
    """Extend a lease that still runs, or take the place again while it is free. False: somebody else may have it."""
    row, moment = assignment(connection, identity, annotator), now()
    if row.state != "leased":
        return False
    if row.lease_expires <= moment and queue.places_left(connection, row, moment) < 1:
        return False
    queue.change(connection, identity, lease_expires=moment + lease_s)
    return True


def submit(
    connection: Connection,
    identity: str,
    annotator: str,
    payload: Mapping[str, Any],
    key: str,
    spent: TimeSpent = NOT_TIMED,
) -> tuple[str, bool]:
    """Store what a person said. Returns the annotation's id and whether it is an extra label.

    The same key with the same body gives the same answer again; with another body it raises Conflict, as does a second
    answer where one stands (undo comes first). Nothing valid is turned away for being late.
    """
    row = assignment(connection, identity, annotator)
    body = _body_hash(identity, row.kind, payload)
    if earlier := _earlier(connection, annotator, key, body):
        return earlier
    if row.state == "submitted":
        raise Conflict("this task has your answer already; undo it first")
    shown = _shown(connection, row, row.shown_order)
    parsed = kinds.parse(row.kind, payload, shown)
    extra = row.state != "leased" or (row.lease_expires <= now() and queue.places_left(connection, row, now()) < 1)
    event = Event(row.kind, dict(payload), key, body, *spent, extra)
    annotation = events.record(connection, row, event)
    derive(connection, annotation, row, parsed, shown)
    queue.change(connection, identity, state="submitted")
    queue.close_if_full(connection, row.task_id)
    return annotation, extra


def skip(connection: Connection, identity: str, annotator: str, reason: str, key: str) -> str:
    """Give the place to somebody else, and say why. Returns the event's id."""
    row = assignment(connection, identity, annotator)
    body = _body_hash(identity, SKIP, {"reason": reason})
    if earlier := _earlier(connection, annotator, key, body):
        return earlier[0]
    if row.state == "submitted":
        raise Conflict("this task has your answer already; undo it first")
    event = events.record(connection, row, Event(SKIP, {"reason": reason[:1000]}, key, body))
    queue.change(connection, identity, state="skipped")
    return event


def undo(connection: Connection, annotator: str, key: str, lease_s: float = LEASE_S) -> StoredRow:
    """Take back this person's newest event that stands. Returns its row (kind, payload, assignment_id).

    The task is theirs again. Raises Conflict where there is nothing to undo, or a skipped place has been given away.
    """
    if earlier := _retracted_by(connection, annotator, key):
        return earlier
    event = events.newest(connection, annotator)
    if event is None:
        raise Conflict("there is nothing to undo")
    row, moment = assignment(connection, event.assignment_id), now()
    if event.kind == SKIP and queue.places_left(connection, row, moment) < 1:
        raise Conflict("somebody else has the task that you skipped")
    body = _body_hash(row.id, RETRACTION, {})
    retraction = Event(RETRACTION, {"of": event.id}, key, body, supersedes_id=event.id)
    events.record(connection, row, retraction)
    queue.change(connection, row.id, state="leased", leased_at=moment, lease_expires=moment + lease_s)
    queue.reopen(connection, row.task_id)
    return event


def turn(
    connection: Connection,
    row: StoredRow,
    candidates: str,
    payload: Mapping[str, Any],
    key: str,
    spent: TimeSpent = NOT_TIMED,
) -> str:
    """Store the choice between a chat turn's two answers; `row` is the assignment of the chat, `goes_on` in the payload
    the answer that is followed. Returns the annotation's id."""
    shown = _shown(connection, row, content.answers(connection, candidates))
    body = _body_hash(row.id, TURN, payload)
    if earlier := _earlier(connection, row.annotator_id, key, body):
        return earlier[0]
    parsed = kinds.parse(TURN, choice(payload), shown)
    if any(made["candidates"] == candidates for made in events.payloads(connection, row.id, TURN)):
        raise Conflict("this turn has your answer already; undo it first")
    event = Event(TURN, {**payload, "candidates": candidates}, key, body, *spent)
    annotation = events.record(connection, row, event)
    derive(connection, annotation, row, parsed, shown, TURN)
    return annotation


def derive(
    connection: Connection, annotation: str, row: StoredRow, parsed: Payload, shown: Shown, event: str = ""
) -> None:
    """The rows that follow from a judgement, for statistics: comparisons, ratings, rankings, flags, demonstrations."""
    kind = kinds.EVENTS[event or row.kind]
    if text := kind.written(parsed):
        author = Author(person=row.annotator_id)
        message = content.add_message(connection, row.prompt_id, Response(text), author=author)
        shown = replace(shown, written=message)
    for table, values in kind.facts(parsed, shown):
        if "criterion" in table.c:  # that of the task where it asks for no overall judgement
            values["criterion"] = values.get("criterion") or row.config.get("criterion", "")
        if "prompt_id" in table.c:
            values["prompt_id"] = row.prompt_id
        add(connection, table, annotation_id=annotation, **values)
    for message, names in parsed.flags.items():
        for name in dict.fromkeys(names):
            events.add_flag(connection, annotation, message, name)


def _shown(connection: Connection, row: StoredRow, answers: Sequence[str]) -> Shown:
    """What the person of an assignment has before them."""
    kind = kinds.TABLE[row.kind]
    configs = (row.config, projects.settings(connection, row.project_id)) if kind.scale else ()
    return Shown(answers, kinds.limits(kind, *configs), lambda answer: content.texts(connection, [answer])[answer])


def _earlier(connection: Connection, annotator: str, key: str, body: str) -> tuple[str, bool] | None:
    """What the same request led to before. Raises Conflict if the key came with another body."""
    found = events.with_key(connection, annotator, key)
    if found and found.body_hash != body:
        raise Conflict("this key came before with another body")
    return (found.id, found.extra) if found else None


def _retracted_by(connection: Connection, annotator: str, key: str) -> StoredRow | None:
    """The event that the retraction with this key took back, if the same request came before."""
    found = events.with_key(connection, annotator, key)
    return events.event(connection, found.supersedes_id) if found and found.supersedes_id else None


def _body_hash(assignment_id: str, kind: str, payload: Mapping[str, Any]) -> str:
    body = json.dumps([assignment_id, kind, payload], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(body.encode()).hexdigest()
