import pytest
import torch

from truing.data.batches import Sequences
from truing.data.chat import Chat
from truing.data.records import Message, Prompt, Response
from truing.models.loading import load_scorer
from truing.rewards.model import model_reward

PROMPT = Prompt((Message("user", "The cat"),))


def test_sampled_tokens_are_read_as_they_are(tiny_model, chat):
    """Two ways to write the same text: only token ids tell them apart, and they are what the policy said."""
    scorer = load_scorer(tiny_model)
    reward = model_reward(scorer, chat, speaker=chat)
    text = "at"
    split = tuple(chat._ids("a") + chat._ids("t"))
    answers = [Response(text, token_ids=split, finish_reason="length"), Response(text, finish_reason="length")]
    got = reward([PROMPT] * 2, answers)
    prompt = chat.prompt_ids(PROMPT.messages)
    expected = scorer(Sequences.of([prompt] * 2, [list(split), chat.response_ids(text, ended=False)]))
    torch.testing.assert_close(torch.tensor(got), expected.detach())


def test_a_model_with_another_layout_reads_the_text(tiny_model, chat, tokenizer):
    other = Chat(tokenizer, "dialogue")
    scorer = load_scorer(tiny_model)
    got = model_reward(scorer, other, speaker=chat)([PROMPT], [Response("at", token_ids=(9, 9), finish_reason="stop")])
    expected = scorer(Sequences.of([other.prompt_ids(PROMPT.messages)], [other.response_ids("at")]))
    assert got[0] == pytest.approx(expected.item(), abs=1e-5)


def test_budget_does_not_change_scores(tiny_model, chat):
    scorer = load_scorer(tiny_model)
    answers = [Response("cat " * n) for n in range(1, 9)]
    one, many = (model_reward(scorer, chat, chat, budget)([PROMPT] * 8, answers) for budget in (10, 10_000))
    assert one == pytest.approx(many, abs=1e-5)
