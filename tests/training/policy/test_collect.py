"""What is collected does not depend on the number of processes; no response is scored twice.

Broken on purpose: seeds counted from each share's own beginning -> red, the second half says other things.
"""

import math
from types import SimpleNamespace

import pytest
import torch
from tests.fakes import FakeGenerator

from truing.data.batches import Sequences
from truing.data.records import Message, Prompt
from truing.data.rollouts import Rollouts
from truing.errors import UserError
from truing.generation.records import generate, requests
from truing.generation.sampling import Sampling
from truing.training.policy import collect
from truing.training.policy.algorithms import TABLE, algorithm
from truing.training.policy.collect import Collector, with_scores
from truing.training.policy.scoring import ScoreSettings, Scoring

NAN, INF = math.nan, math.inf
PROMPTS = [Prompt((Message("user", text),)) for text in ("A cat?", "A dog?", "A bird in a tree?")]
SAMPLING = Sampling(max_new_tokens=6)


def collector_of(chat, reward):
    return Collector(FakeGenerator(), chat, SAMPLING, Scoring(reward, ScoreSettings(missing_end_penalty=1.0)), seed=3)


def test_every_prompt_is_answered_and_every_response_scored(chat):
    def reward(prompts, responses):
        return [len(p.text) + len(r.text) / 100 for p, r in zip(prompts, responses, strict=True)]

    collected = collector_of(chat, reward)(PROMPTS, algorithm("rloo", {"answers": 2}))
    generated = generate(FakeGenerator(), chat, requests(PROMPTS, 2, 3), SAMPLING)
    rollouts, asked, responses = generated.rollouts, generated.prompts, generated.responses
    assert torch.equal(collected.rollouts.logp_N, rollouts.logp_N)
    assert collected.rollouts.group_B.tolist() == [0, 0, 1, 1, 2, 2] and collected.first_response == responses[0].text
    expected = torch.tensor(reward(asked, responses)) - rollouts.truncated_B.float()
    torch.testing.assert_close(collected.score_B, expected)
    assert collected.dropped == 0 and collected.generate_s > 0 and collected.score_s > 0


def test_generating_and_scoring_are_timed_apart(chat, monkeypatch):
    collector = collector_of(chat, lambda prompts, responses: [1.0] * len(responses))
    clock = iter([0.0, 1.0, 11.0])
    monkeypatch.setattr(collect, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    collected = collector(PROMPTS, algorithm("reinforce"))
    assert (collected.generate_s, collected.score_s) == (1.0, 10.0)


def test_responses_that_are_dropped_are_counted(chat):
    """Under an algorithm that compares, the other answer to the same prompt goes, too."""
    for name, dropped in (("reinforce", 1), ("rloo", 2)):
        algo = algorithm(name, {"answers": 2})
        collected = collector_of(chat, lambda prompts, responses: [NAN, 1, 1, 1, 1, 1])(PROMPTS, algo)
        assert collected.dropped == dropped
        assert len(collected.rollouts) == len(collected.score_B) == 6 - dropped
    assert TABLE["rloo"].compares_answers and not TABLE["reinforce"].compares_answers


SHARED = """
from tests.fakes import FakeGenerator
from tests.training.policy.test_collect import PROMPTS, SAMPLING, Collector, Scoring, ScoreSettings, generate, requests
from truing.data.chat import Chat
from truing.models.loading import load_tokenizer
chat = Chat(load_tokenizer({model!r}))
asked_for = []
def reward(prompts, responses):
    asked_for.extend(responses)
    return [len(r.text) + len(p.text) / 100 for p, r in zip(prompts, responses)]
collector = Collector(FakeGenerator(), chat, SAMPLING, Scoring(reward, ScoreSettings()), 3)
for prompts in (PROMPTS, PROMPTS[:1]):
    asked_for.clear()
    rollouts, answers = collector.generate(prompts, 2)
    generated = generate(FakeGenerator(), chat, requests(prompts, 2, 3), SAMPLING)
    whole, asked, alone = generated.rollouts, generated.prompts, generated.responses
    assert [r.token_ids for r in answers] == [r.token_ids for r in alone]
    assert [(r.text, r.seed, r.sampling) for r in answers] == [(r.text, r.seed, r.sampling) for r in alone]
    for name, tensor in whole.named().items():
        torch.testing.assert_close(rollouts.named()[name], tensor, equal_nan=True)
    scores = collector.scoring.rewards(prompts, answers)
    own = len(asked_for)
    assert scores == reward(asked, alone) and distributed.gathered(own) == ([2, 4] if len(prompts) == 3 else [0, 2])
"""


def test_two_processes_collect_what_one_does(together, tiny_model):
    together(SHARED.format(model=tiny_model))


def rollouts_of(groups):
    numbers = torch.arange(float(2 * len(groups)))
    tokens = Sequences.of([[1]] * len(groups), [[5 + i, 6] for i in range(len(groups))])
    return Rollouts(
        tokens, numbers, 0 * numbers, 0 * numbers, torch.zeros(len(groups), dtype=torch.bool), torch.tensor(groups)
    )


def test_responses_without_a_score_are_left_out():
    whole, score_B = rollouts_of([0, 0, 1, 1, 2]), torch.tensor([NAN, 1.0, 2.0, 3.0, INF])
    left, left_B = with_scores(whole, score_B, compares=False)
    assert left_B.tolist() == [1, 2, 3] and left.group_B.tolist() == [0, 1, 1]
    assert left.logp_N.tolist() == [2, 3, 4, 5, 6, 7]


def test_an_answer_alone_with_its_prompt_goes_where_answers_are_compared():
    """Broken on purpose: groups of one kept -> red."""
    left, left_B = with_scores(
        rollouts_of([0, 0, 1, 1, 2, 2]), torch.tensor([NAN, 1.0, 2.0, 3.0, NAN, NAN]), compares=True
    )
    assert left_B.tolist() == [2, 3] and left.group_B.tolist() == [1, 1]


def test_where_all_are_good_nothing_is_touched():
    whole = rollouts_of([0, 0])
    assert with_scores(whole, torch.ones(2), compares=True)[0] is whole


@pytest.mark.parametrize(("scores", "compares"), [([NAN, NAN, NAN, NAN], False), ([NAN, 1.0, NAN, 1.0], True)])
def test_an_iteration_without_anything_to_learn_from_stops(scores, compares):
    with pytest.raises(UserError, match="nothing can be learned"):
        with_scores(rollouts_of([0, 0, 1, 1]), torch.tensor(scores), compares)
