"""What an iteration learns from: the policy answers every prompt, and every response is scored."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from torch import Tensor

from truing.data.chat import Chat
from truing.data.records import Prompt, Response
from truing.data.rollouts import Rollouts
from truing.errors import UserError
from truing.generation.generator import Generator
from truing.generation.records import generate, requests
from truing.generation.sampling import Sampling
from truing.maths.ragged import group_sum
from truing.runs import distributed
from truing.training.policy.algorithms import Algorithm
from truing.training.policy.scoring import Scoring


@dataclass(frozen=True)
class Collected:
    """Responses that have a score, and how they came about."""

    rollouts: Rollouts
    score_B: Tensor
    first_response: str = ""  # its text
    dropped: int = 0  # responses that were left out
    generate_s: float = 0.0
    score_s: float = 0.0


Collect = Callable[[Sequence[Prompt], Algorithm], Collected]
"""Answers prompts as often as the algorithm asks for, and scores the responses."""


@dataclass(frozen=True)
class Collector:
    """A generator answers, the reward scores. With several processes each works on its share of the prompts, and all
    know all."""

    generator: Generator
    chat: Chat
    sampling: Sampling
    scoring: Scoring
    seed: int = 0  # of the responses

    def __call__(self, prompts: Sequence[Prompt], algo: Algorithm) -> Collected:
        begin = time.perf_counter()
        rollouts, responses = self.generate(prompts, algo.answers)
        generated = time.perf_counter()
        score_B = self.scoring(prompts, responses)
        kept, kept_B = with_scores(rollouts, score_B, algo.compares_answers)
        times = generated - begin, time.perf_counter() - generated
        return Collected(kept, kept_B, responses[0].text, len(rollouts) - len(kept), *times)

    def generate(self, prompts: Sequence[Prompt], answers: int) -> tuple[Rollouts, list[Response]]:
        """So many responses to each prompt, one after the other, as rollouts and as records.

        Their seeds are those of the whole list: they do not depend on the number of processes.
        """
        own = set(distributed.share(len(prompts)).tolist())
        asked = [request for request in requests(prompts, answers, self.seed) if request.group in own]
        tensors, responses = dict[str, Tensor](), list[Response]()
        if asked:
            generated = generate(self.generator, self.chat, asked, self.sampling)
            tensors, responses = generated.rollouts.named(), generated.responses
        tensors = distributed.end_to_end(tensors)
        rows = distributed.gathered([asdict(r) for r in responses]) if distributed.count() > 1 else []
        return Rollouts.of(tensors), [_response(row) for some in rows for row in some] or responses


def with_scores(rollouts: Rollouts, score_B: Tensor, compares: bool) -> tuple[Rollouts, Tensor]:
    """The responses that have a score, and their scores: the others are in no mean, no group and no loss.

    Where answers to one prompt are compared (`compares`), one left alone with its prompt goes too: it says nothing.
    Raises UserError where nothing is left.
    """
    good_B = score_B.isfinite()
    if compares:
        good_B &= group_sum(good_B.float(), rollouts.group_B) > 1
    if good_B.all():
        return rollouts, score_B
    if not good_B.any():
        what = "two answers with scores that are numbers" if compares else "an answer with a score that is a number"
        raise UserError(
            f"reward: not one prompt has {what} ({len(rollouts)} responses): nothing can be learned from them; mend "
            "the reward, then the same command goes on from the last saved state"
        )
    index_B = good_B.nonzero().flatten()
    return rollouts.select(index_B), score_B[index_B]


def _response(row: dict) -> Response:
    """A record that has been through JSON."""
    sampling = tuple((name, value) for name, value in row["sampling"])
    sequences = {name: tuple(row[name]) for name in ("token_ids", "logprobs")}
    return Response(**{**row, **sequences, "sampling": sampling})
