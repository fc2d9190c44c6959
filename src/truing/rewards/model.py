"""Rewards from a trained reward model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from truing.data.batches import Sequences
from truing.data.chat import Chat
from truing.data.records import Prompt, Response
from truing.data.settings import ChatFormat
from truing.errors import UserError
from truing.models.loading import is_reward_model, load_chat, load_scorer
from truing.models.memory import MicroBatches, on_stderr
from truing.models.precision import Precision
from truing.models.roles import Role, Scorer, share_frozen
from truing.rewards.function import Reward

MOST_TOKENS = 8192  # of a micro-batch, where memory holds as many


@dataclass(frozen=True)
class ScorerSetup:
    """How reward models compute."""

    precision: Precision = "float32"
    owner: Role | None = None  # a role with an adapter: what they have in common with its base is in memory once
    warn: Callable[[str], None] = on_stderr  # is called where memory runs out, and scoring goes on


USUAL = ScorerSetup()


def model_reward(
    scorer: Scorer, chat: Chat, speaker: Chat | None = None, micro_batches: MicroBatches | None = None
) -> Reward:
    """Scores by a reward model. Where `speaker` shares its vocabulary, sampled token ids are read as they are.

    A model with another vocabulary has to read the text; nothing is lost, for its score is of the whole response.
    """
    same = (
        speaker is not None
        and speaker.tokenizer.get_vocab() == chat.tokenizer.get_vocab()
        and speaker.format == chat.format
    )

    batches = micro_batches or MicroBatches(MOST_TOKENS)

    def score(prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[float]:
        response_ids = [_read_ids(chat, response, as_sampled=same) for response in responses]
        tokens = Sequences.of([chat.prompt_ids(p.messages) for p in prompts], response_ids)
        for prompt, length in zip(prompts, tokens.total_B.tolist(), strict=True):
            if length > scorer.context:
                raise UserError(
                    f"reward {chat.tokenizer.name_or_path}: prompt {prompt.id} and its answer are {length} tokens to "
                    f"it, and its context {scorer.context}: shorten prompts, or lower max_new_tokens"
                )
        return scores_of(scorer, tokens, batches).tolist()

    return score


def scores_of(scorer: Scorer, tokens: Sequences, micro_batches: MicroBatches) -> Tensor:
    """Scores of sequences that nothing is learned from, [B]."""

    @torch.no_grad()
    def scores(index_bs: Sequence[Tensor]) -> Tensor:
        score_B = torch.empty(len(tokens))
        for index_b in index_bs:
            score_B[index_b] = scorer(tokens.select(index_b))
        return score_B

    return micro_batches.run(tokens.parts, scores)


def _read_ids(chat: Chat, response: Response, as_sampled: bool) -> list[int]:
    """What the reward model reads of a response, one token at least, with the end it was trained on where it ended."""
    ended = response.finish_reason != "length"
    if as_sampled and response.token_ids:
        return chat.ended(response.token_ids) if ended else list(response.token_ids)
    return chat.response_ids(response.text, ended) or [chat.end_id]


def load_model_reward(
    model: str, speaker: Chat | None = None, chat_format: ChatFormat = "auto", setup: ScorerSetup = USUAL
) -> Reward:
    """The reward model in a run, a folder or on a hub, ready to score. Raises UserError where it is none."""
    owner = setup.owner
    if not is_reward_model(model):
        raise UserError(f"reward {model}: it is no reward model, for it scores nothing: name a run of truing reward")
    scorer = load_scorer(model, factored=owner is not None).requires_grad_(False)
    if owner is not None:
        share_frozen(scorer, owner)
    scorer.compute_as(setup.precision, moves=False)
    if owner is not None:
        share_frozen(scorer, owner)  # in the precision that is computed with
    return model_reward(scorer, load_chat(model, chat_format), speaker, MicroBatches(MOST_TOKENS, setup.warn))
