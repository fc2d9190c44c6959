"""What holds on an accelerator; skipped where there is none."""

import copy

import pytest
import torch

from truing.data.batches import Sequences
from truing.generation.local import Engine
from truing.generation.sampling import Sampling
from truing.models.loading import load_policy, load_scorer
from truing.models.roles import trainable

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator here")
TOKENS = Sequences.of([[1, 5], [1]], [[6, 7, 8], [9, 10]])


def test_numbers_and_gradients_are_those_of_the_processor(tiny_model):
    found = []
    for device in ("cuda", "cpu"):
        policy, scorer = load_policy(tiny_model).to(device), load_scorer(tiny_model).to(device)
        now, score_B = policy(TOKENS), scorer(TOKENS)
        (now.logp_N.sum() + now.entropy_N.sum() + score_B.sum()).backward()
        assert now.logp_N.device.type == score_B.device.type == "cpu"
        pulls = [p.grad.cpu().flatten() for p in trainable(policy, scorer) if p.grad is not None]
        found.append((now.logp_N.detach(), score_B.detach(), torch.cat(pulls)))
    for on_gpu, here in zip(*found, strict=True):
        torch.testing.assert_close(on_gpu, here, atol=1e-4, rtol=1e-4)


def test_sampling_gives_the_log_probs_of_a_pass(tiny_model):
    policy = load_policy(tiny_model)
    assert policy.device.type == "cuda"
    engine = Engine(copy.deepcopy(policy), Sampling(max_new_tokens=8), end_ids=())
    said = [engine.add([1, 5, 9], seed) for seed in range(5)]
    engine.run()
    tokens = Sequences.of([[1, 5, 9]] * 5, [s.token_ids for s in said])
    collected_N = torch.tensor([x for s in said for x in s.logprobs])
    torch.testing.assert_close(policy.logprobs(tokens).detach(), collected_N, atol=1e-4, rtol=1e-4)
