import json
import math

import pytest
import torch

from truing.data.batches import Sequences
from truing.data.records import Demonstration, Message, Prompt, split_of
from truing.errors import Diverged, UserError
from truing.models.loading import load_policy
from truing.models.roles import trainable
from truing.training.optimize import Learning, Optimizer
from truing.training.run import Run
from truing.training.supervised import Config, encode, fit, held_out_loss, step, train

TOKENS = Sequences.of([[1, 4], [1], [1, 5, 6]], [[7, 8, 9], [10], [11, 12, 13, 14, 15]])


def gradient(model, budget, order=None):
    policy = load_policy(model)
    optimizer = Optimizer(trainable(policy), Learning(lr=1e-3, schedule="constant", adam_eps=1e-8), 5)
    tokens = TOKENS if order is None else TOKENS.select(torch.tensor(order))
    told, _ = step(policy, tokens, optimizer, budget)
    return torch.cat([p.detach().flatten() for p in policy.parameters()]), told


def test_microbatches_and_order_do_not_change_the_update(tiny_model):
    whole, told = gradient(tiny_model, 1000)
    for other, said in (gradient(tiny_model, 1), gradient(tiny_model, 9), gradient(tiny_model, 1000, [2, 0, 1])):
        torch.testing.assert_close(other, whole, atol=1e-5, rtol=1e-4)
        assert said["loss/nll"] == pytest.approx(told["loss/nll"], rel=1e-5)


def test_loss_is_the_mean_over_all_response_tokens(tiny_model):
    policy = load_policy(tiny_model)
    expected = -policy(TOKENS).logp_N.mean().item()
    assert gradient(tiny_model, 4)[1]["loss/nll"] == pytest.approx(expected, rel=1e-5)
    assert held_out_loss(policy, TOKENS, 4) == pytest.approx(expected, rel=1e-5)


def test_only_the_response_is_learned_or_all(chat):
    record = Demonstration(Prompt((Message("user", "The cat"),)), "sat")
    config = {"model": "m", "data": ("d",)}
    only, _ = encode([record], chat, Config(**config))
    assert only.token_N.tolist() == chat.response_ids("sat")
    everything, _ = encode([record], chat, Config(**config, loss_on="all"))
    assert everything.token_S.tolist() == only.token_S.tolist()
    assert len(everything.token_N) == len(only.token_S) - 1


def test_too_long_ones_are_counted_not_cut(chat):
    records = [Demonstration(Prompt((Message("user", "hi"),)), "a " * n) for n in (1, 50)]
    tokens, left_out = encode(records, chat, Config("m", ("d",), max_tokens=30))
    assert (len(tokens), left_out) == (1, 1)
    with pytest.raises(UserError, match="longer than max_tokens = 3"):
        encode(records, chat, Config("m", ("d",), max_tokens=3))


def rows(path, count=40):
    path.write_text(
        "\n".join(json.dumps({"prompt": f"Say {i}", "completion": "A lemon is yellow."}) for i in range(count))
    )
    return str(path)


def test_a_model_learns_to_say_what_the_demonstrations_say(tiny_model, tmp_path):
    config = Config(
        tiny_model, (rows(tmp_path / "demos.jsonl"),), str(tmp_path / "sft"), epochs=6, batch_size=8, held_out=0.2,
        evaluate_every=5, learning=Learning(lr=1e-2),
    )  # fmt: skip
    train(config)
    summary = json.loads((tmp_path / "sft" / "summary.json").read_text())
    assert summary["held_out_loss"] < 0.5 * summary["held_out_loss_before"]
    again = load_policy(str(tmp_path / "sft"))
    assert again.lm_inside.config.vocab_size == 320
    with pytest.raises(UserError, match="finished run"):
        train(config)


def test_precision_has_effect_and_learns_nearly_the_same(tiny_model, tmp_path):
    data, ends = rows(tmp_path / "demos.jsonl"), []
    for name in ("float32", "bfloat16"):
        learning = Learning(lr=1e-3, precision=name)
        train(Config(tiny_model, (data,), str(tmp_path / name), epochs=1, batch_size=8, learning=learning))
        ends.append(json.loads((tmp_path / name / "summary.json").read_text())["loss"])
    assert ends[0] != ends[1] and ends[0] == pytest.approx(ends[1], rel=0.05)


def test_a_run_that_goes_on_keeps_the_smaller_micro_batch(tiny_model, tmp_path, monkeypatch):
    """Red when the budget is not saved: the sums of a run that goes on are then rounded in another order."""
    tokens = Sequences.of([[1, 5]] * 18, [[6, 7, 8, 9]] * 18)
    config = Config(
        tiny_model, ("none",), str(tmp_path / "run"), batch_size=6, save_state_s=0,
        learning=Learning(precision="float32", budget_tokens=48),
    )  # fmt: skip
    sizes = []

    def run(lacks):
        policy = load_policy(tiny_model)
        whole = policy.logprobs

        def logprobs(part):
            sizes.append(len(part.token_S))
            if lacks and sizes[-1] > 24:
                raise torch.OutOfMemoryError("out of memory")
            return whole(part)

        policy.logprobs = logprobs
        with Run.open(config.out, config, "sft") as folder:
            fit(policy, tokens, None, config, folder)

    passed = []

    def broken_off(name):
        passed.append(name)
        if len(passed) == 2:
            raise RuntimeError("broken off")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="broken off"):
        patch.setattr("truing.training.supervised.seam", broken_off)
        run(lacks=True)
    assert sizes == [36, 24, 12, 24, 12]
    sizes.clear()
    run(lacks=False)
    assert sizes == [24, 12] * 2


def test_a_loss_that_is_not_finite_stops_and_names_its_batch(tiny_model, tmp_path):
    """Red when the run stops without keeping the batch."""
    policy = load_policy(tiny_model)
    with torch.no_grad():
        policy.lm_inside.get_input_embeddings().weight[7] = float("nan")
    tokens = Sequences.of([[1, 5]] * 6, [[6, 8]] * 5 + [[7, 8]])
    config = Config(tiny_model, ("none",), str(tmp_path / "run"), batch_size=2, learning=Learning(precision="float32"))
    with pytest.raises(Diverged, match="loss/nll is nan"), Run.open(config.out, config, "sft") as run:
        fit(policy, tokens, None, config, run)
    (kept,) = (tmp_path / "run" / "quarantine" / "batches.jsonl").read_text().splitlines()
    assert 5 in json.loads(kept)["demonstrations"]


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_run_leaves_out_what_the_context_has_no_room_for(tiny_model, tmp_path, part):
    """The tiny model's context is 96. Broken on purpose: max_tokens alone asked -> red in the batch they fall in."""
    prompts = [Prompt((Message("user", f"Say {i}"),)) for i in range(99)]
    splits = {side: [p for p in prompts if split_of(p.root, 0.1) == side] for side in ("train", "test")}
    records = [Demonstration(prompt, "A lemon is yellow.") for prompt in splits["train"][:4]]
    records.append(Demonstration(splits[part][-1], "A lemon is yellow. " * 30))
    config = Config(tiny_model, ("none",), str(tmp_path / "run"), epochs=1, batch_size=2, held_out=0.1)
    train(config, lambda *_: records)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["left_out_too_long"] == (part == "train") and "held_out_loss" not in summary
    (said,) = summary["warnings"]
    assert "context of 96" in said and said.startswith("nothing is held out") == (part == "test")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", math.inf),
        ("batch_size", 0),
        ("max_tokens", 1),
        ("held_out", 1.0),
        ("evaluate_every", 0),
    ],
)
def test_impossible_settings_are_refused_by_name(name, value):
    with pytest.raises(UserError, match=f"^{name} = "):
        Config("m", ("d",), **{name: value})
