import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tests.models.test_attention import CONFIGS, model_of
from torch import nn

from truing.data.batches import Sequences
from truing.errors import UserError
from truing.models import forward
from truing.models.attention import Packed
from truing.models.last_layer import Narrow, narrow_last
from truing.models.loading import load_policy, load_scorer, policy_of
from truing.models.roles import Scorer

NAMED = [config for config in CONFIGS if config.model_type != "opt"]  # whose layers hold two matrices of their own
TOKENS = Sequences.of([[1, 5, 9, 4], [1]], [[6, 7, 8], [9, 10]])


def gradients(lm, work):
    lm.zero_grad()
    work().backward()
    return {name: parameter.grad for name, parameter in lm.named_parameters() if parameter.grad is not None}


def wide(monkeypatch):
    """Layouts that ask for all tokens."""
    monkeypatch.setattr(forward, "Packed", lambda lengths, device, after, *_, **__: Packed(lengths, device, after))


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("config", NAMED, ids=lambda c: c.model_type)
def test_the_last_network_works_on_what_is_read_and_nothing_else_changes(config, checkpointing, monkeypatch):
    """Broken on purpose: one token too few picked, rows put back in another order -> red."""
    scorer = Scorer(policy_of(model_of(config)).lm, nn.Linear(32, 1))
    layers = [module for module in scorer.lm.modules() if "mlp" in dict(module.named_children())]
    seen = []
    for layer in layers:
        layer.mlp.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[1]))
    if checkpointing:
        scorer.checkpoint_activations()
    # The last of each; before each response token, and after the last. And always the first.
    expected = {"score": 3, "values": 8}
    work = {"score": lambda: scorer(TOKENS).sum(), "values": lambda: torch.cat(scorer.values(TOKENS)).square().sum()}
    narrow = {}
    for name, count in expected.items():
        seen.clear()
        narrow[name] = gradients(scorer, work[name])
        assert seen == ([10, count, count, 10] if checkpointing else [10, count])
    wide(monkeypatch)
    seen.clear()
    for name in expected:
        for parameter, gradient in gradients(scorer, work[name]).items():
            torch.testing.assert_close(gradient, narrow[name][parameter], atol=1e-5, rtol=1e-5)
    assert set(seen) == {10}


def test_activations_computed_again_are_those_of_their_own_pass(policy):
    """Broken on purpose: tokens noted where the layer is called -> red, those of the last call are taken."""
    others = Sequences.of([[1, 5], [1, 7, 9]], [[3, 4, 8], [2, 9]])
    expected = {}
    for checkpointing in (False, True):
        if checkpointing:
            policy.checkpoint_activations()
        loss = policy(TOKENS).logp_N.sum() - policy(others).logp_N.square().sum()
        policy.logprobs(Sequences.of([[1]], [[5]]))
        expected[checkpointing] = gradients(policy, lambda loss=loss: loss)
    for name, gradient in expected[True].items():
        torch.testing.assert_close(gradient, expected[False][name])


def test_threads_share_a_model(policy):
    """Broken on purpose: what is read noted on the model itself -> red."""
    asked = [Sequences.of([[1, 5, 9, 4]] * n, [[6, 7, 8][:n]] * n) for n in (1, 2, 3)]
    with torch.no_grad():
        alone = [policy.logprobs(tokens) for tokens in asked]

        def told(which):
            with torch.no_grad():
                return all(torch.equal(policy.logprobs(asked[which]), alone[which]) for _ in range(100))

        with ThreadPoolExecutor(3) as threads:
            assert all(threads.map(told, range(3)))


def test_a_model_that_would_be_misread_is_refused(tiny_model, monkeypatch):
    spread = Narrow._spread
    monkeypatch.setattr(Narrow, "_spread", lambda self, m, given, output: spread(self, m, given, output.flip(1)))
    for load in (load_policy, load_scorer):
        with pytest.raises(UserError, match="hidden states are not computed right"):
            load(tiny_model)


def test_what_is_not_read_has_no_gradient_and_other_calls_see_everything(policy):
    token_S, read_R = torch.tensor([1, 5, 9, 4]), torch.tensor([1, 3])
    layers = policy.lm_inside.model.layers
    given = []
    layers[-1].mlp.register_forward_hook(lambda module, x, output: given.append(x[0]))
    whole = forward.trunk(policy.running, token_S, Packed([4]))
    some = forward.trunk(policy.running, token_S, Packed([4], read_R=read_R))
    torch.testing.assert_close(some[read_R], whole[read_R])
    assert [x.shape[1] for x in given] == [4, 2]
    assert not torch.allclose(some[0], whole[0])  # nobody may read it
    policy.lm_inside(input_ids=token_S[None], layout=Packed([4]))
    assert given[-1].shape[1] == 4


def test_in_bfloat16_the_network_gets_few_different_numbers_of_tokens(policy):
    counts = []
    policy.compute_in(torch.bfloat16)
    policy.running.model.layers[-1].mlp.register_forward_hook(lambda m, given, output: counts.append(given[0].shape[1]))
    said = [policy.logprobs(Sequences.of([[1, 5, 9, 4]], [[6] * n])) for n in (3, 5, 20)]
    assert counts == [16, 16, 32] and [len(x) for x in said] == [3, 5, 20]
    assert all(x.isfinite().all() for x in said)


def test_a_model_is_set_up_once_whatever_roles_it_plays(policy):
    twin = copy.deepcopy(policy)
    for lm in (policy.lm, twin.lm):
        Scorer(lm, nn.Linear(32, 1))
        assert len(lm.model.layers[-1].mlp._forward_hooks) == 1
    # A copy's hooks are its own.
    assert twin.lm.model.layers[-1].narrow is not policy.lm.model.layers[-1].narrow
    hooks = twin.lm.model.layers[-1].mlp._forward_hooks.values()
    assert [hook.__self__ for hook in hooks] == [twin.lm.model.layers[-1].narrow]


def test_a_network_that_takes_more_than_hidden_states_stays_as_it_is():
    class Both(nn.Module):
        def forward(self, hidden, residual):
            return hidden + residual

    layer = nn.Module()
    layer.mlp = Both()
    narrow_last(nn.Sequential(layer))
    assert not layer.mlp._forward_hooks
