"""What holds of every kind: forms, the table, the page's modules."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import truing.feedback
from truing.data.records import Comparison, Conversation, Prompt, Rating, Response
from truing.errors import UserError
from truing.feedback.judgements import agreement, snapshot
from truing.feedback.people.simulated import Annotator
from truing.feedback.tasks import kinds, leases, questions
from truing.feedback.tasks.kinds import chat
from truing.feedback.tasks.kinds.kind import Kind, Payload, Simulation
from truing.feedback.web import views
from truing.feedback.web.site import Site

ANSWERS = {"rank": "A BB CCC DDDD", "demo": "", "edit": "A", "chat": ""}  # of other kinds: two


@pytest.mark.parametrize(
    ("kind", "payload", "said"),
    [
        ("pair", {"verdict": "better"}, "winner and strength belong"),
        ("pair", {"verdict": "better", "winner": "a"}, "winner and strength belong"),
        ("pair", {"verdict": "tie", "winner": "a"}, "winner and strength belong"),
        ("pair", {"verdict": "tie", "strength": 1}, "winner and strength belong"),
        ("pair", {"verdict": "better", "winner": "z", "strength": 1}, "z is none of the answers shown"),
        ("pair", {"verdict": "better", "winner": "a", "strength": 4}, "strength"),
        ("pair", {"verdict": "tie", "flags": {"z": ["false"]}}, "z is none of the answers shown"),
        ("pair", {"verdict": "perhaps"}, "verdict"),
        ("pair", {"verdict": "tie", "side": "left"}, "side: Extra inputs"),
        ("pair", [], "valid dictionary"),
        ("rank", {"tiers": {"a": 0}}, "every answer shown"),
        ("rank", {"tiers": {"a": 0, "b": 2}}, "without gaps"),
        ("rank", {"tiers": {"a": 0, "b": 1}, "unranked": ["a"]}, "stands once"),
        ("rate", {"ratings": {"a": 6, "b": 1}}, "6 is outside the scale 1 to 5"),
        ("rate", {"ratings": {"a": 3, "b": 1}, "criteria": {"kind": {"a": 0}}}, "0 is outside the scale 1 to 5"),
        ("rate", {"ratings": {"a": 3}}, "every answer shown must be rated"),
        ("rate", {"ratings": {"a": True, "b": 2}}, "number"),
        ("binary", {"good": {"a": True}}, "every answer shown must be judged"),
        ("pair", {"verdict": "tie", "criteria": {"": {"verdict": "tie"}}}, '"" is no name'),
        ("rate", {"ratings": {"a": 1, "b": 2}, "criteria": {"": {"a": 1}}}, '"" is no name'),
        ("rank", {"tiers": {}}, "tiers"),
        ("demo", {"text": ""}, "at least 1 character"),
        ("edit", {"text": "x", "message": "z"}, "none of the answers"),
        ("review", {"verdict": "maybe"}, "agree"),
        ("chat", {"ended": False}, "ended"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_name(given, kind, payload, said):
    with pytest.raises(UserError, match=said):
        kinds.parse(kind, payload, given.shown("ab"))


@pytest.mark.parametrize("kind", kinds.TABLE)
def test_what_simulated_people_say_is_a_valid_judgement_of_each_kind(given, kind):
    texts = ANSWERS.get(kind, "A BB").split()
    before = given.shown(
        [f"id-{i}" for i in range(len(texts))], (1, 7), {f"id-{i}": text for i, text in enumerate(texts)}
    )
    for seed in range(20):
        payload = given.simulated(kind, *texts, annotator=Annotator("P", 0.2, 0.5, 0.1), seed=seed)
        kinds.parse(kind, payload, before)
        assert kinds.stored(kind, payload) == kinds.parse(kind, payload, before)


def test_the_table_is_asked_by_name():
    assert kinds.named("rank").name == "rank" and list(kinds.TABLE) == [kind.name for kind in kinds.TABLE.values()]
    with pytest.raises(UserError, match='kind "rnak": there is no such task; did you mean "rank"'):
        kinds.named("rnak")
    assert get_args(kinds.Name) == tuple(name for name in kinds.TABLE if name != "review")
    assert all(kind.fewest <= kind.most for kind in kinds.TABLE.values())


def test_the_page_has_a_module_for_each_kind_and_no_other():
    folder = Path(truing.feedback.__file__).parent / "web" / "static" / "kinds"
    assert {path.stem for path in folder.glob("*.js")} == set(kinds.TABLE)
    for path in folder.glob("*.js"):
        assert f"export function {path.stem}(task, desk" in path.read_text("utf-8")


def test_the_docs_tell_what_every_kind_is_and_what_training_gets_of_it():
    told = (Path(__file__).parents[3] / "docs" / "feedback.md").read_text("utf-8")
    _, _, table = told.partition("| kind | what people do |")
    rows = table.partition("\n\n")[0].splitlines()[2:]
    assert [row.split(" ")[1] for row in rows] == list(kinds.TABLE)


def test_statistics_read_the_kinds_that_say_something_for_them():
    assert kinds.COMPARING == ("pair", "rank", "rate", "binary", chat.TURN)
    assert kinds.MARKING == ("rate", "binary") and kinds.REVIEWED == ("pair", "rank", "rate", "binary")


class Stars(Payload):
    """Stars for the only answer there is."""

    stars: int


STARS = Kind(
    name="stars",
    question="How many stars?",
    form=Stars,
    simulated=lambda at: {"stars": len(at.texts[0])},
    most=1,
    records=lambda payload, context: [
        Rating(context.prompt, next(iter(context.texts.values())), payload.stars, 0, 3, **context.provenance)
    ],
)


def test_a_new_kind_is_a_row_and_nothing_else(sqlite, make, monkeypatch):
    """Asked, shown, judged, and read by training, in a program that has never heard of it."""
    for table in (kinds.TABLE, kinds.EVENTS):
        monkeypatch.setitem(table, "stars", STARS)
    project, _ = make.project_with(sqlite, "stars", *questions.parts(make.conversation("?", "AA", "B"), "stars"))
    (ann,) = make.people(sqlite, "Ann")
    with sqlite.writing() as connection:
        for key in ("key-00001", "key-00002"):
            leased = leases.lease(connection, project, ann)
            task = views.task(connection, Site(sqlite, project), leased)
            assert task["question"] == "How many stars?" and task["scale"] is task["keep_best"] is None
            simulation = Simulation(task, Annotator("P"), lambda prompt, text: 0.0, np.random.default_rng(0))
            leases.submit(connection, leased, ann, kinds.TABLE[task["kind"]].simulated(simulation), key)
        found = snapshot.records(connection, snapshot.take(connection, project))
        assert {(r.response, r.value) for r in found} == {("AA", 2), ("B", 1)}
        assert agreement.figures(connection, project)["people"][0]["judged"] == 2


def test_what_no_kind_holds_is_refused(given):
    talk = Conversation(given.prompt, (Response("A"),))
    with pytest.raises(UserError, match="no kind of task asks for a Conversation"):
        kinds.imported([talk])
    with pytest.raises(UserError, match="gold: a Prompt makes no task"):
        kinds.gold_task(Prompt(given.prompt.messages))


def test_known_comparisons_are_pairs_whose_chosen_answer_is_right(given):
    for target, accepted in ((1.0, {"winners": ["a"]}), (0.5, {"verdicts": ["tie", "both_good", "both_bad"]})):
        kind, known = kinds.gold_task(Comparison(given.prompt, "A", "B", target))
        assert kind.name == "pair" and known.answers == ["A", "B"] and known.accepted(["a", "b"]) == accepted


def test_a_scale_is_the_tasks_then_the_projects_then_the_kinds():
    kind, seven, ten = kinds.TABLE["rate"], {"scale": {"low": 1, "high": 7}}, {"scale": {"low": 0, "high": 10.0}}
    assert kinds.limits(kind, ten, seven) == (0, 10, True) and kinds.limits(kind, {}, seven) == (1, 7, True)
    assert kinds.limits(kind, {}, {}) == (1, 5, True) and kinds.scale_of(kind, {})["words"][0] == "very bad"
    assert kinds.limits(kind, {"scale": {"low": 0.1, "high": 0.9, "whole": False}}) == (0.1, 0.9, False)
    assert (
        kinds.limits(kinds.TABLE["pair"], seven) == (0, 1, True) and kinds.scale_of(kinds.TABLE["pair"], seven) is None
    )
