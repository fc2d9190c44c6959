import pytest
import torch
from tests.fakes import FakeGenerator

from truing.data.records import Message, Prompt
from truing.errors import UserError
from truing.generation.generator import Generation
from truing.generation.records import generate, requests, response_of, rollouts_of
from truing.generation.sampling import Sampling

PROMPTS = [Prompt((Message("user", text),)) for text in ("The cat", "What colour?", "A bird sang")]
SAMPLING = Sampling(max_new_tokens=10)


def test_every_prompt_is_asked_so_often_and_every_response_has_a_seed_of_its_own():
    asked = requests(PROMPTS, 2, 3)
    assert [(r.prompt, r.group) for r in asked] == [(p, i) for i, p in enumerate(PROMPTS) for _ in range(2)]
    assert [r.seed for r in asked] == [(3 * 1_000_003 + i) * 1_009 + j for i in range(3) for j in range(2)]
    assert len({r.seed for seed in range(50) for r in requests(PROMPTS, 8, seed)}) == 50 * 24
    for prompts, answers in (([], 1), (PROMPTS, 0)):
        with pytest.raises(UserError, match="one prompt and one answer"):
            requests(prompts, answers, 0)


def test_responses_and_rollouts_say_the_same(chat):
    generator, asked = FakeGenerator(), requests(PROMPTS, 2, 3)
    told = []
    generated = generate(generator, chat, asked, SAMPLING, told.append)
    assert [p.id for p in generated.prompts] == [p.id for p in PROMPTS for _ in range(2)] and told == [6]
    assert generator.asked == [[tuple(chat.prompt_ids(p.messages)) for p in generated.prompts]]
    rollouts, responses = generated.rollouts, generated.responses
    assert rollouts.group_B.tolist() == [0, 0, 1, 1, 2, 2]
    assert rollouts.tokens.token_N.tolist() == [i for r in responses for i in r.token_ids]
    torch.testing.assert_close(rollouts.logp_N, torch.tensor([x for r in responses for x in r.logprobs]))
    assert [r.finish_reason == "length" for r in responses] == rollouts.truncated_B.tolist()
    assert [r.text for r in responses] == [chat.text(r.token_ids) for r in responses]
    assert [r.seed for r in responses] == [r.seed for r in asked]


def test_a_part_of_the_requests_is_answered_as_in_the_whole(chat):
    """As each of several processes does. Broken on purpose: groups counted from the part's own beginning -> red."""
    asked = requests(PROMPTS, 2, 3)
    whole, part = (generate(FakeGenerator(), chat, some, SAMPLING) for some in (asked, asked[2:]))
    assert part.responses == whole.responses[2:] and part.rollouts.group_B.tolist() == [1, 1, 2, 2]


def test_a_response_by_hand(chat):
    ids = chat.response_ids("The cat sat.", ended=False)
    given = {"token_ids": ids, "logprobs": [-0.5] * len(ids), "kept": [-0.25] * len(ids), "finish_reason": "stop"}
    sampling = Sampling(temperature=0.5, top_k=5, stop=("sat",))
    response = response_of(Generation(prompt=(1, 5), seed=9, **given), chat, sampling)
    assert response.text == "The cat " and response.token_ids == tuple(ids) and response.seed == 9
    numbers = (("max_new_tokens", 64.0), ("min_p", 0.0), ("temperature", 0.5), ("top_k", 5.0), ("top_p", 1.0))
    assert response.sampling == numbers
    assert (response.finish_reason, response.author, response.score) == ("stop", "", None)


def test_rollouts_by_hand():
    one = Generation(prompt=(1, 5), seed=0, token_ids=[6, 7], logprobs=[-1.0, -2.0], kept=[-0.5, 0.0])
    two = Generation(prompt=(1,), seed=1, token_ids=[8], logprobs=[-3.0], kept=[0.0], finish_reason="length")
    rollouts = rollouts_of([one, two], [4, 4])
    assert rollouts.tokens.responses() == [[6, 7], [8]] and rollouts.lengths_B.tolist() == [2, 1]
    assert rollouts.logp_N.tolist() == [-1, -2, -3] and rollouts.kept_N.tolist() == [-0.5, 0, 0]
    assert rollouts.value_N.isnan().all() and rollouts.truncated_B.tolist() == [False, True]
    assert rollouts.group_B.tolist() == [4, 4]
    one.values, two.values = [0.1, 0.2], [0.3]
    torch.testing.assert_close(rollouts_of([one, two], [0, 1]).value_N, torch.tensor([0.1, 0.2, 0.3]))
