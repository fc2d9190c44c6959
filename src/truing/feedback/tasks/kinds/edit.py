"""An answer corrected by a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field
from sqlalchemy import Table

from truing.data import records as r
from truing.data.records import Record
from truing.errors import UserError
from truing.feedback.store import schema as t
from truing.feedback.tasks.kinds.kind import (
    LONGEST_TEXT,
    Context,
    Id,
    Imported,
    Kind,
    Payload,
    Row,
    Shown,
    Simulation,
    compared,
)


class Edit(Payload):
    """The answer that was corrected, and what it says now."""

    message: Id
    text: str = Field(min_length=1, max_length=LONGEST_TEXT)

    def answers(self) -> set[Id]:
        return super().answers() | {self.message}


def complete(payload: Edit, shown: Shown) -> None:
    """The text is another one."""
    if shown.text(payload.message) == payload.text:
        raise UserError("edit: the text is unchanged; skip the task if nothing is to be corrected")


def facts(payload: Edit, shown: Shown) -> Iterator[tuple[Table, Row]]:
    """The correction, which is better than what it corrects."""
    yield t.demonstration, {"message_id": shown.written, "before_id": payload.message, "origin": "edit"}
    yield t.comparison, compared(shown.written, payload.message, "edit")


def records(payload: Edit, context: Context) -> Iterator[Record]:
    """The edit: `convert` makes a demonstration and a comparison of it."""
    yield r.Edit(context.prompt, context.texts[payload.message], payload.text, **context.author_and_time)


def simulated(simulation: Simulation) -> Row:
    """A word more."""
    return {"message": simulation.ids[0], "text": f"{simulation.texts[0].rstrip()} (corrected)"}


def from_records(records: Sequence[Record]) -> Imported | None:
    """An edit."""
    record = records[0]
    if not isinstance(record, r.Edit):
        return None
    return Imported([record.before], lambda ids: {"message": ids[0], "text": record.after})


KIND = Kind(
    name="edit",
    question="Correct the answer: change as little as it needs.",
    form=Edit,
    simulated=simulated,
    most=1,
    complete=complete,
    written=lambda payload: payload.text,
    facts=facts,
    records=records,
    from_records=from_records,
)
