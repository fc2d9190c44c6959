import pytest
import torch
from tests.conftest import tiny_llama

from truing.data.batches import Sequences
from truing.errors import UserError
from truing.models.loading import load_scorer, policy_of
from truing.models.roles import Policy, trainable

TOKENS = Sequences.of([[1, 5], [1]], [[6, 7, 8], [9, 10]])


def test_values_before_each_token_and_after_the_last(tiny_model):
    scorer = load_scorer(tiny_model)
    value_N, tail_value_B = scorer.values(TOKENS)
    assert value_N.shape == (5,) and tail_value_B.shape == (2,)
    torch.testing.assert_close(tail_value_B, scorer(TOKENS))
    shorter = Sequences.of([[1, 5]], [[6, 7]])  # the value after token 7 is the one before token 8
    torch.testing.assert_close(value_N[2:3], scorer.values(shorter)[1])


def test_trunk_value_head_reads_the_policys_own_states(policy):
    head = torch.nn.Linear(32, 1)
    with_value = Policy(policy.lm, head)
    now = with_value(TOKENS)
    assert now.value_N.shape == (5,) and now.tail_value_B.shape == (2,)
    torch.testing.assert_close(now.logp_N, policy(TOKENS).logp_N)
    assert policy(TOKENS).value_N is None


def test_exact_kl_to_a_copy_is_zero_and_to_another_positive(policy, tokenizer):
    import copy

    twin = copy.deepcopy(policy)
    assert policy(TOKENS, reference=twin).exact_kl_N.abs().max() < 1e-5
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    assert (policy(TOKENS, reference=twin).exact_kl_N > 0).all()


def test_too_long_for_the_context_is_said(policy):
    with pytest.raises(UserError, match="longer than the model's context of 96"):
        policy(Sequences.of([[1]], [[5] * 96]))


def test_trainable_counts_a_shared_trunk_once(policy):
    other = Policy(policy.lm, torch.nn.Linear(32, 1))
    alone = sum(p.numel() for p in trainable(policy))
    assert sum(p.numel() for p in trainable(policy, other)) == alone + 33


def test_an_architecture_misread_is_refused(policy, monkeypatch):
    from truing.models.heads import VocabularyHead

    head = policy.head
    monkeypatch.setattr(Policy, "head", property(lambda self: VocabularyHead(head.weight_VD, scale=2.0)))
    with pytest.raises(UserError, match="vocabulary head is not computed right"):
        policy.check()


def test_activation_checkpointing_keeps_gradients(policy):
    def gradient():
        policy.zero_grad()
        policy(TOKENS).logp_N.sum().backward()
        return torch.cat([p.grad.flatten() for p in policy.parameters()])

    plain = gradient()
    policy.train()
    policy.lm_inside.gradient_checkpointing_enable()
    torch.testing.assert_close(gradient(), plain)


def test_the_token_that_pads_learns_like_any_other(tokenizer):
    """Red when torch keeps its gradient back: with pad == eos the end of an answer would never be learned."""
    lm = tiny_llama(len(tokenizer))
    lm.config.tie_word_embeddings, lm.lm_head.weight = False, torch.nn.Parameter(lm.lm_head.weight.detach().clone())
    assert lm.model.embed_tokens.padding_idx == 0
    policy = policy_of(lm)
    policy(Sequences.of([[1, 5]], [[0, 7]])).logp_N.sum().backward()
    assert policy.lm.model.embed_tokens.weight.grad[0].abs().sum() > 0
