import shutil

import pytest
from tests.templates import LLAMA_2, with_template

from truing.errors import UserError
from truing.evaluation.chat import Config, talk
from truing.generation.sampling import Sampling


def conversation(model, lines, **kwargs):
    typed, said = iter(lines), []

    def ask(prompt):
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    config = Config(model, sampling=Sampling(max_new_tokens=5), **kwargs)
    return talk(config, ask, said.append), said


def test_turns_follow_each_other_until_quit(tiny_model):
    messages, said = conversation(tiny_model, ["hello", "", "again", "/quit", "never"])
    assert [m.role for m in messages] == ["user", "assistant"] * 2
    assert [m.content for m in messages][::2] == ["hello", "again"]
    assert said[1:] == [messages[1].content, messages[3].content]


def test_new_begins_again_with_the_system_message(tiny_model):
    messages, _ = conversation(tiny_model, ["one", "/new", "two"], system="Be kind.")
    assert [m.role for m in messages] == ["system", "user", "assistant"] and messages[1].content == "two"


def test_a_long_talk_forgets_its_oldest_turns(tiny_model):
    messages, _ = conversation(tiny_model, [f"what colour is number {i}" for i in range(12)])
    assert messages[-2].content == "what colour is number 11" and len(messages) < 24


def test_what_is_too_long_or_no_text_is_told_and_the_talk_goes_on(tiny_model):
    messages, said = conversation(tiny_model, ["lemon " * 200, "no \udcff text", "hello"])
    assert [m.content for m in messages][:1] == ["hello"] and len(messages) == 2
    assert said[1] == "that leaves no room in the model's context of 96 tokens: say it shorter"
    assert said[2] == "that was no UTF-8 text: type it again"


def test_a_system_message_the_template_refuses_is_one_line_before_anything_is_typed(tokenizer, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system message') }}{% endif %}Hello"
    with_template(tokenizer, LLAMA_2, chat_template=refusing).save_pretrained(folder)
    with pytest.raises(UserError, match="the chat template refuses it: no system message"):
        conversation(str(folder), [], system="Be kind.")
    conversation(str(folder), ["hello"])
