import pytest

from truing.data.records import Comparison, Ranking
from truing.errors import UserError
from truing.feedback.tasks import kinds
from truing.feedback.tasks.kinds import rank

TEXTS = {letter.lower(): letter for letter in "ABCDE"}


def test_a_ranking_of_four_gives_all_six_pairs_and_its_ties(given):
    found = given.compared("rank", {"tiers": {"c": 0, "a": 1, "b": 1, "d": 2}}, "abcd")
    assert len(found) == 6 and {origin for *_, origin in found} == {"ranking"}
    assert [(w, lose) for w, lose, tie, *_ in found if tie] == [("a", "b")]
    assert {(w, lose) for w, lose, tie, *_ in found if not tie} == {
        ("c", "a"), ("c", "b"), ("c", "d"), ("a", "d"), ("b", "d")
    }  # fmt: skip


def test_the_best_three_are_above_the_rest_which_has_no_order(given):
    payload = {"tiers": {"a": 0, "b": 1, "c": 2}, "unranked": ["d", "e"]}
    found = given.compared("rank", payload, "abcde")
    assert len(found) == 3 + 6 and not any({w, lose} == {"d", "e"} for w, lose, *_ in found)
    (row,) = [values for name, values in given.rows("rank", payload, "abcde") if name == "ranking"]
    assert row["tiers"] == {"a": 0, "b": 1, "c": 2, "d": None, "e": None}
    taught = given.records("rank", payload, TEXTS)
    assert {type(r) for r in taught} == {Comparison} and {r.origin for r in taught} == {"ranking"}
    assert {(r.chosen, r.rejected) for r in taught} == {(w.upper(), lose.upper()) for w, lose, *_ in found}
    assert sum(r.weight for r in taught) == pytest.approx(1)


def test_equal_texts_do_not_weigh_in_the_best_three(given):
    """Of a and b, a and c, b and c, the first compares a text with itself: what is left weighs one."""
    payload = {"tiers": {"a": 0, "b": 1}, "unranked": ["c"]}
    taught = given.records("rank", payload, {"a": "same", "b": "same", "c": "C"})
    assert [r.weight for r in taught if r.chosen != r.rejected] == [0.5, 0.5]


def test_a_whole_ranking_stays_whole(given):
    (one,) = given.records("rank", {"tiers": {"b": 0, "a": 1, "c": 1}}, TEXTS, criterion="helpful")
    assert one == Ranking(given.prompt, ("B", "A", "C"), (0, 1, 1), "helpful", "Ann", "ranking", 0.1, 2, 5.0)


def test_a_ranking_that_came_in_keeps_its_origin_and_counts_its_tiers_from_0(given):
    told = Ranking(given.prompt, ("A", "B", "C"), (3, 1, 3), annotator="Ann", origin="oasst")
    kind, imported = kinds.imported([told])
    assert kind is rank.KIND and imported.payload(list("abc")) == {"tiers": {"a": 1, "b": 0, "c": 1}}
    (back,) = given.records("rank", imported.payload(list("abc")), TEXTS, given=imported.given)
    assert back.origin == "oasst"


def test_a_ranking_of_more_than_a_task_shows_is_refused(given):
    with pytest.raises(UserError, match="it has 10 answers: a task shows 9 at most"):
        kinds.imported([Ranking(given.prompt, tuple("ABCDEFGHIJ"), tuple(range(10)))])


def test_one_answer_is_no_ranking(given):
    with pytest.raises(UserError, match="there is nothing to rank"):
        kinds.parse("rank", {"tiers": {"a": 0}}, given.shown("a"))


def test_a_ranking_in_words():
    payload = {"tiers": {"c": 0, "b": 1, "a": 1}, "unranked": ["d", "e"]}
    assert rank.words(kinds.stored("rank", payload), {a: a.upper() for a in "abcde"}) == "C > A = B > D, E"
    assert rank.words(kinds.stored("rank", {"tiers": {"a": 0, "b": 0}}), {"a": "A", "b": "B"}) == "A = B"


def test_a_faultless_person_orders_by_what_is_liked(given):
    assert given.simulated("rank", "b", "aaa", "cc")["tiers"] == {"id-0": 2, "id-1": 0, "id-2": 1}
