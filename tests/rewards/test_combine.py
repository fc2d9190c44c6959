import json
from functools import partial

import numpy as np
import pytest

from truing.data.records import Message, Prompt, Response
from truing.data.settings import DataSettings
from truing.errors import UserError
from truing.evaluation import compare, evaluate
from truing.generation.sampling import Sampling
from truing.loop import sample
from truing.models.loading import load_scorer, load_tokenizer, save
from truing.rewards.combine import checked, load_reward, model_sources, readable, weighted_sum
from truing.settings import configured
from truing.training import policy

PROMPT = Prompt((Message("user", "3 + 4?"),), tags=("answer:7",))


def test_several_rewards_are_a_weighted_sum():
    reward = load_reward(["2*exact", "0.5*regex:7", "regex:x*"])
    assert reward([PROMPT] * 2, [Response("7"), Response("8")]) == [3.5, 1.0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "7", [1.0], 1e39, 10**400])
def test_what_is_not_a_finite_number_stops_the_run(value):
    with pytest.raises(UserError, match=f"reward mine gave .* for prompt {PROMPT.id}"):
        checked(value, "mine", PROMPT)


def test_where_that_is_let_pass_the_response_has_no_score_whatever_the_others_say():
    told, bad = [], iter([float("nan"), 3.0, None, "7"])
    sources = [(1.0, "one", lambda p, r: [1.0] * 4), (0.5, "two", lambda p, r: list(bad))]
    scores = weighted_sum(sources, told.append)([PROMPT] * 4, [Response("x")] * 4)
    assert [str(s) for s in scores] == ["nan", "2.5", "nan", "nan"]
    assert len(told) == 3 and all("reward two" in line and PROMPT.id in line for line in told)


def test_a_weight_that_lifts_a_score_beyond_all_numbers_is_seen():
    with pytest.raises(UserError, match="not a finite number"):
        weighted_sum([(1e30, "big", lambda p, r: [1e30])])([PROMPT], [Response("x")])


def test_numbers_of_numpy_are_numbers():
    assert checked(np.float32(0.5), "mine", PROMPT) == 0.5 and checked(np.int64(2), "mine", PROMPT, weight=3) == 6


def test_one_score_for_each_response():
    with pytest.raises(UserError, match="gave 1 scores for 2 responses"):
        weighted_sum([(1.0, "short", lambda p, r: [1.0])])([PROMPT] * 2, [Response("x")] * 2)


def test_model_sources_are_those_without_a_colon():
    assert model_sources(["runs/rm", "0.5*runs/other", "exact", "a.py:f", "regex:x", "http://x/"]) == [
        "runs/rm",
        "runs/other",
    ]


def test_at_least_one():
    with pytest.raises(UserError, match="name one at least"):
        load_reward([])


STAGES = {
    "rl": lambda **given: policy.train(configured(policy.Config, algorithm="rloo", iterations=1, held_out=0, **given)),
    "sample": lambda **given: sample.train(configured(sample.Config, **given)),
    "evaluate": lambda **given: evaluate.evaluate(configured(evaluate.Config, answers=1, **given)),
    "compare": lambda model, reward, **given: compare.evaluate(
        configured(compare.Config, model=model, against=model, judge=reward, **given)
    ),
}


def short_reward(tiny_model, folder, context):
    """A reward model of a context below the policy's; returns its run."""
    scorer = load_scorer(tiny_model)
    scorer.lm_inside.config.max_position_embeddings = context
    save(scorer, load_tokenizer(tiny_model), folder / "reward" / "model")
    return str(folder / "reward")


@pytest.mark.parametrize("stage", STAGES)
def test_a_prompt_that_does_not_say_what_is_right_is_refused_before_any_answer(stage, tiny_model, tmp_path):
    rows = [{"prompt": "One?", "tags": ["answer:1"]}, {"prompt": "Two?"}]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(UserError, match=r'reward exact: prompt .* carries no tag "answer:'):
        STAGES[stage](
            model=tiny_model, data=(str(tmp_path / "prompts.jsonl"),), reward=("0.5*exact",), out=str(tmp_path / "run")
        )
    assert not list((tmp_path / "run").glob("samples.jsonl"))


@pytest.mark.parametrize(("stop", "fits"), [((), True), (("zz",), False)])
def test_an_answer_that_a_stop_string_ends_is_read_with_one_token_more(stop, fits, chat, tiny_model, tmp_path):
    context = len(chat.prompt_ids(PROMPT.messages)) + 8
    reward = short_reward(tiny_model, tmp_path, context)
    asked = [DataSettings(("d",), chat_format=chat.format), Sampling(max_new_tokens=8, stop=stop), print]
    if fits:
        assert readable([PROMPT], [reward], 96, *asked) == [PROMPT]
    else:
        with pytest.raises(UserError, match="no room for max_new_tokens"):
            readable([PROMPT], [reward], 96, *asked)


def test_an_answer_that_only_the_reward_model_finds_too_long_is_named(tiny_model, tmp_path):
    reward = load_reward([short_reward(tiny_model, tmp_path, 16)])
    with pytest.raises(UserError, match=f"prompt {PROMPT.id} and its answer are .* tokens to it, and its context 16"):
        reward([PROMPT], [Response("a long answer")])


@pytest.mark.parametrize("stage", STAGES)
def test_prompts_whose_answers_a_reward_model_has_no_room_for_are_told_before_any_is_given(
    stage, tiny_model, tmp_path, capsys
):
    """It ended the stage at the first it could not read, whatever had been done until then."""
    reward = short_reward(tiny_model, tmp_path, 32)
    rows = [{"prompt": "One?"}, {"prompt": "Two?"}, {"prompt": "three " * 20}]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run = partial(
        STAGES[stage], model=tiny_model, data=(str(tmp_path / "prompts.jsonl"),), reward=(reward,),
        out=str(tmp_path / "run"), sampling=Sampling(max_new_tokens=8), chat_format="plain",
    )  # fmt: skip
    run()
    told = capsys.readouterr().err
    assert "1 of 3 prompts leave no room for max_new_tokens in the context of reward" in told
    assert "('three three" in told
    with pytest.raises(UserError, match="no room for max_new_tokens in the context of reward"):
        run(strict=True, fresh=True)
