import io
import json
import shutil

import pytest
from tests.templates import LLAMA_2, with_template

from truing.data.records import Message, Prompt, Response
from truing.errors import UserError
from truing.evaluation import compare as module
from truing.evaluation.compare import Config, evaluate, win_rate
from truing.evaluation.evaluate import Config as OfOne
from truing.evaluation.evaluate import evaluate as evaluate_one
from truing.evaluation.judge import by_reward, outcomes
from truing.generation.sampling import Sampling
from truing.maths import statistics
from truing.runs import progress
from truing.settings import changed, configured

PROMPTS = [Prompt((Message("user", str(i)),)) for i in range(40)]


def length(prompts, responses):
    return [float(len(r.text)) for r in responses]


def test_win_rate_counts_ties_a_half():
    ours = [Response("aaa")] * 20 + [Response("aa")] * 10 + [Response("a")] * 10
    told = win_rate(PROMPTS, [won for _, won in outcomes(by_reward(length), PROMPTS, ours, [Response("bb")] * 40)])
    assert (told["wins"], told["ties"], told["losses"]) == (20, 10, 10)
    assert told["win_rate"] == pytest.approx(25 / 40)
    low, high = told["win_rate_interval"]
    assert 0.4 < low < 0.625 < high < 0.8


def test_a_policy_against_itself_wins_half(tiny_model, tmp_path):
    data = tmp_path / "prompts.jsonl"
    data.write_text("\n".join(json.dumps({"prompt": f"What colour is number {i}?"}) for i in range(60)))
    config = configured(
        Config,
        model=tiny_model,
        against=tiny_model,
        data=(str(data),),
        judge=("regex:[aeiou]",),
        out=str(tmp_path / "out"),
        sampling=Sampling(max_new_tokens=6),
    )
    told = evaluate(config).summary
    low, high = told["win_rate_interval"]
    assert low < 0.5 < high
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["win_rate"] == told["win_rate"]
    rows = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]
    assert len(rows) == 120 and {r["phase"] for r in rows} == {"before", "after"}


def test_prompts_that_one_of_the_two_has_no_room_for_are_left_out_of_both(tiny_model, tmp_path):
    """Broken on purpose: left out of theirs alone -> red, answers to different prompts are compared."""
    shutil.copytree(tiny_model, tmp_path / "narrow")
    settings = json.loads((tmp_path / "narrow" / "config.json").read_text())
    (tmp_path / "narrow" / "config.json").write_text(json.dumps({**settings, "max_position_embeddings": 40}))
    prompts = [f"Number {i}? " + "The cat sat. " * (9 if i == 1 else 0) for i in range(4)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(json.dumps({"prompt": prompt}) for prompt in prompts))
    given = {"data": (str(tmp_path / "prompts.jsonl"),), "judge": ("regex:[aeiou]",), "out": str(tmp_path / "out")}
    for model, against in ((tiny_model, str(tmp_path / "narrow")), (str(tmp_path / "narrow"), tiny_model)):
        config = configured(Config, model=model, against=against, answers=2, fresh=True, **given)
        figures = evaluate(changed(config, sampling=Sampling(max_new_tokens=4))).summary
        assert figures["wins"] + figures["ties"] + figures["losses"] == 6
        rows = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]
        assert [row["prompt"][7] for row in rows] == list("000022223333")
    with pytest.raises(UserError, match="leave no room"):
        evaluate(changed(config, strict=True))


def test_each_policy_is_asked_in_its_own_format_and_answers_in_its_own_name(
    tiny_model, tokenizer, tmp_path, monkeypatch
):
    other = str(tmp_path / "other")
    shutil.copytree(tiny_model, other)
    template = "{{ messages[0].content }} Answer:"
    with_template(tokenizer, LLAMA_2, chat_template=template).save_pretrained(other)
    (tmp_path / "prompts.jsonl").write_text("\n".join(json.dumps({"prompt": f"Number {i}?"}) for i in range(3)))
    made, given = [], module.answers_of

    def answers_of(generator, chat, *more):
        made.append((chat.tokenizer.chat_template == template, given(generator, chat, *more)))
        return made[-1][1]

    monkeypatch.setattr(module, "answers_of", answers_of)
    settings = {"data": (str(tmp_path / "prompts.jsonl"),), "judge": ("regex:a",), "prompts": 2, "answers": 2}
    sampling = Sampling(max_new_tokens=4)
    evaluate(
        configured(Config, model=tiny_model, against=other, out=str(tmp_path / "out"), sampling=sampling, **settings)
    )
    assert [(own, {r.author for r in responses}) for own, responses in made] == [
        (False, {tiny_model}),
        (True, {other}),
    ]
    rows = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]
    assert [row["response"] for row in rows if row["phase"] == "after"] == [r.text for r in made[0][1]]
    assert [row["response"] for row in rows if row["phase"] == "before"] == [r.text for r in made[1][1]]
    assert len(rows) == 8


def compare(tiny_model, folder, typed, monkeypatch, **settings):
    """A person compares three pairs, by default each once; returns the figures, or raises."""
    (folder / "prompts.jsonl").write_text("\n".join(json.dumps({"prompt": f"Number {i}?"}) for i in range(3)))
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    data = (str(folder / "prompts.jsonl"),)
    given = {"sampling": Sampling(max_new_tokens=4), **settings}
    return evaluate(
        configured(Config, model=tiny_model, against=tiny_model, data=data, out=str(folder / "out"), **given)
    ).summary


def judged(folder):
    rows = [json.loads(line) for line in (folder / "out" / "samples.jsonl").read_text().splitlines()]
    return [row["outcome"] for row in rows if row["phase"] == "after"]


def test_one_order_decided_and_the_other_a_tie_is_three_quarters_of_a_win(tiny_model, tmp_path, monkeypatch):
    # won and a tie; won in both orders; a tie and lost
    told = compare(tiny_model, tmp_path, "1\n=\n1\n2\n=\n1\n", monkeypatch, both_orders=True)
    assert judged(tmp_path) == [1.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    assert (told["win_rate"], told["wins"], told["ties"], told["losses"]) == (pytest.approx(2 / 3), 2, 0, 1)
    low, high = told["win_rate_interval"]
    assert 0 <= low < 2 / 3 < high <= 1


def test_what_a_person_judged_is_on_disk_before_anything_can_fail(tiny_model, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ValueError("a mistake in the statistics")

    monkeypatch.setattr(statistics, "win_rate", fail)
    with pytest.raises(ValueError, match="a mistake"):
        compare(tiny_model, tmp_path, "=\n=\n=\n", monkeypatch)
    assert judged(tmp_path) == [0.5, 0.5, 0.5]


def test_what_a_person_judged_is_kept_when_they_leave(tiny_model, tmp_path, monkeypatch):
    """Half of what was asked of a pair too."""
    with pytest.raises(UserError, match=r"nobody answers any more; what was judged is kept in .*samples\.jsonl until"):
        compare(tiny_model, tmp_path, "1\n=\n1\n", monkeypatch, both_orders=True)
    assert judged(tmp_path) == [1.0, 0.5, 1.0]
    with pytest.raises(UserError, match="nobody answers any more; nothing was judged"):
        compare(tiny_model, tmp_path, "", monkeypatch)


def test_equal_answers_are_ties_that_are_told_and_not_asked(tiny_model, tmp_path, monkeypatch, capsys):
    told = compare(tiny_model, tmp_path, "", monkeypatch, sampling=Sampling(max_new_tokens=4, temperature=0))
    assert (told["win_rate"], told["ties"]) == (0.5, 3)
    assert "3 of 3 pairs are of equal answers, and count as ties" in capsys.readouterr().err


@pytest.mark.parametrize("stage", [evaluate, evaluate_one])
def test_who_waits_for_answers_sees_how_far_they_are(stage, tiny_model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "QUIET_S", 0.0)
    (tmp_path / "prompts.jsonl").write_text("\n".join(json.dumps({"prompt": f"Number {i}?"}) for i in range(3)))
    given = {"data": (str(tmp_path / "prompts.jsonl"),), "out": str(tmp_path / "out"), "answers": 2}
    given["sampling"] = Sampling(max_new_tokens=4)
    if stage is evaluate:
        stage(configured(Config, model=tiny_model, against=tiny_model, judge=("regex:a",), **given))
    else:
        stage(configured(OfOne, model=tiny_model, reward=("regex:a",), reference=tiny_model, **given))
    told = capsys.readouterr().err
    assert told.count("6 of 6") == 2


def test_settings_are_checked():
    with pytest.raises(UserError, match="answers = 0"):
        configured(Config, model="a", against="b", data=("c",), answers=0)
