import json
import math

import pytest
import torch

from truing.errors import UserError
from truing.generation.sampling import Sampling
from truing.maths.kl import AdaptiveKL
from truing.models.adapters import Adapter
from truing.models.loading import load_policy, load_scorer, save
from truing.settings import changed, configured
from truing.training.optimize import Learning
from truing.training.policy import stage
from truing.training.policy.auxiliary import AuxiliaryLoss
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


def rows(folder):
    """Of metrics.jsonl."""
    return [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]


def test_what_is_done_now_and_then_is_done_then(tiny_model, tmp_path):
    """Red when a schedule is off by one or ignored, or the coefficient that is logged is not the one that was used."""
    given = {"tug_every": 2, "check_every": 3, "kl_target": 0.001, "kl_horizon": 24, "iterations": 5}
    config = config_of(tiny_model, tmp_path, **given)
    train(config, vowels)
    logged = rows(tmp_path)
    assert [row["step"] for row in logged if "tug/reward" in row] == [1, 3, 5]
    assert [row["step"] for row in logged if "check/logprob_gap" in row] == [1, 3]
    control = AdaptiveKL(config.row.kl_in_reward, config.kl_target, config.kl_horizon)
    for row in logged:
        assert row["kl/coefficient"] == control.coefficient
        control = control.update(row["kl/per_response"], 6)
    assert control.coefficient != config.row.kl_in_reward


def test_the_pull_of_kl_is_measured_at_the_coefficient_of_now(tiny_model, tmp_path, monkeypatch):
    """Red when it is measured at that of the start."""
    measured = []

    def conflict(learners, algo, limit, experience):
        measured.append(algo.kl_in_reward)
        return {"tug/reference": algo.kl_in_reward}

    monkeypatch.setattr(stage, "gradient_conflict", conflict)
    train(config_of(tiny_model, tmp_path, tug_every=1, kl_target=0.001, kl_horizon=24, iterations=3), vowels)
    assert measured == [row["kl/coefficient"] for row in rows(tmp_path)] and len(set(measured)) == 3


def test_responses_are_others_in_each_iteration_and_the_same_before_and_after(tiny_model, tmp_path):
    """The figures before and after are of the reward itself: no penalty, clipping or scale, and no moment of it."""
    seeds = []

    def watching(prompts, responses):
        seeds.append([r.seed for r in responses])
        return vowels(prompts, responses)

    given = {"missing_end_penalty": 100.0, "scale_rewards": True, "held_out": 0.5, "iterations": 3}
    result = train(config_of(tiny_model, tmp_path, **given), watching)
    before, *iterations, after = seeds
    assert before == after and len({seed for some in (before, *iterations) for seed in some}) == len(before) + 3 * 6
    assert 0 <= result.summary["reward_before"] <= 1.2 and 0 <= result.summary["reward_after"] <= 1.2
    assert rows(tmp_path)[0]["reward/mean"] < -0.5


def test_what_is_wrong_is_told(tiny_model, tmp_path):
    """Equal scores in each iteration that rise from one to the next, while held-out ones fall."""
    config = config_of(tiny_model, tmp_path, iterations=3, override={"epochs": 1})
    prompts = [{"prompt": f"{split} {i}?", "split": split} for split in ("train", "test") for i in range(24)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    scores = iter([1.0, 0.1, 0.2, 0.3, 0.0])
    warnings = train(config, lambda prompts, responses: [next(scores)] * len(responses)).summary["warnings"]
    assert sum("all scores of an iteration are equal" in line for line in warnings) == 1, warnings
    assert sum("fell on held-out prompts (1 to 0)" in line for line in warnings) == 1, warnings


def test_a_run_that_crashed_within_its_first_iteration_goes_on_to_the_same_bits(tiny_model, tmp_path, monkeypatch):
    """With PPO-ptx. Red when the figures before are of a policy that has moved, or demonstrations are read again."""
    (tmp_path / "demos.jsonl").write_text(
        '{"prompt": "a", "completion": "bc"}\n{"prompt": "d", "completion": "efgh"}\n'
    )
    given = {"pretrain_data": (str(tmp_path / "demos.jsonl"),), "pretrain_weight": 1.0, "pretrain_batch": 1}
    config, add = config_of(tiny_model, tmp_path, save_state_s=0, **given), AuxiliaryLoss.__call__
    whole = train(changed(config, out=str(tmp_path / "whole")), vowels)

    def crash(auxiliary):
        if auxiliary.done == 5:
            raise ZeroDivisionError
        return add(auxiliary)

    monkeypatch.setattr(AuxiliaryLoss, "__call__", crash)
    with pytest.raises(ZeroDivisionError):
        train(config, vowels)
    monkeypatch.undo()
    resumed = train(changed(config, fresh=False), vowels)
    assert torch.equal(weights(resumed), weights(whole))
    figures = {name for name in whole.summary if name.endswith(("_before", "_after"))}
    assert len(figures) == 10 and all(resumed.summary[name] == whole.summary[name] for name in figures)


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
