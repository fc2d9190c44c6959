import pytest

from truing.data.formats.hh import records_of, row_of
from truing.data.records import Comparison, Message, Prompt
from truing.data.validate import BadRow

PROMPT = Prompt((Message("user", " hi\n"), Message("assistant", ""), Message("user", "Human: who?")))


def test_texts_are_not_altered():
    pair = Comparison(PROMPT, "  me\n", "go\n\naway ")
    assert records_of(row_of(pair)) == [pair]


@pytest.mark.parametrize("where", ["chosen", "rejected", "prompt"])
def test_a_turn_mark_inside_a_message_is_refused_not_mangled(where):
    texts = {"chosen": "a", "rejected": "b", "prompt": "q"} | {where: "x\n\nHuman: y\n\nAssistant: z"}
    pair = Comparison(Prompt((Message("user", texts["prompt"]),)), texts["chosen"], texts["rejected"])
    with pytest.raises(BadRow, match="turn mark"):
        row_of(pair)


def test_a_dialogue_must_begin_with_a_turn():
    with pytest.raises(BadRow, match="begins with"):
        records_of({"chosen": "Hello\n\nHuman: a\n\nAssistant: b", "rejected": "Hello\n\nHuman: a\n\nAssistant: c"})
