import pytest

from truing.data.records import Comparison, Rating
from truing.feedback.tasks import kinds
from truing.feedback.tasks.kinds import pair

TEXTS = {"a": "A", "b": "B"}
BETTER = {"verdict": "better", "winner": "b", "strength": 3}


def test_a_pair_is_one_fact_by_id_whatever_side_it_stood_on(given):
    expected = [("b", "a", False, 3, "", "pair")]
    assert given.compared("pair", BETTER, "ab") == given.compared("pair", BETTER, "ba") == expected


def test_ties_are_ties_and_cant_tell_is_no_fact(given):
    for verdict in ("tie", "both_good", "both_bad"):
        assert given.compared("pair", {"verdict": verdict}, "ba") == [("a", "b", True, None, "", "pair")]
    assert given.rows("pair", {"verdict": "cant_tell"}, "ab") == given.records("pair", {"verdict": "cant_tell"}, TEXTS)


def test_both_bad_says_of_each_that_it_is_bad(given):
    (_, tie), *marks = given.rows("pair", {"verdict": "both_bad"}, "ab")
    assert tie["verdict"] == "both_bad" and tie["tie"]
    assert [(name, r["message_id"], r["value"], r["origin"]) for name, r in marks] == [
        ("rating", "a", 0, "both_bad"), ("rating", "b", 0, "both_bad")
    ]  # fmt: skip
    assert len(given.rows("pair", {"verdict": "tie"}, "ab")) == 1
    both = given.records("pair", {"verdict": "both_good"}, TEXTS, criterion="kind")
    assert {r.criterion for r in both} == {"kind"}
    assert [type(r) for r in both] == [Comparison, Rating, Rating] and both[0].target == 0.5
    assert [(r.response, r.value, r.low, r.high) for r in both[1:]] == [("A", 1, 0, 1), ("B", 1, 0, 1)]


def test_criteria_are_judgements_of_their_own(given):
    payload = {"verdict": "tie", "criteria": {"kind": {"verdict": "better", "winner": "a", "strength": 2}}}
    assert given.compared("pair", payload, "ab")[1] == ("a", "b", False, 2, "kind", "pair")
    tie, kind = given.records("pair", payload, TEXTS, criterion="polite")
    assert (tie.criterion, kind.criterion, kind.chosen) == ("polite", "kind", "A")


def test_a_strength_is_a_margin_or_a_soft_label_or_neither(given):
    """Llama 2's table 27: much better 1, better 2/3, slightly better 1/3."""
    for strength, margin, soft in ((1, 1 / 3, 0.7), (2, 2 / 3, 0.85), (3, 1.0, 0.95)):
        payload = BETTER | {"strength": strength}
        (one,) = given.records("pair", payload, TEXTS)
        assert (one.chosen, one.rejected, one.target, one.margin, one.weight) == ("B", "A", 1.0, margin, 1.0)
        assert (one.annotator, one.error, one.round, one.time, one.origin) == ("Ann", 0.1, 2, 5.0, "pair")
        (one,) = given.records("pair", payload, TEXTS, strength="soft")
        assert (one.target, one.margin) == (soft, 0.0)
        (one,) = given.records("pair", payload, TEXTS, strength="none")
        assert (one.target, one.margin) == (1.0, 0.0)


@pytest.mark.parametrize("target", [0.8, 0.2, 1.0, 0.5])
def test_a_comparison_that_came_in_has_its_own_figures(given, target):
    told = Comparison(given.prompt, "A", "B", target, 0.1, 0.25, "helpful", "Ann", "simulated", 0.1, 2, 5.0)
    kind, imported = kinds.imported([told])
    assert kind is pair.KIND and imported.answers == ["A", "B"]
    payload = imported.payload(["a", "b"])
    (back,) = given.records("pair", payload, TEXTS, criterion="helpful", given=imported.given)
    if target == 0.2:  # the same comparison, the other way round
        assert (back.chosen, back.rejected, back.target) == ("B", "A", 0.8)
    else:
        assert back == told
    bare = given.records("pair", payload, TEXTS, strength="none", given=imported.given)
    assert [(c.target, c.margin) for c in bare] == [(0.5 if target == 0.5 else 1.0, 0.0)]


def test_a_soft_label_is_that_of_the_file_or_of_its_margin(given):
    def soft(*figures):
        imported = pair.from_records([Comparison(given.prompt, "A", "B", *figures)])
        (back,) = given.records("pair", imported.payload(["a", "b"]), TEXTS, strength="soft", given=imported.given)
        return back.target, back.margin

    assert soft(0.8) == (0.8, 0.0) and soft(1.0) == (1.0, 0.0) and soft(0.5) == (0.5, 0.0)
    assert soft(1.0, 1 / 3) == (0.7, 0.0) and soft(1.0, 1.0) == (0.95, 0.0)


@pytest.mark.parametrize(
    ("margin", "target", "strength"),
    [(0.0, 1.0, 1), (0.6, 1.0, 2), (1.0, 1.0, 3), (0.0, 0.7, 1), (0.0, 0.85, 2), (0.0, 0.96, 3)],
)
def test_statistics_see_the_strength_that_is_nearest(given, margin, target, strength):
    imported = pair.from_records([Comparison(given.prompt, "A", "B", target, margin)])
    assert imported.payload(["a", "b"])["strength"] == strength


def test_a_pair_in_words():
    said = [{"verdict": "better", "winner": "b", "strength": s} for s in (1, 2, 3)] + [
        {"verdict": v} for v in ("tie", "both_good", "both_bad", "cant_tell")
    ]
    assert [pair.words(kinds.stored("pair", one), {"a": "A", "b": "B"}) for one in said] == [
        "B is slightly better", "B is clearly better", "B is much better", "neither is better", "both are good",
        "both are bad", "can't tell",
    ]  # fmt: skip


def test_a_faultless_person_chooses_what_is_liked_and_by_how_much(given):
    assert given.simulated("pair", "a", "a long one") == {"verdict": "better", "winner": "id-1", "strength": 3}
    assert given.simulated("pair", "a", "b")["verdict"] == "tie"
