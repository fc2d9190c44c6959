"""Alembic's entry: runs migrations on the engine it is handed."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, Engine

from truing.feedback.store.schema import metadata


def run(engine: Engine) -> None:
    """All pending migrations in one writing transaction: whole or not at all."""
    with engine.connect().execution_options(truing_writes=True) as connection:
        _lock(connection)
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


def _lock(connection: Connection) -> None:
    """Two programs that open a new store at once must not both build it."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7452554)")
    else:
        connection.begin()


run(context.config.attributes["engine"])
