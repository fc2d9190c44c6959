"""From judgements to training: a frozen list of what stood at one moment, and the records it means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import Connection, Select, exists, insert, select
from sqlalchemy.orm import aliased

from truing.data.formats.convert import OF_RATINGS, ranked_once
from truing.data.records import Comparison, Demonstration, Edit, Flag, Message, Prompt, Ranking, Rating, Record
from truing.errors import UserError
from truing.feedback import auth, store
from truing.feedback import schema as t
from truing.feedback.assign import SKIP, standing

Strength = Literal["margin", "soft", "none"]
MARGIN = {1: 1 / 3, 2: 2 / 3, 3: 1.0}  # Touvron et al. 2023, arXiv:2307.09288, table 27, as shares of the greatest
SOFT = {1: 0.7, 2: 0.85, 3: 0.95}  # the probability that the preferred answer is the better one
IMPORTED = "import-"  # begins the keys of annotations that came in from files
NOBODY = "imported"  # the name beside judgements that came in without one
RATINGS_MEAN = " 3"  # the version of what ratings teach: in the hash of a snapshot that holds some
SAID_ELSEWHERE = (*OF_RATINGS, "edit")  # origins of comparisons that follow from other records
_rated = exists().where(t.rating.c.annotation_id == t.annotation.c.id).label("rated")


def current(project: str) -> Select[Any]:
    """Annotations that stand and are about answers: no skips, no gold, no reviews."""
    c = t.annotation.c
    return (
        select(c.id, c.body_hash, _rated)
        .join(t.task, t.task.c.id == c.task_id)
        .where(t.task.c.project_id == project, ~t.task.c.gold, c.kind.not_in((SKIP, "review")), *standing())
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
    identity = store.add(connection, t.snapshot, project_id=project, filters=filters, hash=frozen, count=len(rows))
    listed = [{"snapshot_id": identity, "annotation_id": row.id} for row in rows]
    connection.execute(insert(t.snapshot_annotation), listed)
    store.audit(connection, "truing", "snapshot", identity, after=frozen)
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
    reader = _Reader(connection, members, strength, errors or {}, prior)
    found = list(reader.records())
    if report and reader.equal:
        report(f"snapshot {snapshot}: left out: {reader.equal} answers compared with a text equal to theirs")
    return found


def meaning(connection: Connection, annotations: Sequence[str], came: bool = False) -> list[Record]:
    """What these annotations mean, as `records` tells it of a snapshot of them; `came`: of imports, with the round that
    their file named in place of the one in which they came in."""
    return list(_Reader(connection, annotations, "margin", {}, 0.0, came).records())


def nobody(connection: Connection) -> str:
    """The id beside judgements that came in without a name; empty if none did."""
    return auth.anybody_named(connection, NOBODY) or ""


class _Reader:
    """Reads the rows derived from annotations; prompts and texts once. `members`: their ids, or what selects these."""

    def __init__(
        self, connection: Connection, members: Any, strength: Strength, errors: Mapping[str, float], prior: float,
        came: bool = False,
    ) -> None:  # fmt: skip
        self.connection, self.strength, self.errors, self.prior = connection, strength, errors, prior
        self.members, self.came = members, came
        self.prompts: dict[tuple[str, str | None], Prompt] = {}
        self.texts: dict[str, tuple[str, str | None]] = {}
        self.nobody = nobody(connection)
        self.equal = 0  # answers left out, for their text is that of the one beside them
        self._load_texts()

    def records(self) -> Iterator[Record]:
        partial = yield from self._rankings()
        yield from self._comparisons(partial)
        flags = self._derived(t.flag)
        only_flagged = {row.annotation_id for row in flags if row.idempotency_key.startswith(IMPORTED)}
        for row in self._derived(t.rating):
            if row.annotation_id in only_flagged:
                continue  # a flag of a file: nobody has rated the answer
            text, prompt = self._answer(row.message_id, row.prompt_id)
            yield Rating(
                prompt, text, row.value, row.low, row.high, row.criterion, self._who(row), *self._error_and_round(row)
            )
        for row in flags:
            text, prompt = self._answer(row.message_id, row.prompt_id)
            yield Flag(prompt, text, row.name, self._who(row))
        for row in self._derived(t.demonstration):
            text, prompt = self._answer(row.message_id, row.prompt_id)
            if row.before_id is None:
                yield Demonstration(prompt, text, self._who(row), given_of(row).get("conversation", False))
            else:
                yield Edit(prompt, self.texts[row.before_id][0], text, self._who(row))

    def _rankings(self) -> Any:
        """Whole rankings; returns the annotations whose ranking is partial: their comparisons tell it."""
        partial = set()
        for row in self._derived(t.ranking):
            if None in row.tiers.values():
                partial.add(row.annotation_id)
                continue
            answers = [self._answer(message, row.prompt_id) for message in row.tiers]
            tiers = ranked_once([text for text, _ in answers], list(row.tiers.values()))
            self.equal += len(answers) - len(tiers)
            if len(tiers) > 1:
                prompt = answers[0][1]
                yield Ranking(
                    prompt, tuple(tiers), tuple(tiers.values()), row.criterion, self._who(row), "ranking",
                    *self._error_and_round(row),
                )  # fmt: skip
        return partial

    def _comparisons(self, partial: set[str]) -> Iterator[Comparison]:
        rows = []
        for row in self._derived(t.comparison):
            if (row.origin == "ranking" and row.annotation_id not in partial) or row.origin in SAID_ELSEWHERE:
                continue
            if self.texts[row.winner_id][0] == self.texts[row.loser_id][0]:
                self.equal += 1
            else:
                rows.append(row)
        sizes = Counter(row.annotation_id for row in rows if row.origin == "ranking")
        for row in rows:
            winner, prompt = self._answer(row.winner_id, row.prompt_id)
            weight = 1 / sizes[row.annotation_id] if row.origin == "ranking" else 1.0
            weight = given_of(row).get("weight", weight)
            target, margin = self._target(row)
            yield Comparison(
                prompt, winner, self.texts[row.loser_id][0], target, margin, weight, row.criterion, self._who(row),
                row.origin, *self._error_and_round(row),
            )  # fmt: skip

    def _who(self, row: Any) -> str:
        """The pseudonym of the person; empty for what came in without a name."""
        return "" if row.annotator_id == self.nobody else row.annotator_id

    def _error_and_round(self, row: Any) -> tuple[float, int]:
        """What is known here of the person and the round, else what an import said of them; 0 is nothing."""
        given = given_of(row)
        prior = self.prior if self._who(row) else 0.0  # of nobody in particular nothing is known
        error = self.errors.get(row.annotator_id, given.get("error") or prior)
        named = given.get("round", 0)
        return error, named if self.came else row.number or named

    def _target(self, row: Any) -> tuple[float, float]:
        given = given_of(row)
        if self.strength == "margin" and "target" in given:
            return given["target"], given["margin"]
        if row.tie:
            return 0.5, 0.0
        if self.strength == "soft" and row.strength:
            return SOFT[row.strength], 0.0
        return 1.0, MARGIN[row.strength] if self.strength == "margin" and row.strength else 0.0

    def _derived(self, table: Any) -> list[Any]:
        """The rows of a table that follow from the snapshot's annotations, with who said it and in which round."""
        c = t.annotation.c
        asked = (
            select(table, c.annotator_id, t.round_.c.number, t.task.c.config, c.idempotency_key)
            .join(t.annotation, c.id == table.c.annotation_id)
            .join(t.task, t.task.c.id == c.task_id)
            .outerjoin(t.round_, t.round_.c.id == t.task.c.round_id)
            .where(c.id.in_(self.members))
            .order_by(c.number, table.c.id)
        )
        if "prompt_id" not in table.c:
            asked = asked.add_columns(t.task.c.prompt_id.label("prompt_id"))
        return list(self.connection.execute(asked))

    def _answer(self, message: str, prompt: str) -> tuple[str, Prompt]:
        """An answer's text, and what it answers: the prompt, and the turns of a chat before it."""
        text, parent = self.texts[message]
        if (prompt, parent) not in self.prompts:
            c = t.prompt.c
            row = self.connection.execute(select(c.id, c.root, c.split, c.tags).where(c.id == prompt)).one()
            turns = store.conversation_to(self.connection, prompt, parent)
            told = tuple(Message(turn["role"], turn["content"]) for turn in turns)  # type: ignore[arg-type]
            identity = row.id if parent is None else ""
            self.prompts[prompt, parent] = Prompt(told, identity, row.root, row.split, tuple(row.tags))
        return text, self.prompts[prompt, parent]

    def _load_texts(self) -> None:
        """The texts of all messages below the prompts that the snapshot is about, in one statement."""
        asked = select(t.task.c.prompt_id).join(t.annotation).where(t.annotation.c.id.in_(self.members))
        m = t.message.c
        for row in self.connection.execute(select(m.id, m.content, m.parent_id).where(m.prompt_id.in_(asked))):
            self.texts[row.id] = (row.content, row.parent_id)


def given_of(row: Any) -> dict[str, Any]:
    """The figures that an imported judgement came with. Taken back and said anew, it has those of the page."""
    return row.config.get("given", {}) if row.idempotency_key.startswith(IMPORTED) else {}


def _hash(rows: Sequence[Any]) -> str:
    """The hash of the annotations, and of what their ratings mean: where that changes, a snapshot is another one."""
    return store.digest("\n".join(sorted(f"{r.id} {r.body_hash}{RATINGS_MEAN if r.rated else ''}" for r in rows)))


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
