import math

import pytest
import torch

from truing.errors import UserError
from truing.training.optimize import Learning, Optimizer, rate


def test_rate_warms_up_and_falls():
    linear = Learning(lr=1.0, schedule="linear", warmup=0.2)
    assert [rate(s, 10, linear) for s in range(10)] == pytest.approx(
        [0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    )
    assert [rate(s, 4, Learning(lr=2.0, schedule="constant")) for s in range(4)] == [2.0] * 4
    cosine = [rate(s, 4, Learning(lr=1.0, schedule="cosine")) for s in range(4)]
    assert cosine == pytest.approx([1, (1 + math.cos(math.pi / 4)) / 2, 0.5, (1 + math.cos(3 * math.pi / 4)) / 2])


def test_step_is_adam_by_hand():
    """First step of AdamW: both moments bias-corrected give g / (|g| + eps), after the decay of the weight."""
    weight, bias = torch.nn.Parameter(torch.full((1, 2), 4.0)), torch.nn.Parameter(torch.ones(1))
    learning = Learning(lr=0.1, schedule="constant", weight_decay=0.5, adam_eps=1e-8, max_grad_norm=0)
    optimizer = Optimizer([weight, bias], learning, 3)
    (weight.sum() * 3 + bias.sum() * 2).backward()
    told = optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.full((1, 2), 4.0 * (1 - 0.1 * 0.5) - 0.1))
    torch.testing.assert_close(bias.detach(), torch.ones(1) - 0.1)  # vectors do not decay
    assert told["grad_norm"] == pytest.approx(math.sqrt(9 + 9 + 4)) and told["lr"] == 0.1
    assert weight.grad is None


def test_long_gradients_are_scaled_down():
    """With a large epsilon Adam keeps the gradient's size: scaled to norm 1 or not then shows in the step."""
    moved = []
    for bound in (0.0, 1.0):
        weight = torch.nn.Parameter(torch.zeros(2, 2))
        optimizer = Optimizer([weight], Learning(lr=1.0, schedule="constant", adam_eps=1e3, max_grad_norm=bound), 1)
        (weight.sum() * 50).backward()
        optimizer.step()
        moved.append(weight.abs().max().item())
    assert moved[0] / moved[1] == pytest.approx(100, rel=0.1)  # the gradient's norm is 100


def test_a_gradient_that_is_not_finite_stops():
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = Optimizer([weight], Learning(), 1)
    (weight * float("nan")).backward()
    with pytest.raises(FloatingPointError, match="not finite"):
        optimizer.step()
    assert weight.item() == 1


def test_nothing_to_train():
    with pytest.raises(UserError, match="every parameter is frozen"):
        Optimizer([], Learning(), 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0),
        ("warmup", 1),
        ("weight_decay", -1),
        ("beta1", 1),
        ("beta2", -0.1),
        ("adam_eps", 0),
        ("max_grad_norm", -1),
        ("budget_tokens", 0),
    ],
)
def test_impossible_settings_are_refused_by_name(name, value):
    with pytest.raises(UserError, match=f"^{name} = "):
        Learning(**{name: value})
