from dataclasses import replace

import pytest
import torch
from tests.data.test_rollouts import experience

from truing.maths.kl import AdaptiveKL
from truing.training.policy.algorithms import PPO
from truing.training.policy.kl_control import KLControl


def with_kl(nats: float):
    """Three responses whose KL is so much in the mean."""
    whole = experience()
    old_N = whole.ref_N + nats * 3 / len(whole.ref_N)
    return replace(whole, old_N=old_N)


def test_the_coefficient_follows_kl_towards_its_target_by_hand():
    """Twice the target: the error is clipped to 0.2, and three responses of a horizon of 30 take a tenth of it."""
    control = KLControl(AdaptiveKL(0.05, target=2.0, horizon=30))
    assert control.applied(PPO) == replace(PPO, kl_in_reward=0.05) and control.metrics == {"kl/coefficient": 0.05}
    control.observe(with_kl(4.0))
    assert control.metrics["kl/coefficient"] == pytest.approx(0.05 * (1 + 0.2 * 3 / 30))
    assert control.applied(PPO).kl_in_reward == control.metrics["kl/coefficient"]
    control.observe(with_kl(1.8))
    assert control.metrics["kl/coefficient"] == pytest.approx(0.051 * (1 - 0.1 * 3 / 30))


def test_it_counts_the_responses_that_were_learned_from():
    control, half = (KLControl(AdaptiveKL(0.05, target=2.0, horizon=30)) for _ in range(2))
    control.observe(with_kl(4.0))
    half.observe(with_kl(4.0).select(torch.tensor([2])))
    assert control.controller.coefficient > half.controller.coefficient > 0.05


def test_without_a_controller_the_algorithm_is_as_it_was():
    control = KLControl(None)
    control.observe(with_kl(4.0))
    assert control.applied(PPO) is PPO and control.metrics == {}
    again = KLControl(AdaptiveKL(0.1, 1.0, 1.0))
    again.restore(control.capture())
    assert again == control


def test_it_is_put_back():
    control, again = KLControl(AdaptiveKL(0.05, 2.0, 30)), KLControl(AdaptiveKL(0.9, 2.0, 30))
    control.observe(with_kl(4.0))
    again.restore(control.capture())
    assert again == control
