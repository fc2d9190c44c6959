"""Stages read stores as they read files, and say which snapshot it was."""

from dataclasses import dataclass

import pytest

from truing.data import formats
from truing.data.records import Comparison, Demonstration, Message, Prompt, Rating
from truing.errors import UserError
from truing.feedback import exchange
from truing.feedback.database import Database
from truing.loop import sources


@dataclass(frozen=True)
class Config:
    data: tuple[str, ...]


def prompt(words):
    return Prompt((Message("user", words),))


@pytest.fixture
def filled(tmp_path):
    judged = [Comparison(prompt(f"q{i}"), "A", "B", annotator="Ann") for i in range(4)]
    judged += [Demonstration(prompt("d"), "C"), Rating(prompt("r"), "D", 3), Rating(prompt("r"), "E", 5)]
    formats.write(judged, tmp_path / "in.jsonl")
    db = Database.open(str(tmp_path / "feedback.db"))
    exchange.bring_in(db, [str(tmp_path / "in.jsonl")], "default")
    return str(tmp_path / "feedback.db")


def test_a_store_is_pinned_to_a_snapshot_once_and_files_are_left_alone(filled):
    pinned = sources.pinned(Config((filled, "rows.jsonl")))
    place, _, frozen = pinned.data[0].partition("#")
    assert place == filled and len(frozen) == 16 and pinned.data[1] == "rows.jsonl"
    assert sources.pinned(pinned) == pinned == sources.pinned(Config((filled, "rows.jsonl")))


def test_records_of_store_and_file_come_together(filled, tmp_path):
    formats.write([Comparison(prompt("file"), "F", "G")], tmp_path / "more.jsonl")
    data = sources.pinned(Config((filled, str(tmp_path / "more.jsonl")))).data
    found = sources.read(data, (Comparison,))
    assert sorted(c.prompt.text for c in found) == ["file", "q0", "q1", "q2", "q3", "r"]
    assert [d.response for d in sources.read(data[:1], (Demonstration,))] == ["C"]


def test_a_store_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no such store"):
        sources.pinned(Config((str(tmp_path / "no.db"),)))


def test_a_snapshot_names_its_project_and_a_source_may_name_one(tmp_path):
    place = str(tmp_path / "proj.db")
    db = Database.open(place)
    for project in ("mine", "other"):
        formats.write([Comparison(prompt(project), "A", "B", annotator="Ann")], tmp_path / "in.jsonl")
        exchange.bring_in(db, [str(tmp_path / "in.jsonl")], project)
    for project in ("mine", "other"):
        pinned = sources.pinned(Config((f"{place}#{project}",)))
        assert len(pinned.data[0].partition("#")[2]) == 16 and sources.pinned(pinned) == pinned
        assert [c.prompt.text for c in sources.read(pinned.data, (Comparison,))] == [project]
    for source, said in (
        (place, 'there is no project "default" in this store; valid: mine, other; .*proj.db#NAME takes another'),
        (f"{place}#othre", 'there is no snapshot "othre", and there is no project "othre".*did you mean "other"'),
    ):
        with pytest.raises(UserError, match=said):
            sources.pinned(Config((source,)))
    with pytest.raises(UserError, match="there is no snapshot mine"):
        sources.read([f"{place}#mine"], (Comparison,))


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
        exchange.bring_in(db, [str(tmp_path / f"{name}.jsonl")], "default")
        db.close()
    pinned = sources.pinned(Config((str(tmp_path / "known.db"), str(tmp_path / "unknown.db"))))
    known, unknown = ([*sources.read((source,), (Comparison,))] for source in pinned.data)
    of = {c.prompt.text[0]: c.error for c in known}
    rates = {c.annotator: c.error for c in known if c.prompt.text.startswith("q")}
    assert len(rates) == 3 and 0 < of["d"] == pytest.approx(sum(rates.values()) / 3) and of["e"] == 0.375
    assert {c.prompt.text[0]: c.error for c in unknown} == {"d": 0.0, "e": 0.375}
