"""The policy in this process as a generator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from truing.data.chat import Chat
from truing.generation.engine import Engine
from truing.generation.generator import Generation, ProgressCallback, TokenPrompt, no_progress
from truing.generation.sampling import Sampling
from truing.models.loading import listed
from truing.models.roles import Policy


@dataclass(frozen=True)
class LocalGenerator:
    """Generates with the weights that the policy has when it is asked. `chat` says what ends a response, and shows the
    text in which stop strings are looked for."""

    policy: Policy
    chat: Chat

    @property
    def context(self) -> float:
        """Most tokens of a prompt together with its response."""
        return self.policy.context

    @property
    def end_ids(self) -> list[int]:
        """Every token that ends a response: the chat's, and those the model's own generation settings name."""
        named = listed(self.policy.lm_inside.generation_config.eos_token_id)
        return sorted({self.chat.end_id, *self.chat.ends, *named})

    def generate(
        self,
        prompts: Sequence[TokenPrompt],
        sampling: Sampling,
        seeds: Sequence[int],
        progress: ProgressCallback = no_progress,
    ) -> list[Generation]:
        """One response to each prompt; equal prompts are read once."""
        engine = Engine(self.policy, sampling, self.end_ids, self.chat.text)
        generations: list[Generation] = [engine.add(*each) for each in zip(prompts, seeds, strict=True)]
        engine.run(progress)
        return generations

    def stream(self, prompt: TokenPrompt, sampling: Sampling, seed: int) -> Iterator[Generation]:
        """The response after each step of the engine."""
        engine = Engine(self.policy, sampling, self.end_ids, self.chat.text, slots=1)
        generation = engine.add(prompt, seed)
        while not generation.finish_reason:
            engine.step()
            yield generation
