"""The first schema."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

# fmt: off
revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
TABLES = (
    "demonstration", "flag", "rating", "ranking", "comparison", "audit_log", "snapshot_annotation", "annotation",
    "gold", "assignment", "task", "candidate", "candidate_set", "message", "prompt", "model_version", "round",
    "snapshot", "token", "guideline", "annotator", "project",
)
INDEXES = (
    ("guideline", ["project_id"]), ("token", ["annotator_id"]), ("snapshot", ["project_id"]),
    ("round", ["project_id"]), ("round", ["snapshot_id"]), ("model_version", ["parent_id"]),
    ("model_version", ["round_id"]), ("prompt", ["project_id"]), ("prompt", ["root"]), ("message", ["annotator_id"]),
    ("message", ["model_version_id"]), ("message", ["parent_id"]), ("message", ["prompt_id"]),
    ("candidate_set", ["parent_id"]), ("candidate_set", ["prompt_id"]), ("candidate", ["message_id"]),
    ("task", ["candidate_set_id"]), ("task", ["project_id"]), 
    ("task", ["prompt_id"]), ("task", ["round_id"]), ("assignment", ["annotator_id"]),
    ("assignment", ["guideline_id"]), ("assignment", ["task_id"]), ("annotation", ["annotator_id"]),
    ("annotation", ["assignment_id"]), ("annotation", ["supersedes_id"]), ("annotation", ["task_id"]),
    ("snapshot_annotation", ["annotation_id"]),
    ("comparison", ["annotation_id"]), ("comparison", ["loser_id"]), ("comparison", ["prompt_id"]),
    ("comparison", ["winner_id"]), ("ranking", ["annotation_id"]), ("ranking", ["prompt_id"]),
    ("rating", ["annotation_id"]), ("rating", ["message_id"]), ("flag", ["annotation_id"]), ("flag", ["message_id"]),
    ("demonstration", ["annotation_id"]), ("demonstration", ["before_id"]), ("demonstration", ["message_id"]),
)  # fmt: skip


def upgrade() -> None:
    """All tables."""
    _people()
    _rounds()
    _prompts()
    _work()
    _judgements()
    _derived()
    _derived_of_answers()
    for table, columns in INDEXES:
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, columns)
    queue: list[Any] = ["project_id", "state", "gold", sa.text("priority DESC"), "created_at", "id"]
    op.create_index("ix_task_queue", "task", queue)


def _people() -> None:
    op.create_table(
        "project",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False), sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False), sa.PrimaryKeyConstraint("id", name=op.f("pk_project")),
        sa.UniqueConstraint("name", name=op.f("uq_project_name")),
    )
    op.create_table(
        "annotator",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False), sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("simulated", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("disabled_at", sa.Float(), nullable=True), sa.Column("created_at", sa.Float(), nullable=False),
        sa.CheckConstraint("role in ('owner', 'reviewer', 'annotator')", name=op.f('ck_annotator_role')),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotator")),
        sa.UniqueConstraint("name", name=op.f("uq_annotator_name")),
    )
    op.create_table(
        "guideline",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("project_id", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False), sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_guideline_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_guideline")),
        sa.UniqueConstraint("project_id", "version", name=op.f("uq_guideline_project_id_version")),
    )
    op.create_table(
        "token",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("annotator_id", sa.String(length=32), nullable=True),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("role", sa.String(length=20), server_default="", nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=True), sa.Column("used_at", sa.Float(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.CheckConstraint("purpose in ('setup', 'invitation', 'session', 'api')", name=op.f('ck_token_purpose')),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"], name=op.f("fk_token_annotator_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token")), sa.UniqueConstraint("hash", name=op.f("uq_token_hash")),
    )


def _rounds() -> None:
    op.create_table(
        "snapshot",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("project_id", sa.String(length=32), nullable=False),
        sa.Column("filters", sa.JSON(), nullable=False), sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False), sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_snapshot_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot")),
    )
    op.create_table(
        "round",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("project_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("snapshot_id", sa.String(length=32), nullable=True), sa.Column("served", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False), sa.Column("opened_at", sa.Float(), nullable=False),
        sa.Column("closed_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_round_project_id")),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name=op.f("fk_round_snapshot_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_round")),
        sa.UniqueConstraint("project_id", "number", name=op.f("uq_round_project_id_number")),
    )
    op.create_table(
        "model_version",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=400), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("checkpoint_hash", sa.String(length=64), server_default="", nullable=False),
        sa.Column("parent_id", sa.String(length=32), nullable=True),
        sa.Column("round_id", sa.String(length=32), nullable=True),
        sa.Column("generation", sa.JSON(), nullable=False), sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["model_version.id"], name=op.f("fk_model_version_parent_id")),
        sa.ForeignKeyConstraint(["round_id"], ["round.id"], name=op.f("fk_model_version_round_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_version")),
        sa.UniqueConstraint("name", "checkpoint_hash", name=op.f("uq_model_version_name_checkpoint_hash")),
    )


def _prompts() -> None:
    op.create_table(
        "prompt",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("project_id", sa.String(length=32), nullable=False),
        sa.Column("root", sa.String(length=64), nullable=False),
        sa.Column("split", sa.String(length=10), nullable=False),
        sa.Column("group_id", sa.Text(), server_default="", nullable=False),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("norm_hash", sa.String(length=64), nullable=False),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False), sa.Column("created_at", sa.Float(), nullable=False),
        sa.CheckConstraint("split in ('train', 'test')", name=op.f('ck_prompt_split')),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_prompt_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompt")),
        sa.UniqueConstraint("project_id", "norm_hash", name=op.f("uq_prompt_project_id_norm_hash")),
    )
    op.create_table(
        "message",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("prompt_id", sa.String(length=32), nullable=False),
        sa.Column("parent_id", sa.String(length=32), nullable=True),
        sa.Column("role", sa.String(length=12), nullable=False), sa.Column("content", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("model_version_id", sa.String(length=32), nullable=True),
        sa.Column("annotator_id", sa.String(length=32), nullable=True),
        sa.Column("sampling", sa.JSON(), nullable=False), sa.Column("seed", sa.Integer(), nullable=True),
        sa.Column("logprob_sum", sa.Float(), nullable=True), sa.Column("token_ids", sa.JSON(), nullable=True),
        sa.Column("finish_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.CheckConstraint("role in ('system', 'user', 'assistant')", name=op.f('ck_message_role')),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"], name=op.f("fk_message_annotator_id")),
        sa.ForeignKeyConstraint(["model_version_id"], ["model_version.id"], name=op.f("fk_message_model_version_id")),
        sa.ForeignKeyConstraint(["parent_id"], ["message.id"], name=op.f("fk_message_parent_id")),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompt.id"], name=op.f("fk_message_prompt_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
    )
    op.create_table(
        "candidate_set",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("prompt_id", sa.String(length=32), nullable=False),
        sa.Column("parent_id", sa.String(length=32), nullable=True),
        sa.Column("selection", sa.String(length=20), server_default="random", nullable=False),
        sa.Column("acquisition", sa.Float(), nullable=True), sa.Column("scores", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["message.id"], name=op.f("fk_candidate_set_parent_id")),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompt.id"], name=op.f("fk_candidate_set_prompt_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_candidate_set")),
    )
    op.create_table(
        "candidate",
        sa.Column("candidate_set_id", sa.String(length=32), nullable=False),
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["candidate_set_id"], ["candidate_set.id"], name=op.f("fk_candidate_candidate_set_id")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_candidate_message_id")),
        sa.PrimaryKeyConstraint("candidate_set_id", "message_id", name=op.f("pk_candidate")),
    )


def _work() -> None:
    op.create_table(
        "task",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("project_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("prompt_id", sa.String(length=32), nullable=False),
        sa.Column("candidate_set_id", sa.String(length=32), nullable=True),
        sa.Column("round_id", sa.String(length=32), nullable=True),
        sa.Column("overlap", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Float(), server_default="0", nullable=False),
        sa.Column("state", sa.String(length=10), server_default="open", nullable=False),
        sa.Column("gold", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("config", sa.JSON(), nullable=False), sa.Column("reviews_id", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.CheckConstraint("state in ('open', 'full', 'closed')", name=op.f('ck_task_state')),
        sa.CheckConstraint("overlap >= 1", name=op.f("ck_task_overlap")),
        sa.ForeignKeyConstraint(["candidate_set_id"], ["candidate_set.id"], name=op.f("fk_task_candidate_set_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_task_project_id")),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompt.id"], name=op.f("fk_task_prompt_id")),
        sa.ForeignKeyConstraint(["round_id"], ["round.id"], name=op.f("fk_task_round_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
    )
    op.create_table(
        "assignment",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("task_id", sa.String(length=32), nullable=False),
        sa.Column("annotator_id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False), sa.Column("leased_at", sa.Float(), nullable=False),
        sa.Column("lease_expires", sa.Float(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="1", nullable=False),
        sa.Column("shown_order", sa.JSON(), nullable=False),
        sa.Column("seed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("guideline_id", sa.String(length=32), nullable=True),
        sa.CheckConstraint("state in ('leased', 'submitted', 'skipped')", name=op.f('ck_assignment_state')),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"], name=op.f("fk_assignment_annotator_id")),
        sa.ForeignKeyConstraint(["guideline_id"], ["guideline.id"], name=op.f("fk_assignment_guideline_id")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_assignment_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignment")),
        sa.UniqueConstraint("task_id", "annotator_id", name=op.f("uq_assignment_task_id_annotator_id")),
    )
    op.create_table(
        "gold",
        sa.Column("task_id", sa.String(length=32), nullable=False), sa.Column("accepted", sa.JSON(), nullable=False),
        sa.Column("explanation", sa.Text(), server_default="", nullable=False),
        sa.Column("onboarding", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("origin", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_gold_task_id")),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_gold")),
    )


def _judgements() -> None:
    op.create_table(
        "annotation",
        sa.Column("id", sa.String(length=32), nullable=False), sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("assignment_id", sa.String(length=32), nullable=False),
        sa.Column("task_id", sa.String(length=32), nullable=False),
        sa.Column("annotator_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False), sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False), sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("active_ms", sa.Integer(), nullable=True),
        sa.Column("idempotency_key", sa.String(length=80), nullable=False),
        sa.Column("body_hash", sa.String(length=64), nullable=False),
        sa.Column("extra", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("supersedes_id", sa.String(length=32), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"], name=op.f("fk_annotation_annotator_id")),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignment.id"], name=op.f("fk_annotation_assignment_id")),
        sa.ForeignKeyConstraint(["supersedes_id"], ["annotation.id"], name=op.f("fk_annotation_supersedes_id")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_annotation_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotation")),
        sa.UniqueConstraint("annotator_id", "idempotency_key", name=op.f("uq_annotation_annotator_id_idempotency_key")),
        sa.UniqueConstraint("number", name=op.f("uq_annotation_number")),
        sa.UniqueConstraint("supersedes_id", name=op.f("uq_annotation_supersedes_id")),
    )
    op.create_table(
        "snapshot_annotation",
        sa.Column("snapshot_id", sa.String(length=32), nullable=False),
        sa.Column("annotation_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotation_id"], ["annotation.id"], name=op.f("fk_snapshot_annotation_annotation_id")
        ),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"], name=op.f("fk_snapshot_annotation_snapshot_id")),
        sa.PrimaryKeyConstraint("snapshot_id", "annotation_id", name=op.f("pk_snapshot_annotation")),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Integer(), nullable=False), sa.Column("at", sa.Float(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False), sa.Column("what", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), server_default="", nullable=False),
        sa.Column("before_hash", sa.String(length=64), nullable=True),
        sa.Column("after_hash", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )


def _derived() -> None:
    op.create_table(
        "comparison",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("annotation_id", sa.String(length=32), nullable=False),
        sa.Column("prompt_id", sa.String(length=32), nullable=False),
        sa.Column("winner_id", sa.String(length=32), nullable=False),
        sa.Column("loser_id", sa.String(length=32), nullable=False), sa.Column("tie", sa.Boolean(), nullable=False),
        sa.Column("strength", sa.Integer(), nullable=True),
        sa.Column("verdict", sa.Text(), server_default="better", nullable=False),
        sa.Column("criterion", sa.Text(), server_default="", nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["annotation_id"], ["annotation.id"], name=op.f("fk_comparison_annotation_id")),
        sa.ForeignKeyConstraint(["loser_id"], ["message.id"], name=op.f("fk_comparison_loser_id")),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompt.id"], name=op.f("fk_comparison_prompt_id")),
        sa.ForeignKeyConstraint(["winner_id"], ["message.id"], name=op.f("fk_comparison_winner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comparison")),
    )
    op.create_table(
        "ranking",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("annotation_id", sa.String(length=32), nullable=False),
        sa.Column("prompt_id", sa.String(length=32), nullable=False), sa.Column("tiers", sa.JSON(), nullable=False),
        sa.Column("criterion", sa.Text(), server_default="", nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["annotation_id"], ["annotation.id"], name=op.f("fk_ranking_annotation_id")),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompt.id"], name=op.f("fk_ranking_prompt_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ranking")),
    )


def _derived_of_answers() -> None:
    op.create_table(
        "rating",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("annotation_id", sa.String(length=32), nullable=False),
        sa.Column("message_id", sa.String(length=32), nullable=False), sa.Column("value", sa.Float(), nullable=False),
        sa.Column("low", sa.Float(), nullable=False), sa.Column("high", sa.Float(), nullable=False),
        sa.Column("criterion", sa.Text(), server_default="", nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["annotation_id"], ["annotation.id"], name=op.f("fk_rating_annotation_id")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_rating_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rating")),
    )
    op.create_table(
        "flag",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("annotation_id", sa.String(length=32), nullable=False),
        sa.Column("message_id", sa.String(length=32), nullable=False), sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["annotation_id"], ["annotation.id"], name=op.f("fk_flag_annotation_id")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_flag_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flag")),
    )
    op.create_table(
        "demonstration",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("annotation_id", sa.String(length=32), nullable=False),
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("before_id", sa.String(length=32), nullable=True), sa.Column("origin", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["annotation_id"], ["annotation.id"], name=op.f("fk_demonstration_annotation_id")),
        sa.ForeignKeyConstraint(["before_id"], ["message.id"], name=op.f("fk_demonstration_before_id")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_demonstration_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_demonstration")),
    )


def downgrade() -> None:
    """None of them."""
    for table in TABLES:
        op.drop_table(table)
