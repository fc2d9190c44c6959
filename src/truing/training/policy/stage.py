"""Policy optimisation: a policy learns to say what scores well, on a leash to where it started."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import torch

from truing.data import formats
from truing.data.formats import Read
from truing.data.records import Prompt
from truing.data.rollouts import Minibatch
from truing.data.seeds import derived
from truing.generation.local import LocalGenerator
from truing.maths import ragged
from truing.maths.kl import AdaptiveKL
from truing.models.loading import load_chat
from truing.rewards.combine import load_reward, weighted_sum
from truing.rewards.function import Reward
from truing.rewards.model import ScorerSetup
from truing.runs.resume import Draws, Facts, Part, fingerprint
from truing.runs.run import Result, Run
from truing.training.diagnostics import History, beforehand, overoptimised, signs
from truing.training.loop import Passes, training_loop
from truing.training.optimize import tell
from truing.training.policy import algorithms
from truing.training.policy.assemble import assemble
from truing.training.policy.auxiliary import auxiliary_loss
from truing.training.policy.collect import Collector
from truing.training.policy.gradient_conflict import gradient_conflict
from truing.training.policy.kl_control import KLControl
from truing.training.policy.learners import Learners
from truing.training.policy.prompts import Prompts, fitting, read_prompts
from truing.training.policy.scoring import Scoring, refusing
from truing.training.policy.settings import Config
from truing.training.policy.step import Iteration, Plan, step


def train(config: Config, reward: Reward | None = None, read: Read = formats.read) -> Result:
    """The whole stage, from files to a run's folder. `reward` given in Python takes the place of those named."""
    with Run.open(config.run, config, "rl") as run:
        chat_format = config.inputs.chat_format
        chat = load_chat(config.model, chat_format)
        found = read_prompts(config, chat, run, read)
        learners = assemble(config, run)
        refuse = refusing(config.scores.bad_rewards, run)
        if reward is None:
            setup = ScorerSetup(learners.precision, learners.owner, run.say)
            reward = load_reward(config.reward, chat, chat_format, refuse, setup)
            prompts = fitting(found, learners, chat, config, run, config.reward)
        else:
            reward = weighted_sum([(1.0, "(given in Python)", reward)], refuse)
            prompts = fitting(found, learners, chat, config, run)
        adapts, cuts = bool(config.lora.lora_rank), config.sampling.truncates
        for line in beforehand(len(prompts.learned), config.asked, config.learning.lr, adapts, cuts):
            run.say(line)
        tell(learners.precision, learners.policy, run)
        collector = Collector(
            LocalGenerator(learners.policy, chat), chat, config.sampling, Scoring(reward, config.scores)
        )
        summary = fit(learners, collector, prompts, config, run)
        run.save(learners.policy, chat.tokenizer, "model")
        if learners.critic is not None:
            run.save(learners.critic, chat.tokenizer, "critic")
        return run.finish(summary)


def fit(learners: Learners, collector: Collector, prompts: Prompts, config: Config, run: Run) -> dict[str, float]:
    """All iterations, with the figures before and after. Returns these."""
    iteration, history, before = Iteration(), History(), dict[str, float]()
    rng = torch.Generator().manual_seed(config.run.seed)
    auxiliary = auxiliary_loss(learners, config, collector.chat, run)
    kl_in_reward = config.row.kl_in_reward
    control = KLControl(AdaptiveKL(kl_in_reward, config.kl_target, config.kl_horizon) if config.kl_target else None)
    parts: dict[str, Part] = {
        **learners.parts(bool(config.reference_every)),
        **({"auxiliary": auxiliary} if auxiliary is not None else {}),
        "rng": Draws(rng),
        "scoring": collector.scoring,
        "kl_control": control,
        "iteration": iteration,
        "history": history,
        "before": Facts(lambda: before, before.update),
    }
    evaluation = replace(collector, seed=config.run.seed + 987_654_321)  # the same responses where nothing has moved
    passes = Passes(len(prompts.learned), config.prompts_per_iteration, config.asked)
    with training_loop(run, passes, parts, fingerprint(prompts.learned, prompts.held_out)) as loop:
        if not loop.done and not before:
            before.update(evaluate(learners, evaluation, prompts.held_out, run, "before"))
        for chosen in loop:
            number, algo, most = loop.step, control.applied(config.row), config.sampling.max_new_tokens
            plan = Plan(
                most,
                rng,
                check=number == 1 or due(config.check_every, number),
                train_policy=number > config.critic_warmup or learners.critic is None,
                auxiliary=auxiliary,
                measure=partial(gradient_conflict, learners, algo, most) if due(config.tug_every, loop.done) else None,
                quarantine=partial(quarantine, collector, run, number),
            )
            asked = [prompts.learned[i] for i in chosen]
            seeded = replace(collector, seed=derived(config.run.seed, number))
            for _ in step(learners, asked, seeded, algo, plan, iteration):
                loop.save_if_due()
            metrics = iteration.metrics | control.metrics
            control.observe(iteration.experience)
            if due(config.reference_every, number):
                learners.pull_reference(config.reference_pull)
            history.append(metrics)
            for sign in signs(history.rows, iteration.responses):
                run.say(sign)
            loop.log(metrics, iteration.first_response)
            run.sample(number, "", prompt=asked[0].text, response=iteration.first_response)
            if due(config.save_every, number) and number < config.iterations:
                run.save(learners.policy, collector.chat.tokenizer, f"checkpoints/iteration-{number:06d}")
            iteration.clear()
    after = evaluate(learners, evaluation, prompts.held_out, run, "after")
    for sign in overoptimised(history.rows, before, after, len(prompts.held_out)):
        run.say(sign)
    named = (("before", before), ("after", after))
    return {f"{name}_{when}": value for when, figures in named for name, value in figures.items()} | loop.cost


def due(every: int, number: int) -> bool:
    """Whether it is time for what is done once in so many iterations; 0: never."""
    return every > 0 and number % every == 0


def quarantine(collector: Collector, run: Run, number: int, batch: Minibatch) -> None:
    """Keep a minibatch that moved nothing, to look at."""
    run.quarantine(number, responses=[collector.chat.text(ids) for ids in batch.experience.tokens.responses()])


def evaluate(learners: Learners, collector: Collector, prompts: list[Prompt], run: Run, phase: str) -> dict[str, float]:
    """Mean reward (of those scored), KL and shape of responses to held-out prompts."""
    rollouts, responses = collector.generate(prompts, 1)
    kl_N = learners.log_ratio(rollouts)
    rewards = collector.scoring.rewards(prompts, responses)
    for prompt, answer, score in zip(prompts, responses, rewards, strict=True):
        run.sample(0, phase, prompt=prompt.text, response=answer.text, score=score, finish_reason=answer.finish_reason)
    scores = torch.tensor([score for score in rewards if math.isfinite(score)] or [math.nan])
    return {
        "reward": scores.mean().item(),
        "reward_std": scores.std(correction=0).item(),
        "kl": ragged.total(kl_N, rollouts.lengths_B).mean().item(),
        "length": rollouts.lengths_B.float().mean().item(),
        "unfinished": rollouts.truncated_B.float().mean().item(),
    }


def explain(config: Config) -> None:
    """Print the row of the table that is configured, in full."""
    print(f"{config.algorithm}\n")
    for key, value, meaning in algorithms.explain(config.row):
        print(f"  {key:<13} {value:<28} {meaning}")
