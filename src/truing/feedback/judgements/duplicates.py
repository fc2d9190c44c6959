"""What an import brings that its project holds already, from a page or from an earlier import."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from truing.data.records import Comparison, Demonstration, Edit, Flag, Prompt, Ranking, Rating
from truing.feedback.judgements import snapshot
from truing.feedback.store import content, events
from truing.feedback.store.database import StoredRow, digest

AT_ONCE = 500  # annotations that one statement asks for: databases limit how many values it may name
DIGITS = 9  # of figures: what is computed anew may differ in the last ones
Brought = tuple[Any, int]  # a record, and of how many equal ones that came in without a name it is


class Known:
    """What the project of one import holds. Each prompt is looked up once, when a record of the import is about it."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.looked_up: set[str] = set()
        self.held: Counter[Hashable] = Counter()
        self.nameless: Counter[Hashable] = Counter()

    def new(self, connection: Connection, person: str, sitting: Sequence[Any]) -> list[Brought]:
        """The records that this person has not said before, on a page or in an import into the project.

        A person says the same once. Records without a name are those of several people: as many equal ones are new as
        there are more of them in this import than in the store.
        """
        who = "" if person == snapshot.nobody(connection) else person
        brought: list[Brought] = []
        for record in sitting:
            said = (who, *_said(record))
            self.nameless[said] += not who
            brought.append((record, self.nameless[said] or 1))
        came = self._came(connection, person, brought)
        brought = [one for one in brought if not came & _keys(*one, self.project)]
        if brought:
            self._look_up(connection, sitting[0].prompt)
        return [(record, number) for record, number in brought if number > self.held[who, *_said(record)]]

    def add(self, connection: Connection, person: str, brought: Sequence[Brought]) -> None:
        """Note what this person has said now; records without a name are counted as they come."""
        if person != snapshot.nobody(connection):
            self.held.update((person, *_said(record)) for record, _ in brought)

    def key(self, brought: Sequence[Brought]) -> str:
        """What the same records have again when they come into the project again."""
        return _key(brought, self.project)

    def _came(self, connection: Connection, person: str, brought: Sequence[Brought]) -> set[str]:
        """Keys of those that came in as they are, also where they were taken back since."""
        keys = set().union(*(_keys(record, number, self.project) for record, number in brought))
        return events.with_keys(connection, self.project, person, list(keys))

    def _look_up(self, connection: Connection, prompt: Prompt) -> None:
        """Read what was said of this prompt, where that is not known yet; in a chat it may begin with another one."""
        turns = prompt.messages
        hashes = {content.normal_hash(turns[:end]) for end in range(1, len(turns) + 1)} - self.looked_up
        if not hashes:
            return
        self.looked_up |= hashes
        for identity in content.prompts_that_say(connection, self.project, list(hashes)):
            self._read(connection, identity)

    def _read(self, connection: Connection, prompt: str) -> None:
        """Count what was said of a stored prompt: all that stands, and of imports what was taken back too."""
        rows = events.judgements_about(connection, prompt, snapshot.IMPORTED)
        self._count(connection, [row.id for row in rows])
        # An import into an open round belongs to it; when it comes again, its file names another one or none.
        moved = [row.id for row in rows if row.number and _named_round(row) != row.number]
        self._count(connection, moved, round_of_file=True)

    def _count(self, connection: Connection, annotations: Sequence[str], round_of_file: bool = False) -> None:
        for start in range(0, len(annotations), AT_ONCE):
            for record in snapshot.meaning(connection, annotations[start : start + AT_ONCE], round_of_file):
                self.held[record.annotator, *_said(record)] += 1  # type: ignore[union-attr]


def _named_round(row: StoredRow) -> int:
    """The round that the file of an import named; that of the page where it is none."""
    given = snapshot.given_of(row)
    return row.number if given is None else given.get("round", 0)


def _said(record: Any) -> tuple[Hashable, ...]:
    """What a record says, of which prompt: the same for the record of a file and for that of the store it came into."""
    kind, prompt = type(record).__name__, content.normal_hash(record.prompt.messages)
    if isinstance(record, Comparison):
        better, worse = record.chosen, record.rejected
        if record.target < 0.5 or (record.target == 0.5 and worse < better):
            better, worse = worse, better
        target = max(record.target, 1 - record.target)
        figures = [round(float(number), DIGITS) for number in (target, record.margin, record.weight)]
        return kind, prompt, better, worse, *figures, record.criterion, record.round
    if isinstance(record, Ranking):
        place = {tier: i for i, tier in enumerate(sorted(set(record.tiers)))}
        order = frozenset((text, place[tier]) for text, tier in zip(record.responses, record.tiers, strict=True))
        return kind, prompt, order, record.criterion, record.round
    if isinstance(record, Rating):
        scale = float(record.low), float(record.high)
        return kind, prompt, record.response, float(record.value), *scale, record.criterion, record.round
    if isinstance(record, Flag):
        return kind, prompt, record.response, record.name
    if isinstance(record, Edit):
        return kind, prompt, record.before, record.after
    return kind, prompt, record.response, record.conversation


def _keys(record: Any, number: int, project: str) -> set[str]:
    """Earlier versions left the project out: what had come into one could come into no other."""
    return {_key([(record, number)], project), _key([(record, number)], "")}


def _key(brought: Sequence[Brought], project: str) -> str:
    said = "".join(
        json.dumps(_as_ever(record), sort_keys=True) + (f" {number}" if number > 1 else "")
        for record, number in brought
    )
    return f"{snapshot.IMPORTED}{digest(project + said)[:40]}"


def _as_ever(record: Any) -> dict[str, Any]:
    """The fields of a record; those that earlier versions did not have only where they say something."""
    later = {Rating: ("error", "round", "time"), Demonstration: ("conversation", "time")}.get(type(record), ("time",))
    return {name: value for name, value in asdict(record).items() if value or name not in later}
