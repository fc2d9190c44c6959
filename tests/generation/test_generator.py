"""What every generator promises, whoever it is."""

import pytest
from tests.fakes import FakeGenerator

from truing.errors import UserError
from truing.generation.local import LocalGenerator
from truing.generation.sampling import Sampling

PROMPTS, SEEDS = [[1, 5, 6], [1, 9], [1, 5, 6], [1, 7, 8, 9]], [11, 12, 13, 14]
SAMPLING = Sampling(max_new_tokens=10)


@pytest.fixture(params=["local", "fake"])
def generator(request, policy, chat):
    return LocalGenerator(policy, chat) if request.param == "local" else FakeGenerator()


def test_each_prompt_is_answered_in_its_place_with_a_number_for_each_token(generator):
    generations = generator.generate(PROMPTS, SAMPLING, SEEDS)
    assert [(list(g.prompt), g.seed) for g in generations] == list(zip(PROMPTS, SEEDS, strict=True))
    for g in generations:
        assert 1 <= len(g.token_ids) == len(g.logprobs) == len(g.kept) <= 10 and all(x < 0 for x in g.logprobs)
        assert g.finish_reason == ("length" if len(g.token_ids) == 10 and g.token_ids[-1] != 2 else "stop")


def test_a_response_depends_on_its_prompt_and_seed_and_not_on_the_others(generator):
    together = [g.token_ids for g in generator.generate(PROMPTS, SAMPLING, SEEDS)]
    alone = [generator.generate([p], SAMPLING, [s])[0].token_ids for p, s in zip(PROMPTS, SEEDS, strict=True)]
    assert together == alone and together[0] != together[2]
    assert [g.token_ids for g in generator.generate(PROMPTS[::-1], SAMPLING, SEEDS[::-1])] == together[::-1]


def test_the_context_bounds_a_response_and_a_prompt_that_fills_it_is_refused(generator):
    (g,) = generator.generate([[1] * int(generator.context - 3)], Sampling(max_new_tokens=30), [1])
    assert len(g.token_ids) <= 3
    with pytest.raises(UserError, match="leaves no room"):
        generator.generate([[1] * int(generator.context)], SAMPLING, [1])


def test_who_waits_is_told_how_many_responses_have_ended(generator):
    ended = []
    generator.generate(PROMPTS, SAMPLING, SEEDS, ended.append)
    assert ended == sorted(set(ended)) and ended[-1] == 4


def test_a_streamed_response_grows_to_the_one_that_is_generated(generator):
    seed = next(s for s in range(99) if len(generator.generate(PROMPTS[:1], SAMPLING, [s])[0].token_ids) > 3)
    (whole,) = generator.generate(PROMPTS[:1], SAMPLING, [seed])
    steps = [(list(g.token_ids), g.finish_reason) for g in generator.stream(PROMPTS[0], SAMPLING, seed)]
    lengths = [len(ids) for ids, _ in steps]
    assert len(lengths) > 1 and lengths == sorted(set(lengths)) and steps[-1] == (whole.token_ids, whole.finish_reason)
    assert all(ids == whole.token_ids[: len(ids)] and not reason for ids, reason in steps[:-1])
