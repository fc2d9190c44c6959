"""Prompts that are to be answered: each once, and those that leave room for an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from truing.data import formats
from truing.data.chat import Chat
from truing.data.formats import Check, Read
from truing.data.lengths import short_enough
from truing.data.records import Prompt
from truing.data.settings import DataSettings


def distinct_prompts(
    inputs: DataSettings, say: Callable[[str], None], check: Check, count: int = 0, read: Read = formats.read
) -> list[Prompt]:
    """Each prompt of these inputs once; the first `count` of them, or all where that is 0."""
    found = read(inputs.data, (Prompt,), inputs.strict, say, check)
    return list({p.id: p for p in found}.values())[: count or None]


def with_room(
    prompts: Sequence[Prompt], chat: Chat, context: float, say: Callable[[str], None], strict: bool = False
) -> list[Prompt]:
    """The prompts that leave room for an answer in a model's context; how many do not is told, with the first.

    Raises UserError at the first where `strict`, and where none is left.
    """
    lengths = [len(chat.prompt_ids(prompt.messages)) for prompt in prompts]
    what = f"prompts leave no room in the model's context of {context} tokens"
    return [prompts[i] for i in short_enough(prompts, lengths, context - 1, what, say, strict)]
