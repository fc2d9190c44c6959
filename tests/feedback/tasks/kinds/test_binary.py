from truing.data.records import Flag, Rating
from truing.feedback.tasks import kinds
from truing.feedback.tasks.kinds import binary

TEXTS = {"a": "A", "b": "B", "c": "C"}


def test_a_good_answer_is_better_than_a_bad_one_beside_it_and_two_good_ones_are_not_compared(given):
    payload = {"good": {"a": False, "b": True, "c": True}}
    assert given.compared("binary", payload, "abc") == [
        ("b", "a", False, None, "", "binary"), ("c", "a", False, None, "", "binary")
    ]  # fmt: skip
    marks = [r for name, r in given.rows("binary", payload, "abc") if name == "rating"]
    assert [(r["message_id"], r["value"], r["low"], r["high"], r["origin"]) for r in marks] == [
        ("a", 0, 0, 1, "binary"), ("b", 1, 0, 1, "binary"), ("c", 1, 0, 1, "binary")
    ]  # fmt: skip


def test_training_reads_ratings_of_0_and_1(given):
    found = given.records("binary", {"good": {"a": True, "b": False}}, TEXTS, criterion="true")
    assert found == [
        Rating(given.prompt, text, value, 0, 1, "true", "Ann", 0.1, 2, 5.0) for text, value in (("A", 1), ("B", 0))
    ]


def test_a_flag_that_came_in_rates_nothing_and_one_of_the_page_stands_beside_the_rating(given):
    kind, imported = kinds.imported([Flag(given.prompt, "A", "false", "Ann")])
    assert kind is binary.KIND
    payload = imported.payload(["a"])
    assert payload["flags"] == {"a": ["false"]}
    assert given.records("binary", payload, TEXTS, given=imported.given) == []
    assert [r.value for r in given.records("binary", payload, TEXTS)] == [0]


def test_ratings_of_0_and_1_alone_are_good_or_bad(given):
    def kind_of(*values, low=0, high=1):
        told = [Rating(given.prompt, str(i), value, low, high) for i, value in enumerate(values)]
        return kinds.imported(told)[0].name

    assert kind_of(0, 1) == kind_of(1) == "binary"
    assert kind_of(0, 0.5) == kind_of(0, 1, high=5) == "rate"


def test_good_or_bad_in_words():
    said = kinds.stored("binary", {"good": {"a": True, "b": False}})
    assert binary.words(said, {"a": "B", "b": "A"}) == "A is bad, B is good"


def test_a_rating_known_to_be_right_is_good_above_the_middle_of_its_scale(given):
    for value, low, high, good in ((1, 0, 1, True), (0, 0, 1, False), (4, 1, 5, True), (3, 1, 5, False)):
        kind, known = kinds.gold_task(Rating(given.prompt, "A", value, low, high))
        assert kind is binary.KIND and known.accepted(["a"]) == {"good": {"a": good}}


def test_a_faultless_person_finds_good_what_is_worth_something(given):
    assert given.simulated("binary", "", "a") == {"good": {"id-0": False, "id-1": True}}
