import copy
import json
import math
from itertools import groupby

import pytest
import torch

from truing.data.batches import Sequences
from truing.data.chat import Chat
from truing.data.records import Demonstration, Message, Prompt, split_of
from truing.errors import Diverged, UserError
from truing.models.loading import load_policy
from truing.models.memory import MicroBatches
from truing.models.roles import trainable
from truing.runs.run import Run
from truing.settings import changed, configured
from truing.training import loop, supervised
from truing.training.loop import Learner, PassSettings
from truing.training.optimize import Learning
from truing.training.supervised import (
    Config,
    HeldOut,
    encode,
    fit,
    gradients,
    held_out_loss,
    lessons_of,
    split,
    step,
    train,
    weights,
)

pytestmark = pytest.mark.usefixtures("metrics_are_documented")

TOKENS = Sequences.of([[1, 4], [1], [1, 5, 6]], [[7, 8, 9], [10], [11, 12, 13, 14, 15]])


def gradient(model, budget, order=None):
    policy = load_policy(model)
    learning = Learning(lr=1e-3, schedule="constant", adam_eps=1e-8, budget_tokens=budget)
    tokens = TOKENS if order is None else TOKENS.select(torch.tensor(order))
    told = step(Learner.of("policy", policy, learning, 5), tokens)
    return torch.cat([p.detach().flatten() for p in policy.parameters()]), told.metrics


def test_microbatches_and_order_do_not_change_the_update(tiny_model):
    whole, told = gradient(tiny_model, 1000)
    for other, said in (gradient(tiny_model, 1), gradient(tiny_model, 9), gradient(tiny_model, 1000, [2, 0, 1])):
        torch.testing.assert_close(other, whole, atol=1e-5, rtol=1e-4)
        assert said["loss/nll"] == pytest.approx(told["loss/nll"], rel=1e-5)


def test_loss_is_the_mean_over_all_response_tokens(tiny_model):
    policy = load_policy(tiny_model)
    expected = -policy(TOKENS).logp_N.mean().item()
    assert gradient(tiny_model, 4)[1]["loss/nll"] == pytest.approx(expected, rel=1e-5)
    assert held_out_loss(policy, TOKENS, MicroBatches(4)) == pytest.approx(expected, rel=1e-5)


def config_of(**given):
    return configured(Config, **{"model": "m", "data": ("none",), **given})


def fitted(policy, tokens, config):
    """Learn the tokens as configured."""
    with Run.open(config.run, config, "sft") as run:
        fit(policy, tokens, None, config.passes.over(len(tokens), run), config.learning, run)


def test_only_the_response_is_learned_or_all(chat):
    record = Demonstration(Prompt((Message("user", "The cat"),)), "sat")
    only, _ = encode([record], chat, config_of())
    assert only.learned_N.all()
    assert only.token_N.tolist() == chat.response_ids("sat")
    everything, _ = encode([record], chat, config_of(loss_on="all"))
    assert everything.token_S.tolist() == only.token_S.tolist()
    assert len(everything.token_N) == len(only.token_S) - 1


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TURNS = (
    Message("user", "A lemon?"), Message("assistant", "yellow."), Message("user", "A dog?"),
    Message("assistant", "It ran."), Message("user", "Grass?"),
)  # fmt: skip


def spoken(chat, records, loss_on, say=print):
    """What is learned of each demonstration, in runs of neighbouring tokens, as text."""
    told = []
    for ids, learned in lessons_of(records, chat, loss_on, say):
        runs = groupby(zip(ids, learned, strict=True), key=lambda pair: pair[1])
        told.append([chat.tokenizer.decode([i for i, _ in run]) for is_learned, run in runs if is_learned])
    return told


@pytest.fixture
def chatml(tokenizer):
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.eos_token, tokenizer.chat_template = "<|im_end|>", CHATML
    return tokenizer


@pytest.mark.parametrize(
    ("layout", "learned"),
    [
        ("template", ["yellow.<|im_end|>", "It ran.<|im_end|>", "Green<|im_end|>"]),
        ("dialogue", [" yellow.", " It ran.", " Green<|im_end|>"]),  # no token ends an earlier answer there
        ("plain", ["yellow.", "It ran.", "Green<|im_end|>"]),
    ],
)
def test_every_turn_of_the_assistant_is_learned_or_the_last_one(chatml, layout, learned):
    chat, records = Chat(chatml, layout), [Demonstration(Prompt(TURNS), "Green", conversation=True)]
    assert spoken(chat, records, "assistant") == [learned]
    assert spoken(chat, records, "last") == [learned[-1:]]
    for ids, _ in lessons_of(records, chat, "assistant", print):
        assert ids == chat.prompt_ids(TURNS) + chat.response_ids("Green")


def test_a_conversation_teaches_what_its_answers_teach_one_by_one(chatml, policy):
    """The loss, and that of held-out ones, is over the very tokens of each answer as a demonstration of its own."""
    policy.lm.resize_token_embeddings(len(chatml), mean_resizing=False)
    chat = Chat(chatml)
    whole = [Demonstration(Prompt(TURNS), "Green", conversation=True)]
    apart = [Demonstration(Prompt(TURNS[:k]), TURNS[k].content) for k in (1, 3)] + whole
    (together, _), (each, _) = (
        encode(records, chat, config_of(loss_on=loss_on))
        for records, loss_on in ((whole, "assistant"), (apart, "last"))
    )
    assert together.token_N[together.learned_N].tolist() == each.token_N.tolist()
    assert len(together) == 1 and len(each) == 3
    losses = [held_out_loss(policy, tokens, MicroBatches(1000)) for tokens in (together, each)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for tokens in (together, each):
        policy.zero_grad()
        (loss,) = gradients(policy, split(tokens, weights(tokens), 1000)).values()
        assert loss == pytest.approx(losses[0], rel=1e-5)
        losses.append(torch.cat([p.grad.flatten() for p in policy.parameters()]))
    torch.testing.assert_close(losses[2], losses[3], atol=1e-5, rtol=1e-4)


def test_a_template_that_rewrites_earlier_answers_teaches_the_last_one_and_says_so(chatml):
    """Thoughts are taken out of all answers but the last, as reasoning models' templates do."""
    chatml.chat_template = CHATML.replace(
        "{{ m.content }}", "{{ m.content if loop.last or '/' not in m.content else m.content.split('/')[1] }}"
    )
    chat, told = Chat(chatml), []
    thought = (TURNS[0], Message("assistant", "I think/yellow."), TURNS[2])
    records = [
        Demonstration(Prompt(thought), "A pet/It ran.", conversation=True),
        Demonstration(Prompt(TURNS), "Green", conversation=True),
    ]
    first, second = spoken(chat, records, "assistant", told.append)
    assert first == ["A pet/It ran.<|im_end|>"] and len(second) == 3
    assert len(told) == 1 and told[0].startswith(
        "1 of 2 demonstrations: the chat format (template) writes earlier answers"
    )


def test_only_a_whole_conversation_teaches_its_earlier_answers(chatml):
    """What a model has said before a person's answer, or a worse answer in a tree, is nobody's demonstration."""
    records = [Demonstration(Prompt(TURNS), "Green", conversation=whole) for whole in (False, True)]
    alone, whole = spoken(Chat(chatml), records, "assistant")
    assert alone == ["Green<|im_end|>"] and len(whole) == 3


def test_a_pass_reads_every_demonstration_and_goes_on_to_the_bit(tiny_model, tmp_path, monkeypatch):
    """11 at 4, twice, broken off before the batch that ends a pass and begins the next: 2 were never read."""
    tokens = Sequences.of([[1, 5]] * 11, [[6 + i, 8] for i in range(11)], [[True, i % 2 == 0] for i in range(11)])
    config = config_of(model=tiny_model, out=str(tmp_path / "run"), epochs=2, batch_size=4, save_state_s=0,
        learning=Learning(lr=1e-3, precision="float32"),
    )  # fmt: skip
    read, passed, whole = [], [], supervised.step

    def watching(learner, batch):
        read.append([row[0] for row in batch.responses()])
        return whole(learner, batch)

    def broken_off(name):
        passed.append(name)
        if len(passed) == 3:
            raise RuntimeError("broken off")

    def run(out):
        policy = load_policy(tiny_model)
        fitted(policy, tokens, changed(config, out=out))
        return torch.cat([p.detach().flatten() for p in policy.parameters()])

    monkeypatch.setattr(supervised, "step", watching)
    at_once = run(config.run.out)
    assert list(map(len, read)) == [4, 4, 4, 4, 4, 2]
    flat = [row for batch in read for row in batch]
    assert len(set(flat[:11])) == len(set(flat[11:])) == 11
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="broken off"):
        patch.setattr(loop, "seam", broken_off)
        run(str(tmp_path / "again"))
    assert torch.equal(run(str(tmp_path / "again")), at_once)


def test_too_long_ones_are_counted_not_cut(chat):
    records = [Demonstration(Prompt((Message("user", "hi"),)), "a " * n) for n in (1, 50)]
    told = []
    tokens, kept = encode(records, chat, config_of(max_tokens=30), say=told.append)
    assert len(tokens) == 1 and kept == records[:1]
    assert len(told) == 1 and told[0].startswith("1 of 2 demonstrations are longer than max_tokens = 30; the first, ")
    with pytest.raises(UserError, match="longer than max_tokens = 3"):
        encode(records, chat, config_of(max_tokens=3))


def rows(path, count=40):
    path.write_text(
        "\n".join(json.dumps({"prompt": f"Say {i}", "completion": "A lemon is yellow."}) for i in range(count))
    )
    return str(path)


def test_a_model_learns_to_say_what_the_demonstrations_say(tiny_model, tmp_path):
    config = config_of(
        model=tiny_model, data=(rows(tmp_path / "demos.jsonl"),), out=str(tmp_path / "sft"), epochs=6,
        batch_size=8, held_out=0.2, evaluate_every=5, learning=Learning(lr=1e-2),
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
        train(
            config_of(
                model=tiny_model, data=(data,), out=str(tmp_path / name), epochs=1, batch_size=8, learning=learning
            )
        )
        ends.append(json.loads((tmp_path / name / "summary.json").read_text())["loss"])
    assert ends[0] != ends[1] and ends[0] == pytest.approx(ends[1], rel=0.05)


def test_a_run_that_goes_on_keeps_the_smaller_micro_batch(tiny_model, tmp_path, monkeypatch):
    """Red when the budget is not saved: the sums of a run that goes on are then rounded in another order."""
    tokens = Sequences.of([[1, 5]] * 18, [[6, 7, 8, 9]] * 18)
    config = config_of(model=tiny_model, out=str(tmp_path / "run"), batch_size=6, save_state_s=0,
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
        fitted(policy, tokens, config)

    passed = []

    def broken_off(name):
        passed.append(name)
        if len(passed) == 2:
            raise RuntimeError("broken off")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="broken off"):
        patch.setattr("truing.training.loop.seam", broken_off)
        run(lacks=True)
    assert sizes == [36, 24, 12, 24, 12]
    sizes.clear()
    run(lacks=False)
    assert sizes == [24, 12] * 2


@pytest.mark.parametrize(("batch_size", "epochs", "updates"), [(8, 3, 2), (4, 3, 0), (8, 1, 0)])
def test_fewer_updates_than_passes_are_told(tiny_model, tmp_path, capsys, batch_size, epochs, updates):
    tokens = Sequences.of([[1, 5]] * 4, [[6, 8]] * 4)
    config = config_of(model=tiny_model, out=str(tmp_path / "run"), batch_size=batch_size, epochs=epochs)
    fitted(load_policy(tiny_model), tokens, config)
    line = f"batch_size = 8 takes more than all 4 rows at a time: {updates} updates in all"
    assert (line in capsys.readouterr().err) == bool(updates)


def test_a_loss_that_is_not_finite_stops_and_names_its_batch(tiny_model, tmp_path):
    """Red when the run stops without keeping the batch."""
    policy = load_policy(tiny_model)
    with torch.no_grad():
        policy.lm_inside.get_input_embeddings().weight[7] = float("nan")
    tokens = Sequences.of([[1, 5]] * 6, [[6, 8]] * 5 + [[7, 8]])
    config = config_of(
        model=tiny_model, out=str(tmp_path / "run"), batch_size=2, learning=Learning(precision="float32")
    )
    with pytest.raises(Diverged, match="loss/nll is nan"):
        fitted(policy, tokens, config)
    (kept,) = (tmp_path / "run" / "quarantine" / "batches.jsonl").read_text().splitlines()
    assert 5 in json.loads(kept)["demonstrations"]


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_run_leaves_out_what_the_context_has_no_room_for(tiny_model, tmp_path, part):
    """The tiny model's context is 96. Broken on purpose: max_tokens alone asked -> red in the batch they fall in."""
    prompts = [Prompt((Message("user", f"Say {i}"),)) for i in range(99)]
    splits = {side: [p for p in prompts if split_of(p.root, 0.1) == side] for side in ("train", "test")}
    records = [Demonstration(prompt, "A lemon is yellow.") for prompt in splits["train"][:4]]
    records.append(Demonstration(splits[part][-1], "A lemon is yellow. " * 30))
    config = config_of(model=tiny_model, out=str(tmp_path / "run"), epochs=1, batch_size=2, held_out=0.1)
    train(config, lambda *_: records)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["left_out_too_long"] == 1 and "held_out_loss" not in summary
    told = summary["warnings"]
    assert told[0].startswith("1 of 5 demonstrations are longer than the model's context of 96 tokens; the first, ")
    assert told[1:] == ["nothing is held out: none of 4 demonstrations falls to held_out = 0.1"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", math.inf),
        ("batch_size", 0),
        ("max_tokens", 1),
        ("held_out", 1.0),
        ("evaluate_every", 0),
        ("loss_on", "response"),
    ],
)
def test_impossible_settings_are_refused_by_name(name, value):
    with pytest.raises(UserError, match=f"^{name} = "):
        config_of(**{name: value})


SIX = Sequences.of([[1, 5]] * 6, [[6 + i, 17, 18, 19] for i in range(6)])


def test_out_of_memory_learns_the_same(tiny_model):
    """Red when the gradients of the failed try are kept."""
    weights = []
    for budget, lacks in ((48, True), (12, False)):
        policy = load_policy(tiny_model)
        # With a large epsilon Adam keeps the gradient's size.
        learning = Learning(lr=1.0, adam_eps=10.0, max_grad_norm=0, budget_tokens=budget)
        learner = Learner.of("policy", policy, learning, 9, str)
        given, sizes = policy.logprobs, []

        def logprobs(part, *more, lacks=lacks, given=given, sizes=sizes):
            sizes.append(len(part.token_S))
            # 36 tokens: too many at once; then 24 fit and the 12 after them do not; then three times 12 do.
            if lacks and (sizes[-1] > 24 or sizes == [36, 24, 12]):
                raise torch.OutOfMemoryError("out of memory")
            return given(part, *more)

        policy.logprobs = logprobs
        step(learner, SIX)
        assert learner.micro_batches.budget_tokens == 12 and sizes[-3:] == [12, 12, 12]
        weights.append(torch.cat([p.detach().flatten() for p in trainable(policy)]))
    torch.testing.assert_close(*weights, rtol=0, atol=1e-6)


def test_a_lack_of_memory_for_the_held_out_loss_is_met_once(tiny_model, tmp_path):
    """Red when one of its measurements does not know what memory allowed in another."""
    policy, lacking = load_policy(tiny_model), []
    expected = held_out_loss(policy, SIX, MicroBatches(4096))
    given = policy.logprobs

    def logprobs(part, *more):
        if len(part.token_S) > 24 and not torch.is_grad_enabled():
            lacking.append(len(part.token_S))
            raise torch.OutOfMemoryError("out of memory")
        return given(part, *more)

    policy.logprobs = logprobs
    learning = Learning(lr=0.0, precision="float32", budget_tokens=40)
    config = config_of(model=tiny_model, out=str(tmp_path / "run"), learning=Learning(precision="float32"))
    with Run.open(config.run, config, "sft") as run:
        summary = fit(policy, SIX, HeldOut(SIX, 1), PassSettings(2.0, 3).over(6, run), learning, run)
    assert lacking == [36] and summary["updates"] == 4
    assert summary["held_out_loss_before"] == pytest.approx(expected, rel=1e-6)
