"""From judgements to training: a frozen list of what stood at one moment, and the records it means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, exists, insert, select
from sqlalchemy.orm import aliased

from truing.data.convert import distinct, ranked_once
from truing.data.records import Comparison, Demonstration, Edit, Flag, Message, Prompt, Ranking, Rating, Record
from truing.errors import UserError
from truing.feedback.people import auth
from truing.feedback.store import content
from truing.feedback.store import schema as t
from truing.feedback.tasks import kinds
from truing.feedback.tasks.kinds.chat import TURN
from truing.feedback.tasks.kinds.kind import Context, Strength
from truing.feedback.tasks.leases import LONGEST_FLAG, SKIP, standing

ORDER = {Ranking: 0, Comparison: 1, Rating: 2, Flag: 3, Demonstration: 4, Edit: 4}  # of the records of a snapshot
IMPORTED = "import-"  # begins the keys of annotations that came in from files
NOBODY = "imported"  # the name beside judgements that came in without one
RATINGS_MEAN = " 3"  # the version of what ratings teach: in the hash of a snapshot that holds some
_rated = exists().where(t.rating.c.annotation_id == t.annotation.c.id).label("rated")


def current(project: str) -> Select[Any]:
    """Annotations that stand and are about answers: no skips, no gold, no reviews."""
    c = t.annotation.c
    return (
        select(c.id, c.body_hash, _rated)
        .join(t.task, t.task.c.id == c.task_id)
        .where(
            t.task.c.project_id == project, ~t.task.c.gold, t.task.c.reviews_id.is_(None), c.kind != SKIP, *standing()
        )
        .order_by(c.number)
    )


def take(connection: Connection, project: str, filters: Mapping[str, Any] | None = None) -> str:
    """Freeze what stands now; returns the snapshot's id. The same judgements give the same snapshot again.

    `filters`: `round` (a number), `annotators` (names): only those.
    """
    filters = dict(filters or {})
    _refuse_unknown(connection, project, filters)
    rows = connection.execute(_filtered(current(project), filters)).all()
    if not rows:
        of = ", ".join(f"{name} {value}" for name, value in filters.items())
        raise UserError(f"there is no judgement{of and f' of {of}'} to take a snapshot of")
    frozen = _hash(rows)
    c = t.snapshot.c
    found = connection.scalar(select(c.id).where(c.project_id == project, c.hash == frozen))
    if found:
        return found
    identity = content.add(connection, t.snapshot, project_id=project, filters=filters, hash=frozen, count=len(rows))
    listed = [{"snapshot_id": identity, "annotation_id": row.id} for row in rows]
    connection.execute(insert(t.snapshot_annotation), listed)
    content.audit(connection, "truing", "snapshot", identity, after=frozen)
    return identity


def described(connection: Connection, snapshot: str) -> dict[str, Any]:
    """The snapshot's id, hash, count and filters, as manifests and runs name it."""
    c = t.snapshot.c
    row = connection.execute(select(c.id, c.hash, c.count, c.filters).where(c.id == snapshot)).first()
    if row is None:
        raise UserError(f"there is no snapshot {snapshot}")
    return {"snapshot": row.id, "hash": row.hash, "judgements": row.count, "filters": row.filters}


def project_of(connection: Connection, snapshot: str) -> str | None:
    """The id of the project that a snapshot is of; None if there is no such snapshot."""
    return connection.scalar(select(t.snapshot.c.project_id).where(t.snapshot.c.id == snapshot))


def is_of_earlier_rules(connection: Connection, snapshot: str) -> bool:
    """Whether an earlier version took the snapshot, to which its ratings meant other comparisons."""
    c, member = t.annotation.c, t.snapshot_annotation.c
    asked = select(c.id, c.body_hash, _rated).join(t.snapshot_annotation, member.annotation_id == c.id)
    rows = connection.execute(asked.where(member.snapshot_id == snapshot)).all()
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
    member = t.snapshot_annotation.c
    members = select(member.annotation_id).where(member.snapshot_id == snapshot)
    reader = _Reader(connection, members, strength, errors, prior)
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
        members: Any,
        strength: Strength = "margin",
        errors: Mapping[str, float] | None = None,
        prior: float = 0.0,
    ) -> None:
        self.connection, self.members = connection, members
        self.strength, self.errors, self.prior = strength, errors or {}, prior
        self.prompts: dict[tuple[str, str | None], Prompt] = {}
        self.texts: dict[str, tuple[str, str | None]] = {}
        self.nobody = nobody(connection)
        self.equal = 0  # answers left out, for their text is that of the one beside them
        self._load_texts()

    def records(self, round_of_file: bool = False) -> list[Record]:
        """The records by their class, in the order in which they were given; `round_of_file`: as in `meaning`."""
        found: list[Record] = []
        of_turns = self._answers_of_turns()
        for row in self._annotations():
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

    def _annotations(self) -> Sequence[Any]:
        """The annotations about answers, each with its task, its round and what was shown."""
        c, task = t.annotation.c, t.task.c
        asked = (
            select(c.kind, c.payload, c.annotator_id, c.idempotency_key, c.created_at, t.assignment.c.shown_order)
            .add_columns(task.prompt_id, task.config, t.round_.c.number, t.project.c.config.label("usual"))
            .join(t.assignment, t.assignment.c.id == c.assignment_id)
            .join(t.task, task.id == c.task_id)
            .join(t.project, t.project.c.id == task.project_id)
            .outerjoin(t.round_, t.round_.c.id == task.round_id)
            .where(c.id.in_(self.members), c.kind.in_(list(kinds.EVENTS)))
            .order_by(c.number)
        )
        return self.connection.execute(asked).all()

    def _answers_of_turns(self) -> dict[str, list[str]]:
        """The answers of each candidate set of the chats, in one statement."""
        c, turns = t.candidate.c, t.annotation.c
        prompts = select(t.task.c.prompt_id).join(t.annotation).where(turns.id.in_(self.members), turns.kind == TURN)
        asked = (
            select(c.candidate_set_id, c.message_id)
            .join(t.candidate_set, t.candidate_set.c.id == c.candidate_set_id)
            .where(t.candidate_set.c.prompt_id.in_(prompts))
            .order_by(c.candidate_set_id, c.position)
        )
        found: dict[str, list[str]] = defaultdict(list)
        for row in self.connection.execute(asked):
            found[row.candidate_set_id].append(row.message_id)
        return found

    def _context(self, row: Any, shown: Sequence[str], round_of_file: bool) -> Context:
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

    def _provenance(self, row: Any, given: Mapping[str, Any] | None, round_of_file: bool) -> dict[str, Any]:
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
            c = t.prompt.c
            row = self.connection.execute(select(c.id, c.root, c.split, c.tags).where(c.id == prompt)).one()
            turns = content.conversation_to(self.connection, prompt, parent)
            messages = tuple(Message(turn["role"], turn["content"]) for turn in turns)  # type: ignore[arg-type]
            identity = row.id if parent is None else ""
            self.prompts[prompt, parent] = Prompt(messages, identity, row.root, row.split, tuple(row.tags))
        return self.prompts[prompt, parent]

    def _load_texts(self) -> None:
        """The texts of all messages below the prompts that the snapshot is about, in one statement."""
        asked = select(t.task.c.prompt_id).join(t.annotation).where(t.annotation.c.id.in_(self.members))
        m = t.message.c
        for row in self.connection.execute(select(m.id, m.content, m.parent_id).where(m.prompt_id.in_(asked))):
            self.texts[row.id] = (row.content, row.parent_id)


def given_of(row: Any) -> Mapping[str, Any] | None:
    """The figures that an imported judgement came with; None of one given on the page, and of an import that was taken
    back and judged anew there."""
    return row.config.get("given", {}) if row.idempotency_key.startswith(IMPORTED) else None


def _hash(rows: Sequence[Any]) -> str:
    """The hash of the annotations, and of what their ratings mean: where that changes, a snapshot is another one."""
    return content.digest("\n".join(sorted(f"{r.id} {r.body_hash}{RATINGS_MEAN if r.rated else ''}" for r in rows)))


def _refuse_unknown(connection: Connection, project: str, filters: Mapping[str, Any]) -> None:
    if unknown := set(filters) - {"round", "annotators"}:
        raise UserError(f'filter "{min(unknown)}": there is none of this name; valid: round, annotators')
    c = t.round_.c
    numbers = list(connection.scalars(select(c.number).where(c.project_id == project).order_by(c.number)))
    if "round" in filters and filters["round"] not in numbers:
        there = ", ".join(map(str, numbers))
        raise UserError(f"there is no round {filters['round']}; {f'there are {there}' if there else 'none was opened'}")


def _filtered(asked: Select[Any], filters: Mapping[str, Any]) -> Select[Any]:
    if "round" in filters:
        asked = asked.join(t.round_, t.round_.c.id == t.task.c.round_id).where(t.round_.c.number == filters["round"])
    if "annotators" in filters:
        person = aliased(t.annotator)
        asked = asked.join(person, person.c.id == t.annotation.c.annotator_id)
        asked = asked.where(person.c.name.in_(list(filters["annotators"])))
    return asked
