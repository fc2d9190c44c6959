import json

import pytest
from tests.fakes import FakeGenerator

from truing.data.formats import read
from truing.data.records import Conversation, Message, Prompt
from truing.data.seeds import of_response
from truing.errors import UserError
from truing.generation.sampling import Sampling
from truing.loop import sample
from truing.loop.sample import Config, Sampler, train
from truing.settings import configured


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": f"Number {i}?"}) for i in range(5)) + '\n{"prompt": "Number 0?"}\n')
    return str(path)


def run(model, data, tmp_path, name="run", **kwargs):
    """The conversations of a run."""
    given = {"model": model, "data": (data,), "out": str(tmp_path / name), **kwargs}
    result = train(configured(Config, sampling=Sampling(max_new_tokens=8), **given))
    return read(str(result.folder), (Conversation,), strict=True)


def test_answers_are_written_with_their_tokens_and_read_back(tiny_model, prompts, tmp_path):
    said = run(tiny_model, prompts, tmp_path, answers=3)
    assert len(said) == 5 and all(len(c.responses) == 3 for c in said)
    assert all(len(r.token_ids) == len(r.logprobs) > 0 for c in said for r in c.responses)
    assert [p.id for p in read(str(tmp_path / "run"), (Prompt,))] == [c.prompt.id for c in said]


def test_whoever_generates_answers_are_scored_and_the_best_are_kept(chat):
    """No model: three prompts, four answers, of which the two with the highest scores stay, best first."""
    prompts, scored = [Prompt((Message("user", f"Number {i}?"),)) for i in range(3)], []

    def reward(asked, responses):
        scored.append([p.id for p in asked])
        return [float(r.seed % 7) for r in responses]

    config = configured(Config, model="me", data=("x",), answers=4, keep=2, reward=("exact",))
    conversations = Sampler(FakeGenerator(), chat, reward, config)(prompts, 5)
    assert [c.prompt for c in conversations] == prompts and scored == [[p.id for p in prompts for _ in range(4)]]
    for i, conversation in enumerate(conversations):
        seeds = [of_response(5, i, j) for j in range(4)]
        assert [r.score for r in conversation.responses] == sorted((s % 7 for s in seeds), reverse=True)[:2]
        assert {r.seed for r in conversation.responses} <= set(seeds)
        assert {r.author for r in conversation.responses} == {"me"}
    plain = Sampler(FakeGenerator(), chat, None, configured(Config, model="me", data=("x",), answers=4))(prompts, 5)
    assert all(len(c.responses) == 4 and c.responses[0].score is None for c in plain)


def test_best_of_n_keeps_the_highest_score(tiny_model, prompts, tmp_path):
    everything = run(tiny_model, prompts, tmp_path, "all", answers=4, reward=("regex:[aeiou]",))
    best = run(tiny_model, prompts, tmp_path, "best", answers=4, reward=("regex:[aeiou]",), keep=1)
    for whole, one in zip(everything, best, strict=True):
        assert [r.score for r in one.responses] == [max(r.score for r in whole.responses)]


def test_no_two_responses_of_a_run_have_the_same_seed(tiny_model, prompts, tmp_path, monkeypatch):
    """Three chunks. Broken on purpose: each chunk with the seed of the run -> red."""
    monkeypatch.setattr(sample, "LocalGenerator", lambda policy, chat: FakeGenerator())
    said = run(tiny_model, prompts, tmp_path, answers=100)
    assert len({r.seed for c in said for r in c.responses}) == 500


def test_seed_and_prompts_have_effect(tiny_model, prompts, tmp_path):
    one, two = (run(tiny_model, prompts, tmp_path, str(s), answers=2, seed=s, prompts=2) for s in (0, 1))
    assert len(one) == 2 and one[0].responses[0].token_ids != two[0].responses[0].token_ids


def test_precision_has_effect_and_rounds_no_more_than_it_must(tiny_model, prompts, tmp_path):
    """The first tokens' log-probs, before a draw can differ: bfloat16 has three digits."""
    fine, rough = (
        [c.responses[0].logprobs[0] for c in run(tiny_model, prompts, tmp_path, name, precision=name)]
        for name in ("float32", "bfloat16")
    )
    assert fine != rough and fine == pytest.approx(rough, rel=0.05)


@pytest.mark.parametrize("bad", [{"answers": 0}, {"prompts": -1}, {"keep": 5}, {"keep": 1}])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(UserError):
        configured(Config, model="m", data=("d",), **bad)
