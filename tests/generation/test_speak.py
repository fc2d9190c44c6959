import pytest
import torch

from truing.data.records import Message, Prompt
from truing.errors import UserError
from truing.generation.sampling import Sampling
from truing.generation.speak import end_ids, speak, with_room

PROMPTS = [Prompt((Message("user", text),)) for text in ("The cat", "What colour?", "A bird sang")]


def test_records_and_rollouts_tell_the_same(policy, chat):
    said, asked, answers = speak(policy, chat, PROMPTS, 2, Sampling(max_new_tokens=10), seed=3, author="me")
    assert [p.id for p in asked] == [p.id for p in PROMPTS for _ in range(2)]
    assert said.group_B.tolist() == [0, 0, 1, 1, 2, 2]
    assert said.tokens.token_N.tolist() == [i for a in answers for i in a.token_ids]
    torch.testing.assert_close(said.logp_N, torch.tensor([x for a in answers for x in a.logprobs]))
    assert [a.finish_reason == "length" for a in answers] == said.truncated_B.tolist()
    assert all(a.text == chat.text(a.token_ids) and a.author == "me" for a in answers)
    assert len({a.seed for a in answers}) == 6


def test_who_waits_is_told_how_many_have_been_given(policy, chat):
    told = []
    speak(policy, chat, PROMPTS, 2, Sampling(max_new_tokens=10), seed=3, passed=told.append)
    assert told == sorted(set(told)) and told[-1] == 6


def test_a_response_does_not_depend_on_the_other_prompts(policy, chat):
    sampling = Sampling(max_new_tokens=10)
    all_three = speak(policy, chat, PROMPTS, 2, sampling, seed=3)[2]
    first = speak(policy, chat, PROMPTS[:1], 2, sampling, seed=3)[2]
    assert [a.token_ids for a in first] == [a.token_ids for a in all_three[:2]]
    rest = speak(policy, chat, PROMPTS[1:], 2, sampling, seed=3, first=1)[2]
    assert [a.token_ids for a in rest] == [a.token_ids for a in all_three[2:]]
    other = speak(policy, chat, PROMPTS[:1], 2, sampling, seed=4)[2]
    assert [a.token_ids for a in other] != [a.token_ids for a in first]


def test_text_is_cut_at_the_stop_string_and_tokens_are_not(policy, chat):
    def first(seed, **kwargs):
        return speak(policy, chat, PROMPTS[:1], 1, Sampling(max_new_tokens=30, **kwargs), seed)[2][0]

    seed = next(s for s in range(50) if len(first(s).text) > 8)
    free = first(seed)
    stop = free.text[4:6]
    cut = first(seed, stop=(stop,))
    assert cut.text == free.text[: free.text.index(stop)]
    assert stop in chat.text(cut.token_ids) and cut.finish_reason == "stop"


def test_end_ids_join_tokenizer_and_generation_settings(policy, chat):
    policy.lm_inside.generation_config.eos_token_id = [7, 9]
    assert end_ids(policy, chat) == sorted({chat.end_id, 7, 9})


def test_prompts_that_leave_no_room_are_told_and_left_out(policy, chat):
    long = Prompt((Message("user", "cat " * 200),))
    told = []
    assert with_room([*PROMPTS, long], policy, chat, told.append) == PROMPTS
    assert len(told) == 1 and "1 of 4 prompts" in told[0] and long.id in told[0] and "context of 96" in told[0]
    assert with_room(PROMPTS, policy, chat, told.append) == PROMPTS and len(told) == 1
    for some, strict in (([long], False), ([*PROMPTS, long], True)):
        with pytest.raises(UserError, match="shorten them"):
            with_room(some, policy, chat, told.append, strict)
