"""What is too long to be read is left out before anything is learned, and told in one wording."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from truing.data.records import Prompt
from truing.errors import UserError


def longest(max_tokens: int, context: float) -> tuple[float, str]:
    """The most tokens of a sequence, and the bound that says so: the setting, or the model's context below it."""
    if max_tokens <= context:
        return max_tokens, f"max_tokens = {max_tokens}"
    return context, f"the model's context of {context} tokens"


def short_enough(
    prompts: Sequence[Prompt],
    lengths: Sequence[int],
    most: float,
    what: str,
    say: Callable[[str], None],
    strict: bool = False,
) -> list[int]:
    """Places of the records, known by their prompts, that have at most `most` tokens.

    `what` tells what the others are, such as "demonstrations are longer than max_tokens = 512". They are told with the
    first of them. Raises UserError in place of that where `strict`, and where none is left.
    """
    over = [i for i, length in enumerate(lengths) if length > most]
    kept = [i for i, length in enumerate(lengths) if length <= most]
    if over:
        first = prompts[over[0]]
        told = (
            f"{len(over)} of {len(prompts)} {what}; the first, {first.id} ({first.text[:40]!r}), has "
            f"{lengths[over[0]]} tokens"
        )
        if strict or not kept:
            raise UserError(f"{told}: shorten them")
        say(f"{told}; left out")
    return kept
