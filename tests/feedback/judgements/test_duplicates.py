"""What is there already, from the page or from an import, is not taken twice; without a name it is a crowd's."""

import random
from dataclasses import replace

import pytest
from tests.feedback.judgements.test_exchange import brought, learned, named, of_store, rows, steps

from truing.data import formats
from truing.data.records import Comparison, Demonstration, Edit, Flag, Ranking, Rating
from truing.feedback.judgements import exchange
from truing.feedback.store import schema as t
from truing.feedback.store.database import Database
from truing.feedback.tasks import leases

TABLES = (t.prompt, t.message, t.task, t.annotation)


def exported(db, folder, project="default"):
    exchange.take_out(db, project, folder / "out.jsonl", "native")
    return str(folder / "out.jsonl")


def sizes(db):
    return [len(rows(db, table)) for table in TABLES]


def rated(db, project, ann, values):
    """Ann rates, on the page, the answers of the next task by what they say."""
    with db.writing() as connection:
        leased = leases.lease(connection, project, ann)
        shown = leases.assignment(connection, leased).shown_order
    texts = {row.id: row.content for row in rows(db, t.message)}
    with db.writing() as connection:
        said = {"ratings": {one: values[texts[one]] for one in shown}}
        leases.submit(connection, leased, ann, said, f"key-{leased}")


def test_an_export_that_comes_back_into_its_store_leaves_it_as_it_was(before, tmp_path):
    """Of every kind of judgement, of the page and of imports, on both databases. Was: all but ratings were doubled."""
    out, there = exported(before, tmp_path), sizes(before)
    names, taught = named(before), learned(of_store(before.name), named(before))
    with open(out, encoding="utf-8") as lines:
        judgements = sum(1 for _ in lines)
    for _ in range(2):
        assert exchange.bring_in(before, exchange.read_in([out]), "default") == {"already there": judgements}
    assert sizes(before) == there and learned(of_store(before.name), names) == taught


def test_every_kind_that_came_in_is_known_when_its_export_comes_back(sqlite, make, tmp_path):
    q = make.prompt("q")
    told = [
        Comparison(q, "A", "B", 0.2, annotator="Ann", round=2),
        Comparison(q, "A", "C", 0.5, 0.1, 0.25, "kind", "Ann"),
        Ranking(q, ("A", "B", "C"), (2, 0, 2), "kind", "Ann", round=3),
        Rating(q, "A", 1, 0, 1, "kind", "Ann"),
        Flag(q, "A", "spam", "Ann"),
        Edit(q, "A", "D", "Ann"),
        Demonstration(q, "E", "Ann", True),
        Comparison(q, "A", "B"),
    ]
    brought(sqlite, tmp_path, *told)
    there = sizes(sqlite)
    assert exchange.bring_in(sqlite, exchange.read_in([exported(sqlite, tmp_path)]), "default") == {
        "already there": len(told)
    }
    assert sizes(sqlite) == there
    assert exchange.bring_in(sqlite, exchange.read_in([str(tmp_path / "out.jsonl")]), "other") != {
        "already there": len(told)
    }


def test_who_says_something_else_says_something_new(sqlite, make, tmp_path):
    one = Comparison(make.prompt("q"), "A", "B", 1.0, 0.5, annotator="Ann", criterion="kind", round=1)
    others = [
        replace(one, annotator="Ben"),
        replace(one, annotator=""),
        replace(one, prompt=make.prompt("other")),
        replace(one, rejected="C"),
        replace(one, chosen="B", rejected="A"),
        replace(one, target=0.5),
        replace(one, margin=1.0),
        replace(one, criterion=""),
        replace(one, round=2),
    ]
    assert brought(sqlite, tmp_path, one)[0] == {"Comparison": 1}
    assert brought(sqlite, tmp_path, *others, one)[0] == {"Comparison": len(others), "already there": 1}
    same = replace(one, origin="another file", error=0.1)
    assert brought(sqlite, tmp_path, replace(same, prompt=make.prompt("q ")))[0] == {"already there": 1}


def test_equal_judgements_without_a_name_are_several_peoples_and_come_in_once(db, make, tmp_path):
    """Was: one of them came in."""
    q = make.prompt("q")
    pair, rank, rate = Comparison(q, "A", "B"), Ranking(q, ("A", "B"), (0, 1)), Rating(make.prompt("r"), "A", 3)
    crowd = [pair, pair, rank, rate, replace(rate, response="B", value=5), rate, pair, rank]
    assert brought(db, tmp_path, *crowd)[0] == {"Comparison": 3, "Ranking": 2, "Rating": 3}
    taught = learned(formats.read(str(tmp_path / "brought.jsonl"), (Comparison, Ranking)), {})
    assert learned(of_store(db.name), {}) == taught and sum(taught.values()) == 7
    out = exported(db, tmp_path)
    for path in (str(tmp_path / "brought.jsonl"), out):
        assert exchange.bring_in(db, exchange.read_in([path, path]), path) == {
            "Comparison": 3,
            "Ranking": 2,
            "Rating": 3,
        }
        assert exchange.bring_in(db, exchange.read_in([path]), "default") == {"already there": 8}
    more = [replace(pair, origin="elsewhere")] * 4
    assert brought(db, tmp_path, *more, *crowd[3:])[0] == {"Comparison": 2, "already there": 7}
    assert brought(db, tmp_path, *more, rate, rate)[0] == {"already there": 6}


def test_what_was_taken_back_does_not_come_in_again(sqlite, make, tmp_path):
    told = [Rating(make.prompt("q"), answer, 3, annotator="Ann") for answer in "AB"]
    brought(sqlite, tmp_path, *told)
    (ann,) = {said.annotator_id for said in rows(sqlite, t.annotation)}
    with sqlite.writing() as connection:
        leases.undo(connection, ann, "key-000001")
    assert brought(sqlite, tmp_path, *told)[0] == {"already there": 2}


def test_a_rating_given_twice_teaches_once_in_store_and_export_and_a_store_that_takes_it_in(sqlite, make, tmp_path):
    """Was: its pairs counted twice in stores and files, and once where an export came in."""
    talks = [make.conversation("q", "a", "b"), make.conversation("q", "a", "c")]
    project, _ = make.project_with(sqlite, "rate", *talks)
    (ann,) = make.people(sqlite, "Ann")
    for _ in talks:
        rated(sqlite, project, ann, {"a": 5, "b": 1, "c": 1})
    out, taught = exported(sqlite, tmp_path), learned(of_store(sqlite.name), named(sqlite))
    assert sorted(taught.values()) == [1, 1, 1]  # a before b, a before c, b as good as c
    assert learned(formats.read(out, (Comparison, Ranking)), named(sqlite)) == taught
    again = Database.open(str(tmp_path / "again.db"))
    assert exchange.bring_in(again, exchange.read_in([out]), "default") == {"Rating": 3, "already there": 1}
    assert learned(of_store(again.name), {who: "Ann" for who in named(again)}) == taught
    again.close()


@pytest.mark.parametrize("seed", range(3))
def test_whoever_rates_what_how_often_a_file_and_all_that_it_goes_through_teach_the_same(
    make, tmp_path, seed, monkeypatch
):
    monkeypatch.setattr(exchange, "GAP_S", 0.0)
    draw = random.Random(seed)

    def rating():
        prompt, answer = make.prompt(draw.choice("pqr")), draw.choice("abc")
        who, criterion = draw.choice(["", "Ann", "Ben"]), draw.choice(["", "kind"])
        return Rating(prompt, answer, draw.choice([1, 3, 5]), 1, 5, criterion, who, round=draw.choice([0, 2]))

    told = [rating() for _ in range(60)]
    told += [Comparison(make.prompt(draw.choice("pqr")), "a", "b") for _ in range(6)]
    first, second = (Database.open(str(tmp_path / f"{name}.db")) for name in ("first", "second"))
    brought(first, tmp_path, *told)
    out = exported(first, tmp_path)
    exchange.bring_in(second, exchange.read_in([out]), "default")
    names = named(first)
    twice = {identity: names.get(name, name) for identity, name in named(second).items()}
    kinds = (Comparison, Ranking)
    taught = learned(formats.read(str(tmp_path / "brought.jsonl"), kinds), {})
    assert learned(of_store(first.name), names) == taught == learned(formats.read(out, kinds), names)
    assert learned(of_store(second.name), twice) == taught
    for db in (first, second):
        assert set(exchange.bring_in(db, exchange.read_in([out]), "default")) == {"already there"}
        db.close()


def test_knowing_what_is_there_costs_the_same_whatever_the_store_holds(sqlite, make, tmp_path, monkeypatch):
    monkeypatch.setattr(exchange, "GAP_S", 0.0)

    def said(start, end):
        return [Comparison(make.prompt(f"q{i}"), "A", "B", annotator="Ann") for i in range(start, end)]

    def again(start, end):  # by what they say: their keys are others
        return lambda: brought(sqlite, tmp_path, *(replace(one, origin="elsewhere") for one in said(start, end)))

    brought(sqlite, tmp_path, *said(0, 40))
    assert again(0, 20)()[0] == {"already there": 20}
    few = steps(sqlite, again(20, 40))
    brought(sqlite, tmp_path, *said(40, 240))
    assert 0 < steps(sqlite, again(220, 240)) < 1.5 * few
