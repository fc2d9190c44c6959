"""Events cannot be changed or deleted, whoever tries: the database itself refuses."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

EVENTS = ("annotation", "audit_log")
ACTIONS = ("update", "delete")


def upgrade() -> None:
    """A trigger for each table of events and each way to change it."""
    postgres = op.get_bind().dialect.name == "postgresql"
    if postgres:
        op.execute(
            "CREATE FUNCTION truing_events_stay() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% holds events: they are never changed', TG_TABLE_NAME; END $$"
        )
    for table in EVENTS:
        for action in ACTIONS:
            refuse = (
                "FOR EACH ROW EXECUTE FUNCTION truing_events_stay()"
                if postgres
                else f"BEGIN SELECT RAISE(ABORT, '{table} holds events: they are never changed'); END"
            )
            op.execute(f"CREATE TRIGGER {table}_no_{action} BEFORE {action} ON {table} {refuse}")


def downgrade() -> None:
    """Without the triggers."""
    postgres = op.get_bind().dialect.name == "postgresql"
    for table in EVENTS:
        for action in ACTIONS:
            op.execute(f"DROP TRIGGER {table}_no_{action}" + (f" ON {table}" if postgres else ""))
    if postgres:
        op.execute("DROP FUNCTION truing_events_stay()")
