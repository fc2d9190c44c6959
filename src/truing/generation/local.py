"""The policy in this process as a generator: continuous batching."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from truing.data.chat import Chat
from truing.errors import UserError
from truing.fault_points import seam
from truing.generation.generator import Generation, ProgressCallback, TokenPrompt, TokenPrompts, no_progress
from truing.generation.runner import Runner
from truing.generation.sampling import Sampling, draw, uniforms
from truing.generation.scheduler import InFlight, Scheduler
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
        self, prompts: TokenPrompts, sampling: Sampling, seeds: Sequence[int], progress: ProgressCallback = no_progress
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


class Engine:
    """Samples from a policy: the scheduler says who is next, the runner reads, and a token is drawn for each.

    A response depends on its prompt, its seed and the weights, not on its neighbours (up to the rounding of matrix
    products of different sizes).
    """

    def __init__(
        self,
        policy: Policy,
        sampling: Sampling,
        end_ids: Sequence[int],
        decode: Callable[[Sequence[int]], str] | None = None,
        slots: int | None = None,
        prefill_tokens: int = 4096,
    ) -> None:
        """`slots`: most sequences at a time. None: as many as pay on a processor, as memory holds on an accelerator."""
        if sampling.stop and decode is None:
            raise ValueError("stop strings need `decode` to see the text")
        self.policy, self.sampling, self.decode = policy, sampling, decode
        self.end_ids = frozenset((*end_ids, *sampling.stop_tokens))
        self.context = policy.context
        self.runner = Runner(policy)
        self.scheduler = Scheduler(partial(self.runner.limits, slots, sampling.truncates), prefill_tokens)

    def add(self, prompt: TokenPrompt, seed: int) -> InFlight:
        """Queue one response to a prompt. Add it again with another seed for another response: it is read once."""
        limit = int(min(self.sampling.max_new_tokens, self.context - len(prompt)))
        if limit < 1:
            raise UserError(
                f"a prompt of {len(prompt)} tokens leaves no room in the model's context of {self.context}: shorten it"
            )
        drawn_by = uniforms(seed, limit).tolist()
        sequence = InFlight(prompt=tuple(prompt), seed=seed, limit=limit, uniforms=drawn_by)
        self.scheduler.add(sequence)
        return sequence

    @torch.inference_mode()
    def step(self) -> list[InFlight]:
        """One token for every active sequence, after new ones took the free slots. Returns those that have ended."""
        ended: list[InFlight] = []
        if admitted := self.scheduler.admit():
            ended += self._draw([sequence for sequence, _, _ in admitted], self.runner.prefill(admitted))
        if active := self.scheduler.active:
            ended += self._draw(active, self.runner.decode(self.scheduler.bands))
        return ended

    def run(self, progress: ProgressCallback = no_progress) -> None:
        """Step until nothing waits and nothing is active."""
        self.scheduler.longest_first()
        done = 0
        while self.scheduler.busy:
            if ended := len(self.step()):
                done += ended
                progress(done)
            seam("token")

    def _draw(self, sequences: Sequence[InFlight], hidden_nD: Tensor) -> list[InFlight]:
        """Draw one token for each sequence, with what belongs to it, and free the slots of those that end with it."""
        uniform_n = torch.tensor([s.uniforms[len(s.token_ids)] for s in sequences], device=self.runner.device)
        drawn = draw(self.policy.head.logits(hidden_nD), uniform_n, self.sampling)
        token_n, logp_n, kept_n = (x.tolist() for x in drawn)
        head = self.policy.value_head
        value_n = self.policy.values(hidden_nD).tolist() if head is not None else None
        for i, sequence in enumerate(sequences):
            sequence.token_ids.append(token_n[i])
            sequence.logprobs.append(logp_n[i])
            sequence.kept.append(kept_n[i])
            if value_n is not None:
                sequence.values.append(value_n[i])
            if token_n[i] in self.end_ids or self._reached_stop_text(sequence):
                sequence.finish_reason = "stop"
            elif len(sequence.token_ids) >= sequence.limit:
                sequence.finish_reason = "length"
        ended, moves = self.scheduler.release()
        self.runner.move(moves)
        return ended

    def _reached_stop_text(self, sequence: InFlight) -> bool:
        if not self.sampling.stop or self.decode is None:
            return False
        # A token is at least part of a character: this many from the end are sure to cover the longest stop text.
        tail = self.decode(sequence.token_ids[-4 * max(map(len, self.sampling.stop)) - 8 :])
        return any(stop in tail for stop in self.sampling.stop)
