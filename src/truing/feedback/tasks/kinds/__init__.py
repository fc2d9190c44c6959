"""The table of task kinds. Whatever depends on what people are asked is a field of a row, and nothing branches on its
name: a new kind is a module, a row here, and a module of the page (`static/kinds/`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from truing.data.records import Record
from truing.errors import UserError, nearest
from truing.feedback.tasks.kinds import binary, chat, demo, edit, pair, rank, rate, review
from truing.feedback.tasks.kinds.kind import GoldTask, Imported, Kind, Payload, Scale, Shown

# What can be asked of answers; a review is asked of a judgement.
OF_ANSWERS = (pair.KIND, rank.KIND, rate.KIND, binary.KIND, demo.KIND, edit.KIND, chat.KIND)
TABLE: Mapping[str, Kind[Any]] = {kind.name: kind for kind in (*OF_ANSWERS, review.KIND)}

if TYPE_CHECKING:
    Name = str
else:
    Name = Literal[tuple(kind.name for kind in OF_ANSWERS)]


def named(name: str) -> Kind[Any]:
    """The row of this name. Raises UserError where there is none."""
    if name not in TABLE:
        raise UserError(f'kind "{name}": there is no such task; {nearest(name, TABLE)}')
    return TABLE[name]


# The rows by the kind of an event: a turn of a chat is judged as a pair is.
EVENTS: Mapping[str, Kind[Any]] = {**TABLE, chat.TURN: pair.KIND}
COMPARING = tuple(name for name, kind in EVENTS.items() if kind.compares)  # events whose comparisons are votes
MARKING = tuple(name for name, kind in EVENTS.items() if kind.marks)  # and those that judge each answer alone
REVIEWED = tuple(name for name, kind in TABLE.items() if kind.words)


def parse(event: str, payload: object, shown: Shown) -> Payload:
    """The payload, checked against the answers that were shown. Raises UserError with what is wrong."""
    kind = EVENTS[event]
    try:
        parsed = kind.form.model_validate(payload)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise UserError(f"{event}: {where + ': ' if where else ''}{reason}") from None
    if strangers := parsed.answers() - set(shown.answers):
        raise UserError(f"{event}: {min(strangers)} is none of the answers shown")
    kind.complete(parsed, shown)
    return parsed


def stored(event: str, payload: Mapping[str, Any]) -> Payload:
    """The payload of an event in the store, which was checked as it came in."""
    return EVENTS[event].form.model_validate(chat.choice(payload))


def imported(records: Sequence[Record]) -> tuple[Kind[Any], Imported]:
    """The judgement that a person's records about a prompt are, and its kind. Raises UserError where they are none."""
    for kind in OF_ANSWERS:
        if found := kind.from_records(records):
            return kind, found
    raise UserError(f"no kind of task asks for a {type(records[0]).__name__}")


def gold_task(record: Record) -> tuple[Kind[Any], GoldTask]:
    """The gold task that a judgement known to be right makes, and its kind. Raises UserError where it makes none."""
    for kind in OF_ANSWERS:
        if kind.gold and (found := kind.gold.from_record(record)):
            return kind, found
    raise UserError(f"gold: a {type(record).__name__} makes no task with a right answer")


def scale_of(kind: Kind[Any], *configs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The scale of a task with these settings, the first that has one; None where nothing is rated."""
    return kind.scale and next((config["scale"] for config in configs if config.get("scale")), kind.scale)


def limits(kind: Kind[Any], *configs: Mapping[str, Any]) -> Scale:
    """The lowest and highest rating of a task with these settings; 0 and 1 where nothing is rated."""
    scale = scale_of(kind, *configs) or {"low": 0, "high": 1}
    return Scale(float(scale["low"]), float(scale["high"]), scale.get("whole", True))
