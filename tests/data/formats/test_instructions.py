import pytest

from truing.data.formats.instructions import records_of
from truing.data.records import Comparison, Demonstration, Message, Prompt
from truing.data.validate import BadRow, Unusable

ASKED = Prompt((Message("user", "Translate. \n\n Hund"),))


def test_an_instruction_and_its_input_are_joined_by_a_blank_line_and_nothing_else_is_touched():
    row = {"instruction": "Translate. ", "input": " Hund", "output": "dog\n", "chosen": "dog", "rejected": "cat"}
    assert records_of(row) == [Comparison(ASKED, "dog", "cat"), Demonstration(ASKED, "dog\n")]


def test_each_instance_of_a_task_is_a_demonstration():
    row = {"instruction": "Translate. ", "instances": [{"input": " Hund", "output": "dog"}, {"output": "?"}]}
    bare = Prompt((Message("user", "Translate. "),))
    assert records_of(row) == [Demonstration(ASKED, "dog"), Demonstration(bare, "?")]


def test_an_instance_that_cannot_be_used_costs_no_other():
    row = {"instruction": "Translate. ", "instances": [{"output": " "}, {"input": " Hund", "output": "dog"}]}
    assert records_of(row) == [Unusable('"output" is empty'), Demonstration(ASKED, "dog")]


def test_an_instruction_alone_is_a_prompt():
    assert records_of({"instruction": "Translate. ", "input": " Hund"}) == [ASKED]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"instruction": "i", "output": ""}, '"output" is empty'),
        ({"instruction": None, "output": "o"}, '"instruction" must be a text'),
        ({"instruction": "i", "chosen": "a"}, '"rejected" is missing'),
        ({"instruction": "i", "instances": "x"}, '"instances" must be a list'),
        ({"instruction": "i", "instances": []}, '"instances" must be a list'),
        ({"instruction": "i", "input": 3}, '"input" must be a text'),
    ],
)
def test_what_is_wrong_is_named(row, reason):
    with pytest.raises(BadRow, match=reason):
        records_of(row)
