"""The tug of war: how hard each term of the loss pulls at the policy, and whether they pull the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations

import torch
from torch import Tensor

from truing.data.rollouts import Rollouts
from truing.models.roles import in_graph
from truing.training import processes
from truing.training.algorithms import Algorithm
from truing.training.nets import Nets
from truing.training.policy_step import critic_loss, losses


def tug_of_war(nets: Nets, said: Rollouts, algo: Algorithm, limit: int) -> dict[str, float]:
    """Gradient norm of each term and cosine between each two, at the policy's weights, over the whole iteration.

    The policy's term is taken apart into the scores' pull (`reward`) and that of drift's price (`reference`), which is
    exact here, before the first update, where the loss is linear in the advantage. A separate critic pulls at
    other weights: it has a norm and no cosine. Where memory runs out, it is measured in smaller micro-batches.
    """
    weighted = replace(said, weight_N=algo.average(said.lengths_B, limit))
    own = weighted.select(processes.share(len(said)))
    pulls = processes.added(nets.micro_batches.run(own.parts, partial(_pulls, nets, algo)))
    figures = {f"tug/{name}": pull.norm().item() for name, pull in pulls.items()}
    for (a, left), (b, right) in combinations(pulls.items(), 2):
        if (
            len(left) == len(right)
            and left.norm() > 0
            and right.norm() > 0
            and not (nets.critic and "critic" in (a, b))
        ):
            figures[f"tug/cosine_{a}_{b}"] = torch.cosine_similarity(left, right, dim=0).item()
    return figures


def _pulls(nets: Nets, algo: Algorithm, micro_batches: Sequence[Rollouts]) -> dict[str, Tensor]:
    """The gradient of each term, flat, of some responses that know their weights."""
    pulls: dict[str, Tensor] = {}
    policy_weights, critic_weights = in_graph(nets.policy), in_graph(nets.critic) if nets.critic else []
    for part in micro_batches:
        for name, term, weights in _terms(nets, part, algo, policy_weights, critic_weights):
            if term.requires_grad:
                grads = torch.autograd.grad(term, weights, allow_unused=True, retain_graph=True)
                whole = [torch.zeros_like(w) if g is None else g.to_dense() for w, g in zip(weights, grads)]
                flat = torch.cat([g.flatten().float() for g in whole])
                pulls[name] = pulls[name] + flat if name in pulls else flat
    return pulls


def _terms(
    nets: Nets, part: Rollouts, algo: Algorithm, policy_weights: list, critic_weights: list
) -> list[tuple[str, Tensor, list]]:
    assert part.advantage_N is not None and part.score_share_N is not None
    by_score, _ = losses(nets, replace(part, advantage_N=part.score_share_N), algo)
    by_score |= critic_loss(nets, part, algo)
    pulls = [("reward", by_score["policy"], policy_weights)]
    if algo.kl_in_reward:
        by_drift, _ = losses(nets, replace(part, advantage_N=part.advantage_N - part.score_share_N), algo)
        pulls.append(("reference", by_drift["policy"], policy_weights))
    for name in ("reference", "entropy"):
        if name in by_score:
            pulls.append((name, by_score[name], policy_weights))
    if "critic" in by_score:
        pulls.append(("critic", by_score["critic"], critic_weights or policy_weights))
    return pulls
