import math

import pytest
import torch

from truing.data.batches import Sequences
from truing.data.chat import Chat
from truing.data.records import Message, Prompt, Response
from truing.errors import UserError
from truing.models.adapters import Adapter
from truing.models.loading import load_policy, load_scorer, save
from truing.models.memory import MicroBatches
from truing.models.roles import share_frozen
from truing.rewards import model
from truing.rewards.model import ScorerSetup, load_model_reward, model_reward

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


def test_a_response_that_was_cut_before_any_text_is_scored(tiny_model, chat, tokenizer):
    """Its tokens mean nothing to a model with another layout, and its text is empty."""
    reward = model_reward(load_scorer(tiny_model), Chat(tokenizer, "plain"), speaker=chat)
    assert math.isfinite(*reward([PROMPT], [Response("", token_ids=(1,), finish_reason="length")]))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_policy_critic_and_reward_with_adapters_cost_little_more_than_one_model(
    precision, tiny_model, tokenizer, chat, tmp_path, monkeypatch
):
    """Red when any of them keeps a base of its own."""
    adapter = Adapter(lora_rank=1)
    trained = load_scorer(tiny_model, adapter)
    with torch.no_grad():
        for name, parameter in trained.named_parameters():
            if "lora_" in name:
                parameter += 0.1 * torch.randn_like(parameter)
    save(trained, tokenizer, tmp_path / "reward")
    asked = [PROMPT] * 2, [Response("cat"), Response("the dog ran")]
    alone = load_model_reward(str(tmp_path / "reward"), chat, setup=ScorerSetup(precision))(*asked)

    policy = load_policy(tiny_model, adapter)
    critic = load_scorer(str(tmp_path / "reward"), factored=True)
    share_frozen(critic, policy)
    for role in (policy, critic):
        role.compute_as(precision)
    share_frozen(critic, policy)
    roles = [policy, critic]
    monkeypatch.setattr(model, "load_scorer", lambda *a, **k: roles.append(load_scorer(*a, **k)) or roles[-1])
    here = load_model_reward(str(tmp_path / "reward"), chat, setup=ScorerSetup(precision, policy))(*asked)
    assert here == pytest.approx(alone, abs=1e-5 if precision == "float32" else 0.05)

    def numbers(some):
        nets = [net for role in some for net in (role, role.copied.lm if role.copied else None) if net is not None]
        return sum({p.data_ptr(): p.numel() for net in nets for p in net.parameters()}.values())

    assert len(roles) == 3 and numbers(roles) < 1.25 * numbers([policy])
    assert numbers([*roles, load_scorer(str(tmp_path / "reward"))]) > 1.4 * numbers([policy])


def test_budget_does_not_change_scores(tiny_model, chat):
    scorer = load_scorer(tiny_model)
    answers = [Response("cat " * n) for n in range(1, 9)]
    one, many = (
        model_reward(scorer, chat, chat, MicroBatches(budget))([PROMPT] * 8, answers) for budget in (10, 10_000)
    )
    assert one == pytest.approx(many, abs=1e-5)


def test_a_model_that_scores_nothing_is_no_reward(tiny_model):
    with pytest.raises(UserError, match="it is no reward model, for it scores nothing: name a run of truing reward"):
        load_model_reward(tiny_model)


def test_a_lack_of_memory_while_scoring_is_told_and_scores_the_same(tiny_model, chat, tmp_path, monkeypatch):
    scorer, warned, answers = load_scorer(tiny_model), [], [Response("cat " * n) for n in range(1, 9)]
    expected, given = model_reward(scorer, chat, chat)([PROMPT] * 8, answers), type(scorer).forward

    def forward(self, tokens):
        if len(tokens) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return given(self, tokens)

    monkeypatch.setattr(type(scorer), "forward", forward)
    save(scorer, chat.tokenizer, tmp_path / "reward")
    reward = load_model_reward(str(tmp_path / "reward"), chat, setup=ScorerSetup(warn=warned.append))
    assert reward([PROMPT] * 8, answers) == pytest.approx(expected, abs=1e-5)
    assert warned[-1].startswith("out of memory: micro-batches have 16 tokens")
    told = len(warned)
    assert reward([PROMPT] * 8, answers) == pytest.approx(expected, abs=1e-5) and len(warned) == told
