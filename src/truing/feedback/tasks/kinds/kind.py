"""A kind of task as a value: what people are asked, and everything that follows from what they answer.

A judgement is a payload: it names answers by their id, never by the side they stood on. Its form has a version, stored
beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Table

from truing.data.records import Message, Prompt, Record
from truing.errors import UserError
from truing.feedback.people.simulated import Annotator, Preference

LONGEST_TEXT = 100_000  # characters
STRICT = ConfigDict(extra="forbid", strict=True)

Id = str
Row = dict[str, Any]
Strength = Literal["margin", "soft", "none"]


class Payload(BaseModel):
    """What every judgement may hold."""

    model_config = STRICT

    flags: dict[Id, list[str]] = Field(default_factory=dict)
    reason: str = Field(default="", max_length=LONGEST_TEXT)

    def answers(self) -> set[Id]:
        """Ids of the answers it names."""
        return set(self.flags)


P = TypeVar("P", bound=Payload)


class Scale(NamedTuple):
    """The lowest and highest value of a rating; whether a rating is a whole number."""

    low: float
    high: float
    whole: bool = True


@dataclass(frozen=True)
class Shown:
    """What a person had before them: answers by id, in the order shown."""

    answers: Sequence[Id]
    scale: Scale
    text: Callable[[Id], str]
    """The text of an answer."""
    written: Id = ""
    """The answer that the person wrote, once it is stored."""


@dataclass(frozen=True)
class Context:
    """What the records of a judgement say besides the judgement itself."""

    prompt: Prompt
    texts: Mapping[Id, str]
    """Of the answers shown."""
    scale: Scale
    criterion: str
    """Of a task that asks for no overall judgement."""
    provenance: Mapping[str, Any]
    """Fields of comparisons, rankings and ratings: annotator, error, round, time."""
    strength: Strength
    """What a clear preference has: a margin, or a soft label, or neither."""
    given: Mapping[str, Any] | None
    """Figures that an imported judgement came with; None of one that a person gave on the page."""

    @property
    def author_and_time(self) -> dict[str, Any]:
        """Fields of demonstrations, edits and flags."""
        return {"annotator": self.provenance["annotator"], "time": self.provenance["time"]}

    def provenance_of(self, number: int) -> Mapping[str, Any]:
        """Fields of a rating, one of several at one sitting: those that came in may be of different times."""
        times = self.imported_or("times", ())
        return {**self.provenance, "time": times[number]} if times else self.provenance

    def imported_or(self, name: str, default: Any) -> Any:
        """A field of the record that came in, where the judgement is an import's."""
        return (self.given or {}).get(name, default)


@dataclass(frozen=True)
class Simulation:
    """A task as the page has it, before a simulated person."""

    task: Mapping[str, Any]
    annotator: Annotator
    preference: Preference
    rng: np.random.Generator

    @property
    def prompt(self) -> Prompt:
        return Prompt(tuple(Message(m["role"], m["text"]) for m in self.task["messages"]))

    @property
    def ids(self) -> list[Id]:
        return [answer["id"] for answer in self.task["answers"]]

    @property
    def texts(self) -> list[str]:
        return [answer["text"] for answer in self.task["answers"]]

    def worth(self) -> list[float]:
        """How much the person likes each answer."""
        return [self.preference(self.prompt, text) for text in self.texts]


@dataclass(frozen=True)
class Imported:
    """Records as one judgement of a task: the answers shown, and the payload that names them by these ids."""

    answers: Sequence[str]
    payload: Callable[[Sequence[Id]], Row]
    scale: Scale | None = None
    given: Row = field(default_factory=dict)
    """Figures of the first record that its payload does not hold."""


@dataclass(frozen=True)
class GoldTask:
    """A judgement known to be right as a gold task: the answers shown, and what is accepted of them, by their ids."""

    answers: Sequence[str]
    accepted: Callable[[Sequence[Id]], Row]


@dataclass(frozen=True)
class Gold(Generic[P]):
    """How tasks of a kind have a right answer."""

    is_right: Callable[[P, Mapping[str, Any]], bool]
    """Whether a payload is one of those accepted."""
    from_record: Callable[[Record], GoldTask | None] = lambda record: None
    """The task that a judgement known to be right makes; None where it makes none of this kind."""


@dataclass(frozen=True)
class Kind(Generic[P]):
    """A row of the table."""

    name: str
    question: str
    form: type[P]
    simulated: Callable[[Simulation], Row]
    """The payload of a simulated person."""
    fewest: int = 1
    """Answers that a task must show."""
    most: int = 9
    """Answers that it may show."""
    criteria: str = ""
    """The question about a criterion, with its `{name}`; empty where the kind has one question."""
    scale: Mapping[str, Any] | None = None
    """Lowest and highest rating with their words, where nothing else is set; None where nothing is rated."""
    keep_best: int = 0
    """So many may be ordered and the rest left below them, where more are shown; 0: all are ordered."""
    turns: bool = False
    """Whether the task is a conversation with live models, each turn of which is judged."""
    compares: bool = False
    """Whether its comparisons are a person's votes, for statistics."""
    marks: Literal["", "scale", "good or bad"] = ""
    """What it says of each answer alone, for statistics."""
    stage: str = "reward"
    """The command that learns from it."""
    complete: Callable[[P, Shown], None] = lambda payload, shown: None
    """Raises UserError where an answer is not judged, or a value cannot be."""
    written: Callable[[P], str] = lambda payload: ""
    """The answer that the person wrote."""
    facts: Callable[[P, Shown], Iterable[tuple[Table, Row]]] = lambda payload, shown: ()
    """The rows that statistics read, without prompt and task's criterion."""
    records: Callable[[P, Context], Iterable[Record]] = lambda payload, context: ()
    """What training reads: the only rule of what a judgement means."""
    words: Callable[[P, Mapping[Id, str]], str] | None = None
    """The judgement in words that name answers by letters, for reviews."""
    gold: Gold[P] | None = None
    from_records: Callable[[Sequence[Record]], Imported | None] = lambda records: None
    """The judgement of this kind that a person's records are; None where they are none."""


def refuse_nameless(criteria: Iterable[str]) -> None:
    """Raises UserError where a criterion has no name: that is the overall judgement, which stands beside them."""
    if "" in criteria:
        raise UserError('criteria: "" is no name of one')


def compared(winner: Id, loser: Id, origin: str, tie: bool = False, strength: int | None = None, **more: str) -> Row:
    """The row of a comparison. A tie has the answers in the order of their ids."""
    verdict = "tie" if tie else "better"
    return {
        "winner_id": winner,
        "loser_id": loser,
        "origin": origin,
        "tie": tie,
        "strength": strength,
        "verdict": verdict,
        **more,
    }


def marked(message: Id, value: float, scale: Scale, origin: str, criterion: str = "") -> Row:
    """The row of one answer judged on its own."""
    figures = {"value": value, "low": scale.low, "high": scale.high}
    return {"message_id": message, **figures, "criterion": criterion, "origin": origin}


def in_order(ids: Iterable[Id], place: Mapping[Id, float]) -> Iterator[tuple[Id, Id, bool]]:
    """Each two ids, that in the smaller place first, and whether they tie, in the order of the ids."""
    listed = sorted(ids)
    for number, a in enumerate(listed):
        for b in listed[number + 1 :]:
            yield (a, b, place[a] == place[b]) if place[a] <= place[b] else (b, a, False)
