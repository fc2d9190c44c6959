"""An answer written by a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field
from sqlalchemy import Table

from truing.data.records import Demonstration, Record
from truing.feedback.store import schema as t
from truing.feedback.tasks.kinds.kind import LONGEST_TEXT, Context, Imported, Kind, Payload, Row, Shown, Simulation


class Demo(Payload):
    """The answer."""

    text: str = Field(min_length=1, max_length=LONGEST_TEXT)


def facts(payload: Demo, shown: Shown) -> Iterator[tuple[Table, Row]]:
    """The demonstration."""
    yield t.demonstration, {"message_id": shown.written, "origin": "demonstration"}


def records(payload: Demo, context: Context) -> Iterator[Record]:
    """The demonstration."""
    whole = context.imported_or("conversation", False)
    yield Demonstration(context.prompt, payload.text, conversation=whole, **context.author_and_time)


def simulated(simulation: Simulation) -> Row:
    """Always the same."""
    return {"text": "I would say so."}


def from_records(records: Sequence[Record]) -> Imported | None:
    """A demonstration."""
    record = records[0]
    if not isinstance(record, Demonstration):
        return None
    return Imported([], lambda ids: {"text": record.response}, given={"conversation": record.conversation})


KIND = Kind(
    name="demo",
    question="Write the answer you would like to read.",
    form=Demo,
    simulated=simulated,
    fewest=0,
    most=0,
    stage="sft",
    written=lambda payload: payload.text,
    facts=facts,
    records=records,
    from_records=from_records,
)
