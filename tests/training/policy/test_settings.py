import math

import pytest

from truing.config import parse
from truing.errors import UserError
from truing.generation.sampling import Sampling
from truing.models.adapters import Adapter
from truing.settings import configured, to_toml
from truing.training.optimize import Learning
from truing.training.policy.settings import Config


@pytest.mark.parametrize(
    "bad",
    [
        {"iterations": 0}, {"prompts_per_iteration": 0}, {"reference_pull": 0}, {"held_out": 1.0}, {"reward": ()},
        {"sampling": Sampling(temperature=0)}, {"reference_every": 1, "lora": Adapter(lora_rank=2)},
        {"pretrain_weight": 1.0}, {"kl_target": 1.0, "algorithm": "grpo"}, {"algorithm": "nope"},
        {"kl_target": 1.0, "kl_horizon": 12, "prompts_per_iteration": 60}, {"override": {"answers": math.inf}},
        {"override": {"whiten": 2}}, {"override": {"bootstrap": -1}}, {"override": {"exact_kl": 0.5}},
        {"override": {"exact_kl": 1}}, {"critic_warmup": 2, "iterations": 2},
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(bad):
    with pytest.raises(UserError):
        configured(Config, **{"model": "m", "data": ("d",), "reward": ("exact",), **bad})


def test_the_usual_learning_rate_is_larger_for_an_adapter():
    """And is in the settings of the run, so that who reads them sees it."""
    usual, adapted, said = (
        configured(Config, model="m", data=("d",), reward=("exact",), learning=learning, lora=Adapter(lora_rank=rank))
        for learning, rank in ((Learning(lr=0), 0), (Learning(lr=0), 2), (Learning(lr=2e-5), 2))
    )
    assert (usual.learning.lr, adapted.learning.lr, said.learning.lr) == (1e-5, 1e-4, 2e-5)
    assert "lr = 0.0001" in to_toml(adapted)
    parsed = parse(Config, ["--model", "m", "--data", "d", "--reward", "r", "--lora-rank", "4"], "truing rl")
    assert parsed.learning == Learning(lr=1e-4, schedule="constant")
