import json
import math
from dataclasses import replace

import pytest
import torch
from tokenizers import normalizers

from truing.data.batches import Sequences
from truing.data.formats import write
from truing.data.records import Comparison, Message, Prompt, Ranking
from truing.errors import UserError
from truing.models.loading import load_chat, load_policy, load_scorer
from truing.models.memory import MicroBatches
from truing.models.roles import trainable
from truing.settings import changed, configured
from truing.training import reward_model
from truing.training.loop import Learner
from truing.training.optimize import Learning
from truing.training.reward_model import Config, Item, encode, preference_loss, scored_pairs, scores, step, train

pytestmark = pytest.mark.usefixtures("metrics_are_documented")

BASE = configured(Config, model="m", data=("d",), learning=Learning(lr=1e-3, schedule="constant", adam_eps=1e-8))
ITEMS = [
    Item((1, 4), ((5, 6), (7,)), (0, 1), "a"),
    Item((1,), ((8, 9, 10), (11,), (12, 13)), (1, 0, 2), "b", ranked=True),
    Item((1, 5), ((14,), (15, 16)), (0, 1), "c", target=0.5, weight=0.5),
    Item((1,), ((17, 18), (19,), (20,), (21,)), (0, 1, 1, 2), "d", ranked=True),
]


def update(model, config, items=ITEMS, budget=1000):
    config = replace(config, learning=replace(config.learning, budget_tokens=budget))
    scorer = load_scorer(model)
    told = step(Learner.of("reward_model", scorer, config.learning, 5), items, config).metrics
    assert told["tokens"] == sum(item.tokens for item in items)
    told = {name: value for name, value in told.items() if name.startswith("loss/")}
    return torch.cat([p.detach().flatten() for p in trainable(scorer)]), told


@pytest.mark.parametrize("change", [{}, {"rankings": "plackett_luce"}, {"language_weight": 0.5}, {"centring": 0.1}])
def test_microbatches_and_order_do_not_change_the_update(tiny_model, change):
    config = replace(BASE, **change)
    whole, told = update(tiny_model, config)
    for other, said in (update(tiny_model, config, budget=1), update(tiny_model, config, ITEMS[::-1])):
        torch.testing.assert_close(other, whole, atol=1e-5, rtol=1e-4)
        assert said == pytest.approx(told, rel=1e-4, abs=1e-6)


def test_loss_by_hand():
    """-log sigmoid of each gap; the ranking is the mean of its pairs; a tie counts both ways."""
    score_B = torch.tensor([1.0, 0.0, 2.0, 3.0, 0.0, 0.5, 0.0], dtype=torch.float64)
    told = preference_loss(score_B, ITEMS[:3], BASE)

    def nll(gap):
        return math.log1p(math.exp(-gap))

    expected = [nll(1), (nll(1) + nll(3) + nll(2)) / 3, (nll(0.5) + nll(-0.5)) / 2]
    assert told.tolist() == pytest.approx(expected)


def test_a_ranking_of_k_is_one_item_and_each_answer_is_read_once(tiny_model, monkeypatch):
    from truing.models import roles

    read = []
    original = roles.hidden
    monkeypatch.setattr(
        roles, "hidden", lambda lm, tokens, *places: (read.append(len(tokens)), original(lm, tokens, *places))[1]
    )
    update(tiny_model, BASE, ITEMS[3:])
    assert read == [4]


@pytest.mark.parametrize(
    "change",
    [
        {"error_rate": 0.3}, {"centring": 0.3}, {"language_weight": 0.3}, {"rankings": "plackett_luce"},
        {"language_weight": 1.0, "preference_weight": 0.0},
    ],
)  # fmt: skip
def test_every_objective_has_an_effect(tiny_model, change):
    assert (update(tiny_model, BASE)[0] - update(tiny_model, replace(BASE, **change))[0]).abs().max() > 1e-6


def test_margin_has_an_effect_where_a_comparison_has_one():
    items = [replace(ITEMS[0], margin=1.0)]
    score_B = torch.tensor([1.0, 0.0])
    assert preference_loss(score_B, items, replace(BASE, margin=0.5)) > preference_loss(score_B, items, BASE)


def test_encode_keeps_what_was_judged(chat):
    prompt = Prompt((Message("user", "The cat"),))
    records = [
        Comparison(prompt, "sat", "ran", target=0.5, margin=0.2, weight=0.5),
        Ranking(prompt, ("sat", "ran", "sang"), (1, 0, 1)),
        Comparison(prompt, "sat " * 100, "ran"),
    ]
    items, left_out = encode(records, chat, 60)
    assert left_out == {"left_out_too_long": 1, "left_out_equal": 0}
    assert (items[0].target, items[0].margin, items[0].weight, items[0].ranked) == (0.5, 0.2, 0.5, False)
    assert items[1].tiers == (1, 0, 1) and items[1].ranked
    assert items[1].responses[1] == tuple(chat.response_ids("ran"))


def test_a_judgement_may_be_written_either_way_round(chat):
    """Broken on purpose: taken as they are written -> red, the margin counts in one of them only."""
    prompt = Prompt((Message("user", "The cat"),))
    records = [
        Comparison(prompt, "sat", "ran", target=1.0, margin=1.0),
        Comparison(prompt, "ran", "sat", target=0.0, margin=1.0),
    ]
    one, other = encode(records, chat, 60)[0]
    assert one == other and one.responses[0] == tuple(chat.response_ids("sat"))


def test_the_language_loss_is_of_the_better_answer_whichever_way_round_it_is_written(chat, tiny_model):
    prompt = Prompt((Message("user", "The cat"),))
    items, _ = encode([Comparison(prompt, "ran", "sat on it", target=0.3)], chat, 60)
    better = Sequences.of([chat.prompt_ids(prompt.messages)], [chat.response_ids("sat on it")])
    expected = -load_policy(tiny_model).logprobs(better).mean().item()
    figures = update(tiny_model, replace(BASE, language_weight=0.5), items)[1]
    assert figures["loss/language"] == pytest.approx(expected, rel=1e-4)


def test_plackett_luce_with_errors_and_centring_by_hand():
    """Two of three answers in the first tier: each is picked from all three; at random 1/3 each."""
    score_B, error, weight = torch.tensor([2.0, 0.0, 1.0]), 0.2, 0.1
    item = Item((1,), ((5,), (6,), (7,)), (0, 1, 0), "a", ranked=True)
    total = math.exp(2) + 1 + math.exp(1)
    by_scores = math.exp(2) / total * math.exp(1) / total
    nll = -math.log((1 - error) * by_scores + error / 9)
    centred = ((2 + 0) ** 2 + (2 + 1) ** 2 + (1 + 0) ** 2) / 3
    for given in ({"error_rate": error}, {}):
        config = replace(BASE, rankings="plackett_luce", centring=weight, **given)
        own = item if given else replace(item, error=error)  # a person's own rate counts before the setting
        assert preference_loss(score_B, [own], config).item() == pytest.approx(nll + weight * centred, rel=1e-5)


def test_a_ranking_whose_best_was_deleted_still_has_a_best(chat, tiny_model):
    ranking = Ranking(Prompt((Message("user", "The cat"),)), ("sat", "ran", "sang"), (4, 1, 2))
    items, _ = encode([ranking], chat, 60)
    assert items[0].tiers == (2, 0, 1)
    assert math.isfinite(update(tiny_model, replace(BASE, language_weight=0.5), items)[1]["loss/language"])


def test_two_responses_of_the_same_tokens_are_not_told_apart(chat):
    """Texts that differ in what the tokenizer drops, such as the way one letter is made up of code points."""
    chat.tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    prompt, told = Prompt((Message("user", "The cat"),)), []
    one, other = "caf\u00e9", "cafe\u0301"
    try:
        records = [
            Comparison(prompt, "sat", "ran"),
            Comparison(prompt, one, other),
            Comparison(prompt, one, other, target=0.5),
            Ranking(prompt, (one, "ran", other), (0, 1, 2)),
            Ranking(prompt, (one, "ran", other), (0, 1, 0)),  # a tie of equals is no contradiction
        ]
        items, left_out = encode(records, chat, 60, say=told.append)
    finally:
        chat.tokenizer.backend_tokenizer.normalizer = None
    assert [item.tiers for item in items] == [(0, 1), (0, 1, 0)]
    assert left_out == {"left_out_too_long": 0, "left_out_equal": 3}
    assert told == ["3 of 5 judgements prefer one of two responses that are the same tokens; left out"]


def test_a_pass_reads_every_judgement_and_the_last_update_what_is_left(tiny_model, tmp_path, monkeypatch):
    """7 at 4: the other 3 were never read."""
    read = []
    whole = reward_model.step

    def watching(learner, items, config):
        read.append([item.root for item in items])
        return whole(learner, items, config)

    monkeypatch.setattr(reward_model, "step", watching)
    records = [Comparison(Prompt((Message("user", f"Number {i}?"),)), "sat", "ran") for i in range(7)]
    train(
        configured(Config, model=tiny_model, data=("none",), out=str(tmp_path / "run"), batch_size=4, held_out=0),
        lambda *_: records,
    )
    assert list(map(len, read)) == [4, 3]
    assert sorted(root for batch in read for root in batch) == sorted(r.prompt.root for r in records)
    rates = [json.loads(line)["reward_model/lr"] for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert rates == pytest.approx([1e-4, 0.5e-4])  # a cosine over the two updates that there are


def test_judgements_that_weigh_nothing_teach_nothing(tiny_model):
    figures = update(tiny_model, BASE, [replace(item, weight=0.0) for item in ITEMS])[1]
    assert figures["loss/preference"] == 0.0


@pytest.mark.parametrize("change", [{"centring": 0.3}, {"error_rate": 0.3}])
def test_whole_rankings_know_centring_and_errors_too(change):
    score_B = torch.tensor([0.5, 1.0, -1.0])
    config = replace(BASE, rankings="plackett_luce")
    plain, changed = (preference_loss(score_B, ITEMS[1:2], c) for c in (config, replace(config, **change)))
    assert plain != changed


def test_what_the_context_has_no_room_for_is_left_out(tiny_model, tmp_path):
    """The tiny model's context is 96. Broken on purpose: max_tokens alone asked -> red in the batch they fall in."""
    prompt = Prompt((Message("user", "The cat"),))
    records = [Comparison(prompt, "sat", "ran " * 99), Comparison(prompt, "sat", "ran")]
    train(
        configured(Config, model=tiny_model, data=("none",), out=str(tmp_path / "run"), epochs=1, held_out=0),
        lambda *_: records,
    )
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["left_out_too_long"] == 1
    (said,) = summary["warnings"]
    assert said.startswith("1 of 2 judgements are longer than the model's context of 96 tokens; the first, ")
    assert "('The cat'), has " in said


def test_a_lack_of_memory_for_scores_is_remembered(tiny_model, monkeypatch):
    scorer, warned = load_scorer(tiny_model), []
    expected, given = scores(scorer, ITEMS, MicroBatches(1000)), type(scorer).forward

    def forward(self, tokens):
        if len(tokens) > 6:
            raise torch.OutOfMemoryError("out of memory")
        return given(self, tokens)

    monkeypatch.setattr(type(scorer), "forward", forward)
    micro_batches = MicroBatches(32, warned.append)
    found = scores(scorer, ITEMS, micro_batches)
    assert micro_batches.budget_tokens == 16 and len(warned) == 1
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_scored_pairs_are_all_pairs_in_the_order_judged(tiny_model):
    scorer = load_scorer(tiny_model)
    pairs = scored_pairs(scorer, ITEMS, MicroBatches(1000))
    score = scores(scorer, ITEMS, MicroBatches(5))
    assert len(pairs) == 1 + 3 + 1 + 6
    first = (pairs[1].score_chosen, pairs[1].score_rejected)
    assert first == pytest.approx((score[1][1], score[1][0]), abs=1e-5)
    assert [p.target for p in pairs].count(0.5) == 2  # the judged tie, and the tied tier


def test_a_reward_model_learns_and_is_normalised(tiny_model, tmp_path):
    good, bad = "A lemon is yellow.", "The dog ran."
    records = []
    for i in range(80):
        prompt = Prompt((Message("user", f"What colour is number {i}?"),))
        records.append(Comparison(prompt, good, bad) if i % 2 else Ranking(prompt, (bad, good), (1, 0)))
    write(records, tmp_path / "pairs.jsonl")
    config = configured(
        Config, model=tiny_model, data=(str(tmp_path / "pairs.jsonl"),), out=str(tmp_path / "run"), epochs=4,
        batch_size=8, held_out=0.2, learning=Learning(lr=3e-3),
    )  # fmt: skip
    summary = train(config).summary
    assert summary == json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["reward_model_accuracy"] == 1.0
    assert summary["held_out_pairs"] + summary["judgements"] == 80
    items, _ = encode(records, load_chat(tiny_model), 512)
    score_B = torch.tensor(scores(load_scorer(str(tmp_path / "run")), items, MicroBatches(1000))).flatten()
    assert score_B.mean() == pytest.approx(0, abs=0.05) and score_B.std() == pytest.approx(1, abs=0.05)
    with pytest.raises(UserError, match="no Comparison or Ranking"):
        (tmp_path / "prompts.jsonl").write_text('{"prompt": "x"}\n')
        train(changed(config, data=(str(tmp_path / "prompts.jsonl"),), fresh=True))
    assert (tmp_path / "run" / "model" / "config.json").is_file()


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", 0), ("error_rate", 1.0), ("margin", -1), ("held_out", 1.0), ("max_tokens", 1)]
)
def test_impossible_settings_are_refused_by_name(name, value):
    with pytest.raises(UserError, match=f"^{name} = "):
        configured(Config, model="m", data=("d",), **{name: value})


def test_criteria_are_learned_apart(tiny_model, tmp_path):
    def pairs(n, criterion):
        prompts = (Prompt((Message("user", f"{criterion} {i}?"),)) for i in range(n))
        return [Comparison(prompt, "A lemon.", "A dog.", criterion=criterion) for prompt in prompts]

    write([*pairs(3, ""), *pairs(2, "harmless")], tmp_path / "pairs.jsonl")
    config = configured(
        Config,
        model=tiny_model,
        data=(str(tmp_path / "pairs.jsonl"),),
        out=str(tmp_path / "run"),
        held_out=0,
        fresh=True,
    )
    for criterion, judgements in (("", 3), ("harmless", 2)):
        train(replace(config, criterion=criterion))
        assert json.loads((tmp_path / "run" / "summary.json").read_text())["judgements"] == judgements
    with pytest.raises(UserError, match="no judgement is on kind; there are 3 overall, 2 on harmless"):
        train(replace(config, criterion="kind"))


@pytest.mark.parametrize(("share", "told"), [(1e-9, True), (0, False)])
def test_that_nothing_is_held_out_is_told_where_something_should_be(tiny_model, tmp_path, share, told):
    records = [Comparison(Prompt((Message("user", "The cat"),)), "sat", "ran")]
    train(
        configured(Config, model=tiny_model, data=("none",), out=str(tmp_path / "run"), held_out=share),
        lambda *_: records,
    )
    said = json.loads((tmp_path / "run" / "summary.json").read_text()).get("warnings", [])
    assert any(line.startswith("nothing is held out: none of 1 judgements") for line in said) == told
