"""Talk with a policy in the terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from truing.data.chat import Chat
from truing.data.records import Message, Prompt
from truing.data.settings import ChatFormat
from truing.generation.generator import Generator
from truing.generation.local import LocalGenerator
from truing.generation.records import generate, requests
from truing.generation.sampling import Sampling
from truing.models.loading import load_chat, load_policy


@dataclass(frozen=True)
class Config:
    """A conversation with a policy."""

    model: str
    """Who answers: a hub id, a folder, or an earlier run."""
    system: str = ""
    """A system message to begin with."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.7, max_new_tokens=256))
    """How responses are drawn."""
    chat_format: ChatFormat = "auto"
    """How messages become text: the tokenizer's chat template where it has one, Human/Assistant dialogue, or plain."""
    seed: int = 0
    """Of the draws."""


def talk(config: Config, ask: Callable[[str], str] = input, say: Callable[[str], None] = print) -> list[Message]:
    """A conversation with the configured policy. Returns the last one."""
    chat = load_chat(config.model, config.chat_format)
    return converse(LocalGenerator(load_policy(config.model), chat), chat, config, ask, say)


def converse(
    generator: Generator, chat: Chat, config: Config, ask: Callable[[str], str], say: Callable[[str], None]
) -> list[Message]:
    """Turn by turn until the person types /quit or ends the input; /new begins again. Returns the last conversation."""
    context = generator.context
    opening = [Message("system", config.system)] if config.system else []
    messages = list(opening)
    chat.prompt_ids([*opening, Message("user", "Hello")])  # a template that refuses the system message does so now
    say("/new begins again, /quit leaves")
    turn = 0
    while True:
        try:
            typed = ask("> ").strip()
        except EOFError:
            return messages
        if typed == "/quit":
            return messages
        if typed == "/new":
            messages = list(opening)
            continue
        if not typed:
            continue
        try:
            typed.encode()
        except UnicodeEncodeError:
            say("that was no UTF-8 text: type it again")
            continue
        new = Message("user", typed)
        if len(chat.prompt_ids([*opening, new])) >= context:
            say(f"that leaves no room in the model's context of {context} tokens: say it shorter")
            continue
        messages.append(new)
        while len(chat.prompt_ids(messages)) >= context - 8 and len(messages) > len(opening) + 1:
            del messages[len(opening) : len(opening) + 2]  # the oldest turn goes first
        turn += 1
        asked = requests([Prompt(tuple(messages))], 1, config.seed + turn)
        (answer,) = generate(generator, chat, asked, config.sampling).responses
        say(answer.text)
        messages.append(Message("assistant", answer.text))
