"""From judgements to training: a frozen list of what stood at one moment, and the records it means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from truing.data.convert import distinct, ranked_once
from truing.data.records import Comparison, Demonstration, Edit, Flag, Message, Prompt, Ranking, Rating, Record
from truing.errors import UserError
from truing.feedback.people import auth
from truing.feedback.store import content, projects, snapshots
from truing.feedback.store.database import StoredRow, audit, digest
from truing.feedback.store.events import LONGEST_FLAG
from truing.feedback.store.snapshots import Members
from truing.feedback.tasks import kinds
from truing.feedback.tasks.kinds.chat import TURN
from truing.feedback.tasks.kinds.kind import Context, Strength

ORDER = {Ranking: 0, Comparison: 1, Rating: 2, Flag: 3, Demonstration: 4, Edit: 4}  # of the records of a snapshot
IMPORTED = "import-"  # begins the keys of annotations that came in from files
NOBODY = "imported"  # the name beside judgements that came in without one
RATINGS_MEAN = " 3"  # the version of what ratings teach: in the hash of a snapshot that holds some


def take(connection: Connection, project: str, filters: Mapping[str, Any] | None = None) -> str:
    """Freeze what stands now; returns the snapshot's id. The same judgements give the same snapshot again.

    `filters`: `round` (a number), `annotators` (names): only those.
    """
    filters = dict(filters or {})
    _refuse_unknown(connection, project, filters)
    rows = snapshots.current(connection, project, filters.get("round"), filters.get("annotators"))
    if not rows:
        of = ", ".join(f"{name} {value}" for name, value in filters.items())
        raise UserError(f"there is no judgement{of and f' of {of}'} to take a snapshot of")
    frozen = _hash(rows)
    found = snapshots.with_hash(connection, project, frozen)
    if found:
        return found
    identity = snapshots.add_snapshot(connection, project, filters, frozen, [row.id for row in rows])
    audit(connection, "truing", "snapshot", identity, after=frozen)
    return identity


def described(connection: Connection, snapshot: str) -> dict[str, Any]:
    """The snapshot's id, hash, count and filters, as manifests and runs name it."""
    row = snapshots.snapshot(connection, snapshot)
    if row is None:
        raise UserError(f"there is no snapshot {snapshot}")
    return {"snapshot": row.id, "hash": row.hash, "judgements": row.count, "filters": row.filters}


def project_of(connection: Connection, snapshot: str) -> str | None:
    """The id of the project that a snapshot is of; None if there is no such snapshot."""
    row = snapshots.snapshot(connection, snapshot)
    return row.project_id if row else None


def is_of_earlier_rules(connection: Connection, snapshot: str) -> bool:
    """Whether an earlier version took the snapshot, to which its ratings meant other comparisons."""
    rows = snapshots.hashes(connection, snapshot)
    return _hash(rows) != described(connection, snapshot)["hash"]


def records(
    connection: Connection, snapshot: str, strength: Strength = "margin", errors: Mapping[str, float] | None = None,
    prior: float = 0.0, report: Callable[[str], None] | None = None,
) -> list[Record]:  # fmt: skip
    """What the snapshot's judgements mean, with pseudonyms in place of names.

    Pairs and ties become comparisons, "the best three" the comparisons they order; whole rankings, ratings and edits
    stay what they are: `convert` says what follows from them. `strength`: a clear preference has a margin, or a soft
    label, or neither. `errors`: share of judgements made at random, by the annotator's id; of others what an import
    said of them, else `prior`. Two equal texts teach nothing: they are left out, counted and told to `report`.
    """
    described(connection, snapshot)
    reader = _Reader(connection, snapshots.members(snapshot), strength, errors, prior)
    found = reader.records()
    if report and reader.equal:
        report(f"snapshot {snapshot}: left out: {reader.equal} answers compared with a text equal to theirs")
    return found


def meaning(connection: Connection, annotations: Sequence[str], round_of_file: bool = False) -> list[Record]:
    """What these annotations mean, as `records` tells it of a snapshot of them; `round_of_file`: of imports, with the
    round that their file named in place of the one in which they came in."""
    return _Reader(connection, annotations).records(round_of_file)


def nobody(connection: Connection) -> str:
    """The id beside judgements that came in without a name; empty if none did."""
    return auth.anybody_named(connection, NOBODY) or ""


class _Reader:
    """Reads what annotations mean; prompts and texts once. `members`: their ids, or what selects these."""

    def __init__(
        self,
        connection: Connection,
        members: Members,
        strength: Strength = "margin",
        errors: Mapping[str, float] | None = None,
        prior: float = 0.0,
    ) -> None:
        self.connection, self.members = connection, members
        self.strength, self.errors, self.prior = strength, errors or {}, prior
        self.prompts: dict[tuple[str, str | None], Prompt] = {}
        self.texts = snapshots.texts(connection, members)
        self.nobody = nobody(connection)
        self.equal = 0  # answers left out, for their text is that of the one beside them

    def records(self, round_of_file: bool = False) -> list[Record]:
        """The records by their class, in the order in which they were given; `round_of_file`: as in `meaning`."""
        found: list[Record] = []
        of_turns = snapshots.answers_of_turns(self.connection, self.members, TURN)
        for row in snapshots.judgements(self.connection, self.members, list(kinds.EVENTS)):
            shown = row.shown_order if row.kind != TURN else of_turns[row.payload["candidates"]]
            payload = kinds.stored(row.kind, row.payload)
            context = self._context(row, shown, round_of_file)
            teaching = [self._distinct(r) for r in kinds.EVENTS[row.kind].records(payload, context)]
            found += [record for record in teaching if record is not None]
            for answer, names in payload.flags.items():
                text = context.texts[answer]
                found += [
                    Flag(context.prompt, text, n[:LONGEST_FLAG], **context.author_and_time)
                    for n in dict.fromkeys(names)
                ]
        return sorted(found, key=lambda record: ORDER[type(record)])

    def _distinct(self, record: Record) -> Record | None:
        """The record without what compares a text with itself."""
        kept = distinct(record, (Comparison, Ranking))
        if isinstance(record, Ranking):
            self.equal += len(record.responses) - len(ranked_once(record.responses, record.tiers))
        else:
            self.equal += kept is None
        return kept

    def _context(self, row: StoredRow, shown: Sequence[str], round_of_file: bool) -> Context:
        given = given_of(row)
        texts = {answer: self.texts[answer][0] for answer in shown}
        return Context(
            prompt=self._prompt(row.prompt_id, self.texts[shown[0]][1] if shown else None),
            texts=texts,
            scale=kinds.limits(kinds.EVENTS[row.kind], row.config, row.usual),
            criterion=row.config.get("criterion", ""),
            provenance=self._provenance(row, given, round_of_file),
            strength=self.strength,
            given=given,
        )

    def _provenance(self, row: StoredRow, given: Mapping[str, Any] | None, round_of_file: bool) -> dict[str, Any]:
        """Who judged and when, and what is known here of the person and the round, else what an import said of them: 0
        is nothing. What came in without a name is nobody's."""
        person = "" if row.annotator_id == self.nobody else row.annotator_id
        prior = self.prior if person else 0.0  # of nobody in particular nothing is known
        figures = given or {}
        error = self.errors.get(row.annotator_id, figures.get("error") or prior)
        named = figures.get("round", 0)
        time = row.created_at if given is None else given.get("time", 0.0)
        return {
            "annotator": person,
            "error": error,
            "round": named if round_of_file else row.number or named,
            "time": time,
        }

    def _prompt(self, prompt: str, parent: str | None) -> Prompt:
        """What an answer below `parent` answers: the prompt, and the turns of a chat before it."""
        if (prompt, parent) not in self.prompts:
            row = content.prompt(self.connection, prompt)
            assert row is not None, "what a task is about is there"
            turns = content.conversation_to(self.connection, prompt, parent)
            messages = tuple(Message(turn["role"], turn["content"]) for turn in turns)  # type: ignore[arg-type]
            identity = row.id if parent is None else ""
            self.prompts[prompt, parent] = Prompt(messages, identity, row.root, row.split, tuple(row.tags))
        return self.prompts[prompt, parent]


def given_of(row: StoredRow) -> Mapping[str, Any] | None:
    """The figures that an imported judgement came with; None of one given on the page, and of an import that was taken
    back and judged anew there."""
    return row.config.get("given", {}) if row.idempotency_key.startswith(IMPORTED) else None


def _hash(rows: Sequence[StoredRow]) -> str:
    """The hash of the annotations, and of what their ratings mean: where that changes, a snapshot is another one."""
    return digest("\n".join(sorted(f"{r.id} {r.body_hash}{RATINGS_MEAN if r.rated else ''}" for r in rows)))


def _refuse_unknown(connection: Connection, project: str, filters: Mapping[str, Any]) -> None:
    if unknown := set(filters) - {"round", "annotators"}:
        raise UserError(f'filter "{min(unknown)}": there is none of this name; valid: round, annotators')
    numbers = [row.number for row in projects.rounds(connection, project)]
    if "round" in filters and filters["round"] not in numbers:
        there = ", ".join(map(str, numbers))
        raise UserError(f"there is no round {filters['round']}; {f'there are {there}' if there else 'none was opened'}")
