"""Answers and scores do not depend on the number of processes; no response is judged twice.

Broken on purpose: seeds counted from each share's own beginning -> red, the second half says other things.
"""

import torch

from truing.data.records import Message, Prompt
from truing.generation.sampling import Sampling
from truing.generation.speak import speak
from truing.training.answering import judged, spoken

PROMPTS = [Prompt((Message("user", text),)) for text in ("A cat?", "A dog?", "A bird in a tree?")]


def test_one_process_speaks_and_judges_as_such(policy, chat):
    sampling = Sampling(max_new_tokens=6)
    said, asked, answers = spoken(policy, chat, PROMPTS, 2, sampling, 3)
    again, _, same = speak(policy, chat, PROMPTS, 2, sampling, 3)
    assert answers == same and torch.equal(said.logp_N, again.logp_N)
    assert judged(lambda prompts, responses: [1.0] * len(responses))(asked, answers) == [1.0] * 6


SHARED = """
from tests.training.test_answering import PROMPTS, Sampling, judged, speak, spoken
from truing.data.chat import Chat
from truing.models.loading import load_policy, load_tokenizer
policy, chat, sampling = load_policy({model!r}), Chat(load_tokenizer({model!r})), Sampling(max_new_tokens=6)
asked_for = []
def reward(prompts, responses):
    asked_for.extend(responses)
    return [len(r.text) + len(p.text) / 100 for p, r in zip(prompts, responses)]
for prompts in (PROMPTS, PROMPTS[:1]):
    asked_for.clear()
    said, asked, answers = spoken(policy, chat, prompts, 2, sampling, 3)
    whole, asked_alone, alone = speak(policy, chat, prompts, 2, sampling, 3)
    assert [r.token_ids for r in answers] == [r.token_ids for r in alone] and asked == asked_alone
    assert [(r.text, r.seed, r.sampling) for r in answers] == [(r.text, r.seed, r.sampling) for r in alone]
    for name, tensor in whole.named().items():
        torch.testing.assert_close(said.named()[name], tensor)
    scores = judged(reward)(asked, answers)
    own = len(asked_for)
    assert scores == reward(asked_alone, alone) and processes.gathered(own) == ([2, 4] if len(prompts) == 3 else [0, 2])
"""


def test_two_processes_say_and_judge_what_one_does(together, tiny_model):
    together(SHARED.format(model=tiny_model))
