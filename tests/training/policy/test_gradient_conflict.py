import copy
from dataclasses import replace

import pytest
import torch

from truing.data.batches import Sequences
from truing.data.rollouts import Experience, Minibatch, Rollouts
from truing.maths.advantages import gae
from truing.maths.ragged import at_last_token
from truing.models.loading import load_policy, load_scorer
from truing.models.memory import MicroBatches
from truing.models.roles import trainable
from truing.training.optimize import Learning, Optimizer
from truing.training.policy.algorithms import PPO, TABLE
from truing.training.policy.gradient_conflict import advantage_of_scores, gradient_conflict
from truing.training.policy.learners import Estimates, Learners, losses
from truing.training.policy.step import credit

SCORES = torch.tensor([1.0, -1.0, 0.5, 0.2])


def situation(model: str, algo) -> tuple[Learners, Experience]:
    torch.manual_seed(0)
    policy = load_policy(model)
    reference = copy.deepcopy(policy)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    critic = load_scorer(model) if algo.critic else None
    learning = Learning()
    optimizers = (Optimizer(trainable(role), learning, 9) if role else None for role in (policy, critic))
    learners = Learners(policy, reference, critic, *optimizers, MicroBatches(100))
    tokens = Sequences.of([[1]] * 4, [[5, 6, 7], [8], [9, 10, 11, 12], [13, 14]])
    with torch.no_grad():
        logp_N = policy(tokens).logp_N
    zeros_N, uncut_B = torch.zeros(10), torch.zeros(4, dtype=torch.bool)
    rollouts = Rollouts(tokens, logp_N, zeros_N, zeros_N, uncut_B, torch.tensor([0, 0, 1, 1]))
    return learners, credit(rollouts, learners.estimate(rollouts, algo), SCORES, algo)


def whole_gradient(learners: Learners, experience: Experience, algo) -> torch.Tensor:
    terms, _ = losses(learners, Minibatch(experience, algo.average(experience.lengths_B, 8)), algo)
    parameters = list(trainable(learners.policy))
    grads = torch.autograd.grad(sum(terms.values()), parameters, allow_unused=True)
    return torch.cat(
        [(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(parameters, grads, strict=True)]
    )


@pytest.mark.parametrize(
    "algo",
    [
        replace(PPO, entropy=0.1),
        replace(TABLE["grpo"], answers=2, entropy=0.1),
        replace(TABLE["rloo"], answers=2, kl_in_reward=0.3),
    ],
)
def test_pulls_add_up_to_the_gradient_and_norms_to_its_length(tiny_model, algo):
    """|sum|^2 = sum of |.|^2 + 2 sum of |a||b|cos: the figures alone give back the length of the whole gradient."""
    learners, experience = situation(tiny_model, algo)
    told = gradient_conflict(learners, algo, 8, experience)
    names = [n for n in ("reward", "reference", "entropy") if f"tug/{n}" in told]
    assert "reference" in names
    square = sum(told[f"tug/{n}"] ** 2 for n in names)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            square += 2 * told[f"tug/{a}"] * told[f"tug/{b}"] * told[f"tug/cosine_{a}_{b}"]
    assert square**0.5 == pytest.approx(whole_gradient(learners, experience, algo).norm().item(), rel=1e-3)
    if learners.critic is not None:
        assert told["tug/critic"] > 0 and not any("critic" in n for n in told if "cosine" in n)


def test_tug_does_not_depend_on_the_budget_and_leaves_no_gradient(tiny_model):
    algo = replace(PPO, entropy=0.1)
    learners, experience = situation(tiny_model, algo)
    wide = gradient_conflict(learners, algo, 8, experience)
    learners.micro_batches.budget_tokens = 1
    narrow = gradient_conflict(learners, algo, 8, experience)
    assert wide == pytest.approx(narrow, rel=1e-3, abs=1e-5)
    assert all(p.grad is None for p in trainable(learners.policy, learners.critic))


def test_the_advantage_is_that_of_scores_and_that_of_kl(tiny_model):
    """The estimators are linear in the reward: without a cost of KL the scores give all of it; with one, the rest is
    what the cost alone gives. Whitening divides both by the spread of the whole."""
    free = replace(PPO, kl_in_reward=0.0)
    _, experience = situation(tiny_model, free)
    torch.testing.assert_close(advantage_of_scores(experience, free), experience.advantage_N, atol=1e-4, rtol=1e-4)
    for whiten in (0.0, 1.0):
        algo = replace(PPO, whiten=whiten, kl_in_reward=0.3)
        _, both = situation(tiny_model, algo)
        group_B, zero_N = both.rollouts.group_B, torch.zeros_like(both.value_N)
        cost_N = 0.3 * (both.old_N - both.ref_N)
        expected_N = gae(-cost_N, zero_N, both.lengths_B, group_B, algo)
        if whiten:
            reward_N = at_last_token(both.score_B, both.lengths_B) - cost_N
            expected_N = expected_N / gae(reward_N, both.value_N, both.lengths_B, group_B, algo).std(correction=0)
        rest_N = both.advantage_N - advantage_of_scores(both, algo)
        torch.testing.assert_close(rest_N, expected_N, atol=1e-5, rtol=1e-4)


def test_the_advantage_of_scores_by_hand():
    """Scores 4 and 2 over responses of two tokens and one: their mean is 3, whatever KL costs."""
    tokens = Sequences.of([[1], [1]], [[5, 6], [7]])
    old_N, zeros_N, uncut_B = torch.tensor([-1.0, -2.0, -3.0]), torch.zeros(3), torch.tensor([False, False])
    rollouts = Rollouts(tokens, old_N, zeros_N, zeros_N, uncut_B, torch.tensor([0, 0]))
    estimates = Estimates(old_N, torch.tensor([-1.5, -2.0, -2.0]), zeros_N, torch.zeros(2), logprob_gap=0.0)
    algo = replace(TABLE["reinforce"], kl_in_reward=0.1)
    experience = credit(rollouts, estimates, torch.tensor([4.0, 2.0]), algo)
    torch.testing.assert_close(advantage_of_scores(experience, algo), torch.tensor([1.0, 1.0, -1.0]))
