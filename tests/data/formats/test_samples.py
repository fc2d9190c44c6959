import pytest

from truing.data.formats.samples import matches, records_of
from truing.data.records import Conversation, Message, Prompt, Response
from truing.data.validate import BadRow

Q = Prompt((Message("user", "q"),))


def test_a_list_of_responses_is_a_conversation_with_all_of_them():
    assert records_of({"prompt": "q", "responses": ["a", ""]}) == [Conversation(Q, (Response("a"), Response("")))]
    assert records_of({"question": "q", "response": "a", "score": 2}) == [Conversation(Q, (Response("a", score=2.0),))]


@pytest.mark.parametrize("others", [{"chosen": "a"}, {"completion": "a"}, {"answer": "a"}, {"messages": []}])
def test_rows_that_say_more_of_their_answers_are_other_readers(others):
    assert not matches({"prompt": "q", "response": "a", **others})
    assert not matches({"response": "a"}) and not matches({"prompt": "q"})


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"response": 3}, "must be a text"),
        ({"responses": "a"}, "a list of texts"),
        ({"responses": []}, "a list of texts"),
        ({"responses": [{"text": "a"}]}, "a list of texts"),
        ({"response": "a", "score": 10**400}, '"score" must be a number'),
        ({"responses": ["a", "b"], "label": True}, "judges one answer, and there are 2"),
    ],
)
def test_answers_of_the_wrong_kind_are_named(said, reason):
    with pytest.raises(BadRow, match=reason):
        records_of({"prompt": "q", **said})
