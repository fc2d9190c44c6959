"""Supervised fine-tuning: say what the demonstrations say. Whole sequences end to end, none sees another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor

from truing.data import formats
from truing.data.batches import Sequences
from truing.data.chat import Chat
from truing.data.formats import Read
from truing.data.lengths import longest, short_enough
from truing.data.records import Demonstration, split_of
from truing.data.settings import DataSettings
from truing.errors import UserError
from truing.maths import ragged
from truing.maths.surrogates import negative_log_likelihood
from truing.models.adapters import Adapter
from truing.models.loading import load_chat, load_policy
from truing.models.memory import MicroBatches
from truing.models.roles import Policy
from truing.runs import distributed
from truing.runs.resume import Facts, Weights, fingerprint
from truing.runs.run import Result, Run
from truing.runs.settings import RunSettings
from truing.settings import Flat, require
from truing.training.loop import Learner, Passes, PassSettings, Update, training_loop
from truing.training.optimize import Learning

LossOn = Literal["assistant", "last", "all"]

USUAL_LR = 2e-4


@dataclass(frozen=True)
class Config:
    """Supervised fine-tuning on demonstrations."""

    model: str
    """What to start from: a hub id, a folder, or an earlier run."""
    inputs: Flat[DataSettings]
    """Demonstrations: files, folders, runs or hub ids."""
    passes: Flat[PassSettings] = PassSettings()
    """Examples are demonstrations."""
    loss_on: LossOn = "assistant"
    """What is learned: every turn of the assistant, the last turn only, or all that is said."""
    max_tokens: int = 512
    """Longer demonstrations are left out and counted."""
    held_out: float = 0.05
    """Share of root prompts kept for the held-out loss."""
    evaluate_every: int = 50
    """Updates between two measurements of the held-out loss."""
    freeze: tuple[str, ...] = ()
    """Patterns of parameter names that do not learn, such as *embed*."""
    lora: Adapter = field(default_factory=Adapter)
    """Train a low-rank adapter in place of all weights."""
    learning: Learning = field(default_factory=lambda: Learning(USUAL_LR, "cosine", warmup=0.03))
    """How weights move."""
    run: Flat[RunSettings] = RunSettings("runs/sft")
    """Where the run is written."""

    def __post_init__(self) -> None:
        require(
            self,
            ("loss_on", self.loss_on in get_args(LossOn), f"one of {', '.join(get_args(LossOn))}"),
            ("max_tokens", self.max_tokens >= 2, "2 or more"),
            ("held_out", 0 <= self.held_out < 1, "a share, at least 0 and below 1"),
            ("evaluate_every", self.evaluate_every >= 1, "1 or more"),
        )
        object.__setattr__(self, "learning", self.learning.rated(USUAL_LR))


def step(learner: Learner[Policy], tokens: Sequences) -> Update:
    """One update: mean negative log-likelihood over all tokens of the minibatch that are learned."""
    read, new = len(tokens.token_S), len(tokens.token_N)
    work, flops = partial(gradients, learner.role), learner.role.learning_flops(read, new)
    return learner.update(partial(split, tokens, weights(tokens)), work, "nll", read, flops)


def weights(tokens: Sequences) -> Tensor:
    """The weight of each response token in the mean over those that are learned, [N]."""
    learned_N = torch.ones(len(tokens.token_N)) if tokens.learned_N is None else tokens.learned_N.float()
    return learned_N / learned_N.sum()


MicroBatch = tuple[Sequences, Tensor]


def split(tokens: Sequences, weight_N: Tensor, budget_tokens: int) -> list[MicroBatch]:
    """This process's share of some sequences in micro-batches, each with the weights of its tokens."""
    own_B = distributed.share(len(tokens))
    own, own_weight_N = tokens.select(own_B), weight_N[ragged.tokens_of(own_B, tokens.lengths_B)]
    return [
        (own.select(index_B), own_weight_N[ragged.tokens_of(index_B, own.lengths_B)])
        for index_B in own.parts(budget_tokens)
    ]


def gradients(policy: Policy, micro_batches: Sequence[MicroBatch]) -> dict[str, float]:
    """Add up the gradients of a process's share of a minibatch. Returns its part of the loss, by term."""
    loss = 0.0
    for tokens, weight_N in micro_batches:
        term = _loss(policy, tokens, weight_N)
        term.backward()
        loss += term.item()
    return {"nll": loss}


def held_out_loss(policy: Policy, tokens: Sequences, micro_batches: MicroBatches) -> float:
    """Mean negative log-likelihood of a token that is learned."""

    @torch.no_grad()
    def total(some: Sequence[MicroBatch]) -> float:
        return sum(_loss(policy, tokens, weight_N).item() for tokens, weight_N in some)

    return distributed.summed({"total": micro_batches.run(partial(split, tokens, weights(tokens)), total)})["total"]


def _loss(policy: Policy, tokens: Sequences, weight_N: Tensor) -> Tensor:
    """What some sequences add to the loss."""
    return (weight_N * negative_log_likelihood(policy.logprobs(tokens))).sum()


def encode(
    records: Sequence[Demonstration],
    chat: Chat,
    config: Config,
    context: float = math.inf,
    say: Callable[[str], None] = print,
) -> tuple[Sequences, list[Demonstration]]:
    """Token sequences of demonstrations, and which these are: those longer than `max_tokens` or `context` are left out.

    Raises UserError where all are.
    """
    most, bound = longest(config.max_tokens, context)
    lessons = lessons_of(records, chat, config.loss_on, say)
    lengths = [len(ids) for ids, _ in lessons]
    prompts = [record.prompt for record in records]
    kept = short_enough(prompts, lengths, most, f"demonstrations are longer than {bound}", say)
    parts: tuple[list, list, list] = ([], [], [])
    for ids, learned in (lessons[i] for i in kept):
        begin = learned.index(True)
        for part, values in zip(parts, (ids[:begin], ids[begin:], learned[begin:]), strict=True):
            part.append(values)
    return Sequences.of(*parts), [records[i] for i in kept]


def lessons_of(
    records: Sequence[Demonstration], chat: Chat, loss_on: LossOn, say: Callable[[str], None]
) -> list[tuple[list[int], list[bool]]]:
    """The token ids of each demonstration, and which of them are learned."""
    lessons, rewritten = [], 0
    for record in records:
        messages = record.prompt.messages
        prompt, answer = chat.prompt_ids(messages), chat.response_ids(record.response)
        learned = [loss_on == "all"] * len(prompt) + [True] * len(answer)
        learned[0] = False  # nothing comes before it
        places = chat.places(messages, earlier_answers(record) if loss_on == "assistant" else [])
        rewritten += places is None
        for place in places or ():
            learned[place] = [True] * (place.stop - place.start)
        lessons.append((prompt + answer, learned))
    if rewritten:
        say(
            f"{rewritten} of {len(records)} demonstrations: the chat format ({chat.format}) writes earlier answers in "
            "other tokens than last ones, so only their last answer is learned"
        )
    return lessons


def earlier_answers(record: Demonstration) -> list[int]:
    """Numbers of the prompt's messages that are learned too, in a whole conversation: the assistant's, after a question
    and not empty. Those before an answer to learn from alone are not its author's."""
    messages = record.prompt.messages if record.conversation else ()
    first = next((k for k, message in enumerate(messages) if message.role == "user"), len(messages))
    late = range(first, len(messages))
    return [k for k in late if messages[k].role == "assistant" and messages[k].content.strip()]


def train(config: Config, read: Read = formats.read) -> Result:
    """The whole stage, from files (or what else `read` can read) to a run's folder."""
    with Run.open(config.run, config, "sft") as run:
        chat = load_chat(config.model, config.inputs.chat_format)
        records = read(config.inputs.data, (Demonstration,), config.inputs.strict, run.say, chat.check)
        policy = load_policy(config.model, config.lora, config.freeze, seed=config.run.seed)
        tokens, kept = encode(records, chat, config, policy.context, run.say)
        sides = [split_of(record.prompt.root, config.held_out) for record in kept]
        learn, test = ([i for i, side in enumerate(sides) if side == one] for one in ("train", "test"))
        if not learn:
            raise UserError(
                f"held_out = {config.held_out} leaves nothing to train on: {len(kept)} demonstrations in all"
            )
        if config.held_out and not test:
            run.say(f"nothing is held out: none of {len(kept)} demonstrations falls to held_out = {config.held_out}")
        held_out = HeldOut(tokens.select(torch.tensor(test)), config.evaluate_every) if test else None
        passes = config.passes.over(len(learn), run)
        summary = fit(policy, tokens.select(torch.tensor(learn)), held_out, passes, config.learning, run)
        run.save(policy, chat.tokenizer, "model")
        left_out = len(records) - len(kept)
        return run.finish({**summary, "demonstrations": len(learn), "left_out_too_long": left_out})


@dataclass(frozen=True)
class HeldOut:
    """Examples that are not learned from, and the updates between two measurements of their loss."""

    tokens: Sequences
    every: int


def fit(
    policy: Policy, tokens: Sequences, held_out: HeldOut | None, passes: Passes, learning: Learning, run: Run
) -> dict[str, float]:
    """Train on `tokens`; pretraining and fine-tuning share it. Returns the final figures."""
    learner = Learner.for_run("policy", policy, learning, passes.steps, run)
    summary: dict[str, float] = {"updates": passes.steps}
    state = {"policy": Weights(policy), **learner.parts(), "summary": Facts(lambda: summary, summary.update)}
    data = fingerprint(tokens.token_S, tokens.lengths_B, tokens.prompt_lengths_B, weights(tokens))
    with training_loop(run, passes, state, data) as loop:
        if held_out is not None and not loop.done:
            summary["held_out_loss_before"] = held_out_loss(policy, held_out.tokens, learner.micro_batches)
        for chosen in loop:
            batch = tokens.select(torch.tensor(chosen))
            metrics = loop.run_update(partial(step, learner, batch), demonstrations=chosen)
            if held_out is not None and (loop.step % held_out.every == 0 or loop.step == passes.steps):
                metrics["loss/held_out"] = held_out_loss(policy, held_out.tokens, learner.micro_batches)
                summary["held_out_loss"] = metrics["loss/held_out"]
            summary["loss"] = metrics["loss/nll"]
            loop.log(metrics)
    return {**summary, **loop.cost}
