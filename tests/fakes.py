"""A generator without a model: tokens are drawn by the seed of their response, the first in its list least often."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from truing.errors import UserError
from truing.generation.generator import Generation, no_progress


@dataclass
class FakeGenerator:
    """`asked` and `seeds` are those of each call. Without an `end_id` no response ends before its limit."""

    token_ids: Sequence[int] = range(70, 80)
    end_id: int | None = 2
    context: float = 96
    asked: list[list[tuple[int, ...]]] = field(default_factory=list)
    seeds: list[list[int]] = field(default_factory=list)

    def generate(self, prompts, sampling, seeds, progress=no_progress):
        self.asked.append([tuple(prompt) for prompt in prompts])
        self.seeds.append(list(seeds))
        given = [self._response(tuple(prompt), sampling, seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        progress(len(given))
        return given

    def stream(self, prompt, sampling, seed):
        (whole,) = self.generate([prompt], sampling, [seed])
        for count in range(1, len(whole.token_ids)):
            yield replace(whole, token_ids=whole.token_ids[:count], finish_reason="")
        yield whole

    def _response(self, prompt, sampling, seed):
        limit = min(sampling.max_new_tokens, self.context - len(prompt))
        if limit < 1:
            raise UserError("leaves no room in the model's context")
        choices = [*self.token_ids, *([] if self.end_id is None else [self.end_id])]
        rng, weights = random.Random(f"{seed} {prompt} {sampling.temperature}"), range(1, len(choices) + 1)
        ids = rng.choices(choices, weights, k=int(limit))
        ids = ids[: ids.index(self.end_id) + 1] if self.end_id in ids else ids
        logprobs = [math.log(weights[choices.index(i)] / sum(weights)) for i in ids]
        reason = "stop" if ids[-1] == self.end_id else "length"
        given = {"token_ids": ids, "logprobs": logprobs, "kept": [0.0] * len(ids), "finish_reason": reason}
        return Generation(prompt=prompt, seed=seed, **given)
