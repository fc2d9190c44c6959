"""The actions of `truing feedback` as they are typed are in the journeys; here what they are."""

import pytest

from truing.data import formats
from truing.data.records import Comparison
from truing.errors import UserError
from truing.feedback import exchange, rounds, store
from truing.feedback.commands import ACTIONS, Export, action_named, export


def test_every_action_has_settings_that_explain_themselves():
    assert set(ACTIONS) == {"import", "export", "stats", "snapshot", "backup", "round", "review"}
    for config, act in ACTIONS.values():
        assert config.__doc__ and act.__doc__


def test_another_action_is_refused_with_those_there_are():
    with pytest.raises(UserError, match="valid: import, export"):
        action_named("improt")


def test_an_export_holds_the_round_that_is_named(sqlite, make, tmp_path):
    for number in (1, 2):
        with sqlite.writing() as connection:
            project = store.open_project(connection)
            rounds.open_round(connection, project)
        formats.write([Comparison(make.prompt("q"), f"A {number}", "B")], tmp_path / "in.jsonl")
        exchange.bring_in(sqlite, [str(tmp_path / "in.jsonl")], "default")
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
