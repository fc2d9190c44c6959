import json

import pytest
from tests.templates import CHATML, GEMMA, LLAMA_2, with_template

from truing.data import formats
from truing.data.chat import Chat
from truing.data.records import Comparison, Demonstration, Message, Prompt
from truing.data.validate import BadRow
from truing.errors import UserError
from truing.models.loading import load_tokenizer

TALK = [Message("user", "What colour is a lemon?")]


def test_template_is_the_tokenizers_own(chat, tokenizer):
    ids = chat.prompt_ids(TALK)
    assert tokenizer.decode(ids) == "<|begin|><|user|>What colour is a lemon?<|assistant|>"
    assert chat.format == "template"


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
    tokenizer = load_tokenizer(str(shared_data / "models" / "stories260K"))
    chat = Chat(tokenizer)
    ids = tokenizer("Once upon a time", add_special_tokens=False)["input_ids"]
    parts = [chat.text(ids[:1]), *(chat.text([i]) for i in ids[1:])]
    assert "".join(parts).strip() == "Once upon a time"


SENTENCEPIECE = ["stories260K", "tinystories-656k"]  # the one puts a space before a text, the other after a word


@pytest.mark.parametrize("name", SENTENCEPIECE)
@pytest.mark.parametrize("layout", ["template", "dialogue", "plain"])
def test_an_answer_has_the_tokens_that_follow_its_prompt(name, layout, shared_data):
    """Those of both encoded together, as servers and plain transformers do: no space of the tokenizer's own between."""
    tokenizer = with_template(load_tokenizer(str(shared_data / "models" / name)), CHATML)
    chat = Chat(tokenizer, layout)
    asked = [Message("user", "Is it so?\n")]
    for text in ("Yes, it is.", "two  spaces", "line\nbreak", ""):
        said = chat.response_ids(text, ended=False)
        if layout == "template":
            turns = [{"role": "user", "content": asked[0].content}, {"role": "assistant", "content": text}]
            whole = tokenizer(tokenizer.apply_chat_template(turns, tokenize=False), add_special_tokens=False)
            taught = [*chat.prompt_ids(asked), *said, chat.end_id]
            assert whole["input_ids"][: len(taught)] == taught
        assert tokenizer.decode(chat.prompt_ids(asked) + said).endswith(f"{chat.lead}{text}")
        assert chat.text(said) == text


def test_an_earlier_answer_has_the_tokens_of_an_answer(shared_data):
    chat = Chat(with_template(load_tokenizer(str(shared_data / "models" / "stories260K")), CHATML))
    asked, said = Message("user", "Is it so?"), Message("assistant", "Yes, it is.")
    before, later = chat.prompt_ids([asked]), chat.prompt_ids([asked, said, asked])
    taught = before + chat.response_ids(said.content)
    assert later[: len(taught)] == taught


def test_a_word_that_goes_on_with_a_sentence_keeps_its_space(shared_data):
    tokenizer = load_tokenizer(str(shared_data / "models" / "stories260K"))
    plain, dialogue = Chat(tokenizer, "plain"), Chat(tokenizer, "dialogue")
    begun = plain.prompt_ids([Message("user", "Once upon a time")])
    sampled = tokenizer("Once upon a time there")["input_ids"][len(begun) :]
    assert sampled == plain.response_ids(" there", ended=False)
    assert plain.text(sampled) == " there" and dialogue.text(sampled) == "there"


@pytest.mark.parametrize(
    ("template", "eos", "end"),
    [
        (CHATML, "<|end|>", "<|im_end|>"),
        (CHATML, "<|im_end|>", "<|im_end|>"),
        (GEMMA, "<|end|>", "<end_of_turn>"),
        (LLAMA_2, "<|end|>", "<|end|>"),
    ],
)
def test_an_answer_ends_as_its_template_ends_a_turn(template, eos, end, tokenizer):
    chat = Chat(with_template(tokenizer, template, eos_token=eos))
    asked, said = [Message("user", "Is it so?")], Message("assistant", "Yes.")
    ids = chat.prompt_ids(asked) + chat.response_ids(said.content)
    assert chat.tokenizer.convert_ids_to_tokens(ids[-1]) == end
    turns = [{"role": m.role, "content": m.content} for m in (*asked, said)]
    whole = chat.tokenizer.apply_chat_template(turns, tokenize=False)
    taught = chat.tokenizer.decode(ids).replace(f" {end}", end)
    assert whole.replace(f" {end}", end).startswith(taught)
    assert chat.text(chat.response_ids("Yes.")) == "Yes."


def test_a_template_that_ends_no_turn_leaves_the_end_to_the_tokenizer(tokenizer):
    chat = Chat(with_template(tokenizer, CHATML))
    chat.tokenizer.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "
    assert Chat(chat.tokenizer).end_id == tokenizer.eos_token_id


def test_whatever_ended_a_sampled_answer_it_ends_as_one_written_down(tokenizer):
    chat = Chat(with_template(tokenizer, GEMMA))
    written, other = chat.response_ids("Yes."), tokenizer.bos_token_id
    for end in ([], [chat.end_id], [tokenizer.eos_token_id], [other], [tokenizer.eos_token_id, other]):
        assert chat.ended([*written[:-1], *end]) == written
    assert chat.ends == [chat.end_id, tokenizer.eos_token_id]


def test_what_the_template_refuses_is_one_line(tokenizer):
    chat = Chat(with_template(tokenizer, GEMMA))
    twice = Prompt((Message("user", "One."), Message("user", "Two.")))
    with pytest.raises(UserError, match=r"^the chat template refuses it: roles must alternate$"):
        chat.prompt_ids(twice.messages)
    for record in (twice, Demonstration(twice, "Yes."), Comparison(twice, "Yes.", "No.")):
        with pytest.raises(BadRow, match="the chat template refuses it: roles must alternate"):
            chat.check(record)
    chat.check(Demonstration(Prompt((Message("user", "One."),)), "Yes."))
    Chat(tokenizer, "plain").check(twice)


def test_a_row_that_the_template_refuses_is_a_bad_row(tokenizer, tmp_path):
    chat, file, told = Chat(with_template(tokenizer, GEMMA)), tmp_path / "rows.jsonl", []
    user, said = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}
    rows = [{"messages": [user, said]}, {"messages": [user, user, said]}, {"prompt": "Hi", "completion": "No."}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept = formats.read(str(file), (Demonstration,), report=told.append, check=chat.check)
    assert [one.response for one in kept] == ["Yes.", "No."]
    assert told == [f"{file}:row 2: the chat template refuses it: roles must alternate; left out"]
    with pytest.raises(UserError, match="row 2: the chat template refuses it"):
        formats.read(str(file), (Demonstration,), strict=True, check=chat.check)


def test_a_token_without_an_embedding_is_refused_where_it_is_used(tokenizer):
    more = with_template(tokenizer, CHATML)
    with pytest.raises(UserError, match=r"knows 322 tokens, of which <\|im_\w+\|> .* embeddings of 320: .*resize"):
        Chat(more, "template", vocabulary=len(tokenizer))
    plain = Chat(more, "plain", vocabulary=len(tokenizer))
    assert plain.response_ids("Yes.")
    with pytest.raises(UserError, match=r"of which <\|im_start\|> is used"):
        plain.prompt_ids([Message("user", "<|im_start|>")])


def test_template_without_template_is_refused(shared_data):
    with pytest.raises(UserError, match="no chat template"):
        Chat(load_tokenizer(str(shared_data / "models" / "tinystories-656k")), "template")
