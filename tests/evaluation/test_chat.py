import shutil

import pytest
from tests.fakes import FakeGenerator
from tests.templates import LLAMA_2, with_template

from truing.errors import UserError
from truing.evaluation.chat import Config, converse, talk
from truing.generation.sampling import Sampling

SAMPLING = Sampling(max_new_tokens=5)


def typing(lines):
    typed = iter(lines)

    def ask(prompt):
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    return ask


@pytest.fixture
def conversation(chat):
    """A conversation in which no model answers."""

    def converse_with(lines, **kwargs):
        said, generator = [], FakeGenerator()
        config = Config("no model", sampling=SAMPLING, **kwargs)
        messages = converse(generator, chat, config, typing(lines), said.append)
        assert len({seed for (seed,) in generator.seeds}) == len(generator.seeds)
        return messages, said, generator.asked

    return converse_with


def test_the_configured_model_answers(tiny_model):
    said = []
    messages = talk(Config(tiny_model, sampling=SAMPLING, seed=3), typing(["hello"]), said.append)
    again = talk(Config(tiny_model, sampling=SAMPLING, seed=3), typing(["hello"]), said.append)
    other = talk(Config(tiny_model, sampling=SAMPLING, seed=4), typing(["hello"]), said.append)
    assert [m.role for m in messages] == ["user", "assistant"] and messages == again != other


def test_turns_follow_each_other_until_quit(conversation, chat):
    messages, said, asked = conversation(["hello", "", "again", "/quit", "never"])
    assert [m.role for m in messages] == ["user", "assistant"] * 2
    assert [m.content for m in messages][::2] == ["hello", "again"]
    assert said[1:] == [messages[1].content, messages[3].content]
    assert asked == [[tuple(chat.prompt_ids(messages[:1]))], [tuple(chat.prompt_ids(messages[:3]))]]


def test_new_begins_again_with_the_system_message(conversation):
    messages, _, _ = conversation(["one", "/new", "two"], system="Be kind.")
    assert [m.role for m in messages] == ["system", "user", "assistant"] and messages[1].content == "two"


def test_a_long_talk_forgets_its_oldest_turns(conversation):
    messages, _, asked = conversation([f"what colour is number {i}" for i in range(12)])
    assert messages[-2].content == "what colour is number 11" and len(messages) < 24
    assert all(len(prompt) < 96 - 8 for (prompt,) in asked)


def test_what_is_too_long_or_no_text_is_told_and_the_talk_goes_on(conversation):
    messages, said, _ = conversation(["lemon " * 200, "no \udcff text", "hello"])
    assert [m.content for m in messages][:1] == ["hello"] and len(messages) == 2
    assert said[1] == "that leaves no room in the model's context of 96 tokens: say it shorter"
    assert said[2] == "that was no UTF-8 text: type it again"


def test_a_system_message_the_template_refuses_is_one_line_before_anything_is_typed(tokenizer, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system message') }}{% endif %}Hello"
    with_template(tokenizer, LLAMA_2, chat_template=refusing).save_pretrained(folder)
    with pytest.raises(UserError, match="the chat template refuses it: no system message"):
        talk(Config(str(folder), system="Be kind.", sampling=SAMPLING), typing([]), print)
    assert len(talk(Config(str(folder), sampling=SAMPLING), typing(["hello"]), print)) == 2
