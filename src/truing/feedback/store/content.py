"""What people are asked about: projects, guidelines, prompts, answers, tasks. Rows go in here, and are not changed."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select

from truing.data.records import Conversation, Message, Prompt, Response, split_of, text_hash
from truing.errors import UserError
from truing.feedback.store import schema as t
from truing.feedback.store.database import new_id, now
from truing.feedback.tasks import kinds

DEFAULT = "default"  # the project of what names none
HELD_OUT = 0.1  # of root prompts: kept for testing from the moment they are stored
FLAGS = [
    {"name": "harmful", "words": "Harmful or unsafe"},
    {"name": "false", "words": "Says what is not so"},
    {"name": "personal", "words": "Private data"},
    {"name": "broken", "words": "Broken or unreadable"},
]


def add(connection: Connection, table: Table, **values: Any) -> str:
    """One new row; returns its id."""
    identity = values.pop("id", None) or new_id()
    values = {"created_at": now(), **values} if "created_at" in table.c else values
    connection.execute(insert(table).values(id=identity, **values))
    return identity


def audit(connection: Connection, who: str, what: str, about: str = "", before: str = "", after: str = "") -> None:
    """Note who did what; texts before and after go in as hashes."""
    hashes = {"before_hash": digest(before) if before else None, "after_hash": digest(after) if after else None}
    connection.execute(insert(t.audit_log).values(at=now(), who=who, what=what, about=about, **hashes))


def digest(text: str) -> str:
    """SHA-256 of a text, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def open_project(connection: Connection, name: str = DEFAULT, config: Mapping[str, Any] | None = None) -> str:
    """The project of this name, made if there is none."""
    found = connection.scalar(select(t.project.c.id).where(t.project.c.name == name))
    return found or add(connection, t.project, name=name, config=dict(config or {}))


def projects(connection: Connection) -> dict[str, str]:
    """The ids of the store's projects by their names."""
    return dict(connection.execute(select(t.project.c.name, t.project.c.id).order_by(t.project.c.name)).all())  # type: ignore[arg-type]


def project_named(connection: Connection, name: str = DEFAULT) -> str:
    """The id of a project; the only one there is needs no name. Raises UserError if there is none of this name."""
    names = projects(connection)
    if name == DEFAULT and len(names) == 1:
        return next(iter(names.values()))
    if name not in names:
        raise UserError(f'there is no project "{name}" in this store; there are: {", ".join(names) or "none"}')
    return names[name]


def add_guideline(connection: Connection, project: str, text: str) -> str:
    """A new version of the guideline, unless the newest one says just this."""
    newest = guideline(connection, project)
    if newest and newest.text == text:
        return newest.id
    return add(connection, t.guideline, project_id=project, version=(newest.version if newest else 0) + 1, text=text)


def guideline(connection: Connection, project: str) -> Any:
    """The newest version of the guideline; None if there is none."""
    asked = select(t.guideline).where(t.guideline.c.project_id == project).order_by(t.guideline.c.version.desc())
    return connection.execute(asked.limit(1)).first()


def known_prompt(connection: Connection, project: str, prompt: Prompt) -> str | None:
    """The id of the prompt that says the same, by its normal form; None if there is none."""
    norm = normal_hash(prompt.messages)
    return connection.scalar(
        select(t.prompt.c.id).where(t.prompt.c.project_id == project, t.prompt.c.norm_hash == norm)
    )


def add_prompt(
    connection: Connection, project: str, prompt: Prompt, source: str = "", held_out: float = HELD_OUT
) -> str:
    """The prompt, once. The split is fixed now, by its root."""
    return known_prompt(connection, project, prompt) or add(
        connection, t.prompt, project_id=project, root=prompt.root, norm_hash=normal_hash(prompt.messages),
        source=source,
        split=prompt.split if prompt.split in ("train", "test") else split_of(prompt.root, held_out),
        messages=[{"role": m.role, "content": m.content} for m in prompt.messages], tags=list(prompt.tags),
    )  # fmt: skip


def add_model(
    connection: Connection, name: str, kind: str = "policy", checkpoint_hash: str = "", parent: str | None = None,
    round_: str | None = None, generation: Mapping[str, Any] | None = None,
) -> str:  # fmt: skip
    """A version of a model, once: the same name with the same checkpoint is the same version."""
    c = t.model_version.c
    found = connection.scalar(select(c.id).where(c.name == name, c.checkpoint_hash == checkpoint_hash))
    return found or add(
        connection, t.model_version, name=name, kind=kind, checkpoint_hash=checkpoint_hash, parent_id=parent,
        round_id=round_, generation=dict(generation or {}),
    )  # fmt: skip


def add_message(
    connection: Connection, prompt: str, response: Response, parent: str | None = None, role: str = "assistant",
    model: str | None = None, annotator: str | None = None,
) -> str:  # fmt: skip
    """A turn below the prompt or below another turn, with what is known of how it was sampled."""
    return add(
        connection, t.message, prompt_id=prompt, parent_id=parent, role=role, content=response.text,
        content_hash=text_hash(response.text), model_version_id=model, annotator_id=annotator,
        sampling=dict(response.sampling), seed=response.seed, finish_reason=response.finish_reason,
        logprob_sum=sum(response.logprobs) if response.logprobs else None,
        token_ids=list(response.token_ids) or None,
    )  # fmt: skip


def add_candidates(
    connection: Connection, prompt: str, messages: Sequence[str], parent: str | None = None, selection: str = "random",
    acquisition: float | None = None, scores: Mapping[str, float] | None = None,
) -> str:  # fmt: skip
    """Answers offered together, and how they were chosen."""
    identity = add(
        connection, t.candidate_set, prompt_id=prompt, parent_id=parent, selection=selection, acquisition=acquisition,
        scores=dict(scores or {}),
    )  # fmt: skip
    rows = [
        {"candidate_set_id": identity, "message_id": message, "position": position}
        for position, message in enumerate(messages)
    ]
    connection.execute(insert(t.candidate), rows)
    return identity


def add_task(
    connection: Connection, project: str, kind: str, prompt: str, candidates: str | None = None, overlap: int = 1,
    priority: float = 0.0, config: Mapping[str, Any] | None = None, gold: bool = False, round_: str | None = None,
    reviews: str | None = None,
) -> str:  # fmt: skip
    """Something to ask `overlap` different people; `reviews` is the annotation that a review is about."""
    config = dict(config or {})
    if kinds.named(kind).scale and "scale" not in config:  # what a rating means stays, whatever scale is usual later
        usual = connection.execute(select(t.project.c.config).where(t.project.c.id == project)).scalar_one()
        config["scale"] = kinds.scale_of(kinds.named(kind), usual)
    return add(
        connection, t.task, project_id=project, kind=kind, prompt_id=prompt,
        candidate_set_id=candidates, overlap=overlap, priority=priority, config=config, gold=gold,
        round_id=round_ or _open_round(connection, project),
        reviews_id=reviews,
    )  # fmt: skip


def add_conversation(
    connection: Connection, project: str, conversation: Conversation, kind: str, overlap: int = 1, source: str = "",
    selection: str = "random", config: Mapping[str, Any] | None = None,
) -> str:  # fmt: skip
    """A prompt with its answers as one task, everything new stored on the way. Returns the task's id."""
    prompt = add_prompt(connection, project, conversation.prompt, source)
    messages = [
        add_message(connection, prompt, response, model=add_model(connection, response.author or "unknown"))
        for response in conversation.responses
    ]
    candidates = add_candidates(connection, prompt, messages, selection=selection) if messages else None
    return add_task(connection, project, kind, prompt, candidates, overlap, config=config)


def answers(connection: Connection, candidates: str) -> list[str]:
    """Ids of the answers of a candidate set, in the order they were added."""
    c = t.candidate.c
    return list(connection.scalars(select(c.message_id).where(c.candidate_set_id == candidates).order_by(c.position)))


def conversation_to(connection: Connection, prompt: str, message: str | None) -> list[dict[str, str]]:
    """The prompt's messages and the turns below it down to `message`: role and content of each."""
    turns: list[dict[str, str]] = []
    while message:
        row = connection.execute(
            select(t.message.c.parent_id, t.message.c.role, t.message.c.content).where(t.message.c.id == message)
        ).one()
        turns.insert(0, {"role": row.role, "content": row.content})
        message = row.parent_id
    return [*connection.execute(select(t.prompt.c.messages).where(t.prompt.c.id == prompt)).scalar_one(), *turns]


def counts(connection: Connection, project: str) -> dict[str, int]:
    """How many prompts, tasks, annotations the project has."""
    of_task = select(func.count()).select_from(t.annotation.join(t.task, t.annotation.c.task_id == t.task.c.id))
    return {
        "prompts": _count(connection, t.prompt, t.prompt.c.project_id == project),
        "tasks": _count(connection, t.task, t.task.c.project_id == project),
        "annotations": connection.scalar(of_task.where(t.task.c.project_id == project)) or 0,
    }


def _open_round(connection: Connection, project: str) -> str | None:
    c = t.round_.c
    return connection.scalar(select(c.id).where(c.project_id == project, c.closed_at.is_(None)).limit(1))


def _count(connection: Connection, table: Table, condition: Any) -> int:
    return connection.scalar(select(func.count()).select_from(table).where(condition)) or 0


def normal_hash(messages: Sequence[Message]) -> str:
    """What prompts have in common that say the same, up to spaces around their messages and forms of characters."""
    return digest("\x1e".join(f"{m.role}\x1f{unicodedata.normalize('NFKC', m.content).strip()}" for m in messages))
