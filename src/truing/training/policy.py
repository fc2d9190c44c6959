"""Policy optimisation: a policy learns to say what scores well, on a leash to where it started."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from typing import Literal

import torch
from torch import nn

from truing.data import formats
from truing.data.batches import Sequences, minibatches
from truing.data.chat import Chat, Layout
from truing.data.formats import Read
from truing.data.records import Demonstration, Prompt, Response
from truing.data.rollouts import Rollouts
from truing.errors import UserError
from truing.generation.sampling import Sampling
from truing.maths import ragged
from truing.maths.kl import AdaptiveKL
from truing.models.adapters import Adapter
from truing.models.loading import load_chat, load_policy, load_scorer, same_tokens
from truing.models.roles import share_frozen, trainable
from truing.rewards.combine import load_reward, model_sources, weighted_sum
from truing.rewards.function import Reward
from truing.training import supervised
from truing.training.algorithms import Algorithm, algorithm
from truing.training.answering import judged, spoken
from truing.training.health import beforehand, overoptimised, signs
from truing.training.judge import Bad, Judge, refusing
from truing.training.keeper import Keeper, fingerprint
from truing.training.nets import LARGEST_GAP, Nets
from truing.training.optimize import Learning, Optimizer, ready, settled, tell
from truing.training.policy_state import Standing
from truing.training.policy_step import Place, Speak, step
from truing.training.progress import Progress
from truing.training.prompts import fitting, read_prompts
from truing.training.run import Run
from truing.training.tug import tug_of_war


@dataclass(frozen=True)
class Config:
    """Policy optimisation by any row of the table."""

    model: str
    """The policy to start from: a hub id, a folder, or an earlier run."""
    data: tuple[str, ...]
    """Prompts: files, folders, runs or hub ids."""
    reward: tuple[str, ...]
    """What scores: a reward model's run, file.py:function, regex:PATTERN, exact, http://…; 0.5*NAME weighs several."""
    out: str = "runs/rl"
    """The run's folder."""
    algorithm: str = "ppo"
    """A row of the table; --explain prints it in full."""
    override: dict[str, float] = field(default_factory=dict)
    """Numbers of the row to replace, such as kl_in_reward 0.1."""
    choose: dict[str, str] = field(default_factory=dict)
    """Functions of the row to replace, such as advantage reward_to_go, or kl k3."""
    iterations: int = 100
    """Rounds of sampling and learning."""
    prompts_per_iteration: int = 64
    """Prompts answered in each."""
    sampling: Sampling = field(default_factory=Sampling)
    """How responses are drawn."""
    critic_from: str = "auto"
    """Where the critic starts: reward (the reward model), policy, trunk (a head on the policy), or a folder."""
    critic_lr: float = 0.0
    """Learning rate of a separate critic; 0: the policy's."""
    critic_warmup: int = 0
    """Iterations in which only a separate critic learns."""
    kl_target: float = 0.0
    """Drift to hold, in nats a response, by adapting kl_in_reward; 0 keeps it fixed."""
    kl_horizon: int = 10000
    """Responses over which the adaptive price of drift corrects itself."""
    reference: str = ""
    """The model to stay near; empty: the policy as it was at the start."""
    reference_every: int = 0
    """Iterations between two moves of the reference toward the policy; 0: it stays."""
    reference_pull: float = 1.0
    """How far it moves then: 1 all the way, 0.01 each iteration is an EMA."""
    missing_end_penalty: float = 0.0
    """Taken from the score of a response that did not end by itself."""
    reward_clip: float = 0.0
    """Scores are held within plus and minus this; 0: off."""
    scale_rewards: bool = False
    """Divide scores by their running standard deviation; the mean is not taken off."""
    bad_rewards: Bad = "stop"
    """A score that is NaN, None, infinite or a text: stop, naming prompt and source, or drop the response and count."""
    pretrain_data: tuple[str, ...] = ()
    """Demonstrations whose likelihood is kept up meanwhile (PPO-ptx)."""
    pretrain_weight: float = 0.0
    """Weight of that term; 0: off."""
    pretrain_batch: int = 16
    """Demonstrations in that term at each update."""
    held_out: float = 0.1
    """Share of root prompts kept for the figures before and after."""
    evaluation_prompts: int = 64
    """At most so many of them are answered."""
    tug_every: int = 10
    """Iterations between two measurements of the tug of war; 0: never."""
    check_every: int = 10
    """Iterations between two checks of collected log-probs, and of drift where none is priced; 0: the first only."""
    save_every: int = 0
    """Iterations between two saved checkpoints; 0: the last only."""
    layout: Layout = "auto"
    """How messages become text: the tokenizer's chat template where it has one, Human/Assistant dialogue, or plain."""
    freeze: tuple[str, ...] = ()
    """Patterns of the policy's parameter names that do not learn, such as *embed*."""
    lora: Adapter = field(default_factory=Adapter)
    """Train a low-rank adapter; the reference is the base without it. The usual lr is then 1e-4, else 1e-5."""
    learning: Learning = field(default_factory=lambda: Learning(lr=0.0, schedule="constant"))
    """How weights move."""
    seed: int = 0
    """Of everything random."""
    strict: bool = False
    """Stop at the first bad row in place of leaving it out."""
    save_state_s: float = 120.0
    """Seconds between two saves of all that is needed to go on to the bit after a break; below 0: when stopped only."""
    allow_inexact: bool = False
    """Go on with a run on another machine, other versions or more or fewer processes: the bits may differ."""
    fresh: bool = False
    """Start over: a run broken off in the same folder is not continued, a finished one is replaced."""
    track: Literal["none", "wandb", "trackio"] = "none"
    """Also send the figures to this service."""

    def __post_init__(self) -> None:
        row = self.row  # refuses unknown names and impossible numbers
        for name, holds, rule in (
            ("iterations", self.iterations >= 1, "1 or more"),
            ("prompts_per_iteration", self.prompts_per_iteration >= 1, "1 or more"),
            ("critic_lr", self.critic_lr >= 0, "0 or more"),
            ("critic_warmup", 0 <= self.critic_warmup < self.iterations, "0 or more, and below iterations"),
            ("kl_target", self.kl_target >= 0, "0 or more"),
            ("kl_horizon", self.kl_horizon >= 1, "1 or more"),
            ("reference_every", self.reference_every >= 0, "0 or more"),
            ("reference_pull", 0 < self.reference_pull <= 1, "above 0, at most 1"),
            ("reward_clip", self.reward_clip >= 0, "0 or more"),
            ("pretrain_weight", self.pretrain_weight >= 0, "0 or more"),
            ("pretrain_batch", self.pretrain_batch >= 1, "1 or more"),
            ("held_out", 0 <= self.held_out < 1, "a share, at least 0 and below 1"),
            ("evaluation_prompts", self.evaluation_prompts >= 1, "1 or more"),
            ("tug_every", self.tug_every >= 0, "0 or more"),
            ("check_every", self.check_every >= 0, "0 or more"),
            ("save_every", self.save_every >= 0, "0 or more"),
            ("reward", bool(self.reward), "one source at least"),
            ("sampling.temperature", self.sampling.temperature > 0, "above 0: a policy that never varies cannot learn"),
            ("reference_every", not (self.reference_every and self.lora.lora_rank), "0 with LoRA: the base stays"),
            ("reference", not (self.reference and self.lora.lora_rank), "empty with LoRA: the base is the reference"),
            ("pretrain_data", bool(self.pretrain_data) == bool(self.pretrain_weight), "given with pretrain_weight"),
            ("kl_target", not self.kl_target or row.kl_in_reward > 0, "0 where kl_in_reward is 0"),
            (
                "kl_horizon",
                not self.kl_target or 5 * self.kl_horizon > self.prompts_per_iteration * row.answers,
                "above a fifth of the responses of an iteration: the price changes by up to 0.2 over a horizon",
            ),
        ):
            if not holds:
                value = reduce(getattr, name.split("."), self)
                raise UserError(f"{name} = {value!r}: it must be {rule}")
        usual = 1e-4 if self.lora.lora_rank else 1e-5  # ten times, "LoRA without regret" (Schulman et al. 2025)
        object.__setattr__(self, "learning", self.learning.rated(usual))

    @property
    def asked(self) -> int:
        """Prompts of all iterations together."""
        return self.iterations * self.prompts_per_iteration

    @property
    def row(self) -> Algorithm:
        """The algorithm, overrides applied."""
        return algorithm(self.algorithm, self.override, self.choose)


def assemble(config: Config, run: Run) -> Nets:
    """Policy, reference and critic as configured, with their optimizers."""
    row = config.row
    start = with_the_policys_tokens(config, critic_start(config) if row.critic else "", run.say)
    policy = load_policy(config.model, config.lora, config.freeze, trunk_value=start == "trunk", seed=config.seed)
    learning = settled(config.learning, policy, run)
    reference = None
    if not config.lora.lora_rank:
        reference = load_policy(config.reference) if config.reference else copy.deepcopy(policy)
        reference.requires_grad_(False)
    critic = None
    if start and start != "trunk":
        critic = load_scorer(start, config.lora, seed=config.seed, factored=bool(config.lora.lora_rank))
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


class PretrainTerm:
    """PPO-ptx (Ouyang et al. 2022, arXiv:2203.02155, eq. 2): a minibatch of demonstrations adds its gradient.

    Like the loss it returns, that is of this process's share of them.
    """

    def __init__(self, nets: Nets, tokens: Sequences, config: Config) -> None:
        self.nets, self.tokens, self.config, self.done = nets, tokens, config, 0

    def __call__(self) -> dict[str, float]:
        config, size = self.config, self.config.pretrain_batch
        order = minibatches(len(self.tokens), size, (self.done + 1) * size, config.seed, self.done)
        batch = self.tokens.select(torch.tensor(next(order)))
        self.done += 1
        weight_N = config.pretrain_weight * supervised.weights(batch)
        budget_tokens = config.learning.budget_tokens
        return {"loss/pretrain": supervised.gradients(self.nets.policy, batch, weight_N, budget_tokens)}


def pretrain_term(nets: Nets, config: Config, chat: Chat, run: Run) -> PretrainTerm | None:
    """The term as configured, or none."""
    if not config.pretrain_weight:
        return None
    records = formats.read(config.pretrain_data, (Demonstration,), config.strict, run.say, chat.check)
    shape = supervised.Config(config.model, config.pretrain_data, max_tokens=10**9)
    return PretrainTerm(nets, supervised.encode(records, chat, shape, nets.policy.context, run.say)[0], config)


def train(config: Config, reward: Reward | None = None, read: Read = formats.read) -> Nets:
    """The whole stage, from files to a run's folder. `reward` given in Python takes the place of those named."""
    with Run.open(config.out, config, "rl", fresh=config.fresh) as run:
        chat = load_chat(config.model, config.layout)
        found = read_prompts(config, chat, run, read)
        nets = assemble(config, run)
        refuse = refusing(config.bad_rewards, run)
        if reward is None:
            judging = load_reward(config.reward, chat, config.layout, nets.precision, refuse, nets.owner)
        else:
            judging = weighted_sum([(1.0, "(given in Python)", reward)], refuse)
        judge = Judge(judged(judging), config)
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
        run.finish({f"{name}_{when}": value for when, figures in told for name, value in figures.items()} | now.cost)
    return nets


def speaker(nets: Nets, chat: Chat, config: Config, number: int) -> Speak:
    """How the policy answers in iteration `number`."""

    def say(prompts: Sequence[Prompt], answers: int) -> tuple[Rollouts, list[Prompt], list[Response]]:
        return spoken(nets.policy, chat, prompts, answers, config.sampling, config.seed * 1_000_003 + number)

    return say


def fit(
    nets: Nets, chat: Chat, prompts: Sequence[Prompt], evaluation: Sequence[Prompt], judge: Judge, config: Config,
    run: Run,
) -> Standing:  # fmt: skip
    """All iterations. Returns where it stands after the last."""
    algo, limit = config.row, config.sampling.max_new_tokens
    budget, extra = config.learning.budget_tokens, pretrain_term(nets, config, chat, run)
    rng = torch.Generator().manual_seed(config.seed)
    price = AdaptiveKL(algo.kl_in_reward, config.kl_target, config.kl_horizon) if config.kl_target else None
    now = Standing(nets, judge, rng, price, extra)
    with (
        Keeper(run, now.parts(bool(config.reference_every)), fingerprint(prompts, evaluation), config.save_state_s,
               config.allow_inexact) as keeper,
        Progress(config.iterations, "rl") as progress,
    ):  # fmt: skip
        nets.say, done = run.say, keeper.resume()
        nets.quarantine = lambda batch: run.quarantine(
            done + 1, responses=[chat.text(ids) for ids in batch.tokens.responses()]
        )
        if not done and not now.before:
            now.before = evaluate(nets, chat, evaluation, judge.reward, config, run, "before")
        for chosen in minibatches(len(prompts), config.prompts_per_iteration, config.asked, config.seed, done):
            number = done + 1
            if now.price is not None:
                algo = replace(algo, kl_in_reward=now.price.coefficient)
            tugs = config.tug_every and done % config.tug_every == 0
            figures, answers = step(
                nets,
                [prompts[i] for i in chosen],
                speaker(nets, chat, config, number),
                judge,
                algo,
                rng,
                limit,
                budget,
                extra,
                check=number == 1 or bool(config.check_every and number % config.check_every == 0),
                measure=partial(tug_of_war, nets, algo=algo, limit=limit, budget_tokens=budget) if tugs else None,
                learn_policy=number > config.critic_warmup or nets.critic is None,
                place=now.place,
                passed=partial(keeper.passed, done),
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
            run.log(number, **figures)
            run.sample(number, "", prompt=prompts[chosen[0]].text, response=answers[0].text)
            progress.update(number, figures, answers[0].text)
            if config.save_every and number % config.save_every == 0 and number < config.iterations:
                run.save(nets.policy, chat.tokenizer, f"checkpoints/iteration-{number:06d}")
            now.place, done = Place(), number
            keeper.passed(done)
    now.cost = keeper.cost
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
    said, asked, answers = spoken(nets.policy, chat, prompts, 1, config.sampling, seed=config.seed + 987_654_321)
    kl_N = nets.log_ratio(said, config.learning.budget_tokens)
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
