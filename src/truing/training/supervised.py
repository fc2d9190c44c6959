"""Supervised fine-tuning: say what the demonstrations say. Whole sequences end to end, none sees another."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol

import torch
from torch import Tensor

from truing.data import formats
from truing.data.batches import Sequences, minibatches
from truing.data.chat import Chat, Layout
from truing.data.formats import Read
from truing.data.records import Demonstration, split_of
from truing.errors import UserError
from truing.maths import ragged
from truing.maths.averages import per_token
from truing.maths.surrogates import negative_log_likelihood
from truing.models.adapters import Adapter
from truing.models.loading import load_chat, load_policy
from truing.models.roles import Policy, trainable
from truing.seams import seam
from truing.training import processes
from truing.training.keeper import Facts, Keeper, Part, Weights, fingerprint
from truing.training.optimize import Learning, Optimizer, ready, settled, speed, tell, watched, whole, within_memory
from truing.training.progress import Progress
from truing.training.run import Run


@dataclass(frozen=True)
class Config:
    """Supervised fine-tuning on demonstrations."""

    model: str
    """What to start from: a hub id, a folder, or an earlier run."""
    data: tuple[str, ...]
    """Demonstrations: files, folders, runs or hub ids."""
    out: str = "runs/sft"
    """The run's folder."""
    epochs: float = 1.0
    """Passes over the demonstrations."""
    batch_size: int = 32
    """Demonstrations in one update."""
    loss_on: Literal["response", "all"] = "response"
    """Learn the response only, or the prompt too."""
    max_tokens: int = 512
    """Longer demonstrations are left out and counted."""
    layout: Layout = "auto"
    """How messages become text: the tokenizer's chat template where it has one, Human/Assistant dialogue, or plain."""
    held_out: float = 0.05
    """Share of root prompts kept for the held-out loss."""
    evaluate_every: int = 50
    """Updates between two measurements of the held-out loss."""
    freeze: tuple[str, ...] = ()
    """Patterns of parameter names that do not learn, such as *embed*."""
    lora: Adapter = field(default_factory=Adapter)
    """Train a low-rank adapter in place of all weights."""
    learning: Learning = field(default_factory=lambda: Learning(lr=2e-4, schedule="cosine", warmup=0.03))
    """How weights move."""
    seed: int = 0
    """Of the order and the split."""
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
        for name, holds, rule in (
            ("epochs", 0 < self.epochs < math.inf, "above 0, and finite"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("max_tokens", self.max_tokens >= 2, "2 or more"),
            ("held_out", 0 <= self.held_out < 1, "a share, at least 0 and below 1"),
            ("evaluate_every", self.evaluate_every >= 1, "1 or more"),
        ):
            if not holds:
                raise UserError(f"{name} = {getattr(self, name)!r}: it must be {rule}")


def step(
    policy: Policy, tokens: Sequences, optimizer: Optimizer, budget_tokens: int, say: Callable[[str], None] = print
) -> tuple[dict[str, float], int]:
    """One update: mean negative log-likelihood over all response tokens of the minibatch.

    Returns its figures and the budget that memory allows.
    """
    work = partial(gradients, policy, tokens, per_token(tokens.lengths_B, 0))
    loss, budget_tokens = within_memory(work, budget_tokens, optimizer.clear, say)
    figures = whole({"loss/nll": loss})
    moved = optimizer.step(figures["loss/nll"])
    return {**figures, **{f"policy/{name}": value for name, value in moved.items()}}, budget_tokens


def gradients(policy: Policy, tokens: Sequences, weight_N: Tensor, budget_tokens: int) -> float:
    """Add up the gradients of this process's share of a minibatch. Returns its part of the loss."""
    own_B = processes.share(len(tokens))
    own, own_weight_N = tokens.select(own_B), weight_N[ragged.tokens_of(own_B, tokens.lengths_B)]
    loss = 0.0
    for index_B in own.parts(budget_tokens):
        part_weight_N = own_weight_N[ragged.tokens_of(index_B, own.lengths_B)]
        term = (part_weight_N * negative_log_likelihood(policy.logprobs(own.select(index_B)))).sum()
        term.backward()
        loss += term.item()
    return loss


@torch.no_grad()
def held_out_loss(policy: Policy, tokens: Sequences, budget_tokens: int) -> float:
    """Mean negative log-likelihood a token."""
    own = tokens.select(processes.share(len(tokens)))
    total = sum(-policy.logprobs(own.select(index_B)).sum().item() for index_B in own.parts(budget_tokens))
    return processes.summed({"total": total})["total"] / len(tokens.token_N)


def encode(
    records: Sequence[Demonstration], chat: Chat, config: Config, context: float = math.inf
) -> tuple[Sequences, int]:
    """Token sequences of demonstrations, and how many were longer than `max_tokens` or `context` and left out.

    Raises UserError where all were.
    """
    most = min(config.max_tokens, context)
    prompts, responses = [], []
    for record in records:
        prompt, response = chat.prompt_ids(record.prompt.messages), chat.response_ids(record.response)
        if len(prompt) + len(response) > most:
            continue
        if config.loss_on == "all":
            prompt, response = prompt[:1], prompt[1:] + response
        prompts.append(prompt)
        responses.append(response)
    if not prompts:
        bound = f"max_tokens = {most}" if most == config.max_tokens else f"the model's context of {most}"
        raise UserError(f"all {len(records)} demonstrations are longer than {bound}")
    return Sequences.of(prompts, responses), len(records) - len(prompts)


def train(config: Config, read: Read = formats.read) -> Policy:
    """The whole stage, from files to a run's folder. Returns the fine-tuned policy."""
    with Run.open(config.out, config, "sft", fresh=config.fresh) as run:
        chat = load_chat(config.model, config.layout)
        records = read(config.data, (Demonstration,), config.strict, run.say, chat.check)
        policy = load_policy(config.model, config.lora, config.freeze, seed=config.seed)
        parts: dict[str, list[Demonstration]] = {"train": [], "test": []}
        for record in records:
            parts[split_of(record.prompt.root, config.held_out)].append(record)
        if not parts["train"]:
            raise UserError(
                f"held_out = {config.held_out} leaves nothing to train on: {len(records)} demonstrations in all"
            )
        tokens, left_out = encode(parts["train"], chat, config, policy.context)
        if left_out and policy.context < config.max_tokens:
            run.say(f"{left_out} demonstrations are longer than the model's context of {policy.context}: left out")
        held_out = None
        try:
            held_out = encode(parts["test"], chat, config, policy.context)[0] if parts["test"] else None
        except UserError as error:
            run.say(f"nothing is held out: {error}")
        summary = fit(policy, tokens, held_out, config, run)
        run.save(policy, chat.tokenizer, "model")
        run.finish({**summary, "demonstrations": len(tokens), "left_out_too_long": left_out})
    return policy


class Fitting(Protocol):
    """The settings by which pretraining and fine-tuning share `fit`."""

    @property
    def epochs(self) -> float: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def evaluate_every(self) -> int: ...
    @property
    def learning(self) -> Learning: ...
    @property
    def seed(self) -> int: ...
    @property
    def save_state_s(self) -> float: ...
    @property
    def allow_inexact(self) -> bool: ...


def fit(
    policy: Policy, tokens: Sequences, held_out: Sequences | None, config: Fitting, run: Run
) -> dict[str, float]:  # fmt: skip
    """Train on `tokens` for some epochs; pretraining and fine-tuning share it. Returns the final figures."""
    steps = max(1, round(config.epochs * len(tokens) / config.batch_size))
    learning = settled(config.learning, policy, run)
    tell(learning.precision, policy, run)
    ready(policy, learning)
    optimizer = Optimizer(trainable(policy), learning, steps, policy.follow)
    summary: dict[str, float] = {"updates": steps}
    room = {"budget": learning.budget_tokens}  # of a micro-batch: smaller once memory has run out
    parts: dict[str, Part] = {
        "policy": Weights(policy),
        "optimizer": optimizer,
        "summary": Facts(lambda: summary, summary.update),
        "memory": Facts(lambda: room, room.update),
    }
    data = fingerprint(tokens.token_S, tokens.lengths_B, tokens.prompt_lengths_B)
    with (
        Keeper(run, parts, data, config.save_state_s, config.allow_inexact) as keeper,
        Progress(steps, run.stage) as progress,
    ):
        done = keeper.resume()
        if held_out is not None and not done:
            summary["held_out_loss_before"] = held_out_loss(policy, held_out, learning.budget_tokens)
        for chosen in minibatches(len(tokens), config.batch_size, steps, config.seed, done):
            done += 1
            batch = tokens.select(torch.tensor(chosen))
            begin, update = time.perf_counter(), partial(step, policy, batch, optimizer, room["budget"], run.say)
            figures, room["budget"] = watched(update, partial(run.quarantine, done, demonstrations=chosen))
            figures["tokens"] = float(len(batch.token_S))
            needed = policy.learning_flops(len(batch.token_S), len(batch.token_N))
            figures |= speed(len(batch.token_S), needed, time.perf_counter() - begin, policy.device)
            if held_out is not None and (done % config.evaluate_every == 0 or done == steps):
                figures["loss/held_out"] = held_out_loss(policy, held_out, learning.budget_tokens)
                summary["held_out_loss"] = figures["loss/held_out"]
            summary["loss"] = figures["loss/nll"]
            run.log(done, **figures)
            progress.update(done, figures)
            seam("update")
            keeper.passed(done)
    return {**summary, **keeper.cost}
