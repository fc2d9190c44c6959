"""The tables of the store. Events (annotations, audit) are only added; what is derived of them can be made again.

Ids are short random texts, so that they tell nothing; times are seconds since 1970 UTC; `json` columns hold what has no
fixed columns, with a version where its form may change. A change here needs a migration, and the two are compared by a
test.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[str]:
    return Column("id", String(32), primary_key=True)


def _to(table: str, name: str = "", required: bool = True) -> Column[str]:
    return Column(name or f"{table}_id", String(32), ForeignKey(f"{table}.id"), nullable=not required, index=True)


def _at(name: str = "created_at") -> Column[float]:
    return Column(name, Float, nullable=False)


def _text(name: str, default: str | None = None) -> Column[str]:
    return Column(name, Text, nullable=False, server_default=default)


def _json(name: str) -> Column[dict]:
    return Column(name, JSON, nullable=False)


project = Table("project", metadata, _id(), Column("name", String(200), nullable=False, unique=True), _json("config"),
                _at())  # fmt: skip

guideline = Table(
    "guideline", metadata,
    _id(), _to("project"), Column("version", Integer, nullable=False), _text("text"), _at(),
    UniqueConstraint("project_id", "version"),
)  # fmt: skip

annotator = Table(
    "annotator", metadata,
    _id(), Column("name", String(200), nullable=False, unique=True),
    Column("role", String(20), nullable=False), Column("password_hash", Text),
    Column("simulated", Boolean, nullable=False, server_default="0"), Column("disabled_at", Float), _at(),
    CheckConstraint("role in ('owner', 'reviewer', 'annotator')", name="role"),
)  # fmt: skip

# Sessions, invitations, the setup link and API tokens. The secret itself is nowhere: only its SHA-256.
token = Table(
    "token", metadata,
    _id(), _to("annotator", required=False), Column("hash", String(64), nullable=False, unique=True),
    Column("purpose", String(20), nullable=False), Column("role", String(20), nullable=False, server_default=""),
    Column("expires_at", Float), Column("used_at", Float), _at(),
    CheckConstraint("purpose in ('setup', 'invitation', 'session', 'api')", name="purpose"),
)  # fmt: skip

model_version = Table(
    "model_version", metadata,
    _id(), Column("name", String(400), nullable=False), Column("kind", String(20), nullable=False),
    Column("checkpoint_hash", String(64), nullable=False, server_default=""),
    _to("model_version", "parent_id", required=False), _to("round", required=False), _json("generation"), _at(),
    UniqueConstraint("name", "checkpoint_hash"),
)  # fmt: skip

prompt = Table(
    "prompt", metadata,
    _id(), _to("project"), Column("root", String(64), nullable=False, index=True),
    Column("split", String(10), nullable=False), _text("group_id", ""), _json("messages"),
    Column("norm_hash", String(64), nullable=False), _text("source", ""), _json("tags"), _at(),
    UniqueConstraint("project_id", "norm_hash"), CheckConstraint("split in ('train', 'test')", name="split"),
)  # fmt: skip

# A tree below its prompt: answers are siblings, a chat goes deeper.
message = Table(
    "message", metadata,
    _id(), _to("prompt"), _to("message", "parent_id", required=False), Column("role", String(12), nullable=False),
    _text("content"), Column("content_hash", String(64), nullable=False),
    _to("model_version", required=False), _to("annotator", required=False), _json("sampling"),
    Column("seed", Integer), Column("logprob_sum", Float), Column("token_ids", JSON),
    _text("finish_reason", ""), _at(),
    CheckConstraint("role in ('system', 'user', 'assistant')", name="role"),
)  # fmt: skip

candidate_set = Table(
    "candidate_set", metadata,
    _id(), _to("prompt"), _to("message", "parent_id", required=False),
    Column("selection", String(20), nullable=False, server_default="random"), Column("acquisition", Float),
    _json("scores"), _at(),
)  # fmt: skip

candidate = Table(
    "candidate", metadata,
    Column("candidate_set_id", String(32), ForeignKey("candidate_set.id"), primary_key=True),
    Column("message_id", String(32), ForeignKey("message.id"), primary_key=True, index=True),
    Column("position", Integer, nullable=False),
)  # fmt: skip

round_ = Table(
    "round", metadata,
    _id(), _to("project"), Column("number", Integer, nullable=False), _to("snapshot", required=False),
    _json("served"), _json("metrics"), Column("opened_at", Float, nullable=False), Column("closed_at", Float),
    UniqueConstraint("project_id", "number"),
)  # fmt: skip

task = Table(
    "task", metadata,
    _id(), _to("project"), Column("kind", String(12), nullable=False), _to("prompt"),
    _to("candidate_set", required=False), _to("round", required=False),
    Column("overlap", Integer, nullable=False), Column("priority", Float, nullable=False, server_default="0"),
    Column("state", String(10), nullable=False, server_default="open"),
    Column("gold", Boolean, nullable=False, server_default="0"), _json("config"),
    Column("reviews_id", String(32)),  # the annotation that a review judges: no key, for annotations point at tasks
    _at(),
    CheckConstraint("overlap >= 1", name="overlap"),
    CheckConstraint("state in ('open', 'full', 'closed')", name="state"),
)  # fmt: skip

# In the order in which tasks are given out: the next one is found without looking at the others.
Index(
    "ix_task_queue", task.c.project_id, task.c.state, task.c.gold, task.c.priority.desc(), task.c.created_at, task.c.id
)

assignment = Table(
    "assignment", metadata,
    _id(), _to("task"), _to("annotator"), Column("state", String(10), nullable=False),
    Column("leased_at", Float, nullable=False), Column("lease_expires", Float, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="1"), _json("shown_order"),
    Column("seed", Integer, nullable=False, server_default="0"), _to("guideline", required=False),
    UniqueConstraint("task_id", "annotator_id"),
    CheckConstraint("state in ('leased', 'submitted', 'skipped')", name="state"),
)  # fmt: skip

# What people said, one immutable row an event. Current is what no later row supersedes and is no retraction.
annotation = Table(
    "annotation", metadata,
    _id(), Column("number", Integer, nullable=False, unique=True), _to("assignment"), _to("task"), _to("annotator"),
    Column("kind", String(12), nullable=False), Column("version", Integer, nullable=False), _json("payload"),
    Column("duration_ms", Integer), Column("active_ms", Integer),
    Column("idempotency_key", String(80), nullable=False), Column("body_hash", String(64), nullable=False),
    Column("extra", Boolean, nullable=False, server_default="0"),
    _to("annotation", "supersedes_id", required=False), _at(),
    UniqueConstraint("annotator_id", "idempotency_key"), UniqueConstraint("supersedes_id"),
)  # fmt: skip

comparison = Table(
    "comparison", metadata,
    _id(), _to("annotation"), _to("prompt"), _to("message", "winner_id"), _to("message", "loser_id"),
    Column("tie", Boolean, nullable=False), Column("strength", Integer), _text("verdict", "better"),
    _text("criterion", ""), _text("origin"),
)  # fmt: skip

ranking = Table(
    "ranking", metadata,
    _id(), _to("annotation"), _to("prompt"), _json("tiers"), _text("criterion", ""), _text("origin"),
)  # fmt: skip

rating = Table(
    "rating", metadata,
    _id(), _to("annotation"), _to("message"), Column("value", Float, nullable=False),
    Column("low", Float, nullable=False), Column("high", Float, nullable=False), _text("criterion", ""),
    _text("origin"),
)  # fmt: skip

flag = Table("flag", metadata, _id(), _to("annotation"), _to("message"), _text("name"))

# A demonstration is an answer by a person; an edit is one that corrects another.
demonstration = Table(
    "demonstration", metadata,
    _id(), _to("annotation"), _to("message"), _to("message", "before_id", required=False), _text("origin"),
)  # fmt: skip

gold = Table(
    "gold", metadata,
    Column("task_id", String(32), ForeignKey("task.id"), primary_key=True), _json("accepted"),
    _text("explanation", ""), Column("onboarding", Boolean, nullable=False, server_default="0"), _text("origin", ""),
)  # fmt: skip

snapshot = Table(
    "snapshot", metadata,
    _id(), _to("project"), _json("filters"), Column("hash", String(64), nullable=False),
    Column("count", Integer, nullable=False), _at(),
)  # fmt: skip

snapshot_annotation = Table(
    "snapshot_annotation", metadata,
    Column("snapshot_id", String(32), ForeignKey("snapshot.id"), primary_key=True),
    Column("annotation_id", String(32), ForeignKey("annotation.id"), primary_key=True, index=True),
)  # fmt: skip

audit_log = Table(
    "audit_log", metadata,
    Column("id", Integer, primary_key=True), Column("at", Float, nullable=False), _text("who"), _text("what"),
    _text("about", ""), Column("before_hash", String(64)), Column("after_hash", String(64)),
)  # fmt: skip
