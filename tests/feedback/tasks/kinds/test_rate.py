import pytest

from truing.data.records import Rating
from truing.errors import UserError
from truing.feedback.tasks import kinds
from truing.feedback.tasks.kinds import rate
from truing.feedback.tasks.kinds.kind import Scale

TEXTS = {"a": "A", "b": "B", "c": "C"}


def test_ratings_become_ratings_and_comparisons_with_the_difference(given):
    payload = {"ratings": {"a": 5, "b": 2, "c": 2}}
    assert given.compared("rate", payload, "abc") == [
        ("a", "b", False, 3, "", "rating"), ("a", "c", False, 3, "", "rating"), ("b", "c", True, None, "", "rating")
    ]  # fmt: skip
    marks = [r for name, r in given.rows("rate", payload, "abc") if name == "rating"]
    assert [(r["message_id"], r["value"], r["low"], r["high"]) for r in marks] == [
        ("a", 5, 1, 5), ("b", 2, 1, 5), ("c", 2, 1, 5)
    ]  # fmt: skip


def test_training_reads_the_ratings_by_each_criterion(given):
    payload = {"ratings": {"a": 5, "b": 2}, "criteria": {"kind": {"b": 4}}}
    assert [(r.response, r.value, r.low, r.high, r.criterion) for r in given.records("rate", payload, TEXTS)] == [
        ("A", 5, 1, 5, ""), ("B", 2, 1, 5, ""), ("B", 4, 1, 5, "kind")
    ]  # fmt: skip
    (one,) = given.records("rate", {"ratings": {"a": 3}}, TEXTS, (1, 7), criterion="polite")
    assert one == Rating(given.prompt, "A", 3, 1, 7, "polite", "Ann", 0.1, 2, 5.0)


def test_a_page_takes_whole_numbers_and_an_import_what_came(given):
    half = {"ratings": {"a": 3.5}}
    with pytest.raises(UserError, match=r"rate: 3\.5 is no whole number of the scale 1 to 5"):
        kinds.parse("rate", half, given.shown("a"))
    kinds.parse("rate", half, given.shown("a", (1, 5, False)))
    assert given.compared("rate", {"ratings": {"a": 3.5, "b": 3}}, "ab", scale=(1, 5, False))[0][3] == 1
    widest = {"ratings": {"a": 1.7e308, "b": -1.7e308}}
    assert given.compared("rate", widest, "ab", scale=(-1.7e308, 1.7e308, False))[0][3] == 3


@pytest.mark.parametrize(
    ("values", "low", "high", "whole"),
    [((3, 4), 1, 5, True), ((3.5, 4), 1, 5, False), ((0.3,), 0.1, 0.9, False), ((1e300,), 0, 1e300, False),
     ((0.7, 1), 0, 1, False)],
)  # fmt: skip
def test_ratings_that_came_in_are_what_they_were(given, values, low, high, whole):
    told = [Rating(given.prompt, answer, value, low, high) for answer, value in zip("ABC", values, strict=False)]
    kind, imported = kinds.imported(told)
    assert kind is rate.KIND and imported.scale == Scale(low, high, whole)
    payload = imported.payload([text.lower() for text in imported.answers])
    kinds.parse("rate", payload, given.shown(payload["ratings"], imported.scale))
    back = given.records("rate", payload, TEXTS, imported.scale)
    assert [(r.response, r.value, r.low, r.high) for r in back] == [(r.response, r.value, low, high) for r in told]


def test_ratings_in_words():
    assert rate.words(kinds.stored("rate", {"ratings": {"a": 4, "b": 2.5}}), {"a": "B", "b": "A"}) == "A: 2.5, B: 4"
    assert rate.words(kinds.stored("rate", {"ratings": {"a": 123456789}}), {"a": "A"}) == "A: 123456789"


def test_the_scales_have_a_word_for_each_point():
    for points, scale in rate.SCALES.items():
        assert len(scale["words"]) == points == scale["high"] - scale["low"] + 1


def test_a_faultless_person_rates_around_the_middle(given):
    liked = given.simulated("rate", "", "a", "a very long one", preference=lambda prompt, text: len(text) - 1)
    assert liked == {"ratings": {"id-0": 3, "id-1": 4, "id-2": 7}}
