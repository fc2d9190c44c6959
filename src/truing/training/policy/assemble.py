"""The networks that a configuration of policy optimisation asks for, ready to learn."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

from torch import nn

from truing.errors import UserError
from truing.models.loading import load_policy, load_scorer, other_tokens, same_tokens
from truing.models.memory import MicroBatches
from truing.models.roles import share_frozen, trainable
from truing.rewards.combine import model_sources
from truing.runs.run import Run
from truing.training.optimize import Optimizer, ready, settled
from truing.training.policy.learners import Learners
from truing.training.policy.settings import Config


def assemble(config: Config, run: Run) -> Learners:
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
    return Learners(
        policy,
        reference,
        critic,
        Optimizer(trainable(policy), learning, updates, policy.follow),
        Optimizer(trainable(critic), critic_learning, critic_updates, critic.follow) if critic is not None else None,
        MicroBatches(learning.budget_tokens, run.say),
        config.sampling.temperature,
        learning.precision,
        run.say,
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
            raise other_tokens(name, model, config.model)
    return critic
