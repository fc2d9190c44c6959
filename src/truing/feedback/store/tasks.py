"""Tasks: what is asked of which answers, the right answers of gold tasks, and what reviews are about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, exists, func, insert, select

from truing.feedback.store import schema as t
from truing.feedback.store.database import StoredRow, add
from truing.feedback.store.events import SKIP, standing
from truing.feedback.store.projects import open_round


@dataclass(frozen=True)
class Question:
    """What a task asks."""

    kind: str
    overlap: int = 1
    """How many different people are asked."""
    priority: float = 0.0
    """Those with more are asked first."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What it says in place of what is usual in the project."""
    gold: bool = False
    """Whether its right answer is known."""
    reviews: str | None = None
    """The annotation that a review is about."""


def insert_task(
    connection: Connection, project: str, question: Question, prompt: str, candidates: str | None = None
) -> str:
    """The row of a new task, in the round that is open; `tasks.questions.add_task` makes whole ones."""
    current = open_round(connection, project)
    return add(
        connection,
        t.task,
        project_id=project,
        kind=question.kind,
        prompt_id=prompt,
        candidate_set_id=candidates,
        overlap=question.overlap,
        priority=question.priority,
        config=dict(question.config),
        gold=question.gold,
        round_id=current.id if current else None,
        reviews_id=question.reviews,
    )


def is_asked(connection: Connection, prompt: str, kind: str, round_: str | None) -> bool:
    """Whether there is a task of this kind about the prompt, in a round or, if none is named, in any."""
    c = t.task.c
    tasks = select(c.id).where(c.prompt_id == prompt, c.kind == kind)
    if round_:
        tasks = tasks.where(c.round_id == round_)
    return connection.scalar(tasks.limit(1)) is not None


def answers_asked(
    connection: Connection, prompt: str, kind: str, onboarding: bool | None = None
) -> Sequence[Sequence[str]]:
    """The texts of the answers that each task of this kind about the prompt shows; `onboarding`: only of gold tasks,
    those of the quiz or the hidden ones."""
    shown = t.candidate.c
    asked = (
        select(t.task.c.id, t.message.c.content)
        .join(t.candidate, shown.candidate_set_id == t.task.c.candidate_set_id)
        .join(t.message, t.message.c.id == shown.message_id)
        .where(t.task.c.prompt_id == prompt, t.task.c.kind == kind)
    )
    if onboarding is not None:
        asked = asked.where(t.task.c.id.in_(select(t.gold.c.task_id).where(t.gold.c.onboarding == onboarding)))
    found: dict[str, list[str]] = defaultdict(list)
    for task, text in connection.execute(asked):
        found[task].append(text)
    return list(found.values())


def add_gold(
    connection: Connection, task: str, accepted: Mapping[str, Any], explanation: str, onboarding: bool
) -> None:
    """What is right in a task, and why; `onboarding`: whether it is of the quiz."""
    values = {"accepted": accepted, "explanation": explanation, "onboarding": onboarding}
    connection.execute(insert(t.gold).values(task_id=task, **values))


def is_quiz(connection: Connection, task: str) -> bool:
    """Whether a task is of the quiz."""
    return bool(connection.scalar(select(t.gold.c.onboarding).where(t.gold.c.task_id == task)))


def quiz_of(connection: Connection, assignment: str) -> StoredRow | None:
    """What is accepted in an assignment of the quiz, why, and its kind; None where it is no quiz."""
    asked = (
        select(t.gold.c.accepted, t.gold.c.explanation, t.task.c.kind)
        .join(t.task, t.task.c.id == t.gold.c.task_id)
        .join(t.assignment, t.assignment.c.task_id == t.gold.c.task_id)
        .where(t.assignment.c.id == assignment, t.gold.c.onboarding)
    )
    return connection.execute(asked).first()


def judged_gold(connection: Connection, project: str, moment: float | None = None) -> Sequence[StoredRow]:
    """The judgements of gold tasks that stand, or stood at a moment: who gave them, and what is accepted."""
    c = t.annotation.c
    asked = (
        select(c.annotator_id, c.kind, c.payload, t.gold.c.accepted)
        .join(t.gold, t.gold.c.task_id == c.task_id)
        .join(t.task, t.task.c.id == c.task_id)
        .where(t.task.c.project_id == project, c.kind != SKIP, *standing(moment))
    )
    return connection.execute(asked).all()


def unreviewed(connection: Connection, project: str, kinds: Sequence[str]) -> Sequence[StoredRow]:
    """The judgements of these kinds that stand and that no review is about, with what they are about, in order."""
    c, of = t.annotation.c, t.task.alias("of")
    asked = (
        select(c.id, of.c.prompt_id, of.c.candidate_set_id, of.c.config)
        .join(of, of.c.id == c.task_id)
        .where(of.c.project_id == project, of.c.gold.is_(False), c.kind.in_(kinds), *standing())
        .where(~exists().where(t.task.c.reviews_id == c.id))
        .order_by(c.number)
    )
    return connection.execute(asked).all()


def given_reviews(connection: Connection, project: str) -> Sequence[StoredRow]:
    """The reviews that stand: payload, and the prompt they are about."""
    c = t.annotation.c
    asked = (
        select(c.payload, t.task.c.prompt_id)
        .join(t.task, t.task.c.id == c.task_id)
        .where(t.task.c.project_id == project, t.task.c.reviews_id.is_not(None), c.kind != SKIP, *standing())
    )
    return connection.execute(asked).all()


def still_open(connection: Connection, project: str, unseen: bool = False) -> int:
    """How many open tasks there are besides gold; `unseen`: only those that nobody has been given yet."""
    c = t.task.c
    asked = select(func.count()).select_from(t.task).where(c.project_id == project, c.state == "open", ~c.gold)
    if unseen:
        asked = asked.where(~exists().where(t.assignment.c.task_id == c.id))
    return connection.scalar(asked) or 0
