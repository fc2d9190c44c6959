import math

import pytest
import torch

from truing.errors import Diverged, UserError
from truing.models import precision
from truing.models.loading import load_policy
from truing.runs.checkpoint import State
from truing.runs.run import Run
from truing.runs.settings import RunSettings
from truing.training.optimize import (
    REMEMBERED,
    Learning,
    Optimizer,
    Recent,
    rate,
    settled,
    summed_losses,
)


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
    assert told.grad_norm == pytest.approx(math.sqrt(9 + 9 + 4)) and told.lr == 0.1
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


def push(optimizer, weight, size):
    (weight.sum() * size).backward()
    return optimizer.step()


def test_a_gradient_that_is_not_finite_moves_nothing_and_three_in_a_row_end_the_run():
    """Red when the schedule goes on at a skipped update, or the count is not set back."""
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = Optimizer([weight], Learning(), 9)
    for _ in range(3):
        for _ in range(2):
            assert push(optimizer, weight, float("nan")).skipped
        before = weight.item()
        assert push(optimizer, weight, 1.0).skipped is False and weight.item() < before
    assert optimizer.done == 3
    push(optimizer, weight, float("inf")), push(optimizer, weight, float("nan"))
    with pytest.raises(Diverged, match="3 gradients in a row"):
        push(optimizer, weight, float("nan"))


def test_a_spike_moves_nothing_and_the_decision_is_the_same_after_a_resume():
    """Red when the history of norms is left out of the state."""
    decisions = []
    for broken_off in (False, True):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = Optimizer([weight], Learning(schedule="constant"), 999)
        for i in range(140):
            told = push(optimizer, weight, 1 + 0.1 * (i % 5))
            assert not told.skipped
        if broken_off:
            state = optimizer.capture()
            optimizer = Optimizer([weight], Learning(schedule="constant"), 999)
            optimizer.restore(State({k: v.clone() for k, v in state.tensors.items()}, state.facts))
        before = weight.detach().clone()
        decisions.append([push(optimizer, weight, size).skipped for size in (100, 1.2, 1.5, 1.3)])
        assert not torch.equal(weight, before)
    assert decisions == [[1, 0, 0, 0]] * 2


def test_norms_that_spread_by_factors_are_no_spikes():
    """Red when sums are taken in place of logarithms: the long tail of common norms is then left out of learning."""
    draws = torch.Generator().manual_seed(0)
    sizes = (torch.randn(1000, generator=draws) * 0.5).exp()
    recent = Recent()
    assert not any(recent.leaps(size) for size in sizes.tolist())
    assert recent.leaps(100.0)


def test_numbers_that_hardly_differ_leap_only_when_they_double():
    recent = Recent()
    assert not any(recent.leaps(1.0) for _ in range(REMEMBERED))
    assert not recent.leaps(1.9) and recent.leaps(4.0)


def test_a_leaping_loss_moves_nothing_and_the_decision_is_the_same_after_a_resume():
    """Red when the loss is not looked at, or its history is left out of the state."""
    for broken_off in (False, True):
        weight = torch.nn.Parameter(torch.ones(1))
        optimizer = Optimizer([weight], Learning(schedule="constant"), 999)
        for i in range(140):
            weight.sum().backward()
            assert optimizer.step(loss=2 + 0.1 * (i % 5)).skipped is False
        if broken_off:
            state = optimizer.capture()
            optimizer = Optimizer([weight], Learning(schedule="constant"), 999)
            optimizer.restore(state)
        before = weight.item()
        weight.sum().backward()
        assert optimizer.step(loss=50.0).skipped and weight.item() == before
        weight.sum().backward()
        assert optimizer.step(loss=2.0).skipped is False and weight.item() != before


def test_a_run_keeps_the_precision_it_began_with(tiny_model, tmp_path, monkeypatch):
    """Red when a run that goes on measures anew: a machine that is busy at that moment would then change its bits."""
    chosen = []
    for gain, continues in ((9.0, False), (0.5, True), (0.5, False)):
        monkeypatch.setattr(precision, "bfloat16_gain", lambda width, device, gain=gain: gain)
        monkeypatch.setattr(precision, "NARROWEST", 1)
        with Run(RunSettings(str(tmp_path / "run")), Learning(), "sft", continues=continues) as run:
            chosen.append(settled(Learning(), load_policy(tiny_model), run).precision)
            run.log(1, loss=1.0)
    assert chosen == ["bfloat16", "bfloat16", "float32"]


def test_adam_goes_on_from_its_moments():
    ends = []
    for broken_off in (False, True):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(4, 3))
        optimizer = Optimizer([weight], Learning(lr=0.1), 20)
        for i in range(10):
            if broken_off and i == 5:
                state = optimizer.capture()
                optimizer = Optimizer([weight], Learning(lr=0.1), 20)
                optimizer.restore(State({k: v.clone() for k, v in state.tensors.items()}, state.facts))
            ((weight - i) ** 2).sum().backward()
            optimizer.step()
        ends.append(weight.detach().clone())
    assert torch.equal(*ends)


def test_a_loss_that_is_no_number_stops():
    with pytest.raises(Diverged, match="loss/nll is nan"):
        summed_losses({"nll": float("nan")})


def test_nothing_to_train():
    with pytest.raises(UserError, match="every parameter is frozen"):
        Optimizer([], Learning(), 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", -1),
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
