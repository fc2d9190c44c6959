import json
import math

import pytest
import torch

from truing.errors import UserError
from truing.generation.sampling import Sampling
from truing.models.adapters import Adapter
from truing.models.loading import load_policy, load_scorer, save
from truing.settings import changed, configured
from truing.training.optimize import Learning
from truing.training.policy.settings import Config
from truing.training.policy.stage import train

pytestmark = pytest.mark.usefixtures("metrics_are_documented")


def config_of(model, tmp_path, **kwargs):
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": f"Number {i}?"}) for i in range(12)))
    base = {
        "iterations": 2, "prompts_per_iteration": 6, "sampling": Sampling(max_new_tokens=6),
        "out": str(tmp_path / "run"), "learning": Learning(lr=3e-3, schedule="constant"), "fresh": True,
    }  # fmt: skip
    return configured(Config, model=model, data=(str(path),), **{"reward": ("regex:[aeiou]",), **base, **kwargs})


def vowels(prompts, responses):
    return [sum(c in "aeiou" for c in r.text) / 5 for r in responses]


def weights(result):
    """Of the policy that a run has written."""
    return torch.cat([p.detach().flatten() for p in load_policy(str(result.folder)).parameters()])


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tiny_model, tmp_path):
    config = config_of(tiny_model, tmp_path)
    one, same, other = (weights(train(c, vowels)) for c in (config, config, changed(config, seed=1)))
    assert torch.equal(one, same) and not torch.equal(one, other)


# Without whitening, and a large epsilon for Adam: the size of a score is then not lost on the way.
PLAIN = {
    "override": {"whiten": 0, "kl_in_reward": 0.5},
    "iterations": 3,
    "learning": Learning(lr=1.0, schedule="constant", adam_eps=10.0, max_grad_norm=0),
}


@pytest.fixture(scope="module")
def unchanged(tiny_model, tmp_path_factory):
    return weights(train(config_of(tiny_model, tmp_path_factory.mktemp("plain"), **PLAIN), vowels))


@pytest.mark.parametrize(
    "change",
    [
        {"missing_end_penalty": 3.0}, {"reward_clip": 0.1}, {"scale_rewards": True}, {"reference_every": 1},
        {"kl_target": 0.01, "kl_horizon": 10}, {"critic_from": "trunk"}, {"critic_lr": 0.1}, {"critic_warmup": 1},
        {"lora": Adapter(lora_rank=2)}, {"freeze": ("*layers.0*",)}, {"choose": {"advantage": "reward_to_go"}},
        {"sampling": Sampling(max_new_tokens=6, top_k=5)}, {"sampling": Sampling(max_new_tokens=6, temperature=0.7)},
    ],
    ids=lambda c: "+".join(c),
)  # fmt: skip
def test_every_setting_has_an_effect(unchanged, tiny_model, tmp_path, change):
    changed = weights(train(config_of(tiny_model, tmp_path, **{**PLAIN, **change}), vowels))
    assert len(unchanged) != len(changed) or not torch.equal(unchanged, changed)


def test_cut_sampling_is_said(tiny_model, tmp_path, capsys):
    train(config_of(tiny_model, tmp_path, sampling=Sampling(max_new_tokens=6, top_p=0.9), iterations=1), vowels)
    assert "biased towards what was kept" in capsys.readouterr().err
    assert "biased" in (tmp_path / "run" / "summary.json").read_text()


def test_checkpoints_are_policies(tiny_model, tmp_path):
    train(config_of(tiny_model, tmp_path, save_every=1), vowels)
    load_policy(str(tmp_path / "run" / "checkpoints" / "iteration-000001"))
    assert not (tmp_path / "run" / "checkpoints" / "iteration-000002").exists()  # the last one is model/


def test_bad_rewards_stop_the_run_or_are_dropped_and_counted(tiny_model, tmp_path, capsys):
    def sometimes(prompts, responses):
        return [[0.5, None, math.inf, 1.0][len(r.text) % 4] for r in responses]

    with pytest.raises(UserError, match=r"reward \(given in Python\) gave (None|inf) for prompt"):
        train(config_of(tiny_model, tmp_path), sometimes)
    train(config_of(tiny_model, tmp_path, bad_rewards="drop", kl_target=1.0), sometimes)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(row["reward/dropped"] >= 1 and 0.5 <= row["reward/mean"] <= 1 for row in rows)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert sum("reward/dropped" in line for line in summary["warnings"]) == 1 and 0.5 <= summary["reward_after"] <= 1
    with pytest.raises(UserError, match="nothing can be learned"):
        train(config_of(tiny_model, tmp_path, bad_rewards="drop"), lambda p, r: [None] * len(r))


def test_a_rest_of_prompts_that_fills_no_iteration_is_asked_first_in_the_next(tiny_model, tmp_path):
    asked = []

    def watching(prompts, responses):
        asked.append([p.id for p in prompts])
        return vowels(prompts, responses)

    given = {"algorithm": "reinforce", "prompts_per_iteration": 5, "held_out": 0.0, "save_state_s": -1}
    config = config_of(tiny_model, tmp_path, iterations=5, **given)  # of 12 prompts
    train(config, watching)
    learned = [name for iteration in asked[1:-1] for name in iteration]  # the first and the last are evaluations
    assert [len(iteration) for iteration in asked[1:-1]] == [5] * 5
    assert len(set(learned[:12])) == len(set(learned[12:24])) == 12


def test_schedules_end_with_the_run_and_nothing_has_drifted_before_it(tiny_model, tmp_path):
    """The policy rests while its critic warms up: what it has of a linear schedule is the rest of the iterations."""
    plain = {"epochs": 1, "minibatches": 9}  # of three responses, so three updates
    config = config_of(
        tiny_model, tmp_path, iterations=3, critic_warmup=1, prompts_per_iteration=3, override=plain,
        learning=Learning(lr=6e-3, schedule="linear"),
    )  # fmt: skip
    train(config, vowels)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    rates = [[row.get(f"{net}/lr") for row in rows] for net in ("policy", "critic")]
    assert rates[0][0] is None and rates[0][1:] == pytest.approx([5e-3, 2e-3])  # means of 6, 5, 4 and of 3, 2, 1
    assert rates[1] == pytest.approx([6e-3 * 8 / 9, 6e-3 * 5 / 9, 6e-3 * 2 / 9])
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["kl_before"] == 0


@pytest.mark.parametrize("lora", [Adapter(), Adapter(lora_rank=2)])
def test_weights_that_are_all_zero_end_in_no_traceback(lora, tiny_model, tokenizer, tmp_path):
    """Every hidden state is zero then, and every token as likely as any other."""
    for name, load in (("policy", load_policy), ("reward", load_scorer)):
        role = load(tiny_model)
        for parameter in role.parameters():
            parameter.data.zero_()
        save(role, tokenizer, tmp_path / name / "model")
    config = config_of(str(tmp_path / "policy"), tmp_path, reward=(str(tmp_path / "reward"),), lora=lora)
    assert weights(train(config)).isfinite().all()
