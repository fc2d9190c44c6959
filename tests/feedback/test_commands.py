"""The actions of `truing feedback` as they are typed are in the journeys; here what they are."""

import json

import pytest

from truing.data import formats
from truing.data.records import Comparison
from truing.errors import UserError
from truing.feedback import label
from truing.feedback.commands import Export, Import, Review, Stats, export, import_, stats
from truing.feedback.judgements import exchange, rounds
from truing.feedback.store import content, projects
from truing.feedback.store.database import Database
from truing.feedback.tasks import leases


def test_an_export_holds_the_round_that_is_named(sqlite, make, tmp_path):
    for number in (1, 2):
        with sqlite.writing() as connection:
            project = projects.open_project(connection)
            rounds.open_round(connection, project)
        formats.write([Comparison(make.prompt("q"), f"A {number}", "B")], tmp_path / "in.jsonl")
        exchange.bring_in(sqlite, exchange.read_in([str(tmp_path / "in.jsonl")]), "default")
        with sqlite.writing() as connection:
            rounds.close_round(connection, project)
    out = str(tmp_path / "out.jsonl")
    for number, chosen in ((1, ["A 1"]), (2, ["A 2"]), (0, ["A 1", "A 2"])):
        export(Export(out, store=sqlite.name, round=number))
        assert [c.chosen for c in formats.read(out, (Comparison,))] == chosen
    with pytest.raises(UserError, match="there is no round 3; there are 1, 2"):
        export(Export(out, store=sqlite.name, round=3))
    with pytest.raises(UserError, match="name one of both"):
        Export(out, snapshot="x", round=1)


def test_stats_show_an_open_end_as_a_dash_and_as_null_in_json(sqlite, make, tmp_path, capsys):
    """One game: the strength of the winner has no upper end, of the loser no lower one."""
    strong, weak = make.conversation("?", "A", author="strong"), make.conversation("?", "B", author="weak")
    both = type(strong)(strong.prompt, strong.responses + weak.responses)
    project, _ = make.project_with(sqlite, "pair", both)
    (ann,) = make.people(sqlite, "Ann")
    with sqlite.writing() as connection:
        one = leases.lease(connection, project, ann)
        winner, _ = content.answers(connection, leases.assignment(connection, one).candidate_set_id)
        leases.submit(connection, one, ann, {"verdict": "better", "winner": winner, "strength": 1}, "key-00001")
    place = str(tmp_path / "feedback.db")
    stats(Stats(store=place))
    said = " ".join(capsys.readouterr().out.split())
    assert "1185 points [668, –)" in said and "815 points (–, 1332]" in said
    stats(Stats(store=place, json=True))
    first, second = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["leaderboard"]
    assert first["high"] is None and second["low"] is None and first["low"] == pytest.approx(668, abs=1)


@pytest.mark.parametrize(
    ("refused", "complaint"),
    [
        (lambda: Review(count=0), "count = 0"),
        (lambda: Import(("x",), overlap=0), "overlap = 0"),
        (lambda: Import(("x",), project=""), "project = ''"),
        (lambda: Database.open(""), "store is empty"),
        (lambda: Database.open("mysql://x/y"), "mysql://x/y: a store is a SQLite file, or"),
        (lambda: label.serve(label.Config(simulate_reward="nosuch.py:f"), None), "nosuch.py"),
    ],
)
def test_what_means_nothing_is_refused_before_anything_is_made(refused, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=complaint):
        refused()
    assert not list(tmp_path.iterdir())


def test_an_import_that_is_refused_makes_no_store(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        import_(Import((str(tmp_path / "none.jsonl"),), store=str(tmp_path / "new.db")))
    assert not list(tmp_path.iterdir())
