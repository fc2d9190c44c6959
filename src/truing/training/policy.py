"""Policy optimisation: a policy learns to say what scores well, on a leash to where it started."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from truing.data import formats
from truing.data.chat import Chat
from truing.data.formats import Read
from truing.data.records import Prompt, Response
from truing.data.rollouts import Rollouts
from truing.errors import UserError
from truing.maths import ragged
from truing.maths.kl import AdaptiveKL
from truing.models.loading import load_chat, load_policy, load_scorer, same_tokens
from truing.models.memory import MicroBatches
from truing.models.roles import share_frozen, trainable
from truing.rewards.combine import load_reward, model_sources, weighted_sum
from truing.rewards.function import Reward
from truing.rewards.model import ScorerSetup
from truing.training import algorithms
from truing.training.answering import judged, spoken
from truing.training.health import beforehand, overoptimised, signs
from truing.training.judge import Judge, refusing
from truing.training.keeper import fingerprint
from truing.training.loop import Passes, training_loop
from truing.training.nets import LARGEST_GAP, Nets
from truing.training.optimize import Optimizer, ready, settled, tell
from truing.training.policy_settings import Config
from truing.training.policy_state import Standing
from truing.training.policy_step import Place, Speak, step
from truing.training.pretrain_term import pretrain_term
from truing.training.prompts import fitting, read_prompts
from truing.training.run import Result, Run
from truing.training.tug import tug_of_war


def assemble(config: Config, run: Run) -> Nets:
    """Policy, reference and critic as configured, with their optimizers."""
    row = config.row
    start = with_the_policys_tokens(config, critic_start(config) if row.critic else "", run.say)
    policy = load_policy(config.model, config.lora, config.freeze, trunk_value=start == "trunk", seed=config.run.seed)
    learning = settled(config.learning, policy, run)
    reference = None
    if not config.lora.lora_rank:
        reference = load_policy(config.reference) if config.reference else copy.deepcopy(policy)
        reference.requires_grad_(False)
    critic = None
    if start and start != "trunk":
        critic = load_scorer(start, config.lora, seed=config.run.seed, factored=bool(config.lora.lora_rank))
        if start == config.model:
            nn.init.zeros_(critic.score.weight)
        share_frozen(critic, policy)
    for role in (policy, reference, critic):
        if role is not None:
            ready(role, learning, moves=role is not reference or bool(config.reference_every))
    if critic is not None:
        share_frozen(critic, policy)  # the copies that compute
    per_iteration = row.epochs * min(row.minibatches, config.prompts_per_iteration * row.answers)
    waits = config.critic_warmup if critic is not None else 0  # iterations in which the policy does not move
    updates, critic_updates = (per_iteration * max(1, config.iterations - n) for n in (waits, 0))
    critic_learning = replace(learning, lr=config.critic_lr or learning.lr)
    return Nets(
        policy,
        reference,
        critic,
        Optimizer(trainable(policy), learning, updates, policy.follow),
        Optimizer(trainable(critic), critic_learning, critic_updates, critic.follow) if critic is not None else None,
        MicroBatches(learning.budget_tokens, run.say),
        config.sampling.temperature,
        learning.precision,
    )


def critic_start(config: Config) -> str:
    """The model the critic starts from, or "trunk"."""
    models = model_sources(config.reward)
    choices = {"trunk": "trunk", "policy": config.model, "reward": models[0] if models else ""}
    choices["auto"] = choices["reward"] or config.model
    start = choices.get(config.critic_from, config.critic_from)
    if not start:
        raise UserError('critic_from = "reward": no reward is a reward model; use policy or trunk')
    return start


def with_the_policys_tokens(config: Config, critic: str, say: Callable[[str], None]) -> str:
    """What the critic starts from, if it reads the policy's tokens, as the reference must too; else the policy, where
    that is left to us. Raises UserError where it is not."""
    for name, model in (("critic_from", critic), ("reference", config.reference)):
        if model in ("", "trunk") or same_tokens(model, config.model):
            continue
        if name == "critic_from" and config.critic_from == "auto":
            say(f"the critic starts from the policy: {model} has another tokenizer")
            critic = config.model
        else:
            raise UserError(f"{name}: {model} has another tokenizer than {config.model}, whose tokens it would read")
    return critic


def train(config: Config, reward: Reward | None = None, read: Read = formats.read) -> Result:
    """The whole stage, from files to a run's folder. `reward` given in Python takes the place of those named."""
    with Run.open(config.run, config, "rl") as run:
        chat_format = config.inputs.chat_format
        chat = load_chat(config.model, chat_format)
        found = read_prompts(config, chat, run, read)
        nets = assemble(config, run)
        refuse = refusing(config.scores.bad_rewards, run)
        if reward is None:
            setup = ScorerSetup(nets.precision, nets.owner, run.say)
            judging = load_reward(config.reward, chat, chat_format, refuse, setup)
        else:
            judging = weighted_sum([(1.0, "(given in Python)", reward)], refuse)
        judge = Judge(judged(judging), config.scores)
        prompts, evaluation = fitting(found, nets, chat, config, run, config.reward if reward is None else ())
        adapts, cuts = bool(config.lora.lora_rank), config.sampling.truncates
        for line in beforehand(len(prompts), config.asked, config.learning.lr, adapts, cuts):
            run.say(line)
        tell(nets.precision, nets.policy, run)
        now = fit(nets, chat, prompts, evaluation, judge, config, run)
        after = evaluate(nets, chat, evaluation, judge.reward, config, run, "after")
        run.save(nets.policy, chat.tokenizer, "model")
        if nets.critic is not None:
            run.save(nets.critic, chat.tokenizer, "critic")
        for sign in overoptimised(now.history, now.before, after, len(evaluation)):
            run.say(sign)
        told = (("before", now.before), ("after", after))
        figures = {f"{name}_{when}": value for when, figures in told for name, value in figures.items()}
        return run.finish(figures | now.cost)


def speaker(nets: Nets, chat: Chat, config: Config, number: int) -> Speak:
    """How the policy answers in iteration `number`."""

    def say(prompts: Sequence[Prompt], answers: int) -> tuple[Rollouts, list[Prompt], list[Response]]:
        return spoken(nets.policy, chat, prompts, answers, config.sampling, config.run.seed * 1_000_003 + number)

    return say


def fit(
    nets: Nets, chat: Chat, prompts: Sequence[Prompt], evaluation: Sequence[Prompt], judge: Judge, config: Config,
    run: Run,
) -> Standing:  # fmt: skip
    """All iterations. Returns where it stands after the last."""
    algo, limit = config.row, config.sampling.max_new_tokens
    extra = pretrain_term(nets, config, chat, run)
    rng = torch.Generator().manual_seed(config.run.seed)
    price = AdaptiveKL(algo.kl_in_reward, config.kl_target, config.kl_horizon) if config.kl_target else None
    now = Standing(nets, judge, rng, price, extra)
    passes = Passes(len(prompts), config.prompts_per_iteration, config.asked)
    parts, data = now.parts(bool(config.reference_every)), fingerprint(prompts, evaluation)
    with training_loop(run, passes, parts, data) as loop:
        nets.quarantine = lambda batch: run.quarantine(
            loop.step, responses=[chat.text(ids) for ids in batch.tokens.responses()]
        )
        if not loop.done and not now.before:
            now.before = evaluate(nets, chat, evaluation, judge.reward, config, run, "before")
        for chosen in loop:
            number = loop.step
            if now.price is not None:
                algo = replace(algo, kl_in_reward=now.price.coefficient)
            tugs = config.tug_every and loop.done % config.tug_every == 0
            figures, answers = step(
                nets,
                [prompts[i] for i in chosen],
                speaker(nets, chat, config, number),
                judge,
                algo,
                rng,
                limit,
                extra,
                check=number == 1 or bool(config.check_every and number % config.check_every == 0),
                measure=partial(tug_of_war, nets, algo=algo, limit=limit) if tugs else None,
                learn_policy=number > config.critic_warmup or nets.critic is None,
                place=now.place,
                passed=loop.save_if_due,
            )
            if now.price is not None:
                figures["kl/coefficient"] = now.price.coefficient
                now.price = now.price.update(figures["kl/per_response"], len(answers) - int(figures["reward/dropped"]))
            if config.reference_every and number % config.reference_every == 0:
                nets.pull_reference(config.reference_pull)
            warn(figures, run)
            now.note(figures)
            for sign in signs(now.history, len(answers)):
                run.say(sign)
            loop.log(figures, answers[0].text)
            run.sample(number, "", prompt=prompts[chosen[0]].text, response=answers[0].text)
            if config.save_every and number % config.save_every == 0 and number < config.iterations:
                run.save(nets.policy, chat.tokenizer, f"checkpoints/iteration-{number:06d}")
            now.place = Place()
    now.cost = loop.cost
    return now


def warn(figures: dict[str, float], run: Run) -> None:
    """Say what must not pass in silence."""
    gap = figures.get("check/logprob_gap", 0.0)
    if gap > 1e-2:
        what = "from now on they are computed again" if gap > LARGEST_GAP else "they are used as they are"
        run.say(f"log-probs collected while sampling differ from the training pass by up to {gap:.3g} nats: {what}")


def evaluate(
    nets: Nets, chat: Chat, prompts: Sequence[Prompt], reward: Reward, config: Config, run: Run, phase: str
) -> dict[str, float]:
    """Mean reward (of those scored), drift and shape of responses to held-out prompts; the same seeds each time."""
    said, asked, answers = spoken(nets.policy, chat, prompts, 1, config.sampling, seed=config.run.seed + 987_654_321)
    kl_N = nets.log_ratio(said)
    score_B = reward(asked, answers)
    for prompt, answer, score in zip(asked, answers, score_B, strict=True):
        run.sample(0, phase, prompt=prompt.text, response=answer.text, score=score, finish_reason=answer.finish_reason)
    scores = torch.tensor([score for score in score_B if math.isfinite(score)] or [math.nan])
    return {
        "reward": scores.mean().item(),
        "reward_std": scores.std(correction=0).item(),
        "kl": ragged.total(kl_N, said.lengths_B).mean().item(),
        "length": said.lengths_B.float().mean().item(),
        "unfinished": said.truncated_B.float().mean().item(),
    }


def explain(config: Config) -> None:
    """Print the row of the table that is configured, in full."""
    print(f"{config.algorithm}\n")
    for key, value, meaning in algorithms.explain(config.row):
        print(f"  {key:<13} {value:<28} {meaning}")
