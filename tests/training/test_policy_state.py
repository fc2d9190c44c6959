import copy
from dataclasses import fields, replace

import torch

from truing.data.batches import Sequences
from truing.data.records import Response
from truing.data.rollouts import Rollouts
from truing.maths.advantages import RunningMoments
from truing.maths.kl import AdaptiveKL
from truing.models.loading import load_policy
from truing.models.memory import MicroBatches
from truing.models.roles import trainable
from truing.training.checkpoint import State
from truing.training.judge import Judge, ScoreSettings
from truing.training.nets import Nets
from truing.training.optimize import Learning, Optimizer
from truing.training.policy_state import Standing
from truing.training.policy_step import Place


class Extra:
    done = 7


def standing(tiny_model, **more):
    policy = load_policy(tiny_model)
    nets = Nets(policy, copy.deepcopy(policy), None, Optimizer(trainable(policy), Learning(), 9), None,
                MicroBatches(100))  # fmt: skip
    judge = Judge(None, ScoreSettings())
    judge.moments = RunningMoments(1.0, 2.0, 3)
    return Standing(nets, judge, torch.Generator(), AdaptiveKL(0.1, 2.0, 10.0), Extra(), **more)


def test_an_iteration_broken_off_is_put_back_whole(tiny_model):
    tokens = Sequences.of([[1, 5], [1]], [[6, 7, 8], [9, 10]])
    numbers = torch.arange(5.0)
    said = Rollouts(tokens, numbers, 0 * numbers, torch.tensor([True, False]), torch.tensor([0, 1]), old_N=numbers + 1)
    place = Place(said, {"a": 0.1}, [Response("x"), Response("y")], torch.tensor([1, 0]), 2, 3, [{"b": 1 / 3}])
    whole = standing(tiny_model, place=place).capture()
    fresh = standing(tiny_model)
    fresh.restore(State({k: v.clone() for k, v in whole.tensors.items()}, whole.facts))
    again = fresh.place
    assert replace(again, said=None, order_B=None) == replace(place, said=None, order_B=None)
    assert torch.equal(again.order_B, place.order_B)
    for field in fields(Rollouts):
        before, after = getattr(said, field.name), getattr(again.said, field.name)
        if isinstance(before, torch.Tensor):
            assert torch.equal(before, after) and before.dtype == after.dtype
        elif before is None:
            assert after is None
    assert torch.equal(again.said.tokens.token_S, tokens.token_S)


def test_between_iterations_there_is_nothing_to_put_back(tiny_model):
    state = standing(tiny_model).capture()
    fresh = standing(tiny_model, place=Place(epoch=4))
    fresh.restore(state)
    assert fresh.place == Place()


def test_numbers_beside_the_weights_are_put_back(tiny_model):
    one, other = standing(tiny_model), standing(tiny_model)
    one.nets.micro_batches.budget_tokens = 64
    one.before, one.nets.recomputes, one.nets.baseline = {"reward": 0.3}, True, RunningMoments(4.0, 5.0, 6)
    other.judge.moments, other.extra.done = RunningMoments(), 0
    other.price = AdaptiveKL(9.0, 2.0, 10.0)
    other.parts(False)["standing"].restore(one.parts(False)["standing"].capture())
    assert (other.before, other.nets.recomputes, other.nets.baseline) == (
        {"reward": 0.3},
        True,
        RunningMoments(4, 5, 6),
    )
    assert other.nets.micro_batches.budget_tokens == 64
    assert other.judge.moments.count == 3 and other.extra.done == 7 and other.price == one.price


def test_a_reference_that_moves_is_saved_too(tiny_model):
    assert "reference" in standing(tiny_model).parts(True) and "reference" not in standing(tiny_model).parts(False)
