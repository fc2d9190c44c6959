"""Seeds made of a run's seed: what is drawn for one epoch, iteration or response does not depend on the others."""

from __future__ import annotations


def derived(seed: int, number: int) -> int:
    """The seed of an epoch, an iteration, a chunk of prompts."""
    return seed * 1_000_003 + number


def of_response(seed: int, prompt: int, answer: int) -> int:
    """The seed of one response: of the answer with this number to the prompt at this place."""
    return derived(seed, prompt) * 1_009 + answer
