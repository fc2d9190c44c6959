"""Who is asked what: leases, answers, skips, undo. The one place where two people could get in each other's way.

A task asks `overlap` different people. A lease holds a place for one of them until it expires; a late answer to a lease
that has run out is kept as an extra label. What a person said is an event that stays; taking it back is another.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    Connection,
    Float,
    Select,
    String,
    and_,
    bindparam,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from truing.data.records import Response
from truing.errors import UserError
from truing.feedback.store import content
from truing.feedback.store import schema as t
from truing.feedback.store.database import new_id, now
from truing.feedback.tasks import kinds
from truing.feedback.tasks.kinds.chat import TURN, choice
from truing.feedback.tasks.kinds.kind import VERSION, Payload, Shown

LEASE_S = 600.0
own, place, later = t.assignment.alias("own"), t.assignment.alias("place"), t.annotation.alias("later")
LONGEST_FLAG = 100  # characters of its name
HELD = 2  # leases one person may hold: the task before them and the next one, fetched ahead
Sort = Literal["quiz", "gold", "plain"]
SORTS: tuple[Sort, ...] = ("quiz", "gold", "plain")
RETRACTION, SKIP = "retraction", "skip"


class Conflict(UserError):
    """The same key with another body, or a second answer where one stands."""


class TimeSpent(NamedTuple):
    """Milliseconds that a judgement took on the page, and those of them in which a key or pointer moved."""

    duration_ms: int | None = None
    active_ms: int | None = None


NOT_TIMED = TimeSpent()


@dataclass(frozen=True)
class Event:
    """What a person did, as columns of its row: the key of the request and the hash of its body tell it again."""

    kind: str
    payload: Mapping[str, Any]
    idempotency_key: str
    body_hash: str
    duration_ms: int | None = None
    active_ms: int | None = None
    extra: bool = False
    supersedes_id: str | None = None


class Unknown(UserError):
    """No such assignment, or one of somebody else."""


def lease(
    connection: Connection, project: str, annotator: str, held: Sequence[str] = (), lease_s: float = LEASE_S,
    gold_share: float = 0.0,
) -> str | None:  # fmt: skip
    """The next thing to ask this person: an assignment's id, or None if nothing is open to them.

    One they hold already and do not name in `held` (a page loaded again) comes first, with the order it was shown in.
    Then what is left of the quiz; then, `gold_share` of the times, a hidden gold task before a plain one.
    """
    moment = now()
    asked = {"project": project, "annotator": annotator, "moment": moment, "until": moment + lease_s}
    current = list(connection.scalars(_LEASED, asked))
    if rest := [identity for identity in current if identity not in held]:
        return rest[0]
    if len(current) >= HELD:
        return None
    for sort in SORTS:
        if sort == "gold" and random.random() >= gold_share:
            continue
        taking = _taking(sort, connection.dialect.name)
        if taken := connection.scalar(taking, {**asked, "new_id": new_id()}):
            _show(connection, taken, project)
            return taken
    return None


# Statements of every request are built once: SQLAlchemy takes longer to build one than SQLite to run it.
_LEASED = (
    select(t.assignment.c.id)
    .join(t.task, t.task.c.id == t.assignment.c.task_id)
    .where(t.task.c.project_id == bindparam("project"), t.assignment.c.annotator_id == bindparam("annotator"))
    .where(t.assignment.c.state == "leased", t.assignment.c.lease_expires > bindparam("moment"))
    .order_by(t.assignment.c.leased_at)
)


@cache
def free_tasks(sort: Sort) -> Select[Any]:
    """Ids of the tasks of this sort with a place for a person, the most wanted first. Parameters: project, annotator,
    moment."""
    person: Any = bindparam("annotator")
    moment: Any = bindparam("moment")
    # An answer, or a skip, of one's own closes a task; so does a lease that still runs.
    mine = exists().where(
        own.c.task_id == t.task.c.id, own.c.annotator_id == person,
        or_(own.c.state != "leased", own.c.lease_expires > moment),
    )  # fmt: skip
    said_it = exists().where(t.annotation.c.id == t.task.c.reviews_id, t.annotation.c.annotator_id == person)
    places = (
        select(func.count())
        .where(place.c.task_id == t.task.c.id)
        .where(or_(place.c.state == "submitted", and_(place.c.state == "leased", place.c.lease_expires > moment)))
        .scalar_subquery()
    )
    free = (
        select(t.task.c.id)
        .where(
            t.task.c.project_id == bindparam("project"), t.task.c.state == "open", t.task.c.gold == (sort != "plain")
        )
        .where(~mine, ~said_it, places < t.task.c.overlap)
    )
    if sort != "plain":
        free = free.join(t.gold, t.gold.c.task_id == t.task.c.id).where(t.gold.c.onboarding == (sort == "quiz"))
    return free.order_by(t.task.c.priority.desc(), t.task.c.created_at, t.task.c.id)


@cache
def _taking(sort: Sort, dialect: str) -> Any:
    """Take a free place of an open task, in one statement."""
    columns = ["id", "task_id", "annotator_id", "state", "leased_at", "lease_expires", "shown_order"]
    moment, until = bindparam("moment", type_=Float), bindparam("until", type_=Float)
    chosen = free_tasks(sort).with_only_columns(
        bindparam("new_id", type_=String), t.task.c.id, bindparam("annotator", type_=String), literal("leased"), moment,
        until, literal([], t.assignment.c.shown_order.type),
    )  # fmt: skip
    statement = (
        (sqlite if dialect == "sqlite" else postgresql).insert(t.assignment).from_select(columns, chosen.limit(1))
    )
    again = statement.on_conflict_do_update(
        index_elements=["task_id", "annotator_id"],
        set_={"state": "leased", "leased_at": moment, "lease_expires": until, "attempt": t.assignment.c.attempt + 1},
    )
    return again.returning(t.assignment.c.id)


def _show(connection: Connection, identity: str, project: str) -> None:
    """Fix the order in which the answers are shown; a second lease of the same task keeps the first one's."""
    row = assignment(connection, identity)
    if row.shown_order:
        return
    order = content.answers(connection, row.candidate_set_id) if row.candidate_set_id else []
    seed = random.SystemRandom().randrange(2**31)
    random.Random(seed).shuffle(order)
    guideline = content.guideline(connection, project)
    connection.execute(
        update(t.assignment)
        .where(t.assignment.c.id == identity)
        .values(shown_order=order, seed=seed, guideline_id=guideline.id if guideline else None)
    )


_ASSIGNMENT = (
    select(
        t.assignment, t.candidate_set.c.parent_id, t.task.c.kind, t.task.c.prompt_id, t.task.c.candidate_set_id,
        t.task.c.config, t.task.c.project_id, t.task.c.reviews_id, t.task.c.overlap, t.task.c.gold,
    )
    .select_from(
        t.assignment.join(t.task, t.task.c.id == t.assignment.c.task_id)
        .outerjoin(t.candidate_set, t.candidate_set.c.id == t.task.c.candidate_set_id)
    )
    .where(t.assignment.c.id == bindparam("identity"))
)  # fmt: skip


def assignment(connection: Connection, identity: str, annotator: str | None = None) -> Any:
    """An assignment with its task. Raises Unknown where there is none, or it is another person's."""
    row = connection.execute(_ASSIGNMENT, {"identity": identity}).first()
    if row is None or (annotator is not None and row.annotator_id != annotator):
        raise Unknown(f"there is no assignment {identity[:40]} of yours")
    return row


def heartbeat(connection: Connection, identity: str, annotator: str, lease_s: float = LEASE_S) -> bool:
    """Extend a lease that still runs, or take the place again while it is free. False: somebody else may have it."""
    row, moment = assignment(connection, identity, annotator), now()
    if row.state != "leased":
        return False
    if row.lease_expires <= moment and _places_left(connection, row, moment) < 1:
        return False
    connection.execute(update(t.assignment).where(t.assignment.c.id == identity).values(lease_expires=moment + lease_s))
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
    extra = row.state != "leased" or (row.lease_expires <= now() and _places_left(connection, row, now()) < 1)
    annotation = _record(connection, row, Event(row.kind, dict(payload), key, body, *spent, extra))
    derive(connection, annotation, row, parsed, shown)
    connection.execute(update(t.assignment).where(t.assignment.c.id == identity).values(state="submitted"))
    submitted = select(func.count()).where(place.c.task_id == row.task_id, place.c.state == "submitted")
    full = update(t.task).where(t.task.c.id == row.task_id, t.task.c.state == "open")
    connection.execute(full.where(submitted.scalar_subquery() >= t.task.c.overlap).values(state="full"))
    return annotation, extra


def skip(connection: Connection, identity: str, annotator: str, reason: str, key: str) -> str:
    """Give the place to somebody else, and say why. Returns the event's id."""
    row = assignment(connection, identity, annotator)
    body = _body_hash(identity, SKIP, {"reason": reason})
    if earlier := _earlier(connection, annotator, key, body):
        return earlier[0]
    if row.state == "submitted":
        raise Conflict("this task has your answer already; undo it first")
    event = _record(connection, row, Event(SKIP, {"reason": reason[:1000]}, key, body))
    connection.execute(update(t.assignment).where(t.assignment.c.id == identity).values(state="skipped"))
    return event


def undo(connection: Connection, annotator: str, key: str, lease_s: float = LEASE_S) -> Any:
    """Take back this person's newest event that stands. Returns its row (kind, payload, assignment_id).

    The task is theirs again. Raises Conflict where there is nothing to undo, or a skipped place has been given away.
    """
    c = t.annotation.c
    if earlier := _retracted_by(connection, annotator, key):
        return earlier
    asked = select(t.annotation).where(c.annotator_id == annotator, *standing())
    event = connection.execute(asked.order_by(c.number.desc()).limit(1)).first()
    if event is None:
        raise Conflict("there is nothing to undo")
    row, moment = assignment(connection, event.assignment_id), now()
    if event.kind == SKIP and _places_left(connection, row, moment) < 1:
        raise Conflict("somebody else has the task that you skipped")
    body = _body_hash(row.id, RETRACTION, {})
    _record(connection, row, Event(RETRACTION, {"of": event.id}, key, body, supersedes_id=event.id))
    connection.execute(
        update(t.assignment)
        .where(t.assignment.c.id == row.id)
        .values(state="leased", leased_at=moment, lease_expires=moment + lease_s)
    )
    connection.execute(update(t.task).where(t.task.c.id == row.task_id, t.task.c.state == "full").values(state="open"))
    return event


def standing(moment: float | None = None) -> list[Any]:
    """Conditions of an event that stands now, or stood at a moment: nothing supersedes it, and it is no retraction."""
    superseded = exists().where(later.c.supersedes_id == t.annotation.c.id)
    if moment is None:
        return [~superseded, t.annotation.c.kind != RETRACTION]
    superseded = superseded.where(later.c.created_at <= moment)
    return [~superseded, t.annotation.c.kind != RETRACTION, t.annotation.c.created_at <= moment]


def turn(
    connection: Connection,
    row: Any,
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
    if _standing_turn(connection, row.id, candidates):
        raise Conflict("this turn has your answer already; undo it first")
    event = Event(TURN, {**payload, "candidates": candidates}, key, body, *spent)
    annotation = _record(connection, row, event)
    derive(connection, annotation, row, parsed, shown, TURN)
    return annotation


def _standing_turn(connection: Connection, identity: str, candidates: str) -> bool:
    c = t.annotation.c
    turns = connection.scalars(select(c.payload).where(c.assignment_id == identity, c.kind == TURN, *standing()))
    return any(said["candidates"] == candidates for said in turns)


def derive(connection: Connection, annotation: str, row: Any, parsed: Payload, shown: Shown, event: str = "") -> None:
    """The rows that follow from a judgement, for statistics: comparisons, ratings, rankings, flags, demonstrations."""
    kind = kinds.EVENTS[event or row.kind]
    if text := kind.written(parsed):
        message = content.add_message(connection, row.prompt_id, Response(text), annotator=row.annotator_id)
        shown = replace(shown, written=message)
    for table, values in kind.facts(parsed, shown):
        if "criterion" in table.c:  # that of the task where it asks for no overall judgement
            values["criterion"] = values.get("criterion") or row.config.get("criterion", "")
        if "prompt_id" in table.c:
            values["prompt_id"] = row.prompt_id
        content.add(connection, table, annotation_id=annotation, **values)
    for message, names in parsed.flags.items():
        for name in dict.fromkeys(names):
            content.add(connection, t.flag, annotation_id=annotation, message_id=message, name=name[:LONGEST_FLAG])


def _shown(connection: Connection, row: Any, answers: Sequence[str]) -> Shown:
    """What the person of an assignment has before them."""
    content = select(t.message.c.content)
    project = select(t.project.c.config).where(t.project.c.id == row.project_id)
    configs = (row.config, connection.execute(project).scalar_one()) if kinds.TABLE[row.kind].scale else ()
    return Shown(
        answers,
        kinds.limits(kinds.TABLE[row.kind], *configs),
        lambda answer: connection.execute(content.where(t.message.c.id == answer)).scalar_one(),
    )


def _places_left(connection: Connection, row: Any, moment: float) -> int:
    """Places of the task that nobody else has."""
    a = t.assignment.c
    others = (
        select(func.count())
        .where(a.task_id == row.task_id, a.id != row.id)
        .where(or_(a.state == "submitted", and_(a.state == "leased", a.lease_expires > moment)))
    )
    return row.overlap - (connection.scalar(others) or 0)


_LAST, _NEW = select(func.max(t.annotation.c.number)), insert(t.annotation)
_SAME = select(t.annotation.c.id, t.annotation.c.extra, t.annotation.c.body_hash).where(
    t.annotation.c.annotator_id == bindparam("annotator"), t.annotation.c.idempotency_key == bindparam("key")
)


def _record(connection: Connection, row: Any, event: Event) -> str:
    """The event as a row; returns its id."""
    identity = new_id()
    whose = {"assignment_id": row.id, "task_id": row.task_id, "annotator_id": row.annotator_id}
    number = (connection.scalar(_LAST) or 0) + 1
    values = {"id": identity, "number": number, "version": VERSION, "created_at": now()}
    connection.execute(_NEW, {**whose, **values, **vars(event)})
    return identity


def _earlier(connection: Connection, annotator: str, key: str, body: str) -> tuple[str, bool] | None:
    """What the same request led to before. Raises Conflict if the key came with another body."""
    found = connection.execute(_SAME, {"annotator": annotator, "key": key}).first()
    if found and found.body_hash != body:
        raise Conflict("this key came before with another body")
    return (found.id, found.extra) if found else None


def _retracted_by(connection: Connection, annotator: str, key: str) -> Any:
    """The event that the retraction with this key took back, if the same request came before."""
    c = t.annotation.c
    asked = select(c.supersedes_id).where(c.annotator_id == annotator, c.idempotency_key == key)
    found = connection.scalar(asked)
    return connection.execute(select(t.annotation).where(c.id == found)).first() if found else None


def _body_hash(assignment_id: str, kind: str, payload: Mapping[str, Any]) -> str:
    body = json.dumps([assignment_id, kind, payload], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(body.encode()).hexdigest()
