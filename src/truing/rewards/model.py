"""Rewards from a trained reward model."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from truing.data.batches import Sequences
from truing.data.chat import Chat
from truing.data.records import Prompt, Response
from truing.errors import UserError
from truing.models.loading import is_reward_model, load_chat, load_scorer
from truing.models.precision import Precision
from truing.models.roles import Role, Scorer, share_frozen
from truing.rewards.function import Reward
from truing.settings import ChatFormat


def model_reward(scorer: Scorer, chat: Chat, speaker: Chat | None = None, budget_tokens: int = 8192) -> Reward:
    """Scores by a reward model. Where `speaker` shares its vocabulary, sampled token ids are read as they are.

    A model with another vocabulary has to read the text; nothing is lost, for its score is of the whole response.
    """
    same = (
        speaker is not None
        and speaker.tokenizer.get_vocab() == chat.tokenizer.get_vocab()
        and speaker.format == chat.format
    )

    @torch.no_grad()
    def score(prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[float]:
        response_ids = [_read_ids(chat, response, as_sampled=same) for response in responses]
        tokens = Sequences.of([chat.prompt_ids(p.messages) for p in prompts], response_ids)
        for prompt, length in zip(prompts, tokens.total_B.tolist(), strict=True):
            if length > scorer.context:
                raise UserError(
                    f"reward {chat.tokenizer.name_or_path}: prompt {prompt.id} and its answer are {length} tokens to "
                    f"it, and its context {scorer.context}: shorten prompts, or lower max_new_tokens"
                )
        score_B = torch.empty(len(tokens))
        for index_B in tokens.parts(budget_tokens):
            score_B[index_B] = scorer(tokens.select(index_B))
        return score_B.tolist()

    return score


def _read_ids(chat: Chat, response: Response, as_sampled: bool) -> list[int]:
    """What the reward model reads of a response, one token at least, with the end it was trained on where it ended."""
    ended = response.finish_reason != "length"
    if as_sampled and response.token_ids:
        return chat.ended(response.token_ids) if ended else list(response.token_ids)
    return chat.response_ids(response.text, ended) or [chat.end_id]


def load_model_reward(
    model: str, speaker: Chat | None = None, chat_format: ChatFormat = "auto", precision: Precision = "float32",
    owner: Role | None = None,
) -> Reward:  # fmt: skip
    """The reward model in a run, a folder or on a hub, ready to score. Raises UserError where it is none.

    What it has in common with the base of `owner`, a role with an adapter, is in memory once.
    """
    if not is_reward_model(model):
        raise UserError(f"reward {model}: it is no reward model, for it scores nothing: name a run of truing reward")
    scorer = load_scorer(model, factored=owner is not None).requires_grad_(False)
    if owner is not None:
        share_frozen(scorer, owner)
    scorer.compute_as(precision, moves=False)
    if owner is not None:
        share_frozen(scorer, owner)  # in the precision that is computed with
    return model_reward(scorer, load_chat(model, chat_format), speaker)
