"""What is new to ask people: the tasks of a prompt and its answers, without those that were asked before."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from sqlalchemy import Connection

from truing.data.records import Conversation
from truing.feedback.store import content, projects, tasks
from truing.feedback.store.content import Author
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import kinds

Texts = frozenset[str]  # the answers of a task, as people tell them apart


def add_task(
    connection: Connection, project: str, question: Question, prompt: str, candidates: str | None = None
) -> str:
    """A task of this question. Its scale is kept with it: what a rating means stays, whatever is usual later."""
    kind = kinds.named(question.kind)
    if kind.scale and "scale" not in question.config:
        scale = kinds.scale_of(kind, projects.settings(connection, project))
        question = replace(question, config={**question.config, "scale": scale})
    return tasks.insert_task(connection, project, question, prompt, candidates)


def add_conversation(
    connection: Connection, project: str, conversation: Conversation, question: Question, source: str = ""
) -> str:
    """A prompt with its answers as one task, everything new stored on the way. Returns the task's id."""
    prompt = content.add_prompt(connection, project, conversation.prompt, source)
    messages = [
        content.add_message(
            connection, prompt, response, author=Author(content.add_model(connection, response.author or "unknown"))
        )
        for response in conversation.responses
    ]
    candidates = content.add_candidates(connection, prompt, messages) if messages else None
    return add_task(connection, project, question, prompt, candidates)


def distinct(conversation: Conversation) -> tuple[Conversation, int]:
    """The conversation without answers that read as one before them, and how many these are."""
    first = {response.text.strip(): response for response in reversed(conversation.responses)}
    kept = tuple(r for r in conversation.responses if first[r.text.strip()] is r)
    return replace(conversation, responses=kept), len(conversation.responses) - len(kept)


def parts(conversation: Conversation, kind: str) -> list[Conversation]:
    """The answers of each task. Pairs show two: of four, the first and second, and the third and fourth. More answers
    than one task of another kind may show are shared out evenly."""
    responses, most = conversation.responses, kinds.TABLE[kind].most
    count = math.ceil(len(responses) / most) if most and responses else 1
    ends = [len(responses) * i // count if most > 2 else most * i for i in range(count + 1)]
    groups = [responses[start:end] for start, end in pairwise(ends)]
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
    current = projects.open_round(connection, project)
    return tasks.is_asked(connection, prompt, kind, current.id if current else None)


def asked(connection: Connection, prompt: str, kind: str, onboarding: bool | None = None) -> set[Texts]:
    """The answers that tasks of this kind about the prompt show; `onboarding`: only of gold tasks, those of the quiz or
    the hidden ones."""
    return {texts(shown) for shown in tasks.answers_asked(connection, prompt, kind, onboarding)}


def texts(answers: Iterable[str]) -> Texts:
    """Answers as people tell them apart: without the spaces around them, in no order."""
    return frozenset(text.strip() for text in answers)
