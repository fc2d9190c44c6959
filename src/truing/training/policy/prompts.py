"""Prompts of policy optimisation: those to learn on, and held-out ones for the figures before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from truing.data import formats
from truing.data.chat import Chat
from truing.data.formats import Read
from truing.data.lengths import short_enough
from truing.data.prompts import distinct_prompts, with_room
from truing.data.records import Prompt, split_of
from truing.errors import UserError
from truing.rewards import combine
from truing.runs.run import Run
from truing.training.policy.learners import Learners
from truing.training.policy.settings import Config


@dataclass(frozen=True)
class Prompts:
    """The prompts of a run."""

    learned: list[Prompt]
    held_out: list[Prompt]


def read_prompts(config: Config, chat: Chat, run: Run, read: Read = formats.read) -> Prompts:
    """Prompts to learn on, and held-out ones: those marked "test", or a share by root prompt, or the first learned."""
    prompts = distinct_prompts(config.inputs, run.say, chat.check, read=read)
    split = {
        "train": [p for p in prompts if p.split in ("", "train")],
        "test": [p for p in prompts if p.split == "test"],
    }
    if not split["test"]:
        parts = [(split_of(p.root, config.held_out), p) for p in split["train"]]
        split = {name: [p for part, p in parts if part == name] for name in split}
    if not split["train"]:
        raise UserError(f"held_out = {config.held_out} leaves no prompt to learn on: {len(prompts)} prompts in all")
    return Prompts(split["train"], (split["test"] or split["train"])[: config.evaluation_prompts])


def fitting(
    found: Prompts, learners: Learners, chat: Chat, config: Config, run: Run, reward: Sequence[str] = ()
) -> Prompts:
    """Those prompts that leave room for a response in the policy's context, and for any in that of reference, critic
    and the reward models among `reward`, which read it. The others are told."""
    every = list({p.id: p for p in (*found.learned, *found.held_out)}.values())
    policy = learners.policy
    kept = with_room(every, chat, policy.context, run.say, config.inputs.strict)
    context = min(role.context for role in (learners.reference, learners.critic, policy) if role is not None)
    if context < policy.context:
        lengths = [len(chat.prompt_ids(prompt.messages)) + config.sampling.max_new_tokens for prompt in kept]
        longest = [int(min(length, policy.context)) for length in lengths]
        what = f"prompts leave no room for max_new_tokens in reference's or critic's context of {context} tokens"
        kept = [kept[i] for i in short_enough(kept, longest, context, what, run.say, config.inputs.strict)]
    room = {p.id for p in combine.readable(kept, reward, policy.context, config.inputs, config.sampling, run.say)}
    learned = [p for p in found.learned if p.id in room]
    if not learned:
        raise UserError("every prompt to learn on is too long for the model's context: shorten them")
    held_out = [p for p in found.held_out if p.id in room]
    return Prompts(learned, held_out or learned[: config.evaluation_prompts])
