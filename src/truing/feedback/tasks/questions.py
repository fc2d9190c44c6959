"""What is new to ask people: the tasks of a prompt and its answers, without those that were asked before."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, select

from truing.data.records import Conversation
from truing.feedback.judgements import rounds
from truing.feedback.store import schema as t
from truing.feedback.tasks import kinds

Texts = frozenset[str]  # the answers of a task, as people tell them apart


def distinct(conversation: Conversation) -> tuple[Conversation, int]:
    """The conversation without answers that read as one before them, and how many these are."""
    first = {response.text.strip(): response for response in reversed(conversation.responses)}
    kept = tuple(r for r in conversation.responses if first[r.text.strip()] is r)
    return replace(conversation, responses=kept), len(conversation.responses) - len(kept)


def parts(conversation: Conversation, kind: str) -> list[Conversation]:
    """The answers of each task. Pairs show two: of four, the first and second, and the third and fourth. More answers
    than one task of another kind may show are shared out evenly."""
    said, most = conversation.responses, kinds.TABLE[kind].most
    tasks = math.ceil(len(said) / most) if most and said else 1
    ends = [len(said) * i // tasks if most > 2 else most * i for i in range(tasks + 1)]
    groups = [said[start:end] for start, end in pairwise(ends)]
    return [replace(conversation, responses=group) for group in groups if len(group) >= kinds.TABLE[kind].fewest]


def new_parts(
    connection: Connection, project: str, prompt: str, conversation: Conversation, kind: str
) -> list[Conversation]:
    """The parts that no task of this kind asks already: about the same answers, whenever that was, or, where the kind
    shows none, about the prompt in the open round."""
    if not kinds.TABLE[kind].fewest:
        return [] if is_asked(connection, project, prompt, kind) else parts(conversation, kind)
    before = asked(connection, prompt, kind)
    return [part for part in parts(conversation, kind) if texts(r.text for r in part.responses) not in before]


def is_asked(connection: Connection, project: str, prompt: str, kind: str) -> bool:
    """Whether a prompt that brings no answers has a task of this kind in the open round; in any, if none is open."""
    c = t.task.c
    tasks = select(c.id).where(c.prompt_id == prompt, c.kind == kind)
    if current := rounds.current(connection, project):
        tasks = tasks.where(c.round_id == current.id)
    return connection.scalar(tasks.limit(1)) is not None


def asked(connection: Connection, prompt: str, kind: str, *of: Any) -> set[Texts]:
    """The answers that tasks of this kind about the prompt show; `of`: conditions of the tasks."""
    shown = t.candidate.c
    rows = connection.execute(
        select(t.task.c.id, t.message.c.content)
        .join(t.candidate, shown.candidate_set_id == t.task.c.candidate_set_id)
        .join(t.message, t.message.c.id == shown.message_id)
        .where(t.task.c.prompt_id == prompt, t.task.c.kind == kind, *of)
    )
    found: dict[str, list[str]] = defaultdict(list)
    for task, text in rows:
        found[task].append(text)
    return {texts(said) for said in found.values()}


def texts(said: Iterable[str]) -> Texts:
    """Answers as people tell them apart: without the spaces around them, in no order."""
    return frozenset(text.strip() for text in said)
