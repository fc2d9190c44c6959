import math

import pytest

from truing.data.lengths import longest, short_enough
from truing.data.records import Message, Prompt
from truing.errors import UserError

PROMPTS = [Prompt((Message("user", text),), id=text[0]) for text in ("a short one", "b long", "c longer")]


def test_the_bound_is_the_smaller_one():
    assert longest(512, 96) == (96, "the model's context of 96 tokens")
    assert longest(512, math.inf) == (512, "max_tokens = 512") and longest(96, 96) == (96, "max_tokens = 96")


def test_what_is_too_long_is_told_in_one_line_with_the_first_of_them():
    told = []
    assert short_enough(PROMPTS, [3, 9, 10], 9, "rows are too long", told.append) == [0, 1]
    assert told == ["1 of 3 rows are too long; the first, c ('c longer'), has 10 tokens; left out"]
    assert short_enough(PROMPTS, [3, 9, 9], 9, "rows are too long", told.append) == [0, 1, 2] and len(told) == 1


@pytest.mark.parametrize(("lengths", "strict"), [([10, 11, 12], False), ([3, 3, 10], True)])
def test_none_left_or_strict_ends_it(lengths, strict):
    told = []
    with pytest.raises(UserError, match=r"rows are too long; the first, .* tokens: shorten them"):
        short_enough(PROMPTS, lengths, 9, "rows are too long", told.append, strict)
    assert not told
