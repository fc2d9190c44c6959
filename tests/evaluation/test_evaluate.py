import copy
import json

import numpy as np
import pytest
import torch
from tests.fakes import FakeGenerator
from tests.templates import CHATML, with_template

from truing.data.records import Message, Prompt, Response
from truing.data.seeds import of_response
from truing.errors import UserError
from truing.evaluation.evaluate import Config, best_of_n, drift, evaluate, repeats, scored_answers, shape
from truing.generation.local import LocalGenerator
from truing.generation.records import generate, requests
from truing.generation.sampling import Sampling
from truing.maths.statistics import wilson
from truing.models.loading import load_policy, save
from truing.models.memory import MicroBatches
from truing.settings import changed, configured

PROMPTS = [Prompt((Message("user", text),)) for text in ("The cat", "What colour?", "A bird sang")]


def test_repeats_means_three_times_the_same_four_tokens():
    assert repeats([1, 2, 3, 4] * 3)
    assert not repeats([1, 2, 3, 4] * 2 + [5])
    assert not repeats([])


def test_shape_by_hand():
    told = shape([Response("x", (1, 2, 3), finish_reason="stop"), Response("y", (7,) * 9, finish_reason="length")])
    assert told == {"length": 6.0, "unfinished": 0.5, "repeated": 0.5}


def test_drift_is_zero_from_itself_and_close_to_the_sampled_estimate_elsewhere(policy, chat):
    said = generate(LocalGenerator(policy, chat), chat, requests(PROMPTS, 60, 0), Sampling(max_new_tokens=8)).rollouts
    same = drift(policy, copy.deepcopy(policy), said, 1.0, MicroBatches(500))
    assert same["kl"] == pytest.approx(0, abs=1e-3)
    other = copy.deepcopy(policy)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
        sampled = said.logp_N - other(said.tokens).logp_N
    told = drift(policy, other, said, 1.0, MicroBatches(500))
    per_response = sampled.sum().item() / len(said)
    error = 4 * sampled.std().item() * (len(said.logp_N) ** 0.5) / len(said)
    assert abs(told["kl"] - per_response) < error
    assert told["kl"] == pytest.approx(drift(policy, other, said, 1.0, MicroBatches(20))["kl"], rel=1e-4)
    entropy = -said.logp_N.mean().item()  # the mean surprise estimates the mean entropy
    assert told["entropy"] == pytest.approx(entropy, abs=0.2)


def test_where_memory_runs_out_it_is_measured_in_smaller_micro_batches(policy, chat, monkeypatch):
    said = generate(LocalGenerator(policy, chat), chat, requests(PROMPTS, 4, 0), Sampling(max_new_tokens=8)).rollouts
    whole, given, warned = drift(policy, None, said, 1.0, MicroBatches(500)), type(policy).forward, []

    def forward(self, tokens, *more):
        if len(tokens.token_S) > 40:
            raise torch.OutOfMemoryError("out of memory")
        return given(self, tokens, *more)

    monkeypatch.setattr(type(policy), "forward", forward)
    assert drift(policy, None, said, 1.0, MicroBatches(64, warned.append)) == pytest.approx(whole, rel=1e-5)
    assert warned == ["out of memory: micro-batches have 32 tokens from now on; results are the same but for rounding"]


def test_figures_of_whoever_answers_by_hand(chat):
    """No model: the first answer to each of three prompts scores 0, the second 1."""
    sampling = Sampling(max_new_tokens=5)
    given = {"model": "none", "data": ("x",), "reward": ("exact",), "answers": 2, "sampling": sampling, "seed": 7}

    def reward(prompts, responses):
        return [0.0, 1.0] * 3

    generator = FakeGenerator(end_id=None)
    answers = scored_answers(generator, chat, PROMPTS, reward, configured(Config, **given), "mine")
    assert generator.seeds == [[of_response(7, i, j) for i in range(3) for j in range(2)]]
    assert answers.score_PK.tolist() == [[0, 1]] * 3 and answers.generated.rollouts.lengths_B.tolist() == [5] * 6
    figures = answers.figures
    assert (figures["reward"], figures["length"], figures["unfinished"]) == (0.5, 5.0, 1.0)
    low, high = figures["reward_interval"]
    assert 0 < low < 0.5 < high < 1


def test_best_of_n_curve_by_hand():
    """Samples 0, 1, 2, 3: best of 2 is the mean of the larger of each pair, (1+2+3+2+3+3)/6."""
    curve = best_of_n(np.array([[3.0, 0.0, 2.0, 1.0]]))
    assert [row["n"] for row in curve] == [1, 2, 4]
    assert [row["reward"] for row in curve] == pytest.approx([1.5, 14 / 6, 3.0])
    assert [row["kl"] for row in curve] == pytest.approx([0, np.log(2) - 0.5, np.log(4) - 0.75])


def test_a_reward_of_right_or_wrong_is_unsure_even_if_all_is_right(tiny_model, tmp_path):
    """Three prompts, two answers each, all right: as three of three, not [1, 1]."""
    data = tmp_path / "prompts.jsonl"
    data.write_text("\n".join(json.dumps({"prompt": p.text}) for p in PROMPTS))
    config = configured(
        Config, model=tiny_model, data=(str(data),), reward=("regex:.*",), out=str(tmp_path / "out"), answers=2,
        sampling=Sampling(max_new_tokens=2),
    )  # fmt: skip
    told = evaluate(config).summary
    assert told["reward"] == 1 and told["reward_interval"] == pytest.approx(wilson(3, 3))


def test_evaluate_writes_figures_of_both(tiny_model, chat, tmp_path):
    data = tmp_path / "prompts.jsonl"
    data.write_text("\n".join(json.dumps({"prompt": p.text}) for p in PROMPTS))
    config = configured(
        Config, model=tiny_model, data=(str(data),), reward=("regex:e",), reference=tiny_model,
        out=str(tmp_path / "out"), answers=2, sampling=Sampling(max_new_tokens=5),
    )  # fmt: skip
    told = evaluate(config).summary
    assert told["kl"] == pytest.approx(0, abs=1e-4) and told["reward"] == told["reference_reward"]
    assert {"entropy", "length", "unfinished", "repeated", "best_of_n", "reward_interval"} <= set(told)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["length"] == told["length"]
    rows = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]
    first = generate(LocalGenerator(load_policy(tiny_model), chat), chat, requests(PROMPTS, 2, 0), config.sampling)
    expected = [(p.text, r.text, float("e" in r.text)) for p, r in zip(PROMPTS, first.responses[::2], strict=True)]
    assert [(row["prompt"], row["response"], row["score"]) for row in rows] == 2 * expected
    assert [row["phase"] for row in rows] == ["after"] * 3 + ["before"] * 3
    with data.open("a") as file:
        file.write("\n" + json.dumps({"prompt": "a cat " * 99}))
    again = evaluate(changed(config, fresh=True)).summary
    left_out = {"time_s", "warnings"}  # a prompt longer than the context
    assert [f for f in again.items() if f[0] not in left_out] == [f for f in told.items() if f[0] not in left_out]
    assert "prompts leave no room" in (tmp_path / "out" / "summary.json").read_text()
    few = evaluate(changed(config, fresh=True, prompts=2)).summary
    assert few["length"] == pytest.approx(np.mean([len(r.token_ids) for r in first.responses[:4]]))


def test_a_reference_that_reads_other_tokens_is_refused(tiny_model, tokenizer, tmp_path):
    other = str(tmp_path / "other")
    save(load_policy(tiny_model), with_template(tokenizer, CHATML), other)
    given = {"model": tiny_model, "data": ("x",), "reward": ("regex:e",), "out": str(tmp_path / "out")}
    with pytest.raises(UserError, match=r"reference: .* has another tokenizer"):
        evaluate(configured(Config, reference=other, **given))
