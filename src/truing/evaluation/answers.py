"""Answers that somebody waits for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from truing.data.chat import Chat
from truing.generation.generator import Generator
from truing.generation.records import Generated, Request, generate
from truing.generation.sampling import Sampling
from truing.runs.progress import Progress


def generate_watched(
    generator: Generator, chat: Chat, asked: Sequence[Request], sampling: Sampling, label: str
) -> Generated:
    """Generate these responses, and show how many are there."""
    with Progress(len(asked), label) as progress:
        return generate(generator, chat, asked, sampling, partial(progress.update, figures={}))
