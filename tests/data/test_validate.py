import pytest

from truing.data.records import Message, Prompt
from truing.data.validate import (
    LARGEST,
    MOST_TOLD,
    BadRow,
    Complaints,
    Unread,
    cut,
    is_whole,
    messages,
    number,
    shown,
    text,
    understood,
    without_null,
)
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


def test_messages_of_other_tools_are_read():
    parts = [{"type": "text", "text": "a"}, {"text": "b"}]
    turns = [{"from": "human", "value": "q"}, {"role": "assistant", "content": parts}]
    assert messages(turns, "m") == (Message("user", "q"), Message("assistant", "ab"))
    for bad in ([*parts, {"type": "image", "text": "c"}], ["a"], [{"type": "text"}], {"text": "a"}, None, []):
        with pytest.raises(BadRow, match='"m"'):
            messages([{"role": "user", "content": bad}], "m")
    with pytest.raises(BadRow, match='the role "tool" is none of'):
        messages([{"from": "tool", "value": "x"}], "m")


def test_null_is_absent_everywhere_and_a_figure_that_is_none_is_not():
    nan = float("nan")
    row = {"a": None, "b": nan, "c": [{"d": None, "e": 0}, None], "f": {"g": None, "h": {"i": nan}}, "margin": nan}
    kept = without_null(row)
    assert str(kept) == "{'c': [{'e': 0}, None], 'f': {'h': {}}, 'margin': nan}"


def test_whole_numbers_have_64_bits():
    assert all(is_whole(value) for value in (0, LARGEST, -LARGEST))
    assert not any(is_whole(value) for value in (LARGEST + 1, 10**400, -(10**30), True, 1.0, "1", None))


def test_a_row_of_which_nothing_is_understood_is_bad_and_one_that_nobody_judged_is_a_prompt():
    prompt, unread = Prompt((Message("user", "q"),)), Unread("choices")
    assert understood([], prompt) == [prompt]
    assert understood([unread, prompt], prompt) == [unread, prompt]
    with pytest.raises(BadRow, match=r"not understood: choices$"):
        understood([unread, unread], prompt)


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
