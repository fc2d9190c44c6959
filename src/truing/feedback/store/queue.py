"""The queue of tasks: places that people hold for a while, and fill."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    FromClause,
    Select,
    String,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from truing.feedback.store import schema as t
from truing.feedback.store.database import StoredRow, add, new_id

own, place = t.assignment.alias("own"), t.assignment.alias("place")
Sort = Literal["quiz", "gold", "plain"]
SORTS: tuple[Sort, ...] = ("quiz", "gold", "plain")

# Built once, for they are part of every request: SQLAlchemy takes longer to build a statement than SQLite to run it.
_LEASED = (
    select(t.assignment.c.id)
    .join(t.task, t.task.c.id == t.assignment.c.task_id)
    .where(t.task.c.project_id == bindparam("project"), t.assignment.c.annotator_id == bindparam("annotator"))
    .where(t.assignment.c.state == "leased", t.assignment.c.lease_expires > bindparam("moment"))
    .order_by(t.assignment.c.leased_at)
)


def leased(connection: Connection, project: str, annotator: str, moment: float) -> list[str]:
    """The assignments that a person holds, the oldest lease first."""
    return list(connection.scalars(_LEASED, {"project": project, "annotator": annotator, "moment": moment}))


def _is_taken(assignment: FromClause, moment: Any) -> ColumnElement[bool]:
    """Whether an assignment holds a place of its task: it is submitted, or its lease still runs."""
    c = assignment.c
    return or_(c.state == "submitted", and_(c.state == "leased", c.lease_expires > moment))


@cache
def _free_tasks(sort: Sort) -> Select[Any]:
    """Ids of the tasks of this sort with a place for a person, the most wanted first. Parameters: project, annotator,
    moment."""
    person: Any = bindparam("annotator")
    moment: Any = bindparam("moment")
    # An answer, or a skip, of one's own closes a task; so does a lease that still runs.
    mine = exists().where(
        own.c.task_id == t.task.c.id,
        own.c.annotator_id == person,
        or_(own.c.state != "leased", own.c.lease_expires > moment),
    )
    said_it = exists().where(t.annotation.c.id == t.task.c.reviews_id, t.annotation.c.annotator_id == person)
    places = (
        select(func.count()).where(place.c.task_id == t.task.c.id).where(_is_taken(place, moment)).scalar_subquery()
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
def _free_count(sort: Sort) -> Select[Any]:
    return select(func.count()).select_from(_free_tasks(sort).order_by(None).subquery())


def count_free(connection: Connection, sort: Sort, project: str, annotator: str, moment: float) -> int:
    """How many tasks of this sort have a place for a person."""
    asked = {"project": project, "annotator": annotator, "moment": moment}
    return connection.scalar(_free_count(sort), asked) or 0


@cache
def _taking(sort: Sort, dialect: str) -> Any:
    """Take a free place of an open task, in one statement."""
    columns = ["id", "task_id", "annotator_id", "state", "leased_at", "lease_expires", "shown_order"]
    moment, until = bindparam("moment", type_=Float), bindparam("until", type_=Float)
    chosen = _free_tasks(sort).with_only_columns(
        bindparam("new_id", type_=String),
        t.task.c.id,
        bindparam("annotator", type_=String),
        literal("leased"),
        moment,
        until,
        literal([], t.assignment.c.shown_order.type),
    )
    statement = (
        (sqlite if dialect == "sqlite" else postgresql).insert(t.assignment).from_select(columns, chosen.limit(1))
    )
    again = statement.on_conflict_do_update(
        index_elements=["task_id", "annotator_id"],
        set_={"state": "leased", "leased_at": moment, "lease_expires": until, "attempt": t.assignment.c.attempt + 1},
    )
    return again.returning(t.assignment.c.id)


def take(connection: Connection, sort: Sort, project: str, annotator: str, moment: float, until: float) -> str | None:
    """Lease the most wanted task of this sort to a person. Returns the assignment's id; None if none is free."""
    asked = {"project": project, "annotator": annotator, "moment": moment, "until": until, "new_id": new_id()}
    return connection.scalar(_taking(sort, connection.dialect.name), asked)


def give(connection: Connection, task: str, annotator: str, moment: float, shown: Sequence[str]) -> str:
    """Lease a task to a person for a moment, its answers in this order. Returns the assignment's id."""
    values = {"state": "leased", "leased_at": moment, "lease_expires": moment + 1, "shown_order": list(shown)}
    return add(connection, t.assignment, task_id=task, annotator_id=annotator, **values)


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


def assignment(connection: Connection, identity: str) -> StoredRow | None:
    """An assignment with its task; None if there is none."""
    return connection.execute(_ASSIGNMENT, {"identity": identity}).first()


def change(connection: Connection, identity: str, **values: Any) -> None:
    """Other values in an assignment's row."""
    connection.execute(update(t.assignment).where(t.assignment.c.id == identity).values(**values))


def places_left(connection: Connection, row: StoredRow, moment: float) -> int:
    """Places of an assignment's task that nobody else has."""
    others = select(func.count()).where(place.c.task_id == row.task_id, place.c.id != row.id)
    return row.overlap - (connection.scalar(others.where(_is_taken(place, moment))) or 0)


def close_if_full(connection: Connection, task: str) -> None:
    """A task of which all places are filled is full."""
    submitted = select(func.count()).where(place.c.task_id == task, place.c.state == "submitted")
    full = update(t.task).where(t.task.c.id == task, t.task.c.state == "open")
    connection.execute(full.where(submitted.scalar_subquery() >= t.task.c.overlap).values(state="full"))


def reopen(connection: Connection, task: str) -> None:
    """A full task has a place again."""
    connection.execute(update(t.task).where(t.task.c.id == task, t.task.c.state == "full").values(state="open"))


_PLAIN = (t.task.c.project_id == bindparam("project"), t.task.c.gold.is_(False))
_TASKS = select(func.count(), func.coalesce(func.sum(case((t.task.c.state == "open", 1), else_=0)), 0)).where(*_PLAIN)
_OVER = (
    select(func.count())
    .select_from(t.assignment.join(t.task, t.assignment.c.task_id == t.task.c.id))
    .where(*_PLAIN, t.task.c.state == "open", t.assignment.c.state != "leased")
    .where(t.assignment.c.annotator_id == bindparam("annotator"))
)


def count_left(connection: Connection, project: str, annotator: str) -> tuple[int, int]:
    """Tasks open to a person, with those they have, and tasks there are, besides gold."""
    asked = {"project": project, "annotator": annotator}
    total, still_open = connection.execute(_TASKS, {"project": project}).one()
    # Open ones that this person is done with wait for others; those that others have open just now count as open.
    return still_open - (connection.scalar(_OVER, asked) or 0), total
