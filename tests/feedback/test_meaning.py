"""What a judgement means does not depend on the way it takes: from a store, by a file, by a file and another store."""

from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest

from truing.data import formats
from truing.data.convert import on_criterion
from truing.data.records import (
    Comparison,
    Conversation,
    Demonstration,
    Edit,
    Flag,
    Message,
    Prompt,
    Ranking,
    Rating,
    Response,
)
from truing.errors import UserError
from truing.feedback.judgements import exchange, rounds, snapshot
from truing.feedback.people import auth
from truing.feedback.people.simulated import Annotator
from truing.feedback.store import content, projects
from truing.feedback.store import schema as t
from truing.feedback.store.content import Author
from truing.feedback.store.database import Database
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import kinds, leases, questions
from truing.feedback.tasks.kinds.kind import Simulation
from truing.feedback.web import views
from truing.feedback.web.site import Site
from truing.loop import sources

CRITERIA = [{"name": "helpful", "words": "?"}, {"name": "harmless", "words": "?"}]
CLASSES = ((Comparison, Ranking), (Comparison,), (Rating,), (Demonstration,), (Flag,))  # what stages ask for
PEOPLE = ("Ann", "Ben", "Cem")
TALK = Prompt((Message("user", "q"), Message("assistant", "A"), Message("user", "and?")))


def prompt(words):
    return Prompt((Message("user", words),))


IMPORTED = {
    "comparisons": [
        Comparison(prompt("c1"), "A", "B", 0.8, 0.2, 0.25, "helpful", "Ann", "simulated", 0.1, 3, 17.5),
        Comparison(prompt("c1"), "A", "B", 0.25, 0.0, 2.0, "", "Ben"),
        Comparison(prompt("c2"), "A", "B", 0.5, weight=0.5, annotator="Ann", time=1e9),
        Comparison(prompt("c3"), "A", "B", margin=0.5),
        Comparison(prompt("c3"), "A", "B", margin=0.5),  # another person's, of whom nothing is known
        Comparison(TALK, "B", "A", origin="chat", annotator="Ann"),
        Comparison(prompt("e"), "A", "B", origin="edit", annotator="Ann"),
        Comparison(prompt("r"), "A", "B", origin="rating", weight=0.5, annotator="Ann"),
    ],
    "rankings": [
        Ranking(prompt("k1"), ("A", "B", "C"), (1, 0, 1), "helpful", "Ann", "oasst", 0.2, 2, 17.5),
        Ranking(prompt("k2"), ("A", "B"), (0, 1), annotator="Ben"),
    ],
    "ratings": [
        *(Rating(prompt("r1"), str(value), value, 0.5, 9.5, "helpful", "Ann", 0.1, 2, 8.0) for value in (0.5, 3.75, 9)),
        *(Rating(prompt("r6"), text, 4, 1, 5, "", "Ben", time=time) for text, time in (("A", 9), ("B", 30), ("C", 0))),
        *(Rating(prompt("r7"), text, 1, 0, 1, "", "Ben", time=time) for text, time in (("A", 30), ("B", 9))),
        *(Rating(prompt("r2"), text, value, 0, 1, "", "Ben") for text, value in (("A", 0.7), ("B", 1))),
        *(Rating(prompt("r3"), text, value, 1, 7, "", "Ann") for text, value in (("A", 2), ("B", 7))),
        *(Rating(prompt("r4"), text, value, 0, 1, "harmless", "Ann") for text, value in (("A", 0), ("B", 1))),
        Rating(prompt("r5"), "A", 1, 0, 1),
    ],
    "the rest": [
        Demonstration(TALK, "B", "Ann", conversation=True, time=9.0),
        Demonstration(prompt("d"), "C"),
        Edit(prompt("e"), "Bad.", "Good.", "Ann", 10.0),
        Flag(prompt("f"), "A", "false", "Ann", 11.0),
        Flag(prompt("f"), "A", "false", "Ben"),
    ],
}  # fmt: skip


def with_criteria(payload, kind, names, rng):
    """The payload with as many judgements by criteria as the person felt like."""
    name = ("helpful", "harmless")[rng.integers(2)]
    if kind == "pair" and payload["verdict"] == "better":
        return payload | {
            "criteria": {name: {"verdict": "better", "winner": names[0], "strength": int(rng.integers(1, 4))}}
        }
    return payload | ({"criteria": {name: {i: int(rng.integers(1, 6)) for i in names}}} if kind == "rate" else {})


def others(kind, names):
    """What simulated people never say."""
    if kind == "pair":
        return [{"verdict": verdict} for verdict in ("both_good", "both_bad", "cant_tell")]
    if kind == "rank":
        return [{"tiers": {names[0]: 0, names[1]: 1, names[2]: 1}, "unranked": names[3:]}]
    return []


def judge(db, project, person, rng):
    """One judgement of one's next task; false if there is none."""
    careless = Annotator("P", error_rate=0.3, temperature=1.0, tie_threshold=0.5)
    with db.writing() as connection:
        leased = leases.lease(connection, project, person)
        if leased is None:
            return False
        task = views.task(connection, Site(db, project), leased)
        task["answers"].sort(key=lambda answer: answer["text"])  # the page's order is another one in every run
        payload = kinds.TABLE[task["kind"]].simulated(
            Simulation(task, careless, lambda p, text: len(text) / 10 - 1, rng)
        )
        names = [answer["id"] for answer in task["answers"]]
        whole = with_criteria(payload, task["kind"], names, rng) if task["criteria"] else payload
        payload = rng.choice([whole, payload, *others(task["kind"], names)])
        if names and rng.random() < 0.3:
            payload = payload | {"flags": {names[0]: ["false", "broken"]}}
        if task["kind"] == "demo":
            payload = {"text": f"What {person} says at {rng.random()}."}
        if task["turns"]:
            row = leases.assignment(connection, leased)
            spoken = content.add_message(
                connection, row.prompt_id, Response("Hi."), author=Author(person=person, role="user")
            )
            said = [
                content.add_message(connection, row.prompt_id, Response(text), spoken) for text in ("Hello!", "What?")
            ]
            candidates = content.add_candidates(connection, row.prompt_id, said, spoken)
            choice = {"verdict": "better", "winner": said[0], "strength": 2, "goes_on": said[0]}
            leases.turn(connection, row, candidates, choice, f"turn-{leased}")
        leases.submit(connection, leased, person, payload, f"key-{leased}")
    return True


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A store of each kind, judged by three people in two rounds; one of each sort of records that came in."""
    folder = tmp_path_factory.mktemp("judged")
    found = {}
    for kind in (kind.name for kind in kinds.OF_ANSWERS):
        rng = np.random.default_rng(0)
        db = found[kind] = Database.open(str(folder / f"{kind}.db"))
        with db.writing() as connection:
            project = projects.open_project(connection)
            names = [auth.add_person(connection, name) for name in PEOPLE]
        for number in range(4):
            answers = tuple(Response(f"{'very ' * i}good {number}") for i in range(min(5, kinds.TABLE[kind].most)))
            with db.writing() as connection:
                config = {"criteria": CRITERIA} if number < 3 else {"criterion": "helpful"}
                questions.add_conversation(
                    connection, project, Conversation(prompt(f"{number}?"), answers), Question(kind, 3, config=config)
                )
                if number == 2:
                    rounds.open_round(connection, project)
            while any([judge(db, project, person, rng) for person in names]):
                pass
    for name, records in IMPORTED.items():
        db = found[name] = Database.open(str(folder / f"{name}.db"))
        assert "left out" not in exchange.bring_in(db, records, "default")
    yield found
    for db in found.values():
        db.close()


def people(db):
    """The names behind the pseudonyms."""
    with db.reading() as connection:
        return dict(
            connection.execute(t.annotator.select().with_only_columns(t.annotator.c.id, t.annotator.c.name)).all()
        )


def essence(records, names, left_out=()):
    """All fields of records but the ids of prompts; an export names people by their pseudonym."""
    found = Counter()
    for record in records:
        fields = asdict(replace(record, prompt=None))
        fields["annotator"] = names.get(fields["annotator"], fields["annotator"])
        fields["messages"] = record.prompt.messages
        if isinstance(record, Comparison) and record.target == 0.5:
            fields["chosen"], fields["rejected"] = sorted((record.chosen, record.rejected))
        if isinstance(record, Ranking):
            fields["responses"] = fields["tiers"] = None
            fields["order"] = sorted(zip(record.responses, record.tiers, strict=True))
        fields = {k: round(float(v), 9) if isinstance(v, int | float) else v for k, v in fields.items()}
        fields = {k: v for k, v in fields.items() if k not in left_out}
        found[type(record).__name__, repr(sorted(fields.items()))] += 1
    return found


def of_store(db, classes):
    """As a stage reads it, of a snapshot taken now."""
    with db.writing() as connection:
        frozen = snapshot.take(connection, projects.project_named(connection))
    return sources.read([f"{db.name}#{frozen}"], classes)


def imported(path, place):
    again = Database.open(str(place))
    assert "left out" not in exchange.bring_in(again, exchange.read_in([str(path)]), "again")
    return again


ALL = [*(kind.name for kind in kinds.OF_ANSWERS), *IMPORTED]


@pytest.mark.parametrize("kind", ALL)
def test_a_store_its_export_and_a_store_that_takes_it_in_teach_the_same(judged, kind, tmp_path):
    db, path = judged[kind], tmp_path / "out.jsonl"
    left_out = ("error",) if kind in kinds.TABLE else ()  # which a store finds out where people judged the same
    exchange.take_out(db, "default", path, "native")
    again = imported(path, tmp_path / "again.db")
    names = people(db)
    twice = {identity: names.get(pseudonym, pseudonym) for identity, pseudonym in people(again).items()}
    nothing = True
    for classes in CLASSES:
        taught = essence(of_store(db, classes), names, left_out)
        try:
            of_file = formats.read(str(path), classes)
        except UserError:  # none of these in it
            of_file = []
        assert essence(of_file, names, left_out) == taught
        assert essence(of_store(again, classes), twice, left_out) == taught
        nothing &= not taught
    assert not nothing
    for strength in ("soft", "none") if kind in kinds.TABLE else ():  # of what came in the file says how sure it is
        assert essence(snapshot_records(again, strength), twice) == essence(snapshot_records(db, strength), names)
    again.close()


@pytest.mark.parametrize("name", IMPORTED)
def test_what_came_in_is_what_it_was(judged, name):
    given = IMPORTED[name]
    found = snapshot_records(judged[name])
    turned = [
        replace(r, chosen=r.rejected, rejected=r.chosen, target=1 - r.target)
        if isinstance(r, Comparison) and r.target < 0.5
        else r
        for r in given
    ]
    assert essence(found, people(judged[name])) == essence(turned, {})


def snapshot_records(db, strength="margin"):
    with db.writing() as connection:
        return snapshot.records(connection, snapshot.take(connection, projects.project_named(connection)), strength)


TEXTS = ("target", "margin", "weight", "criterion", "annotator", "error", "round", "origin", "time", "conversation")
NOT_HELD = {
    "trl": ("error", "round", "origin", "time"),
    "openrlhf": ("error", "round", "origin", "time"),
    "hh": TEXTS,
    "oasst": TEXTS,
}
CARRIED = {
    "trl": ("pair", "rank", "rate", "binary", "demo", "edit", "chat"),
    "openrlhf": ("pair", "rank", "rate", "binary", "demo", "edit", "chat"),
    "hh": ("pair", "rank", "rate", "binary", "edit", "chat"),
    "oasst": ("rank",),
}


@pytest.mark.parametrize("layout", NOT_HELD)
@pytest.mark.parametrize("kind", [kind.name for kind in kinds.OF_ANSWERS])
def test_so_do_the_layouts_of_others_as_far_as_their_rows_go(judged, kind, layout, tmp_path):
    db, path = judged[kind], tmp_path / "out.jsonl"
    if kind not in CARRIED[layout]:
        with pytest.raises(UserError, match=f"nothing that the layout {layout} can hold"):
            exchange.take_out(db, "default", path, layout)
        return
    exchange.take_out(db, "default", path, layout)
    classes = {"demo": (Demonstration,)}.get(kind, (Ranking,) if layout == "oasst" else (Comparison,))
    taught = [
        r
        for r in on_criterion(of_store(db, classes))
        if not isinstance(r, Comparison) or r.target != 0.5  # a tie
    ]
    names = people(db)
    wanted = essence(taught, names, NOT_HELD[layout])
    assert wanted and essence(formats.read(str(path), classes), names, NOT_HELD[layout]) == wanted
    again = imported(path, tmp_path / "again.db")
    twice = {identity: names.get(pseudonym, pseudonym) for identity, pseudonym in people(again).items()}
    assert essence(of_store(again, classes), twice, NOT_HELD[layout]) == wanted
    again.close()


@pytest.mark.parametrize("kind", ALL)
def test_training_reads_what_was_given_and_no_row_that_was_derived_from_it(judged, kind):
    before = snapshot_records(judged[kind])
    with judged[kind].engine.connect() as connection:
        for table in (t.comparison, t.ranking, t.rating, t.flag, t.demonstration):
            connection.execute(table.delete())
        frozen = connection.scalar(t.snapshot.select().with_only_columns(t.snapshot.c.id))
        assert snapshot.records(connection, frozen) == before
        connection.rollback()
