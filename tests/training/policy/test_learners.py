import copy
from dataclasses import replace

import pytest
import torch

from truing.data.batches import Sequences
from truing.data.rollouts import Rollouts
from truing.maths.advantages import RunningMoments
from truing.models.adapters import Adapter
from truing.models.loading import load_policy, load_scorer
from truing.models.memory import MicroBatches
from truing.models.roles import trainable
from truing.training.optimize import Learning, Optimizer
from truing.training.policy.algorithms import PPO, RLOO
from truing.training.policy.learners import Learners

TOKENS = Sequences.of([[1, 5], [1]], [[6, 7, 8], [9, 10]])
LEARNING = Learning(lr=1e-2, schedule="constant")


def learners_of(policy, reference, critic=None) -> Learners:
    optimizers = [Optimizer(trainable(role), LEARNING, 9) if role is not None else None for role in (policy, critic)]
    return Learners(policy, reference, critic, *optimizers, MicroBatches(100))


def rollouts(policy) -> Rollouts:
    with torch.no_grad():
        logp_N = policy(TOKENS).logp_N
    return Rollouts(TOKENS, logp_N, torch.zeros(5), torch.zeros(5), torch.tensor([False, True]), torch.tensor([0, 1]))


def test_reference_of_lora_is_the_base(tiny_model):
    base, policy = load_policy(tiny_model), load_policy(tiny_model, Adapter(lora_rank=2))
    learners = learners_of(policy, None)
    policy(TOKENS).logp_N.sum().backward()
    learners.policy_optimizer.step()
    policy(TOKENS).logp_N.sum().backward()  # B was zero at first: the second step moves A too
    learners.policy_optimizer.step()
    assert (policy(TOKENS).logp_N - base(TOKENS).logp_N).abs().max() > 1e-4
    torch.testing.assert_close(learners.reference_logprobs(TOKENS), base(TOKENS).logp_N.detach())


def test_estimates_do_not_depend_on_the_budget(tiny_model):
    policy, critic = load_policy(tiny_model), load_scorer(tiny_model)
    learners = learners_of(policy, copy.deepcopy(policy), critic)
    wide = learners.estimate(rollouts(policy), PPO, check=True)
    learners.micro_batches.budget_tokens = 1
    narrow = learners.estimate(rollouts(policy), PPO, check=True)
    for name in ("ref_N", "value_N", "tail_value_B", "old_N"):
        torch.testing.assert_close(getattr(wide, name), getattr(narrow, name))
    values = critic.values(TOKENS)
    torch.testing.assert_close(wide.value_N, values[0].detach())
    torch.testing.assert_close(wide.tail_value_B, values[1].detach())


def test_without_a_critic_the_value_is_the_mean_of_all_scores_before(tiny_model):
    policy = load_policy(tiny_model)
    learners = learners_of(policy, copy.deepcopy(policy))
    assert learners.estimate(rollouts(policy), RLOO).value_N.tolist() == [0] * 5
    learners.observe(torch.tensor([1.0, 2.0]))
    learners.observe(torch.tensor([6.0]))
    assert learners.estimate(rollouts(policy), RLOO).value_N.tolist() == [3] * 5


def test_a_value_head_gives_the_values_of_sampling_and_of_ends_where_they_are_bootstrapped(tiny_model):
    policy = load_policy(tiny_model, trunk_value=True)
    torch.nn.init.normal_(policy.value_head.weight)
    learners, sampled = learners_of(policy, copy.deepcopy(policy)), replace(rollouts(policy), value_N=torch.arange(5.0))
    for bootstrap in (0.0, 1.0):
        estimates = learners.estimate(sampled, replace(PPO, bootstrap=bootstrap))
        assert torch.equal(estimates.value_N, sampled.value_N)
        expected = policy(TOKENS).tail_value_B.detach() * bootstrap
        torch.testing.assert_close(estimates.tail_value_B, expected)


def test_values_that_generation_did_not_give_are_those_of_the_value_head(tiny_model):
    """As of a server that knows of none. Red when they are taken for zero."""
    policy = load_policy(tiny_model, trunk_value=True)
    torch.nn.init.normal_(policy.value_head.weight)
    learners = learners_of(policy, copy.deepcopy(policy))
    sampled = replace(rollouts(policy), value_N=torch.tensor([1.0, torch.nan, 2.0, 3.0, 4.0]))
    estimates = learners.estimate(sampled, replace(PPO, bootstrap=0.0))
    torch.testing.assert_close(estimates.value_N, policy(TOKENS).value_N.detach())
    assert torch.equal(estimates.old_N, sampled.logp_N)


def test_the_reference_is_not_asked_where_kl_costs_nothing(tiny_model):
    policy = load_policy(tiny_model)
    learners, free = learners_of(policy, copy.deepcopy(policy)), replace(PPO, kl_in_reward=0.0)
    assert learners.estimate(rollouts(policy), free).ref_N.isnan().all()
    for algo, check in ((free, True), (PPO, False), (replace(free, kl_in_loss=0.1), False)):
        torch.testing.assert_close(learners.estimate(rollouts(policy), algo, check).ref_N, rollouts(policy).logp_N)


def test_the_critic_is_asked_for_no_value_that_nobody_reads(tiny_model):
    policy, critic = load_policy(tiny_model), load_scorer(tiny_model)
    learners, asked = learners_of(policy, copy.deepcopy(policy), critic), []
    critic.values = lambda tokens: asked.append(1)
    learners.log_ratio(rollouts(policy))
    assert not asked


def test_check_finds_logprobs_that_are_off(tiny_model):
    policy, told = load_policy(tiny_model), []
    learners = learners_of(policy, copy.deepcopy(policy))
    learners.warn = told.append
    sampled = rollouts(policy)
    assert learners.estimate(sampled, PPO, check=True).logprob_gap < 1e-5 and not told
    slightly = replace(sampled, logp_N=sampled.logp_N + torch.tensor([0, 0, 0.02, 0, 0]))
    assert torch.equal(learners.estimate(slightly, PPO, check=True).old_N, slightly.logp_N)
    off = replace(sampled, logp_N=sampled.logp_N + torch.tensor([0, 0, 0.5, 0, 0]))
    assert torch.equal(learners.estimate(off, PPO).old_N, off.logp_N) and len(told) == 1
    again = learners.estimate(off, PPO, check=True)
    assert abs(again.logprob_gap - 0.5) < 1e-5
    # Such a gap decides: what learning computes is taken, in this iteration and those after it.
    torch.testing.assert_close(again.old_N, sampled.logp_N)
    torch.testing.assert_close(learners.estimate(off, PPO).old_N, sampled.logp_N)
    assert [line.rpartition(": ")[2] for line in told] == [
        "they are used as they are",
        "from now on they are computed again",
    ]


def test_log_probs_of_a_cut_distribution_become_those_of_the_whole_one(tiny_model):
    policy = load_policy(tiny_model)
    learners, sampled = learners_of(policy, copy.deepcopy(policy)), rollouts(policy)
    cut = replace(sampled, logp_N=sampled.logp_N + 0.25, kept_N=torch.full_like(sampled.logp_N, -0.25))
    estimates = learners.estimate(cut, PPO, check=True)
    torch.testing.assert_close(estimates.old_N, sampled.logp_N)
    assert estimates.logprob_gap < 1e-4


def test_numbers_beside_the_weights_are_put_back(tiny_model):
    policy = load_policy(tiny_model)
    one, other = (learners_of(policy, copy.deepcopy(policy)) for _ in range(2))
    one.recomputes, one.baseline, one.micro_batches.budget_tokens = True, RunningMoments(4.0, 5.0, 6), 64
    for name in ("learners", "memory"):
        other.parts(False)[name].restore(one.parts(False)[name].capture())
    assert (other.recomputes, other.baseline, other.micro_batches.budget_tokens) == (True, RunningMoments(4, 5, 6), 64)


def test_what_moves_is_saved(tiny_model):
    policy, critic = load_policy(tiny_model), load_scorer(tiny_model)
    parts = learners_of(policy, copy.deepcopy(policy)).parts(False)
    assert set(parts) == {"policy", "policy_optimizer", "memory", "learners"}
    more = learners_of(policy, copy.deepcopy(policy), critic).parts(True)
    assert set(more) - set(parts) == {"reference", "critic", "critic_optimizer"}


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("adapter", [Adapter(), Adapter(lora_rank=2)], ids=["whole", "lora"])
def test_where_nothing_has_moved_there_is_no_drift_to_the_bit(tiny_model, adapter, precision):
    """Sampling's own log-probs are rounded otherwise than those of the pass that reads whole sequences."""
    policy = load_policy(tiny_model, adapter, trunk_value=True)
    reference = None if adapter.lora_rank else copy.deepcopy(policy).requires_grad_(False)
    policy.compute_in(precision)
    if reference is not None:
        reference.compute_in(precision, moves=False)
    learners = learners_of(policy, reference)
    sampled = rollouts(policy)
    off = replace(sampled, logp_N=sampled.logp_N + 1e-4)
    assert not learners.log_ratio(off).any()
    learners.micro_batches.budget_tokens = 1
    assert not learners.log_ratio(off).any()
    with torch.no_grad():
        for parameter in trainable(policy):
            parameter += 0.1
    policy.follow()
    assert learners.log_ratio(off).any()


def test_pull_reference_moves_a_share_of_the_way(tiny_model):
    policy = load_policy(tiny_model)
    reference = copy.deepcopy(policy)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 1
    learners = learners_of(policy, reference)
    start = [p.clone() for p in reference.parameters()]
    learners.pull_reference(0.25)
    for old, now in zip(start, reference.parameters(), strict=True):
        torch.testing.assert_close(now, old + 0.25)
    learners.pull_reference(1.0)
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), reference.parameters(), strict=True))


def test_a_lack_of_memory_while_the_reference_is_asked_is_remembered(tiny_model):
    policy = load_policy(tiny_model)
    learners = learners_of(policy, copy.deepcopy(policy).requires_grad_(False))
    expected, given = learners.log_ratio(rollouts(policy)), learners.reference.logprobs

    def logprobs(tokens, *more):
        if len(tokens) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return given(tokens, *more)

    learners.reference.logprobs, learners.micro_batches.budget_tokens = logprobs, 32
    with pytest.raises(torch.OutOfMemoryError):
        learners.log_ratio(rollouts(policy))
    assert learners.micro_batches.budget_tokens == 16
    learners.micro_batches.budget_tokens = 4
    torch.testing.assert_close(learners.log_ratio(rollouts(policy)), expected)
