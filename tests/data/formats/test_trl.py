import pytest

from truing.data.formats.trl import matches, records_of, row_of
from truing.data.records import Comparison, Demonstration, Message, Prompt, Rating
from truing.data.validate import BadRow

ASKED = [{"role": "system", "content": ""}, {"role": "user", "content": "q"}]
PROMPT = Prompt((Message("system", ""), Message("user", "q")))


def answered(text):
    return [*ASKED, {"role": "assistant", "content": text}]


def test_a_preference_with_whole_conversations_beside_its_prompt():
    """HuggingFaceH4/ultrafeedback_binarized: a text prompt, both conversations whole, the chosen one as messages."""
    turns = [{"role": "user", "content": "q"}]
    pair = {key: [*turns, {"role": "assistant", "content": text}] for key, text in (("chosen", "a"), ("rejected", "b"))}
    row = {"prompt": "q", "prompt_id": "7", **pair, "messages": pair["chosen"], "score_chosen": 8.0}
    prompt = Prompt((Message("user", "q"),))
    assert records_of(row) == [Comparison(prompt, "a", "b"), Demonstration(prompt, "a")]
    with pytest.raises(BadRow, match="the prompt and it"):
        records_of({**row, "prompt": "another question"})


def test_the_implicit_prompt_is_what_the_conversations_share():
    assert records_of({"chosen": answered("a"), "rejected": answered("b")}) == [Comparison(PROMPT, "a", "b")]
    with pytest.raises(BadRow, match="same conversation up to"):
        records_of({"chosen": answered("a"), "rejected": answered("b")[1:]})
    with pytest.raises(BadRow, match="the assistant's"):
        records_of({"chosen": ASKED, "rejected": ASKED})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"chosen": "a"}, '"rejected" is missing'),
        ({"rejected": "a"}, '"chosen" is missing'),
        ({"completion": "a"}, '"prompt" is missing'),
        ({"chosen": "a", "rejected": "b"}, "a column of its own"),
        ({"messages": answered("a")[2:]}, "an answer to nothing"),
        ({"messages": answered(" ")}, "the last message is empty"),
        ({"prompt": "q", "chosen": "a", "rejected": "b", "margin": "big"}, '"margin" must be a number'),
    ],
)
def test_what_is_missing_is_named(row, reason):
    assert matches(row)
    with pytest.raises(BadRow) as caught:
        records_of(row)
    assert reason in str(caught.value)


@pytest.mark.parametrize("liked", [True, False])
def test_unpaired_labels_come_back(liked):
    rating = Rating(PROMPT, " kept as it is \n", float(liked), 0.0, 1.0)
    assert row_of(rating)["label"] is liked
    assert records_of(row_of(rating)) == [rating]
