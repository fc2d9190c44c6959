"""Files into the store and out again: what goes in comes out."""

import json
import sqlite3
from collections import Counter
from dataclasses import asdict, dataclass, replace

import pytest
from sqlalchemy import func, select

from truing.data import formats
from truing.data.convert import convert
from truing.data.formats.files import save
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
from truing.data.settings import DataSettings
from truing.errors import UserError
from truing.feedback.judgements import agreement, duplicates, exchange
from truing.feedback.people import auth
from truing.feedback.store import database, projects
from truing.feedback.store import schema as t
from truing.feedback.store.database import Database
from truing.feedback.tasks import leases
from truing.loop import sources
from truing.settings import Flat


@dataclass(frozen=True)
class Config:
    inputs: Flat[DataSettings]


def told(make):
    return [
        Comparison(make.prompt("one"), "A", "B", margin=1.0, annotator="Ann"),
        Comparison(make.prompt("one"), "B", "A", margin=1 / 3, annotator="Ben"),
        Comparison(make.prompt("two"), "C", "D", target=0.5, annotator="Ann"),
        Ranking(make.prompt("three"), ("E", "F", "G"), (1, 0, 1), annotator="Ben"),
        Rating(make.prompt("four"), "H", 4, 1, 7, annotator="Ann"),
        Rating(make.prompt("five"), "I", 1, 0, 1, annotator="Ann"),
        Edit(make.prompt("six"), "J", "K", annotator="Ben"),
        Demonstration(make.prompt("seven"), "L", annotator="Ann"),
    ]


def essence(records):
    """What must survive: everything but the pseudonyms, ids and the order."""
    kept = []
    for r in records:
        words = " / ".join(m.content for m in r.prompt.messages)
        if isinstance(r, Comparison):
            pair = sorted((r.chosen, r.rejected)) if r.target == 0.5 else [r.chosen, r.rejected]
            kept.append(("comparison", words, *pair, r.target, round(r.margin, 3)))
        elif isinstance(r, Ranking):
            kept.append(("ranking", words, *sorted(zip(r.responses, r.tiers, strict=True))))
        elif isinstance(r, Rating):
            kept.append(("rating", words, r.response, float(r.value), float(r.low), float(r.high)))
        elif isinstance(r, Edit):
            kept.append(("edit", words, r.before, r.after))
        elif isinstance(r, Demonstration):
            kept.append(("demonstration", words, r.response))
    return sorted(map(str, kept))


def brought(db, folder, *records, project="default"):
    """What an import of these records counts, and the lines it tells."""
    formats.write(records, folder / "brought.jsonl")
    lines = []
    return exchange.bring_in(
        db, exchange.read_in([str(folder / "brought.jsonl")], lines.append), project, report=lines.append
    ), lines


def back(db, folder, layout="native", criterion=""):
    """The records of an export, and the lines it tells."""
    manifest = exchange.take_out(db, "default", folder / "back.jsonl", layout, criterion=criterion)
    kinds = (Comparison, Ranking, Rating, Edit, Demonstration)
    return formats.read(str(folder / "back.jsonl"), kinds), manifest["left_out"]


def rows(db, table):
    with db.reading() as connection:
        return connection.execute(select(table)).all()


@pytest.fixture
def filled(sqlite, make, tmp_path):
    formats.write(told(make), tmp_path / "in.jsonl")
    exchange.bring_in(sqlite, exchange.read_in([str(tmp_path / "in.jsonl")]), "default")
    return sqlite


@pytest.mark.parametrize("suffix", ["jsonl", "json", "jsonl.gz", "parquet"])
def test_native_rows_come_out_as_they_went_in(filled, make, tmp_path, suffix):
    out = tmp_path / f"out.{suffix}"
    manifest = exchange.take_out(filled, "default", out, "native")
    kinds = (Comparison, Ranking, Rating, Edit, Demonstration)
    assert essence(formats.read(str(out), kinds)) == essence(told(make))
    beside = json.loads((tmp_path / f"out.{suffix}.manifest.json").read_text())
    assert beside == manifest and beside["rows"] == 8 and len(beside["hash"]) == 64
    assert len(beside["annotators"]) == 2 and "Ann" not in json.dumps(beside)


@pytest.mark.parametrize("layout", ["trl", "hh", "openrlhf"])
def test_the_layouts_of_others_hold_what_they_can_and_say_what_not(filled, make, tmp_path, layout):
    manifest = exchange.take_out(filled, "default", tmp_path / "out.jsonl", layout)
    found = {(c.prompt.text, c.chosen, c.rejected) for c in formats.read(str(tmp_path / "out.jsonl"), (Comparison,))}
    assert found == {
        ("one", "A", "B"), ("one", "B", "A"), ("three", "F", "E"), ("three", "F", "G"), ("six", "K", "J")
    }  # fmt: skip
    others, ties = manifest["left_out"][:2]
    assert "left out: 2 ties, which" in ties
    assert others == f"left out: 2 Rating, 1 Demonstration: {layout} rows of comparisons hold nothing else"


def test_rankings_survive_as_trees(filled, make, tmp_path):
    exchange.take_out(filled, "default", tmp_path / "trees.jsonl", "oasst")
    found = formats.read(str(tmp_path / "trees.jsonl"), (Ranking,))
    assert essence(found) == essence([r for r in told(make) if isinstance(r, Ranking)])


def test_raw_events_carry_what_was_shown(filled, tmp_path):
    exchange.take_out(filled, "default", tmp_path / "events.jsonl", "events")
    rows = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [row["number"] for row in rows] == list(range(1, 9))
    assert {shown["text"] for shown in rows[0]["shown"]} == {"A", "B"}
    assert rows[0]["payload"]["winner"] in {shown["id"] for shown in rows[0]["shown"]}
    assert {row["criterion"] for row in rows} == {""}
    scales = [None, None, None, None, {"low": 1, "high": 7}, None, None, None]
    assert [row["scale"] for row in rows] == scales


def test_raw_events_name_the_criterion_and_the_scale(sqlite, make, tmp_path):
    project, _ = make.project_with(sqlite, "rate", make.conversation("page", "A"))
    (ann,) = make.people(sqlite, "Ann")
    with sqlite.writing() as connection:
        leased = leases.lease(connection, project, ann)
        (shown,) = leases.assignment(connection, leased).shown_order
        leases.submit(connection, leased, ann, {"ratings": {shown: 2}}, "key-000001")
    p = make.prompt("p")
    brought(sqlite, tmp_path, Comparison(p, "a", "b", criterion="kind"), Rating(p, "c", 4, 0, 9, criterion="true"))
    exchange.take_out(sqlite, "default", tmp_path / "events.jsonl", "events")
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(event["kind"], event["criterion"], event["scale"]) for event in events] == [
        ("rate", "", {"low": 1, "high": 5}), ("pair", "kind", None), ("rate", "true", {"low": 0, "high": 9})
    ]  # fmt: skip


def test_importing_twice_is_importing_once_and_people_are_told_apart(filled, tmp_path):
    counted = exchange.bring_in(filled, exchange.read_in([str(tmp_path / "in.jsonl")]), "default")
    assert counted == {"already there": 8}
    with filled.reading() as connection:
        project = projects.project_named(connection)
        assert connection.scalar(select(func.count()).select_from(t.annotation)) == 8
        assert {p["name"]: p["judged"] for p in agreement.figures(connection, project)["people"]} == {
            "Ann": 5,
            "Ben": 3,
        }


def test_prompts_and_sampled_answers_become_open_tasks(sqlite, make, tmp_path):
    formats.write([make.conversation("one", "A", "B"), make.prompt("two")], tmp_path / "in.jsonl")
    assert exchange.bring_in(sqlite, exchange.read_in([str(tmp_path / "in.jsonl")]), "default", "rank", 3) == {
        "Conversation": 1,
        "Prompt": 1,
    }
    with sqlite.reading() as connection:
        assert [(r.kind, r.overlap) for r in connection.execute(select(t.task))] == [("rank", 3)]


def test_what_cannot_be_held_is_told_and_the_rest_comes_in(sqlite, make, tmp_path):
    many = Ranking(make.prompt("many"), tuple("ABCDEFGHIJ"), tuple(range(10)))
    formats.write([many, told(make)[0]], tmp_path / "in.jsonl")
    lines = []
    counted = exchange.bring_in(
        sqlite, exchange.read_in([str(tmp_path / "in.jsonl")], lines.append), "default", report=lines.append
    )
    assert counted == {"left out": 1, "Comparison": 1}
    assert lines == ['left out: Ranking of the prompt "many": it has 10 answers: a task shows 9 at most']
    with sqlite.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(t.task)) == 1


def test_a_layout_that_can_hold_nothing_is_refused(sqlite, make, tmp_path):
    formats.write([told(make)[-1]], tmp_path / "in.jsonl")
    exchange.bring_in(sqlite, exchange.read_in([str(tmp_path / "in.jsonl")]), "default")
    with pytest.raises(UserError, match="nothing that the layout hh can hold: the snapshot has Demonstration"):
        exchange.take_out(sqlite, "default", tmp_path / "out.jsonl", "hh")
    with pytest.raises(UserError, match="must be one of"):
        exchange.take_out(sqlite, "default", tmp_path / "out.jsonl", "csv")


def test_exports_of_argilla_and_label_studio_come_in(sqlite, tmp_path):
    argilla = {"id": "1", "fields": {"prompt": "p", "response_1": "A", "response_2": "B"}, "status": "completed",
               "responses": {"preference": [{"value": "response_2", "user_id": "u1"}]}}  # fmt: skip
    studio = {"id": 7, "data": {"prompt": "q", "answer1": "C", "answer2": "D"}, "annotations": [
        {"completed_by": {"id": 3, "email": "x@example.org"}, "was_cancelled": False,
         "result": [{"type": "pairwise", "to_name": "answer1,answer2", "value": {"selected": "left"}}]}]}  # fmt: skip
    save(tmp_path / "argilla.json", [argilla])
    save(tmp_path / "studio.json", [studio])
    sources = [str(tmp_path / "argilla.json"), str(tmp_path / "studio.json")]
    assert exchange.bring_in(sqlite, exchange.read_in(sources), "default") == {"Comparison": 2}
    exchange.take_out(sqlite, "default", tmp_path / "out.jsonl", "native")
    assert {(c.chosen, c.rejected) for c in formats.read(str(tmp_path / "out.jsonl"), (Comparison,))} == {
        ("B", "A"), ("C", "D")
    }  # fmt: skip


def test_two_equal_answers_are_told_and_the_rest_comes_in(sqlite, make, tmp_path):
    first, second = Comparison(make.prompt("one"), "A", "B"), Comparison(make.prompt("two"), "A", "B")
    same = Comparison(make.prompt("q2"), "same", "same")
    twice = Ranking(make.prompt("q3"), ("a", "a", "b"), (0, 1, 2))
    counted, lines = brought(sqlite, tmp_path, first, same, twice, second)
    assert counted == {"Comparison": 2}
    path = tmp_path / "brought.jsonl"
    assert lines == [f"{path}: 2 judgements compare a text with itself, which is left out: row 2, row 3"]


def test_spaces_in_a_name_make_nobody_else(sqlite, make, tmp_path, monkeypatch):
    monkeypatch.setattr(exchange, "AT_ONCE", 2)
    names = ("ann ", "Ann  Lee", "ann ", " Ann Lee", "ann", " ")
    told = [Comparison(make.prompt(f"q{i}"), "A", "B", annotator=name) for i, name in enumerate(names)]
    assert brought(sqlite, tmp_path, *told) == ({"Comparison": 6}, [])
    assert sorted(person.name for person in rows(sqlite, t.annotator)) == ["Ann Lee", "ann", "imported"]
    assert brought(sqlite, tmp_path, *told)[0] == {"already there": 6}


@pytest.mark.parametrize("role", ["owner", "reviewer"])
def test_what_an_owner_or_a_reviewer_said_comes_in_as_theirs(sqlite, make, tmp_path, role):
    (ann,) = make.people(sqlite, "Ann", role=role)
    assert brought(sqlite, tmp_path, Comparison(make.prompt("q"), "A", "B", annotator="Ann")) == ({"Comparison": 1}, [])
    assert [said.annotator_id for said in rows(sqlite, t.annotation)] == [ann]
    assert [(person.name, person.role) for person in rows(sqlite, t.annotator)] == [("Ann", role)]


def test_a_person_whose_first_record_is_left_out_has_the_next_one(sqlite, make, tmp_path):
    unchanged = Edit(make.prompt("one"), "a", "a", annotator="X")
    counted, lines = brought(sqlite, tmp_path, unchanged, Comparison(make.prompt("two"), "A", "B", annotator="X"))
    assert counted == {"left out": 1, "Comparison": 1} and "the text is unchanged" in lines[0]


def test_a_judgement_by_a_criterion_stays_one(sqlite, make, tmp_path):
    p = make.prompt("p")
    told = [
        Comparison(p, "a", "b", criterion="helpful", annotator="Ann"),
        Comparison(p, "b", "a", criterion="harmless", annotator="Ann"),
        Ranking(p, ("c", "d", "e"), (0, 1, 2), criterion="helpful", annotator="Ann"),
        Rating(p, "f", 4, criterion="honest", annotator="Ann"),
        Rating(p, "g", 1, 0, 1, criterion="harmless", annotator="Ann"),
    ]
    assert brought(sqlite, tmp_path, *told)[1] == []
    assert {(type(r), r.criterion) for r in back(sqlite, tmp_path)[0]} == {(type(r), r.criterion) for r in told}
    assert {(c.criterion, c.origin) for c in rows(sqlite, t.comparison)} == {
        ("helpful", "pair"), ("harmless", "pair"), ("helpful", "ranking")
    }  # fmt: skip
    with sqlite.reading() as connection:  # agreement and error rates are of overall judgements
        assert agreement.votes(connection, projects.project_named(connection)) == []


@pytest.mark.parametrize("rating", [(3.5, 1, 5), (0.3, 0.1, 0.9), (0.7, 0, 1)])
def test_ratings_that_are_no_whole_numbers_come_out_as_they_went_in(sqlite, make, tmp_path, rating):
    p = make.prompt("p")
    given = [Rating(p, "a", 4, annotator="Ann"), Rating(p, "b", *rating, annotator="Ann", time=7.5), Rating(p, "c", 2)]
    assert brought(sqlite, tmp_path, *given) == ({"Rating": 3}, [])
    found = [r for r in back(sqlite, tmp_path)[0] if isinstance(r, Rating)]
    assert {(r.response, r.value, r.low, r.high) for r in found} == {
        (r.response, r.value, r.low, r.high) for r in given
    }
    assert [r.time for r in found if r.response == "b"] == [7.5]
    assert brought(sqlite, tmp_path, *given)[0] == {"already there": 3}


def test_a_rating_outside_its_scale_is_told_and_the_rest_comes_in(sqlite, make):
    told, p = [], make.prompt("p")
    given = [Rating(p, "a", 4), Rating(p, "b", 6), Rating(p, "c", 2)]
    assert exchange.bring_in(sqlite, given, "default", report=told.append) == {"Rating": 2, "left out": 1}
    assert told == ['left out: Rating of the prompt "p": 6 is outside the scale 1 to 5']


def test_ratings_of_one_sitting_are_one_task_and_give_the_comparisons_that_their_file_gives(sqlite, make, tmp_path):
    told = [
        Rating(make.prompt(f"q{i % 3}"), f"answer {i // 3}", 1 + (i * 7) % 5, annotator=name)
        for i in range(9)
        for name in ("Ann", "")
    ]
    told += [Rating(make.prompt("q0"), "answer 0", 5, annotator="Ann"), Rating(make.prompt("q0"), "answer 7", 1, 0, 1)]
    assert brought(sqlite, tmp_path, *told) == ({"Rating": 20}, [])
    assert len(rows(sqlite, t.task)) == 3 * 2 + 2

    def pairs(comparisons):
        return sorted((c.prompt.text, c.target, *sorted((c.chosen, c.rejected)), c.margin) for c in comparisons)

    back(sqlite, tmp_path)
    of_store, of_file = formats.read(str(tmp_path / "back.jsonl"), (Comparison,)), convert(told, (Comparison,))
    assert pairs(of_store) == pairs(of_file) and len(of_store) == 20 and {c.weight for c in of_store} == {0.5}


def test_ratings_come_in_once_whatever_stands_beside_them(db, make, tmp_path, monkeypatch):
    monkeypatch.setattr(exchange, "LARGEST", 2)
    told = [Rating(make.prompt("q"), answer, 3, annotator="Ann") for answer in "ABCDE"]
    assert brought(db, tmp_path, *told[:3], told[0])[0] == {"Rating": 3, "already there": 1}
    assert [len(said.shown_order) for said in rows(db, t.assignment)] == [2, 1]
    assert brought(db, tmp_path, told[4], *told[:4])[0] == {"Rating": 2, "already there": 3}
    assert brought(db, tmp_path, told[1])[0] == {"already there": 1}


def test_figures_of_a_comparison_come_out_as_they_went_in(sqlite, make, tmp_path):
    told = [
        Comparison(make.prompt("soft"), "a", "b", 0.8, 0.2, 0.25, error=0.1, round=3),
        Comparison(make.prompt("turned"), "a", "b", 0.1),
        Comparison(make.prompt("no margin"), "a", "b"),
        Comparison(make.prompt("tie"), "a", "b", 0.5, weight=0.5),
        Ranking(make.prompt("ranked"), ("a", "b"), (0, 1), error=0.2, round=2),
    ]
    assert brought(sqlite, tmp_path, *told)[1] == []
    found = {r.prompt.text: r for r in back(sqlite, tmp_path)[0]}
    for r in (told[0], told[2]):
        assert replace(found[r.prompt.text], prompt=r.prompt, annotator="") == r
    assert (found["tie"].target, found["tie"].margin, found["tie"].weight) == (0.5, 0.0, 0.5)
    turned = found["turned"]
    assert (turned.chosen, turned.rejected, turned.target, turned.margin) == ("b", "a", 0.9, 0.0)
    assert (found["ranked"].error, found["ranked"].round) == (0.2, 2)


def test_an_import_taken_back_and_said_anew_has_the_figures_of_the_page(sqlite, make, tmp_path):
    soft = Comparison(make.prompt("q"), "a", "b", 0.8, 0.2, 0.25, annotator="Ann", error=0.1, round=3)
    brought(sqlite, tmp_path, soft)
    with sqlite.writing() as connection:
        ann, project = auth.anybody_named(connection, "Ann"), projects.project_named(connection)
        leases.undo(connection, ann, "key-000001")
        leases.submit(connection, leases.lease(connection, project, ann), ann, {"verdict": "tie"}, "key-000002")
    (said,) = back(sqlite, tmp_path)[0]
    assert (said.target, said.margin, said.weight, said.error, said.round) == (0.5, 0.0, 1.0, 0.0, 0)


@pytest.fixture
def with_criteria(sqlite, make):
    """A is the better one overall, B the more harmless one; both were asked at once."""
    project, _ = make.project_with(sqlite, "pair", make.conversation("q", "A", "B"))
    (ann,) = make.people(sqlite, "Ann")
    with sqlite.writing() as connection:
        leased = leases.lease(connection, project, ann)
        ids = dict(connection.execute(select(t.message.c.content, t.message.c.id)).all())
        harmless = {"verdict": "better", "winner": ids["B"], "strength": 3}
        payload = {"verdict": "better", "winner": ids["A"], "strength": 3, "criteria": {"harmless": harmless}}
        leases.submit(connection, leased, ann, payload, "key-000001")
    return sqlite


@pytest.mark.parametrize("layout", ["trl", "hh", "openrlhf"])
def test_layouts_without_a_criterion_hold_judgements_on_one(with_criteria, tmp_path, layout):
    for criterion, chosen, others in (("", "A", "1 on harmless"), ("harmless", "B", "1 overall")):
        (found,), told = back(with_criteria, tmp_path, layout, criterion)
        assert found.chosen == chosen and others in told[0]
    with pytest.raises(UserError, match="no judgement is on kind; there are 1 overall, 1 on harmless"):
        back(with_criteria, tmp_path, layout, "kind")


def test_native_rows_hold_every_criterion(with_criteria, tmp_path):
    found, told = back(with_criteria, tmp_path)
    assert {(c.chosen, c.criterion) for c in found} == {("A", ""), ("B", "harmless")} and told == []
    with pytest.raises(UserError, match="hold all of them"):
        back(with_criteria, tmp_path, "native", "harmless")


def test_an_export_says_each_sitting_once(sqlite, make, tmp_path):
    """To who trains from it, and to the store that takes it in again; "both bad" too, which rates two answers."""
    values = {"A": 1, "B": 3, "C": 3}
    told = [Rating(make.prompt("q"), answer, value, annotator="Ann") for answer, value in values.items()]
    brought(sqlite, tmp_path, *told)
    native = back(sqlite, tmp_path)[0]
    assert {type(r) for r in native} == {Rating}
    assert len(formats.read(str(tmp_path / "back.jsonl"), (Comparison,))) == 3
    assert brought(sqlite, tmp_path, *native, project="again") == ({"Rating": 3}, [])
    project, _ = make.project_with(sqlite, "pair", make.conversation("worse", "D", "E"))
    with sqlite.writing() as connection:
        ann = auth.anybody_named(connection, "Ann")
        leases.submit(connection, leases.lease(connection, project, ann), ann, {"verdict": "both_bad"}, "key-000001")
    back(sqlite, tmp_path)
    assert len(formats.read(str(tmp_path / "back.jsonl"), (Comparison,))) == 4


def steps(db, act):
    """What an act costs, in steps of SQLite's machine: hundreds of them."""
    counted = Counter()

    def count():
        counted["hundreds"] += 1

    with db.engine.connect() as connection:  # the pool's one connection, which the act uses too
        driver = connection.connection.dbapi_connection
    driver.set_progress_handler(count, 100)
    act()
    driver.set_progress_handler(None, 0)
    return counted["hundreds"]


def test_bringing_a_rating_in_costs_the_same_whatever_the_person_has_said_before(sqlite, make, tmp_path, monkeypatch):
    monkeypatch.setattr(exchange, "GAP_S", 0.0)

    def sitting(i):
        return [Rating(make.prompt(f"q{i}"), answer, 3, annotator="Ann") for answer in "ABCDEF"]

    for i in range(10):
        brought(sqlite, tmp_path, *sitting(i))
    few = steps(sqlite, lambda: brought(sqlite, tmp_path, *sitting("few")))
    brought(sqlite, tmp_path, *[one for i in range(10, 210) for one in sitting(i)])
    assert 0 < steps(sqlite, lambda: brought(sqlite, tmp_path, *sitting("many"))) < 1.5 * few


def test_bringing_answers_in_costs_the_same_whatever_the_store_holds(sqlite, make, tmp_path):
    def bring(i):
        return lambda: brought(sqlite, tmp_path, make.conversation(f"q{i}", "A", "B"))

    bring(0)()
    few = steps(sqlite, bring(1))
    make.project_with(sqlite, "pair", *[make.conversation(f"held {i}", "A", "B") for i in range(300)])
    assert 0 < steps(sqlite, bring(2)) < 1.5 * few


def test_a_person_comes_in_between_two_transactions_of_an_import(sqlite, make, tmp_path, monkeypatch):
    """SQLite gives nobody a turn: another process gets in only while this one lets go."""
    held = []

    def look(seconds):
        other = sqlite3.connect(sqlite.name, timeout=0)
        other.execute("BEGIN IMMEDIATE")
        other.close()
        held.append(seconds)

    monkeypatch.setattr(exchange.time, "sleep", look)
    brought(sqlite, tmp_path, *[Comparison(make.prompt(f"q{i}"), "A", "B") for i in range(3 * exchange.AT_ONCE)])
    assert len(held) == 2 and min(held) > 0


def test_error_and_round_of_comparisons_survive_that_are_made_of_ratings_anew(sqlite, make, tmp_path):
    """Exports of earlier versions hold both, error and round with the comparisons."""
    q, other = make.prompt("q"), make.prompt("other")
    told = [
        *(Rating(q, answer, value, annotator="Ann") for answer, value in (("A", 1), ("B", 4))),
        *(Rating(other, answer, value, annotator="Ann") for answer, value in (("A", 1), ("B", 4))),
        Comparison(q, "B", "A", margin=1.0, weight=0.5, annotator="Ann", origin="rating", error=0.2, round=3),
    ]
    counted, lines = brought(sqlite, tmp_path, *told)
    assert counted == {"left out": 1, "Rating": 4} and "1 comparisons that follow from the ratings" in lines[0]
    for name, again in (("default", told), ("again", back(sqlite, tmp_path)[0])):
        brought(sqlite, tmp_path, *again, project=name)
        exchange.take_out(sqlite, name, tmp_path / "out.jsonl", "native")
        made = formats.read(str(tmp_path / "out.jsonl"), (Comparison,))
        assert {(c.prompt.text, c.chosen, c.weight, c.error, c.round) for c in made} == {
            ("q", "B", 0.5, 0.2, 3), ("other", "B", 0.5, 0.0, 0)
        }  # fmt: skip


def test_numbers_that_no_column_holds_are_told_and_the_rest_comes_in(sqlite, make, tmp_path):
    p = make.prompt("p")
    talk = Conversation(make.prompt("talk"), (Response("a", seed=10**30),))
    counted, lines = brought(sqlite, tmp_path, talk, Rating(p, "a", 1e300, 0, 1e300), Comparison(p, "a", "b"))
    assert counted == {"Rating": 1, "Comparison": 1}
    assert '"seed" must be a whole number' in lines[0]
    assert [(r.value, r.high) for r in back(sqlite, tmp_path)[0] if isinstance(r, Rating)] == [(1e300, 1e300)]


def learned(records, names):
    """What training is taught, by whom: a tie has no order."""
    said = []
    for r in records:
        words, name = [m.content for m in r.prompt.messages], names.get(r.annotator, r.annotator)
        if isinstance(r, Ranking):
            answers = sorted(zip(r.responses, r.tiers, strict=True))
            said.append(f"{words} {answers} {r.criterion!r} {name}")
        else:
            pair = sorted((r.chosen, r.rejected)) if r.target == 0.5 else [r.chosen, r.rejected]
            figures = [round(number, 9) for number in (r.target, r.margin, r.weight)]
            said.append(f"{words} {pair} {figures} {r.criterion!r} {name}")
    return Counter(said)


def of_store(place, report=None):
    data = sources.pinned(Config(DataSettings((place,)))).inputs.data
    return sources.read(data, (Comparison, Ranking), report=report)


def named(db):
    return {person.id: person.name for person in rows(db, t.annotator)}


def test_store_its_export_and_a_store_that_takes_the_export_in_teach_the_same(before, tmp_path):
    """Of every kind of judgement, on both databases."""
    exchange.take_out(before, "default", tmp_path / "out.jsonl", "native")
    names = named(before)
    taught = learned(of_store(before.name), names)
    assert learned(formats.read(str(tmp_path / "out.jsonl"), (Comparison, Ranking)), names) == taught
    again = Database.open(str(tmp_path / "again.db"))
    lines = []
    counted = exchange.bring_in(
        again, exchange.read_in([str(tmp_path / "out.jsonl")], lines.append), "again", report=lines.append
    )
    assert "left out" not in counted and lines == []
    twice = {identity: names[pseudonym] for identity, pseudonym in named(again).items()}
    assert learned(of_store(again.name), twice) == taught
    exchange.take_out(again, "again", tmp_path / "again.jsonl", "native")
    assert learned(formats.read(str(tmp_path / "again.jsonl"), (Comparison, Ranking)), twice) == taught
    assert exchange.bring_in(again, exchange.read_in([str(tmp_path / "out.jsonl")]), "again") == {
        "already there": sum(counted.values())
    }
    again.close()


def test_what_every_kind_of_judgement_teaches(before):
    """By hand, from what was said: see `before`."""
    lines = []
    taught = learned(of_store(before.name, lines.append), named(before))
    best = [
        f"['best?'] {[a, b]} [1.0, 0.0, {1 / 9:.9f}] '' Ben"
        for a, b in ("HI", "HJ", "IJ", *(x + y for x in "HIJ" for y in "KL"))
    ]
    assert taught == Counter(
        [
            "['pair?'] ['A', 'B'] [1.0, 0.333333333, 1.0] '' Ann",
            "['pair?'] ['B', 'A'] [1.0, 1.0, 1.0] 'harmless' Ann",
            "['pair?'] ['W', 'X'] [1.0, 0.666666667, 1.0] '' Ben",
            "['both?'] ['C', 'D'] [0.5, 0.0, 1.0] '' Ben",
            "['rank?'] [('E', 1), ('F', 0), ('G', 1)] '' Ann",
            *best,
            "['rate?'] ['N', 'M'] [1.0, 0.5, 0.5] '' Ann",
            "['rate?'] ['O', 'M'] [1.0, 0.5, 0.5] '' Ann",
            "['rate?'] ['N', 'O'] [0.5, 0.0, 0.5] '' Ann",
            "['rate?'] ['N', 'M'] [1.0, 0.25, 0.5] 'helpful' Ann",
            "['rate?'] ['N', 'O'] [1.0, 0.75, 0.5] 'helpful' Ann",
            "['rate?'] ['M', 'O'] [1.0, 0.5, 0.5] 'helpful' Ann",
            "['seven?'] ['Q', 'P'] [1.0, 0.833333333, 0.5] '' Ben",
            "['good?'] ['R', 'S'] [1.0, 1.0, 0.5] '' Ann",
            "['good?'] ['R', 'T'] [1.0, 1.0, 0.5] '' Ann",
            "['good?'] ['S', 'T'] [0.5, 0.0, 0.5] '' Ann",
            "['edit?'] ['A good answer.', 'A bad answer.'] [1.0, 0.0, 1.0] '' Ann",
            "['chat?', 'Hi.', 'A joke?'] ['Knock.', 'No.'] [1.0, 1.0, 1.0] '' Ben",
            "['soft?'] ['a', 'b'] [0.7, 0.2, 0.25] 'helpful' Cai",
            "['one by one?'] ['d', 'c'] [1.0, 0.75, 0.5] 'helpful' Cai",
            "['ranked?'] [('g', 0), ('h', 1)] '' Cai",
            "['edited?'] ['j', 'i'] [1.0, 0.0, 1.0] '' Cai",
        ]
    )
    (line,) = lines
    assert "left out: 1 answers compared with a text equal to theirs" in line  # "equal?" was asked of Ben


def test_a_source_names_a_round_on_both_databases(before):
    found = of_store(f"{before.name}#project=default,round=2")
    texts = {"pair?", "soft?", "one by one?", "ranked?", "edited?"}  # what was said or came in while it was open
    assert {r.prompt.text for r in found} == texts and "W" in {r.chosen for r in found if isinstance(r, Comparison)}


def test_a_flag_that_came_in_is_a_flag_and_no_rating(sqlite, make, tmp_path):
    q = make.prompt("q")
    told = [Flag(q, "A", "false", "Ann"), Flag(q, "B", "false", "Ann"), Flag(q, "B", "broken", "Ann")]
    assert brought(sqlite, tmp_path, *told)[0] == {"Flag": 3}
    exchange.take_out(sqlite, "default", tmp_path / "out.jsonl", "native")
    found = formats.read(str(tmp_path / "out.jsonl"), (Flag, Rating))
    assert {(type(r), r.response, r.name) for r in found} == {(Flag, f.response, f.name) for f in told}


def test_what_came_into_one_project_comes_into_another_too(sqlite, make, tmp_path):
    told = [Comparison(make.prompt("q"), "A", "B", annotator="Ann"), Rating(make.prompt("r"), "C", 3, annotator="Ann")]
    for project in ("one", "two"):
        assert brought(sqlite, tmp_path, *told, project=project)[0] == {"Comparison": 1, "Rating": 1}
        assert brought(sqlite, tmp_path, *told, project=project)[0] == {"already there": 2}


def test_what_was_brought_in_before_is_known_again(before, make, tmp_path):
    """By a version whose keys left the project out."""
    told = [
        Comparison(make.prompt("soft?"), "a", "b", 0.7, 0.2, 0.25, "helpful", "Cai", error=0.1, round=3),
        Rating(make.prompt("one by one?"), "c", 2, 1, 5, "helpful", "Cai"),
        Rating(make.prompt("one by one?"), "d", 5, 1, 5, "helpful", "Cai"),
        make.conversation("open?", "l", "m"),
    ]
    assert brought(before, tmp_path, *told)[0] == {"already there": 4}


def test_ratings_of_another_round_are_new_and_not_compared_with_those_before(sqlite, make, tmp_path):
    q = make.prompt("q")
    told = [Rating(q, "A", 3, annotator="Ann", round=1), Rating(q, "A", 3, annotator="Ann", round=2)]
    told += [replace(one, response="B", value=4) for one in told]
    assert brought(sqlite, tmp_path, *told)[0] == {"Rating": 4}
    made = formats.read(str(tmp_path / "brought.jsonl"), (Comparison,))
    assert [(c.chosen, c.round) for c in made] == [("B", 1), ("B", 2)]
    assert [(c.chosen, c.round) for c in of_store(sqlite.name)] == [("B", 1), ("B", 2)]


def test_new_answers_to_the_same_prompts_come_in_as_tasks_and_the_same_ones_do_not(sqlite, make, tmp_path):
    talk = make.conversation
    assert brought(sqlite, tmp_path, talk("q", *"ABCD")) == ({"Conversation": 1}, [])
    assert brought(sqlite, tmp_path, talk("q", *"BADC")) == ({"already there": 1}, [])
    assert brought(sqlite, tmp_path, talk("q", *"ABCE")) == ({"Conversation": 1}, [])
    with sqlite.reading() as connection:
        shown = select(t.candidate.c.candidate_set_id, t.message.c.content).join(t.message)
        sets = Counter(row.candidate_set_id for row in connection.execute(shown))
    assert list(sets.values()) == [2, 2, 2]  # a pair shows two: A and B, C and D, C and E


def test_equal_answers_come_in_as_no_task_and_are_told(sqlite, make, tmp_path):
    talks = [make.conversation("q", "A", "A "), make.conversation("r", "B", "B", "C"), make.conversation("s", "D")]
    counted, lines = brought(sqlite, tmp_path, *talks)
    assert counted == {"Conversation": 1, "left out": 2}
    assert lines == [
        "left out: 2 sampled answers that read as another answer to their prompt",
        'left out: Conversation of the prompt "q": it has too few answers to ask for a pair: 1 of 2',
        'left out: Conversation of the prompt "s": it has too few answers to ask for a pair: 1 of 2',
    ]
    assert len(rows(sqlite, t.task)) == 1


def test_a_demonstration_has_the_key_it_had(make):
    """A field that came later, at its default, must not make what was brought in before look new."""
    told = Demonstration(Prompt((Message("user", "q"),)), "C", "Ann")
    fields = {"prompt": asdict(told.prompt), "response": "C", "annotator": "Ann"}
    before = f"import-{database.digest('p' + json.dumps(fields, sort_keys=True))[:40]}"
    assert duplicates._key([(told, 1)], "p") == before != duplicates._key([(replace(told, conversation=True), 1)], "p")


def test_a_flag_beside_a_rating_swallows_none(sqlite, make, tmp_path):
    q = make.prompt("q")
    formats.write([Flag(q, "A", "spam", "Ann"), Rating(q, "A", 0, 0, 1, annotator="Ann")], tmp_path / "in.jsonl")
    assert exchange.bring_in(sqlite, exchange.read_in([str(tmp_path / "in.jsonl")]), "default") == {
        "Flag": 1,
        "Rating": 1,
    }


def test_an_export_that_comes_back_into_its_store_is_there_already_or_by_the_same_people(sqlite, make, tmp_path):
    given = [Comparison(make.prompt("q"), "A", "B", annotator="Ann")]
    formats.write(given, tmp_path / "in.jsonl")
    exchange.bring_in(sqlite, exchange.read_in([str(tmp_path / "in.jsonl")]), "default")
    exchange.take_out(sqlite, "default", tmp_path / "out.jsonl", "native")
    exchange.bring_in(sqlite, exchange.read_in([str(tmp_path / "out.jsonl")]), "default")
    with sqlite.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(t.annotator)) == 1


def test_ratings_of_another_error_are_a_sitting_of_their_own(sqlite, make, tmp_path):
    q = make.prompt("q")
    given = [Rating(q, "A", 1, annotator="Ann", error=0.1), Rating(q, "B", 2, annotator="Ann", error=0.2)]
    brought(sqlite, tmp_path, *given)
    assert {(r.response, r.error) for r in back(sqlite, tmp_path)[0]} == {("A", 0.1), ("B", 0.2)}


def test_a_layout_gets_the_first_class_of_which_its_rows_can_hold_any(sqlite, make, tmp_path):
    """Ties and judgements by other criteria are none; a number between good and bad is no label."""
    given = [
        Comparison(make.prompt("tie"), "A", "B", 0.5, annotator="Ann"),
        Comparison(make.prompt("kind"), "A", "B", criterion="kind", annotator="Ann"),
        Rating(make.prompt("good"), "C", 1, 0, 1, annotator="Ann"),
        Rating(make.prompt("half"), "D", 0.5, 0, 1, annotator="Ann"),
        Demonstration(make.prompt("said"), "E", annotator="Ann"),
    ]
    brought(sqlite, tmp_path, *given)
    manifest = exchange.take_out(sqlite, "default", tmp_path / "out.jsonl", "trl")
    (label,) = formats.read(str(tmp_path / "out.jsonl"), (Rating,))
    assert (label.response, label.value) == ("C", 1)
    assert manifest["left_out"][:2] == [
        "judgements on other criteria are left out: 1 on kind; the setting criterion says which are taken",
        "left out: 1 Comparison, 1 Rating, 1 Demonstration: trl rows of labels hold nothing else",
    ]
    exchange.take_out(sqlite, "default", tmp_path / "out.jsonl", "openrlhf")
    assert [d.response for d in formats.read(str(tmp_path / "out.jsonl"), (Demonstration,))] == ["E"]
    assert [c.chosen for c in back(sqlite, tmp_path, "trl", "kind")[0]] == ["A"]
    with pytest.raises(UserError, match="nothing to write but 1 ties"):
        exchange.take_out(sqlite, "default", tmp_path / "out.jsonl", "hh")


def test_raw_events_do_not_come_in_again(filled, tmp_path):
    exchange.take_out(filled, "default", tmp_path / "events.jsonl", "events")
    with pytest.raises(UserError, match="a raw event of a store, which does not come in again: export native rows"):
        exchange.read_in([str(tmp_path / "events.jsonl")])
