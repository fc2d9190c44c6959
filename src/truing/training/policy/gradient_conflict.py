"""The tug of war: how hard each term of the loss pulls at the policy, and whether they pull the same way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations

import torch
from torch import Tensor, nn

from truing.data.rollouts import Experience, Minibatch
from truing.models.roles import in_graph
from truing.runs import distributed
from truing.training.policy.algorithms import Algorithm
from truing.training.policy.learners import Learners, critic_loss, losses
from truing.training.policy.step import kl_costs, score_rewards


def gradient_conflict(learners: Learners, algo: Algorithm, limit: int, experience: Experience) -> dict[str, float]:
    """Gradient norm of each term and cosine between each two, at the policy's weights, over the whole iteration.

    The policy's term is taken apart into the scores' pull (`reward`) and that of KL's cost (`reference`), which is
    exact here, before the first update, where the loss is linear in the advantage. A separate critic pulls at
    other weights: it has a norm and no cosine. Where memory runs out, it is measured in smaller micro-batches.
    """
    weight_N, own_B = algo.average(experience.lengths_B, limit), distributed.share(len(experience))
    by_scores_N = advantage_of_scores(experience, algo)
    by_scores, by_kl = (
        Minibatch(replace(experience, advantage_N=advantage_N), weight_N).select(own_B)
        for advantage_N in (by_scores_N, experience.advantage_N - by_scores_N)
    )
    work = partial(_pulls, learners, algo, by_scores, by_kl)
    pulls = distributed.added(learners.micro_batches.run(by_scores.experience.tokens.parts, work))
    metrics = {f"tug/{name}": pull.norm().item() for name, pull in pulls.items()}
    for (a, left), (b, right) in combinations(pulls.items(), 2):
        if (
            len(left) == len(right)
            and left.norm() > 0
            and right.norm() > 0
            and not (learners.critic and "critic" in (a, b))
        ):
            metrics[f"tug/cosine_{a}_{b}"] = torch.cosine_similarity(left, right, dim=0).item()
    return metrics


def advantage_of_scores(experience: Experience, algo: Algorithm) -> Tensor:
    """The part of the advantage that the scores alone give, KL left out, [N].

    Whitening divides both parts by the same number and takes the mean from the scores' part.
    """
    rollouts, lengths_B = experience.rollouts, experience.lengths_B
    score_N = score_rewards(rollouts, experience.score_B, experience.tail_value_B, algo)
    cost_N = kl_costs(experience.old_N, experience.ref_N, algo)
    whole_N, part_N = (
        algo.advantage(reward_N, experience.value_N, lengths_B, rollouts.group_B, algo)
        for reward_N in (score_N - cost_N, score_N)
    )
    if not algo.whiten:
        return part_N
    return experience.advantage_N - (whole_N - part_N) / whole_N.std(correction=0).clamp_min(1e-4)


def _pulls(
    learners: Learners, algo: Algorithm, by_scores: Minibatch, by_kl: Minibatch, micro_batches: Sequence[Tensor]
) -> dict[str, Tensor]:
    """The gradient of each term, flat, of some responses, with the advantage of scores and with that of KL's cost."""
    pulls: dict[str, Tensor] = {}
    weights = in_graph(learners.policy)
    critic_weights = in_graph(learners.critic) if learners.critic else weights
    for index_B in micro_batches:
        for name, term in _terms(learners, algo, by_scores.select(index_B), by_kl.select(index_B)):
            if term.requires_grad:
                flat = _gradient(term, critic_weights if name == "critic" else weights)
                pulls[name] = pulls[name] + flat if name in pulls else flat
    return pulls


def _gradient(term: Tensor, weights: Sequence[nn.Parameter]) -> Tensor:
    grads = torch.autograd.grad(term, weights, allow_unused=True, retain_graph=True)
    filled = [torch.zeros_like(w) if g is None else g.to_dense() for w, g in zip(weights, grads, strict=True)]
    return torch.cat([g.flatten().float() for g in filled])


def _terms(learners: Learners, algo: Algorithm, by_scores: Minibatch, by_kl: Minibatch) -> Iterator[tuple[str, Tensor]]:
    terms, _ = losses(learners, by_scores, algo)
    terms |= critic_loss(learners, by_scores, algo)
    yield "reward", terms["policy"]
    if algo.kl_in_reward:
        yield "reference", losses(learners, by_kl, algo)[0]["policy"]
    for name in ("reference", "entropy", "critic"):
        if name in terms:
            yield name, terms[name]
