import threading

import pytest
from tests.fakes import FakeGenerator

from truing.data.chat import Chat
from truing.data.records import Message, Prompt
from truing.generation.local import LocalGenerator
from truing.generation.records import generate, requests
from truing.generation.reply import LocalReply
from truing.generation.sampling import Sampling

ASKED = [{"role": "user", "content": "What colour is grass?"}]


@pytest.fixture
def reply_of(policy, chat):
    return lambda **sampling: LocalReply(LocalGenerator(policy, chat), chat, Sampling(**sampling))


def test_the_pieces_are_the_answer_and_depend_on_the_seed_alone(reply_of):
    reply = reply_of(max_new_tokens=12)
    pieces = list(reply(ASKED, 5))
    assert len(pieces) > 1 and "".join(pieces) == "".join(reply(ASKED, 5))
    assert "".join(reply(ASKED, 6)) != "".join(pieces)


def test_it_says_what_the_generator_generates(policy, chat):
    """With the seed that the first answer to the first prompt has."""
    sampling, generator = Sampling(max_new_tokens=12, stop=("e",)), LocalGenerator(policy, chat)
    asked = requests([Prompt((Message("user", ASKED[0]["content"]),))], 1, 3)
    (response,) = generate(generator, chat, asked, sampling).responses
    assert "".join(LocalReply(generator, chat, sampling)(ASKED, asked[0].seed)) == response.text


def test_two_at_once_do_not_mix(reply_of):
    reply = reply_of(max_new_tokens=20)
    alone = ["".join(reply(ASKED, seed)) for seed in range(4)]
    together = [""] * 4

    def ask(seed):
        together[seed] = "".join(reply(ASKED, seed))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_a_character_of_several_tokens_comes_whole_and_the_answer_goes_on(chat):
    """Tokens that are single bytes show as one sign each until the character is whole. Broken on purpose: only one of
    them held back -> red, nothing comes after it."""
    said = "a😀bbbbbbb".encode()

    class ByByte(Chat):
        def text(self, token_ids):
            text, left = "", said[: len(token_ids)]
            while left:
                whole = next((n for n in (1, 4) if left[:n].decode(errors="ignore")), 0)
                text += left[:whole].decode() if whole else "\ufffd" * len(left)
                left = left[whole:] if whole else b""
            return text

    reply = LocalReply(FakeGenerator(end_id=None), ByByte(chat.tokenizer, "plain"), Sampling(max_new_tokens=12))
    assert list(reply(ASKED, 5)) == ["a", "😀", *"bbbbbbb"]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("abXYcd", ["a", "b"]),  # cut at the stop string
        ("abXcd", ["a", "b", "Xc", "d"]),  # what looked like its beginning was none
        ("abX", ["a", "b", "X"]),  # nothing follows that could make it one
        ("abXZXYc", ["a", "b", "XZ"]),
    ],
)
def test_what_may_begin_a_stop_string_is_held_back_until_it_is_none(chat, text, pieces):
    class Spelled(Chat):
        def text(self, token_ids):
            return text[: len(token_ids)]

    sampling = Sampling(max_new_tokens=len(text), stop=("XY", "nothing"))
    reply = LocalReply(FakeGenerator(end_id=None), Spelled(chat.tokenizer, "plain"), sampling)
    assert list(reply(ASKED, 5)) == pieces


def test_the_conversation_is_asked_with_the_role_of_each_turn(chat):
    generator, dialogue = FakeGenerator(), Chat(chat.tokenizer, "dialogue")
    turns = [("system", "Be kind."), ("user", "hi"), ("assistant", "hello"), ("user", "bye")]
    list(LocalReply(generator, dialogue, Sampling())([{"role": r, "content": c} for r, c in turns], 5))
    assert generator.asked == [[tuple(dialogue.prompt_ids([Message(*turn) for turn in turns]))]]
    assert generator.seeds == [[5]]
