import pytest

from truing.data.formats.openrlhf import matches, records_of, row_of
from truing.data.records import Comparison, Message, Prompt
from truing.data.validate import BadRow

Q = Prompt((Message("system", "s"), Message("user", "q")))


def test_the_margin_goes_out_and_comes_in():
    pair = Comparison(Q, "a", "b", margin=0.5)
    assert records_of(row_of(pair)) == [pair]


def test_an_input_beside_a_prompt_is_some_other_column():
    assert not matches({"prompt": "q", "completion": "a", "input": "source 7"})
    assert not matches({"instruction": "q", "input": "", "output": "a"})


def test_half_a_pair_is_named():
    with pytest.raises(BadRow, match='"rejected" is missing'):
        records_of({"input": "q", "chosen": "a"})
