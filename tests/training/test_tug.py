import copy
from dataclasses import replace

import pytest
import torch

from truing.data.batches import Sequences
from truing.data.rollouts import Rollouts
from truing.models.loading import load_policy, load_scorer
from truing.models.memory import MicroBatches
from truing.models.roles import trainable
from truing.training.algorithms import PPO, TABLE
from truing.training.nets import Nets
from truing.training.optimize import Learning, Optimizer
from truing.training.policy_step import credited, losses
from truing.training.tug import tug_of_war

SCORES = torch.tensor([1.0, -1.0, 0.5, 0.2])


def situation(model: str, algo) -> tuple[Nets, Rollouts]:
    torch.manual_seed(0)
    policy = load_policy(model)
    reference = copy.deepcopy(policy)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    critic = load_scorer(model) if algo.critic else None
    learning = Learning()
    nets = Nets(policy, reference, critic, Optimizer(trainable(policy), learning, 9),
                Optimizer(trainable(critic), learning, 9) if critic else None, MicroBatches(100))  # fmt: skip
    tokens = Sequences.of([[1]] * 4, [[5, 6, 7], [8], [9, 10, 11, 12], [13, 14]])
    with torch.no_grad():
        logp_N = policy(tokens).logp_N
    said = Rollouts(tokens, logp_N, torch.zeros(10), torch.zeros(4, dtype=torch.bool), torch.tensor([0, 0, 1, 1]))
    said, _ = nets.remember(said, False, False)
    return nets, credited(said, SCORES, algo)


def whole_gradient(nets: Nets, said: Rollouts, algo) -> torch.Tensor:
    weighted = replace(said, weight_N=algo.average(said.lengths_B, 8))
    terms, _ = losses(nets, weighted, algo)
    parameters = list(trainable(nets.policy))
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
    nets, said = situation(tiny_model, algo)
    told = tug_of_war(nets, said, algo, 8)
    names = [n for n in ("reward", "reference", "entropy") if f"tug/{n}" in told]
    assert "reference" in names
    square = sum(told[f"tug/{n}"] ** 2 for n in names)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            square += 2 * told[f"tug/{a}"] * told[f"tug/{b}"] * told[f"tug/cosine_{a}_{b}"]
    assert square**0.5 == pytest.approx(whole_gradient(nets, said, algo).norm().item(), rel=1e-3)
    if nets.critic is not None:
        assert told["tug/critic"] > 0 and not any("critic" in n for n in told if "cosine" in n)


def test_tug_does_not_depend_on_the_budget_and_leaves_no_gradient(tiny_model):
    algo = replace(PPO, entropy=0.1)
    nets, said = situation(tiny_model, algo)
    wide = tug_of_war(nets, said, algo, 8)
    nets.micro_batches.budget_tokens = 1
    narrow = tug_of_war(nets, said, algo, 8)
    assert wide == pytest.approx(narrow, rel=1e-3, abs=1e-5)
    assert all(p.grad is None for p in trainable(nets.policy, nets.critic))
