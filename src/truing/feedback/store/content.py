"""What people are asked about: prompts, answers, the models that gave them. Rows go in here, and are not changed."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select

from truing.data.records import Message, Prompt, Response, split_of, text_hash
from truing.feedback.store import schema as t
from truing.feedback.store.database import StoredRow, add, digest
from truing.feedback.store.events import standing

HELD_OUT = 0.1  # of root prompts: kept for testing from the moment they are stored


class Author(NamedTuple):
    """Who wrote a message: the id of a model's version, or of a person; neither where it is not known."""

    model: str | None = None
    person: str | None = None
    role: str = "assistant"


@dataclass(frozen=True)
class Selection:
    """How the answers of a task were chosen."""

    rule: str = "random"
    acquisition: float | None = None
    """What asking about them was expected to be worth."""
    scores: Mapping[str, float] = field(default_factory=dict)


UNKNOWN, RANDOM = Author(), Selection()


def known_prompt(connection: Connection, project: str, prompt: Prompt) -> str | None:
    """The id of the prompt that says the same, by its normal form; None if there is none."""
    return next(iter(prompts_that_say(connection, project, [normal_hash(prompt.messages)])), None)


def prompts_that_say(connection: Connection, project: str, hashes: Sequence[str]) -> Sequence[str]:
    """Ids of the prompts with one of these normal forms."""
    c = t.prompt.c
    return connection.scalars(select(c.id).where(c.project_id == project, c.norm_hash.in_(hashes))).all()


def add_prompt(
    connection: Connection, project: str, prompt: Prompt, source: str = "", held_out: float = HELD_OUT
) -> str:
    """The prompt, once. The split is fixed now, by its root."""
    if known := known_prompt(connection, project, prompt):
        return known
    return add(
        connection,
        t.prompt,
        project_id=project,
        root=prompt.root,
        norm_hash=normal_hash(prompt.messages),
        source=source,
        split=prompt.split if prompt.split in ("train", "test") else split_of(prompt.root, held_out),
        messages=[{"role": m.role, "content": m.content} for m in prompt.messages],
        tags=list(prompt.tags),
    )


def prompt(connection: Connection, identity: str) -> StoredRow | None:
    """A prompt's row; None if there is none."""
    return connection.execute(select(t.prompt).where(t.prompt.c.id == identity)).first()


def add_model(connection: Connection, name: str, checkpoint_hash: str = "") -> str:
    """A version of a model, once: the same name with the same checkpoint is the same version."""
    c = t.model_version.c
    found = connection.scalar(select(c.id).where(c.name == name, c.checkpoint_hash == checkpoint_hash))
    values = {"name": name, "checkpoint_hash": checkpoint_hash, "kind": "policy", "generation": {}}
    return found or add(connection, t.model_version, **values)


def add_message(
    connection: Connection, prompt: str, response: Response, parent: str | None = None, author: Author = UNKNOWN
) -> str:
    """A message below the prompt or below another message, with what is known of how it was sampled."""
    return add(
        connection,
        t.message,
        prompt_id=prompt,
        parent_id=parent,
        role=author.role,
        content=response.text,
        content_hash=text_hash(response.text),
        model_version_id=author.model,
        annotator_id=author.person,
        sampling=dict(response.sampling),
        seed=response.seed,
        finish_reason=response.finish_reason,
        logprob_sum=sum(response.logprobs) if response.logprobs else None,
        token_ids=list(response.token_ids) or None,
    )


def answer_of_text(connection: Connection, prompt: str, text: str) -> str:
    """The answer to the prompt with this text, made if there is none."""
    m = t.message.c
    found = connection.scalar(select(m.id).where(m.prompt_id == prompt, m.parent_id.is_(None), m.content == text))
    return found or add_message(connection, prompt, Response(text))


def add_candidates(
    connection: Connection,
    prompt: str,
    messages: Sequence[str],
    parent: str | None = None,
    selection: Selection = RANDOM,
) -> str:
    """Answers offered together, and how they were chosen."""
    values = {"selection": selection.rule, "acquisition": selection.acquisition, "scores": dict(selection.scores)}
    identity = add(connection, t.candidate_set, prompt_id=prompt, parent_id=parent, **values)
    rows = [
        {"candidate_set_id": identity, "message_id": message, "position": position}
        for position, message in enumerate(messages)
    ]
    connection.execute(insert(t.candidate), rows)
    return identity


def answers(connection: Connection, candidates: str) -> list[str]:
    """Ids of the answers of a candidate set, in the order they were added."""
    c = t.candidate.c
    return list(connection.scalars(select(c.message_id).where(c.candidate_set_id == candidates).order_by(c.position)))


def answers_beside(connection: Connection, message: str) -> list[str]:
    """The answers offered together with this one, itself too, in the order they were added."""
    c = t.candidate.c
    found = connection.scalar(select(c.candidate_set_id).where(c.message_id == message))
    return answers(connection, found) if found else []


def newest_candidates(connection: Connection, prompt: str, person: str) -> str | None:
    """The newest candidate set below a message of this person in a conversation; None if there is none."""
    c, m = t.candidate_set.c, t.message.c
    asked = (
        select(c.id)
        .join(t.message, m.id == c.parent_id)
        .where(c.prompt_id == prompt, m.annotator_id == person)
        .order_by(c.created_at.desc())
    )
    return connection.scalar(asked.limit(1))


def texts(connection: Connection, messages: Sequence[str]) -> dict[str, str]:
    """The texts of messages by their ids."""
    m = t.message.c
    return dict(connection.execute(select(m.id, m.content).where(m.id.in_(messages))).all())  # type: ignore[arg-type]


def conversation_to(connection: Connection, prompt: str, message: str | None) -> list[dict[str, str]]:
    """The prompt's messages and those below it down to `message`: role and content of each."""
    turns: list[dict[str, str]] = []
    while message:
        row = connection.execute(
            select(t.message.c.parent_id, t.message.c.role, t.message.c.content).where(t.message.c.id == message)
        ).one()
        turns.insert(0, {"role": row.role, "content": row.content})
        message = row.parent_id
    return [*connection.execute(select(t.prompt.c.messages).where(t.prompt.c.id == prompt)).scalar_one(), *turns]


def messages_below(connection: Connection, prompt: str) -> Sequence[StoredRow]:
    """All messages below a prompt in the order of their time, each with the name of its model or person."""
    m = t.message.c
    asked = (
        select(t.message, t.model_version.c.name.label("model"), t.annotator.c.name.label("person"))
        .outerjoin(t.model_version, t.model_version.c.id == m.model_version_id)
        .outerjoin(t.annotator, t.annotator.c.id == m.annotator_id)
        .where(m.prompt_id == prompt)
        .order_by(m.created_at)
    )
    return connection.execute(asked).all()


def prompts_page(connection: Connection, project: str, search: str, start: int, count: int) -> Sequence[StoredRow]:
    """Prompts, the newest first, with how many answers and comparisons each has; `search`: only those with this text in
    them or below them."""
    p = t.prompt.c
    count_of = select(func.count()).where(t.message.c.prompt_id == p.id).scalar_subquery()
    stand = select(func.count()).select_from(t.comparison.join(t.annotation)).where(*standing())
    compared = stand.where(t.comparison.c.prompt_id == p.id).scalar_subquery()
    asked = select(p.id, p.messages, p.split, count_of.label("answers"), compared.label("comparisons"))
    asked = asked.where(p.project_id == project).order_by(p.created_at.desc(), p.id)
    if search:
        below = select(t.message.c.prompt_id).where(t.message.c.content.contains(search, autoescape=True))
        words: Any = func.lower(func.cast(p.messages, t.message.c.content.type))
        asked = asked.where(words.contains(search.lower(), autoescape=True) | p.id.in_(below))
    return connection.execute(asked.offset(start).limit(count)).all()


def normal_hash(messages: Sequence[Message]) -> str:
    """What prompts have in common that say the same, up to spaces around their messages and forms of characters."""
    return digest("\x1e".join(f"{m.role}\x1f{unicodedata.normalize('NFKC', m.content).strip()}" for m in messages))
