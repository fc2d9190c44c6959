"""Stages read stores as they read files, and say which snapshot it was."""

from dataclasses import dataclass

import pytest

from truing.data import formats
from truing.data.records import Comparison, Conversation, Demonstration, Message, Prompt, Rating, Response
from truing.data.settings import DataSettings
from truing.data.validate import BadRow
from truing.errors import UserError
from truing.feedback.judgements import exchange, rounds
from truing.feedback.people import auth
from truing.feedback.store import projects
from truing.feedback.store.database import Database
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import leases, questions
from truing.loop import sources
from truing.settings import Flat


@dataclass(frozen=True)
class Config:
    inputs: Flat[DataSettings]


def prompt(words):
    return Prompt((Message("user", words),))


@pytest.fixture
def filled(tmp_path):
    judged = [Comparison(prompt(f"q{i}"), "A", "B", annotator="Ann") for i in range(4)]
    judged += [Demonstration(prompt("d"), "C"), Rating(prompt("r"), "D", 3), Rating(prompt("r"), "E", 5)]
    formats.write(judged, tmp_path / "in.jsonl")
    db = Database.open(str(tmp_path / "feedback.db"))
    exchange.bring_in(db, exchange.read_in([str(tmp_path / "in.jsonl")]), "default")
    return str(tmp_path / "feedback.db")


def test_a_store_is_pinned_to_a_snapshot_once_and_files_are_left_alone(filled):
    pinned = sources.pinned(Config(DataSettings((filled, "rows.jsonl"))))
    place, _, frozen = pinned.inputs.data[0].partition("#")
    assert place == filled and len(frozen) == 16 and pinned.inputs.data[1] == "rows.jsonl"
    assert sources.pinned(pinned) == pinned == sources.pinned(Config(DataSettings((filled, "rows.jsonl"))))


def test_records_of_store_and_file_come_together(filled, tmp_path):
    formats.write([Comparison(prompt("file"), "F", "G")], tmp_path / "more.jsonl")
    data = sources.pinned(Config(DataSettings((filled, str(tmp_path / "more.jsonl"))))).inputs.data
    found = sources.read(data, (Comparison,))
    assert sorted(c.prompt.text for c in found) == ["file", "q0", "q1", "q2", "q3", "r"]
    assert [d.response for d in sources.read(data[:1], (Demonstration,))] == ["C"]


def judged_in_rounds(place, *names):
    """A store in which each project has two rounds, with one judgement each; one by one, as a person gives them."""
    db = Database.open(place)
    with db.writing() as connection:
        ann = auth.add_person(connection, "Ann")
        for name in names:
            project = projects.open_project(connection, name)
            for number in (1, 2):
                assert rounds.open_round(connection, project) == number
                answers = tuple(Response(f"{name} {number} {letter}") for letter in "AB")
                questions.add_conversation(
                    connection, project, Conversation(prompt("the same"), answers), Question("pair")
                )
                leased = leases.lease(connection, project, ann)
                leases.submit(connection, leased, ann, {"verdict": "tie"}, f"key-{name}-{number}")
                rounds.close_round(connection, project)
    db.close()


def said(source):
    """Which projects and rounds the records of a source are of."""
    data = sources.pinned(Config(DataSettings((source,)))).inputs.data
    assert sources.pinned(Config(DataSettings(data))).inputs.data == data  # a snapshot, from now on
    return sorted(c.chosen[:-2] for c in sources.read(data, (Comparison,)))


def test_a_source_names_project_and_round_or_what_is_not_plain(tmp_path):
    one, two = str(tmp_path / "one.db"), str(tmp_path / "two.db")
    judged_in_rounds(one, "mine")
    judged_in_rounds(two, "mine", "default")
    for source, records in (
        (one, ["mine 1", "mine 2"]),
        (f"{one}#round=2", ["mine 2"]),
        (f"{one}#mine", ["mine 1", "mine 2"]),
        (f"{two}#project=mine,round=2", ["mine 2"]),
        (f"{two}#round=1,project=mine", ["mine 1"]),
        (f"{two}#project=mine", ["mine 1", "mine 2"]),
        (f"{two}#round=1", ["default 1"]),
        (two, ["default 1", "default 2"]),
    ):
        assert said(source) == records, source
    with pytest.raises(UserError, match="there is no round 3; there are 1, 2"):
        said(f"{one}#round=3")


def test_a_name_with_an_equals_sign_is_that_of_a_project_where_there_is_one(tmp_path):
    judged_in_rounds(str(tmp_path / "f.db"), "round=7", "mine")
    assert said(f"{tmp_path}/f.db#round=7") == ["round=7 1", "round=7 2"]


def test_a_store_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no such store"):
        sources.pinned(Config(DataSettings((str(tmp_path / "no.db"),))))


def test_a_snapshot_names_its_project_and_a_source_may_name_one(tmp_path):
    place = str(tmp_path / "proj.db")
    db = Database.open(place)
    for project in ("mine", "other"):
        formats.write([Comparison(prompt(project), "A", "B", annotator="Ann")], tmp_path / "in.jsonl")
        exchange.bring_in(db, exchange.read_in([str(tmp_path / "in.jsonl")]), project)
    for project in ("mine", "other"):
        pinned = sources.pinned(Config(DataSettings((f"{place}#{project}",))))
        assert len(pinned.inputs.data[0].partition("#")[2]) == 16 and sources.pinned(pinned) == pinned
        assert [c.prompt.text for c in sources.read(pinned.inputs.data, (Comparison,))] == [project]
    for source, said in (
        ("", 'there is no project "default" in this store; there are: mine, other .*project=NAME,round=NUMBER'),
        ("#othre", 'there is no project "othre" in this store; there are: mine, other .*after # stands a snapshot, a'),
        ("#project=othre", 'there is no project "othre" in this store; there are: mine, other'),
        ("#project=mine,round=1", "there is no round 1; none was opened"),
        ("#project=mine,colour=1", '"colour=1" is not understood .after # stands a snapshot, a project, or project='),
        ("#round=two", '"round=two" is not understood'),
        ("#project=", '"project=" is not understood'),
        ("#project=mine,project=other", '"project=other" is not understood'),
    ):
        with pytest.raises(UserError, match=said):
            sources.pinned(Config(DataSettings((f"{place}{source}",))))
    with pytest.raises(UserError, match="there is no snapshot mine"):
        sources.read([f"{place}#mine"], (Comparison,))


def test_what_the_stage_refuses_is_left_out_and_named_by_its_prompt(filled):
    data, told = sources.pinned(Config(DataSettings((filled,)))).inputs.data, []

    def check(record):
        if record.prompt.text == "q1":
            raise BadRow("no room for it")

    found = sources.read(data, (Comparison,), report=told.append, check=check)
    assert sorted(c.prompt.text for c in found) == ["q0", "q2", "q3", "r"]
    assert (
        len(told) == 1 and told[0].startswith(f"{data[0]}:prompt ") and told[0].endswith(": no room for it; left out")
    )
    with pytest.raises(UserError, match="no room for it"):
        sources.read(data, (Comparison,), strict=True, check=check)


def test_a_whole_conversation_is_one_after_the_store_too(tmp_path):
    talk = Prompt((Message("user", "q"), Message("assistant", "A"), Message("user", "and?")))
    formats.write([Demonstration(talk, "B", conversation=True), Demonstration(talk, "C")], tmp_path / "in.jsonl")
    exchange.bring_in(
        Database.open(str(tmp_path / "feedback.db")), exchange.read_in([str(tmp_path / "in.jsonl")]), "default"
    )
    data = sources.pinned(Config(DataSettings((str(tmp_path / "feedback.db"),)))).inputs.data
    found = sources.read(data, (Demonstration,))
    assert {one.response: one.conversation for one in found} == {"B": True, "C": False}


def test_of_whom_nothing_is_known_the_error_rate_is_the_mean_of_the_others(tmp_path):
    """Three share twelve pairs; Dot judged pairs of her own, and of Eve the file says it. Of nobody's it is 0."""
    shared = [
        Comparison(prompt(f"q{i}"), "A", "B", annotator=name) for i in range(12) for name in ("Ann", "Ben", "Cem")
    ]
    alone = [Comparison(prompt(f"d{i}"), "A", "B", annotator="Dot") for i in range(9)]
    alone += [Comparison(prompt("e"), "A", "B", annotator="Eve", error=0.375)]
    for name, judged in (("known", shared + alone), ("unknown", alone)):
        formats.write(judged, tmp_path / f"{name}.jsonl")
        db = Database.open(str(tmp_path / f"{name}.db"))
        exchange.bring_in(db, exchange.read_in([str(tmp_path / f"{name}.jsonl")]), "default")
        db.close()
    pinned = sources.pinned(Config(DataSettings((str(tmp_path / "known.db"), str(tmp_path / "unknown.db")))))
    known, unknown = ([*sources.read((source,), (Comparison,))] for source in pinned.inputs.data)
    of = {c.prompt.text[0]: c.error for c in known}
    rates = {c.annotator: c.error for c in known if c.prompt.text.startswith("q")}
    assert len(rates) == 3 and 0 < of["d"] == pytest.approx(sum(rates.values()) / 3) and of["e"] == 0.375
    assert {c.prompt.text[0]: c.error for c in unknown} == {"d": 0.0, "e": 0.375}
