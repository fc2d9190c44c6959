"""Files into the store and out again: what goes in comes out."""

import json

import pytest
from sqlalchemy import func, select

from truing.data import formats
from truing.data.formats.files import save
from truing.data.records import Comparison, Demonstration, Edit, Ranking, Rating
from truing.errors import UserError
from truing.feedback import exchange, quality, store
from truing.feedback import schema as t


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


@pytest.fixture
def filled(sqlite, make, tmp_path):
    formats.write(told(make), tmp_path / "in.jsonl")
    exchange.bring_in(sqlite, [str(tmp_path / "in.jsonl")], "default")
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
    assert "2 ties left out" in manifest["left_out"][0]


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


def test_importing_twice_is_importing_once_and_people_are_told_apart(filled, tmp_path):
    counted = exchange.bring_in(filled, [str(tmp_path / "in.jsonl")], "default")
    assert counted == {"already there": 8}
    with filled.reading() as connection:
        project = store.project_named(connection)
        assert connection.scalar(select(func.count()).select_from(t.annotation)) == 8
        assert {p["name"]: p["judged"] for p in quality.figures(connection, project)["people"]} == {"Ann": 5, "Ben": 3}


def test_prompts_and_sampled_answers_become_open_tasks(sqlite, make, tmp_path):
    formats.write([make.conversation("one", "A", "B"), make.prompt("two")], tmp_path / "in.jsonl")
    assert exchange.bring_in(sqlite, [str(tmp_path / "in.jsonl")], "default", "rank", 3) == {
        "Conversation": 1,
        "Prompt": 1,
    }
    with sqlite.reading() as connection:
        assert [(r.kind, r.overlap) for r in connection.execute(select(t.task))] == [("rank", 3)]


def test_what_cannot_be_held_is_told_and_the_rest_comes_in(sqlite, make, tmp_path):
    many = Ranking(make.prompt("many"), tuple("ABCDEFGHIJ"), tuple(range(10)))
    formats.write([many, told(make)[0]], tmp_path / "in.jsonl")
    lines = []
    counted = exchange.bring_in(sqlite, [str(tmp_path / "in.jsonl")], "default", report=lines.append)
    assert counted == {"left out": 1, "Comparison": 1} and "rank" in lines[0]
    with sqlite.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(t.task)) == 1


def test_a_layout_that_can_hold_nothing_is_refused(sqlite, make, tmp_path):
    formats.write([told(make)[-1]], tmp_path / "in.jsonl")
    exchange.bring_in(sqlite, [str(tmp_path / "in.jsonl")], "default")
    with pytest.raises(UserError, match="nothing that the layout hh can hold: the snapshot has Demonstration"):
        exchange.take_out(sqlite, "default", tmp_path / "out.jsonl", "hh")
    with pytest.raises(UserError, match="must be one of"):
        exchange.take_out(sqlite, "default", tmp_path / "out.jsonl", "csv")


def test_exports_of_argilla_and_label_studio_come_in(sqlite, tmp_path):
    argilla = {"id": "1", "fields": {"prompt": "p", "response_1": "A", "response_2": "B"}, "status": "completed",
               "responses": {"preference": [{"value": "response_2", "user_id": "u1"}]}}  # fmt: skip
    studio = {"id": 7, "data": {"prompt": "q", "answer1": "C", "answer2": "D"}, "annotations": [
        {"completed_by": {"id": 3, "email": "x@example.org"}, "was_cancelled": False,
         "result": [{"type": "pairwise", "value": {"selected": "left"}}]}]}  # fmt: skip
    save(tmp_path / "argilla.json", [argilla])
    save(tmp_path / "studio.json", [studio])
    sources = [str(tmp_path / "argilla.json"), str(tmp_path / "studio.json")]
    assert exchange.bring_in(sqlite, sources, "default") == {"Comparison": 2}
    exchange.take_out(sqlite, "default", tmp_path / "out.jsonl", "native")
    assert {(c.chosen, c.rejected) for c in formats.read(str(tmp_path / "out.jsonl"), (Comparison,))} == {
        ("B", "A"), ("C", "D")
    }  # fmt: skip
