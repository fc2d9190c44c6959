import copy
from dataclasses import replace

import pytest
import torch

from truing.data.batches import Sequences
from truing.data.rollouts import Rollouts
from truing.models.adapters import Adapter
from truing.models.loading import load_policy, load_scorer
from truing.models.memory import MicroBatches
from truing.models.roles import trainable
from truing.training.nets import Nets
from truing.training.optimize import Learning, Optimizer

TOKENS = Sequences.of([[1, 5], [1]], [[6, 7, 8], [9, 10]])
LEARNING = Learning(lr=1e-2, schedule="constant")


def nets_of(policy, reference, critic=None) -> Nets:
    optimizers = [Optimizer(trainable(role), LEARNING, 9) if role is not None else None for role in (policy, critic)]
    return Nets(policy, reference, critic, *optimizers, MicroBatches(100))


def rollouts(policy) -> Rollouts:
    with torch.no_grad():
        logp_N = policy(TOKENS).logp_N
    return Rollouts(TOKENS, logp_N, torch.zeros(5), torch.tensor([False, True]), torch.tensor([0, 1]))


def test_reference_of_lora_is_the_base(tiny_model):
    base, policy = load_policy(tiny_model), load_policy(tiny_model, Adapter(lora_rank=2))
    nets = nets_of(policy, None)
    policy(TOKENS).logp_N.sum().backward()
    nets.step()
    policy(TOKENS).logp_N.sum().backward()  # B was zero at first: the second step moves A too
    nets.step()
    assert (policy(TOKENS).logp_N - base(TOKENS).logp_N).abs().max() > 1e-4
    torch.testing.assert_close(nets.reference_logprobs(TOKENS), base(TOKENS).logp_N.detach())


def test_remember_does_not_depend_on_the_budget(tiny_model):
    policy, critic = load_policy(tiny_model), load_scorer(tiny_model)
    nets = nets_of(policy, copy.deepcopy(policy), critic)
    wide, _ = nets.remember(rollouts(policy), True, True)
    nets.micro_batches.budget_tokens = 1
    narrow, _ = nets.remember(rollouts(policy), True, True)
    for name in ("ref_N", "value_N", "tail_value_B", "old_N"):
        torch.testing.assert_close(getattr(wide, name), getattr(narrow, name))
    values = critic.values(TOKENS)
    torch.testing.assert_close(wide.value_N, values[0].detach())
    torch.testing.assert_close(wide.tail_value_B, values[1].detach())


def test_check_finds_logprobs_that_are_off(tiny_model):
    policy = load_policy(tiny_model)
    nets = nets_of(policy, copy.deepcopy(policy))
    said = rollouts(policy)
    assert nets.remember(said, True, False)[1] < 1e-5
    off = replace(said, logp_N=said.logp_N + torch.tensor([0, 0, 0.5, 0, 0]))
    again, gap = nets.remember(off, True, False)
    assert abs(gap - 0.5) < 1e-5
    # Such a gap decides: what learning computes is taken, in this iteration and those after it.
    torch.testing.assert_close(again.old_N, said.logp_N)
    torch.testing.assert_close(nets.remember(off, False, False)[0].old_N, said.logp_N)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("adapter", [Adapter(), Adapter(lora_rank=2)], ids=["whole", "lora"])
def test_where_nothing_has_moved_there_is_no_drift_to_the_bit(tiny_model, adapter, precision):
    """Sampling's own log-probs are rounded otherwise than those of the pass that reads whole sequences."""
    policy = load_policy(tiny_model, adapter, trunk_value=True)
    reference = None if adapter.lora_rank else copy.deepcopy(policy).requires_grad_(False)
    policy.compute_in(precision)
    if reference is not None:
        reference.compute_in(precision, moves=False)
    nets = nets_of(policy, reference)
    said = rollouts(policy)
    off = replace(said, logp_N=said.logp_N + 1e-4)
    assert not nets.log_ratio(off).any()
    nets.micro_batches.budget_tokens = 1
    assert not nets.log_ratio(off).any()
    with torch.no_grad():
        for parameter in trainable(policy):
            parameter += 0.1
    policy.follow()
    assert nets.log_ratio(off).any()


def test_pull_reference_moves_a_share_of_the_way(tiny_model):
    policy = load_policy(tiny_model)
    reference = copy.deepcopy(policy)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 1
    nets = nets_of(policy, reference)
    start = [p.clone() for p in reference.parameters()]
    nets.pull_reference(0.25)
    for old, now in zip(start, reference.parameters(), strict=True):
        torch.testing.assert_close(now, old + 0.25)
    nets.pull_reference(1.0)
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), reference.parameters(), strict=True))


def test_a_lack_of_memory_while_the_reference_is_asked_is_remembered(tiny_model):
    policy = load_policy(tiny_model)
    nets = nets_of(policy, copy.deepcopy(policy).requires_grad_(False))
    expected, given = nets.log_ratio(rollouts(policy)), nets.reference.logprobs

    def logprobs(tokens, *more):
        if len(tokens) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return given(tokens, *more)

    nets.reference.logprobs, nets.micro_batches.budget_tokens = logprobs, 32
    with pytest.raises(torch.OutOfMemoryError):
        nets.log_ratio(rollouts(policy))
    assert nets.micro_batches.budget_tokens == 16
    nets.micro_batches.budget_tokens = 4
    torch.testing.assert_close(nets.log_ratio(rollouts(policy)), expected)
