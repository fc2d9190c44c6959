import pytest

from truing.errors import UserError
from truing.feedback.payloads import both, comparisons, parse, ratings


def facts(kind, payload, shown, scale=(1, 5)):
    parsed = parse(kind, payload, shown, scale)
    return [(r["winner_id"], r["loser_id"], r["tie"], r["strength"], r["criterion"], r["origin"])
            for r in comparisons(parsed, shown)]  # fmt: skip


def test_a_pair_is_one_fact_by_id_whatever_side_it_stood_on():
    payload = {"verdict": "better", "winner": "b", "strength": 3}
    expected = [("b", "a", False, 3, "", "pair")]
    assert facts("pair", payload, ["a", "b"]) == facts("pair", payload, ["b", "a"]) == expected


def test_ties_are_ties_and_cant_tell_is_no_fact():
    for verdict in ("tie", "both_good", "both_bad"):
        assert facts("pair", {"verdict": verdict}, ["b", "a"]) == [("a", "b", True, None, "", "pair")]
    assert facts("pair", {"verdict": "cant_tell"}, ["a", "b"]) == []


def test_both_bad_says_of_each_that_it_is_bad():
    said = list(both(parse("pair", {"verdict": "both_bad"}, ["a", "b"]), ["a", "b"]))
    assert [(r["message_id"], r["value"], r["origin"]) for r in said] == [("a", 0, "both_bad"), ("b", 0, "both_bad")]
    assert not list(both(parse("pair", {"verdict": "tie"}, ["a", "b"]), ["a", "b"]))


def test_criteria_are_facts_of_their_own():
    payload = {"verdict": "tie", "criteria": {"kind": {"verdict": "better", "winner": "a", "strength": 2}}}
    assert facts("pair", payload, ["a", "b"])[1] == ("a", "b", False, 2, "kind", "pair")


def test_a_ranking_of_four_gives_all_six_pairs_and_its_ties():
    found = facts("rank", {"tiers": {"c": 0, "a": 1, "b": 1, "d": 2}}, list("abcd"))
    assert len(found) == 6
    assert [(w, lose) for w, lose, tie, *_ in found if tie] == [("a", "b")]
    assert {(w, lose) for w, lose, tie, *_ in found if not tie} == {
        ("c", "a"), ("c", "b"), ("c", "d"), ("a", "d"), ("b", "d")
    }  # fmt: skip


def test_the_best_three_are_above_the_rest_which_has_no_order():
    found = facts("rank", {"tiers": {"a": 0, "b": 1, "c": 2}, "unranked": ["d", "e"]}, list("abcde"))
    assert len(found) == 3 + 6 and not any({w, lose} == {"d", "e"} for w, lose, *_ in found)


def test_ratings_become_ratings_and_comparisons_with_the_difference():
    payload = {"ratings": {"a": 5, "b": 2, "c": 2}}
    assert facts("rate", payload, list("abc")) == [
        ("a", "b", False, 3, "", "rating"), ("a", "c", False, 3, "", "rating"), ("b", "c", True, None, "", "rating")
    ]  # fmt: skip
    told = list(ratings(parse("rate", payload, list("abc"), (1, 5)), (1, 5)))
    assert next((r["message_id"], r["value"], r["low"], r["high"]) for r in told) == ("a", 5, 1, 5)


@pytest.mark.parametrize(
    ("kind", "payload", "said"),
    [
        ("pair", {"verdict": "better"}, "winner and strength belong"),
        ("pair", {"verdict": "tie", "winner": "a"}, "winner and strength belong"),
        ("pair", {"verdict": "better", "winner": "z", "strength": 1}, "z is none of the answers shown"),
        ("pair", {"verdict": "better", "winner": "a", "strength": 4}, "strength"),
        ("pair", {"verdict": "perhaps"}, "verdict"),
        ("pair", {"verdict": "tie", "side": "left"}, "side: Extra inputs"),
        ("pair", [], "valid dictionary"),
        ("rank", {"tiers": {"a": 0}}, "every answer shown"),
        ("rank", {"tiers": {"a": 0, "b": 2}}, "without gaps"),
        ("rank", {"tiers": {"a": 0, "b": 1}, "unranked": ["a"]}, "stands once"),
        ("rate", {"ratings": {"a": 6, "b": 1}}, "6 is outside the scale 1 to 5"),
        ("rate", {"ratings": {"a": 3}}, "every answer shown must be rated"),
        ("rate", {"ratings": {"a": True, "b": 2}}, "integer"),
        ("binary", {"good": {"a": True}}, "every answer shown must be judged"),
        ("demo", {"text": ""}, "at least 1 character"),
        ("edit", {"text": "x", "message": "z"}, "none of the answers"),
        ("review", {"verdict": "maybe"}, "agree"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_name(kind, payload, said):
    with pytest.raises(UserError, match=said):
        parse(kind, payload, ["a", "b"])
