import pytest

from truing.data.validate import MOST_TOLD, BadRow, Complaints, cut, messages, number, shown, text
from truing.errors import UserError

LARGE = 1 << 1024  # the first power of two beyond what a float can hold


def test_values_are_shown_in_one_short_line():
    assert shown("a\nb") == r'"a\nb"'
    assert len(shown("x" * 500)) == len(cut("x" * 81)) == 80
    assert cut("x" * 80) == "x" * 80


@pytest.mark.parametrize(
    "value", [None, True, "1", float("nan"), float("inf"), [1], LARGE, -LARGE], ids=lambda value: str(value)[:9]
)
def test_only_finite_numbers_are_numbers(value):
    with pytest.raises(BadRow, match='"n" must be a number'):
        number({"n": value}, "n")
    assert number({"n": 2}, "n") == number({}, "n", 2.0) == 2.0


def test_texts_are_there_and_left_as_they_are():
    assert text({"t": " x\n"}, "t") == " x\n"
    for row, reason in (({}, "missing"), ({"t": "\n"}, "empty"), ({"t": None}, "must be a text, not null")):
        with pytest.raises(BadRow, match=reason):
            text(row, "t")


def test_only_the_last_message_must_say_something():
    turns = [{"role": "system", "content": ""}, {"role": "user", "content": "q"}]
    assert [m.content for m in messages(turns, "m")] == ["", "q"]
    for bad in (turns[::-1], [], "x", [{"role": []}], [{"role": [], "content": "x"}], [{"role": "user", "content": 1}]):
        with pytest.raises(BadRow, match='"m"'):
            messages(bad, "m")


def test_complaints_are_told_up_to_a_number_and_counted():
    told = []
    complaints = Complaints("f.jsonl", strict=False, report=told.append)
    for i in range(MOST_TOLD + 5):
        complaints.add(f"row {i}", "bad")
    complaints.close()
    assert told[0] == "f.jsonl:row 0: bad; left out" and len(told) == MOST_TOLD + 1
    assert f"{MOST_TOLD + 5} bad rows" in told[-1]
    with pytest.raises(UserError, match="f:row 1: bad"):
        Complaints("f", strict=True, report=None).add("row 1", "bad")
