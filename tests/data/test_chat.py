import pytest

from truing.data.chat import Chat
from truing.data.records import Message
from truing.errors import UserError

TALK = [Message("user", "What colour is a lemon?")]


def test_template_is_the_tokenizers_own(chat, tokenizer):
    ids = chat.prompt_ids(TALK)
    assert tokenizer.decode(ids) == "<|begin|><|user|>What colour is a lemon?<|assistant|>"
    assert chat.layout == "template"


def test_dialogue_writes_turns(tokenizer):
    chat = Chat(tokenizer, "dialogue")
    ids = chat.prompt_ids([*TALK, Message("assistant", "Yellow."), Message("user", "Sure?")])
    assert (
        tokenizer.decode(ids[1:])
        == "\n\nHuman: What colour is a lemon?\n\nAssistant: Yellow.\n\nHuman: Sure?\n\nAssistant:"
    )
    assert tokenizer.decode(chat.response_ids("Yes.")) == " Yes.<|end|>"
    assert chat.text(chat.response_ids("Yes.")) == "Yes."


@pytest.mark.parametrize("layout", ["template", "dialogue", "plain"])
@pytest.mark.parametrize("text", ["A lemon is yellow.", "two  spaces", "ümläut ✓", "line\nbreak"])
def test_text_of_response_ids_is_the_text(tokenizer, layout, text):
    chat = Chat(tokenizer, layout)
    assert chat.text(chat.response_ids(text)) == text
    assert chat.response_ids(text)[-1] == chat.end_id
    assert chat.end_id not in chat.response_ids(text, ended=False)


def test_plain_keeps_contents_as_they_are(tokenizer):
    ids = Chat(tokenizer, "plain").prompt_ids([Message("system", "Be "), Message("user", "kind")])
    assert tokenizer.decode(ids) == "<|begin|>Be kind"


def test_leading_space_survives_a_sentencepiece_tokenizer(shared_data):
    from truing.models.loading import load_tokenizer

    tokenizer = load_tokenizer(str(shared_data / "models" / "stories260K"))
    chat = Chat(tokenizer)
    ids = tokenizer("Once upon a time", add_special_tokens=False)["input_ids"]
    parts = [chat.text(ids[:1]), *(chat.text([i]) for i in ids[1:])]
    assert "".join(parts).strip() == "Once upon a time"


@pytest.mark.parametrize("name", ["stories260K", "tinystories-656k"])
def test_what_a_sentencepiece_tokenizer_reads_back(shared_data, name):
    """Its tokens of an answer begin with a space of the tokenizer's own, and a dialogue's with one of the layout's."""
    from truing.models.loading import load_tokenizer

    tokenizer = load_tokenizer(str(shared_data / "models" / name))
    plain, dialogue = Chat(tokenizer, "plain"), Chat(tokenizer, "dialogue")
    for text in ("hello", "A lemon is yellow.", "two  spaces", "line\nbreak", "\n\nparagraph"):
        assert dialogue.text(dialogue.response_ids(text)) == text
        assert plain.text(plain.response_ids(text)) == " " + text
    assert dialogue.text(dialogue.response_ids("")) == ""


def test_a_word_that_goes_on_with_a_sentence_keeps_its_space(shared_data):
    """Why plain text keeps the space of a SentencePiece tokenizer: an answer and a next word have the same tokens."""
    from truing.models.loading import load_tokenizer

    tokenizer = load_tokenizer(str(shared_data / "models" / "stories260K"))
    plain, dialogue = Chat(tokenizer, "plain"), Chat(tokenizer, "dialogue")
    begun = plain.prompt_ids([Message("user", "Once upon a time")])
    sampled = tokenizer("Once upon a time there")["input_ids"][len(begun) :]
    assert sampled == plain.response_ids("there", ended=False)
    assert plain.text(sampled) == " there" and dialogue.text(sampled) == "there"


def test_template_without_template_is_refused(shared_data):
    from truing.models.loading import load_tokenizer

    with pytest.raises(UserError, match="no chat template"):
        Chat(load_tokenizer(str(shared_data / "models" / "tinystories-656k")), "template")
