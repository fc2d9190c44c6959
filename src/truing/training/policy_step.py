"""The heart: one iteration of policy optimisation, for every row of the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from truing.data.records import Prompt, Response
from truing.data.rollouts import Rollouts
from truing.maths.advantages import bootstrap_truncated, whiten
from truing.maths.kl import k3
from truing.maths.ragged import at_last_token, cumulative_from_end, total
from truing.maths.surrogates import clip_fraction, value_error
from truing.seams import seam
from truing.training import processes
from truing.training.algorithms import COMPARES_ANSWERS, SUBTRACTS_VALUE, Algorithm
from truing.training.judge import scored
from truing.training.loop import Update, watched
from truing.training.nets import Nets
from truing.training.optimize import speed, whole

Speak = Callable[[Sequence[Prompt], int], tuple[Rollouts, list[Prompt], list[Response]]]
Score = Callable[[Sequence[Prompt], Sequence[Response]], Tensor]
Extra = Callable[[], dict[str, float]]


@dataclass
class Place:
    """How far an iteration has come: its responses once they are credited, and the updates made of them."""

    said: Rollouts | None = None
    figures: dict[str, float] = field(default_factory=dict)
    answers: list[Response] = field(default_factory=list)
    order_B: Tensor | None = None  # of the responses in this pass
    epoch: int = 0
    batch: int = 0
    seen: list[dict[str, float]] = field(default_factory=list)


def step(
    nets: Nets,
    prompts: Sequence[Prompt],
    speak: Speak,
    score: Score,
    algo: Algorithm,
    rng: torch.Generator,
    limit: int,
    extra: Extra | None = None,
    check: bool = False,
    measure: Callable[[Rollouts], dict[str, float]] | None = None,
    learn_policy: bool = True,
    place: Place | None = None,
    passed: Callable[[], None] = lambda: None,
) -> tuple[dict[str, float], list[Response]]:
    """Speak, judge, give credit, learn. Returns what to log (docs/metrics.md explains each name) and the responses.

    `limit` is the longest response allowed; `extra` adds gradients of its own before each update (PPO-ptx); `measure`
    looks at the credited rollouts before anything moves (the tug of war). `place` is where the iteration goes on,
    brought up to date before `passed` is called, which is after each part that could be saved.
    """
    place = place or Place()
    if place.said is None:
        begin = time.perf_counter()
        # Speak: the current policy answers every prompt `answers` times.
        said, asked, place.answers = speak(prompts, algo.answers)
        spoken = time.perf_counter()
        # Judge: one score a response, or it is left out; reference and critic see the same tokens.
        said, score_B = scored(said, score(asked, place.answers), algo.advantage in COMPARES_ANSWERS)
        # Where drift costs nothing, it is measured in the iterations that are checked.
        drifts = check or algo.kl_in_reward > 0 or algo.kl_in_loss > 0
        said, gap = nets.remember(said, check, bool(algo.bootstrap), drifts)
        # Credit: a score becomes a reward on the last token, drift costs, and the estimator spreads it.
        said = credited(said, score_B, algo, nets.baseline.mean)
        nets.baseline = nets.baseline.update(score_B)
        times = {"time/sample_s": spoken - begin, "time/judge_s": time.perf_counter() - spoken}
        dropped = {"reward/dropped": float(len(place.answers) - len(said))}
        figures = described(said, score_B, gap if check else None) | (measure(said) if measure else {})
        place.figures = figures | dropped | times
        place.said = said
        passed()
    begin = time.perf_counter()
    learn(nets, place, algo, rng, limit, extra, learn_policy, passed)
    figures = place.figures | averaged(place.seen) | {"time/learn_s": time.perf_counter() - begin}
    figures["policy/first_ratio"] = place.seen[0]["policy/ratio"] / place.seen[0]["batch"]
    spent = sum(figures[f"time/{part}_s"] for part in ("sample", "judge", "learn"))
    return figures | speed(
        len(place.said.logp_N), nets.flops(place.said, algo.epochs), spent, nets.policy.device
    ), place.answers


def learn(
    nets: Nets,
    place: Place,
    algo: Algorithm,
    rng: torch.Generator,
    limit: int,
    extra: Extra | None,
    learn_policy: bool,
    passed: Callable[[], None],
) -> None:
    """Several shuffled passes over the responses; micro-batches only add up, for each token carries its weight."""
    assert place.said is not None
    while place.epoch < algo.epochs:
        if place.order_B is None:
            place.order_B = torch.randperm(len(place.said), generator=rng)
        batches = place.said.select(place.order_B).split(algo.minibatches)
        for batch in batches[place.batch :]:
            batch = replace(batch, weight_N=algo.average(batch.lengths_B, limit))
            update = partial(_update, nets, batch, algo, extra, learn_policy)
            place.seen.append(watched(update, partial(nets.quarantine, batch)).metrics)
            place.batch += 1
            seam("minibatch")
            passed()
        place.order_B, place.batch, place.epoch = None, 0, place.epoch + 1


def _update(nets: Nets, batch: Rollouts, algo: Algorithm, extra: Extra | None, learn_policy: bool) -> Update:
    """Add up the gradients of a minibatch and move by them."""
    own = batch.select(processes.share(len(batch)))
    notes = nets.micro_batches.run(own.parts, partial(_gradients, nets, algo, extra), nets.clear)
    return Update(whole(notes), nets.step(learn_policy))


def _gradients(nets: Nets, algo: Algorithm, extra: Extra | None, micro_batches: Sequence[Rollouts]) -> dict[str, float]:
    """Add up the gradients of some responses of a minibatch. Returns their losses and sums over their tokens."""
    notes: dict[str, float] = {"batch": sum(len(part.logp_N) for part in micro_batches)}
    for part in micro_batches:
        terms, told = losses(nets, part, algo)
        told |= _backward(terms) | _backward(critic_loss(nets, part, algo))
        for name, value in told.items():
            notes[name] = notes.get(name, 0.0) + value
    return notes | (extra() if extra is not None else {})


def _backward(terms: dict[str, Tensor]) -> dict[str, float]:
    """Add up the gradients of these terms. Returns their values."""
    if terms:
        sum(terms.values(), torch.zeros(())).backward()
    return {f"loss/{name}": term.item() for name, term in terms.items()}


def credited(said: Rollouts, score_B: Tensor, algo: Algorithm, baseline: float = 0.0) -> Rollouts:
    """Rollouts with advantage and return; `score_share_N` is the part of the advantage that the scores alone explain.

    Where there is no critic, `baseline` (the running mean of scores) stands in for the values.
    """
    assert said.old_N is not None
    value_N = torch.full_like(said.old_N, baseline) if said.value_N is None else said.value_N
    drift_N = torch.zeros_like(said.old_N)
    if said.ref_N is not None:
        drift_N = algo.kl_in_reward * algo.kl(said.old_N, said.ref_N)

    def credit(reward_N: Tensor) -> Tensor:
        return algo.advantage(reward_N, value_N, said.lengths_B, said.group_B, algo)

    score_N = at_last_token(score_B, said.lengths_B)
    if algo.bootstrap and said.tail_value_B is not None:
        score_N = bootstrap_truncated(score_N, said.tail_value_B, said.truncated_B, said.lengths_B, algo.gamma)
    advantage_N, share_N = credit(score_N - drift_N), credit(score_N)
    return_N = None
    if said.value_N is not None and algo.advantage in SUBTRACTS_VALUE:
        return_N = advantage_N + said.value_N
    elif said.value_N is not None:
        return_N = cumulative_from_end(score_N - drift_N, said.lengths_B, algo.gamma)
    if algo.whiten:
        # Whitening divides both parts by the same number and takes the mean from the scores' part.
        scale = advantage_N.std(correction=0).clamp_min(1e-4)
        drift_share_N = (advantage_N - share_N) / scale
        advantage_N = whiten(advantage_N)
        share_N = advantage_N - drift_share_N
    return replace(said, advantage_N=advantage_N, return_N=return_N, score_share_N=share_N)


def losses(nets: Nets, part: Rollouts, algo: Algorithm) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The terms of the policy's loss of one micro-batch, each a weighted sum, and sums over tokens of what is worth
    knowing. A critic on its trunk is among them."""
    assert part.old_N is not None and part.advantage_N is not None and part.weight_N is not None
    reference = (nets.reference or nets.policy) if algo.exact_kl and algo.kl_in_loss else None
    now = nets.policy(part.tokens, nets.temperature, reference)
    loss_N = algo.surrogate(now.logp_N, part.old_N, part.advantage_N, part.lengths_B, algo)
    terms = {"policy": (part.weight_N * loss_N).sum()}
    if algo.kl_in_loss:
        kl_N = algo.kl(now.logp_N, part.ref_N) if now.exact_kl_N is None else now.exact_kl_N
        terms["reference"] = algo.kl_in_loss * (part.weight_N * kl_N).sum()
    if algo.entropy:
        terms["entropy"] = -algo.entropy * (part.weight_N * now.entropy_N).sum()
    if now.value_N is not None:
        terms |= _critic_term(now.value_N, part, algo)
    count = len(part.old_N)
    logp_N = now.logp_N.detach()
    clipped = clip_fraction(algo.surrogate, logp_N, part.old_N, part.advantage_N, part.lengths_B, algo)
    told = {
        "policy/entropy": now.entropy_N.detach().sum().item(),
        "policy/ratio": (logp_N - part.old_N).exp().sum().item(),
        "policy/approx_kl": k3(part.old_N, logp_N).sum().item(),
        "policy/clip_fraction": clipped.item() * count,
    }
    return terms, told


def critic_loss(nets: Nets, part: Rollouts, algo: Algorithm) -> dict[str, Tensor]:
    """The term of a critic of its own. Apart from the policy's, so that the activations of one network are alive."""
    return {} if nets.critic is None else _critic_term(nets.critic.values(part.tokens)[0], part, algo)


def _critic_term(value_N: Tensor, part: Rollouts, algo: Algorithm) -> dict[str, Tensor]:
    if not algo.critic or part.weight_N is None or part.value_N is None or part.return_N is None:
        return {}
    error_N = value_error(value_N, part.value_N, part.return_N, algo.value_clip)
    return {"critic": algo.critic * (part.weight_N * error_N).sum()}


def described(said: Rollouts, score_B: Tensor, gap: float | None) -> dict[str, float]:
    """Figures of the responses themselves, before learning."""
    assert said.old_N is not None and said.advantage_N is not None
    figures = {
        "reward/mean": score_B.mean().item(),
        "reward/std": score_B.std(correction=0).item(),
        "response/length": said.lengths_B.float().mean().item(),
        "response/unfinished": said.truncated_B.float().mean().item(),
        "advantage/std": said.advantage_N.std(correction=0).item(),
    }
    if said.ref_N is not None:
        figures["kl/per_response"] = total(said.old_N - said.ref_N, said.lengths_B).mean().item()
        figures["kl/per_token"] = k3(said.old_N, said.ref_N).mean().item()
    if gap is not None:
        figures["check/logprob_gap"] = gap
    if said.value_N is not None and said.return_N is not None:
        spread = said.return_N.var(correction=0)
        left = (said.return_N - said.value_N).var(correction=0)
        figures["critic/explained_variance"] = (1 - left / spread.clamp_min(1e-8)).item()
        figures["critic/value"] = said.value_N.mean().item()
    return figures


def averaged(seen: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means over the updates of an iteration; sums over tokens become means a token."""
    figures: dict[str, float] = {}
    for name in seen[0]:
        if name != "batch":
            per_batch = [n[name] / (n["batch"] if name in PER_TOKEN else 1) for n in seen if name in n]
            figures[name] = sum(per_batch) / len(per_batch)
    return figures


PER_TOKEN = ("policy/entropy", "policy/ratio", "policy/approx_kl", "policy/clip_fraction")
