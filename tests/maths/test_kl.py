"""Drift: estimators by enumeration of a small vocabulary, their gradients, and the controller."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.maths.kl import AdaptiveKL, k1, k2, k3

torch.set_num_threads(1)

P = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
Q = torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64)
KL_PQ = 0.5 * math.log(2) - 0.25 * math.log(2)  # ½ log(½/¼) + ¼ log 1 + ¼ log(¼/½)


def test_k1():
    torch.testing.assert_close(k1(P.log(), Q.log()), torch.tensor([1, 0, -1], dtype=torch.float64) * math.log(2))


def test_k2():
    half_square = 0.5 * math.log(2) ** 2
    torch.testing.assert_close(k2(P.log(), Q.log()), torch.tensor([half_square, 0, half_square], dtype=torch.float64))


def test_k3():
    # q/p − 1 − log(q/p): ½ − 1 + log 2, 0, 2 − 1 − log 2
    expected = torch.tensor([math.log(2) - 0.5, 0.0, 1 - math.log(2)], dtype=torch.float64)
    torch.testing.assert_close(k3(P.log(), Q.log()), expected)


def test_k3_keeps_its_digits_where_policy_and_reference_nearly_agree():
    # d²/2 at d = 1e-3, where exp(d) − 1 − d in float32 would be off by tens of percent
    assert k3(torch.zeros(1), torch.full((1,), 1e-3)).item() == pytest.approx(5e-7, rel=2e-3)


def exact(logp_NV: torch.Tensor, ref_NV: torch.Tensor) -> torch.Tensor:
    """The KL itself, summed over the vocabulary by torch, whose own order of the two is the other way round."""
    return torch.nn.functional.kl_div(ref_NV, logp_NV, log_target=True, reduction="none").sum(-1)


def test_the_truth_that_estimators_are_held_to():
    both_NV, ref_NV = torch.stack([P, Q]).log(), torch.stack([Q, Q]).log()
    torch.testing.assert_close(exact(both_NV, ref_NV), torch.tensor([KL_PQ, 0.0], dtype=torch.float64))


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_k1_and_k3_are_unbiased_and_k2_k3_never_negative(seed: int):
    rng = torch.Generator().manual_seed(seed)
    logp_V, ref_V = torch.randn(2, 6, generator=rng, dtype=torch.float64).log_softmax(-1)
    truth = exact(logp_V[None], ref_V[None])[0]
    for estimate in (k1, k3):  # the expectation, by enumeration
        torch.testing.assert_close((logp_V.exp() * estimate(logp_V, ref_V)).sum(), truth)
    assert (k2(logp_V, ref_V) >= 0).all() and (k3(logp_V, ref_V) >= 0).all()


def test_expected_gradients_are_what_the_page_says():
    """Differentiated as a loss at samples of the policy: k1 nothing, k2 KL(p‖q), k3 KL(q‖p). By enumeration."""
    rng = torch.Generator().manual_seed(3)
    logits_V = torch.randn(5, generator=rng, dtype=torch.float64, requires_grad=True)
    ref_V = torch.randn(5, generator=rng, dtype=torch.float64).log_softmax(-1)

    def gradient(loss: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(loss, logits_V)[0]

    def as_loss(estimate) -> torch.Tensor:
        logp_V = logits_V.log_softmax(-1)
        return gradient((logp_V.detach().exp() * estimate(logp_V, ref_V)).sum())

    reverse = gradient(exact(logits_V.log_softmax(-1)[None], ref_V[None])[0])
    forward = gradient(exact(ref_V[None], logits_V.log_softmax(-1)[None])[0])
    torch.testing.assert_close(as_loss(k1), torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(as_loss(k2), reverse)
    torch.testing.assert_close(as_loss(k3), forward)
    assert (forward - reverse).abs().max() > 0.01  # else the test could not tell them apart


def test_k1_in_the_reward_gives_the_gradient_of_the_kl():
    """Score function with the detached k1 as cost: Σ p · k1 · ∇log p = ∇KL(p‖q)."""
    rng = torch.Generator().manual_seed(4)
    logits_V = torch.randn(5, generator=rng, dtype=torch.float64, requires_grad=True)
    ref_V = torch.randn(5, generator=rng, dtype=torch.float64).log_softmax(-1)
    logp_V = logits_V.log_softmax(-1)
    cost_V = k1(logp_V, ref_V).detach()
    (got,) = torch.autograd.grad((logp_V.detach().exp() * cost_V * logp_V).sum(), logits_V)
    (truth,) = torch.autograd.grad(exact(logits_V.log_softmax(-1)[None], ref_V[None])[0], logits_V)
    torch.testing.assert_close(got, truth)


def test_adaptive_kl_by_hand():
    # error 6.6/6 − 1 = 0.1, within ±0.2; 512 responses of a horizon of 10 000: 0.15·(1 + 0.1·0.0512) = 0.150768
    controller = AdaptiveKL(0.15, target=6.0, horizon=10_000).update(6.6, 512)
    assert controller.coefficient == pytest.approx(0.150768)
    # far above and far below, the error is held at ±0.2: 0.15·(1 ± 0.2·0.0512)
    assert AdaptiveKL(0.15, 6.0, 10_000).update(600.0, 512).coefficient == pytest.approx(0.151536)
    assert AdaptiveKL(0.15, 6.0, 10_000).update(0.0, 512).coefficient == pytest.approx(0.148464)


def test_adaptive_kl_stays_on_target_and_brings_a_drift_to_it():
    assert AdaptiveKL(0.15, 6.0, 10_000).update(6.0, 512).coefficient == 0.15
    controller = AdaptiveKL(0.15, target=6.0, horizon=10_000)
    for _ in range(2000):  # a policy whose drift is 1/coefficient: at rest the coefficient must be 1/6
        controller = controller.update(1 / controller.coefficient, 512)
    assert controller.coefficient == pytest.approx(1 / 6, rel=1e-3)


@pytest.mark.parametrize("name", ["coefficient", "target", "horizon"])
def test_adaptive_kl_refuses_numbers_that_cannot_work(name: str):
    with pytest.raises(ValueError, match=name):
        AdaptiveKL(**{"coefficient": 0.1, "target": 6.0, "horizon": 1e4, name: 0.0})
