"""Adapters of our own: first weights, saving, taking apart; and folders that other programs leave after LoRA."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tests import architectures
from tests.architectures import small_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from truing.data.batches import Sequences
from truing.errors import UserError
from truing.models.adapters import Adapter
from truing.models.loading import is_reward_model, load_chat, load_policy, load_scorer, policy_of, save

TOKENS = Sequences.of([[1, 5], [1]], [[6, 7, 8], [9, 10]])


@pytest.mark.parametrize("load", [load_policy, load_scorer])
def test_an_adapter_starts_from_the_seed_and_nothing_else(load, tiny_model):
    """Two processes of one run start from the same adapter, whatever each has drawn before."""

    def first(seed):
        drawn = torch.rand(1)
        adapted = load(tiny_model, Adapter(lora_rank=4), seed=seed)
        return drawn, {name: p.clone() for name, p in adapted.named_parameters() if "lora_A" in name}

    (before, one), (after, again), (_, other) = first(1), first(1), first(2)
    assert before != after
    assert one and all(torch.equal(p, again[name]) for name, p in one.items())
    assert not any(torch.equal(p, other[name]) for name, p in one.items())


def test_lora_starts_as_the_base_and_is_merged_when_saved(tiny_model, tokenizer, tmp_path):
    base, adapted = load_policy(tiny_model), load_policy(tiny_model, Adapter(lora_rank=4))
    torch.testing.assert_close(adapted(TOKENS).logp_N, base(TOKENS).logp_N)
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter += 0.1 * torch.randn_like(parameter)
    moved = adapted(TOKENS).logp_N
    assert (moved - base(TOKENS).logp_N).abs().max() > 1e-3
    before = {name: p.clone() for name, p in adapted.named_parameters()}
    save(adapted, tokenizer, tmp_path / "merged")
    torch.testing.assert_close(load_policy(str(tmp_path / "merged"))(TOKENS).logp_N, moved, atol=1e-5, rtol=1e-5)
    assert all(torch.equal(before[name], p) for name, p in adapted.named_parameters())
    with adapted.without_adapter():
        torch.testing.assert_close(adapted(TOKENS).logp_N, base(TOKENS).logp_N)


def moved_scorer(tiny_model, tokenizer, folder):
    """A scorer with an adapter that has learned, saved."""
    scorer = load_scorer(tiny_model, Adapter(lora_rank=4))
    with torch.no_grad():
        for name, parameter in scorer.named_parameters():
            if "lora_" in name:
                parameter += 0.1 * torch.randn_like(parameter)
    save(scorer, tokenizer, folder)
    return scorer


@pytest.mark.parametrize("targets", [("lm_head",), ("q_proj", "lm_head"), ("q_proj", "embed_tokens")])
def test_the_vocabularys_matrix_takes_no_adapter(targets, tiny_model):
    """One on the head would never learn, one on a table tied to it would not be saved."""
    with pytest.raises(UserError, match="the vocabulary's matrix takes no adapter"):
        load_policy(tiny_model, Adapter(lora_rank=4, lora_targets=targets))


def test_a_saved_adapter_is_taken_out_of_the_merged_weights_again(tiny_model, tokenizer, tmp_path):
    scorer = moved_scorer(tiny_model, tokenizer, tmp_path / "reward")
    again = load_scorer(str(tmp_path / "reward"), factored=True)
    torch.testing.assert_close(again(TOKENS), scorer(TOKENS), atol=1e-5, rtol=1e-5)
    known = dict(scorer.named_parameters())
    for name, parameter in again.named_parameters():
        own = known[name.replace("lm.base_model.model.score", "score")]  # the head is part of a saved reward model
        torch.testing.assert_close(parameter, own, atol=1e-6, rtol=1e-5)
        assert parameter.requires_grad == own.requires_grad
    merged = load_scorer(str(tmp_path / "reward"))
    assert not any("lora_" in name for name, _ in merged.named_parameters())


@pytest.mark.parametrize("damage", ["missing", "config", "weights"])
def test_a_damaged_adapter_is_refused_where_it_is_needed(damage, tiny_model, tokenizer, tmp_path):
    moved_scorer(tiny_model, tokenizer, tmp_path / "reward")
    folder = tmp_path / "reward" / "adapter"
    if damage == "missing":
        (folder / "adapter_model.safetensors").unlink()
    elif damage == "config":
        (folder / "adapter_config.json").write_text('{"r": "four"}')
    else:
        (folder / "adapter_model.safetensors").write_bytes(b"1234")
    with pytest.raises(UserError, match="adapter"):
        load_scorer(str(tmp_path / "reward"), factored=True)
    load_scorer(str(tmp_path / "reward"))


def test_freeze_by_pattern(tiny_model):
    policy = load_policy(tiny_model, freeze=("*layers.0.*",))
    frozen = {name for name, p in policy.named_parameters() if not p.requires_grad}
    assert frozen and all("layers.0." in name for name in frozen)
    with pytest.raises(UserError, match="matches no parameter"):
        load_policy(tiny_model, freeze=("*layer.0.*",))


@pytest.mark.parametrize(("kind", "adapts_experts"), [("mixtral", True), ("qwen2_moe", False)])
def test_experts_are_saved_with_their_adapter_and_taken_apart(kind, adapts_experts, tokenizer, tmp_path, monkeypatch):
    """The matrices of all experts are one parameter; where PEFT adapts it, it has no layer of its own."""
    monkeypatch.setitem(architectures.SMALL, "vocab_size", len(tokenizer))
    save(policy_of(small_model(kind)), tokenizer, tmp_path / "base")
    base = dict(load_policy(str(tmp_path / "base")).lm.named_parameters())
    scorer = moved_scorer(str(tmp_path / "base"), tokenizer, tmp_path / "reward")
    torch.testing.assert_close(load_scorer(str(tmp_path / "reward"))(TOKENS), scorer(TOKENS), atol=1e-5, rtol=1e-5)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "reward")
    moved = {n for n, p in plain.named_parameters() if n in base and not torch.allclose(p, base[n], atol=1e-4)}
    assert moved and any("experts." in name for name in moved) == adapts_experts
    apart = load_scorer(str(tmp_path / "reward"), factored=True)
    torch.testing.assert_close(apart(TOKENS), scorer(TOKENS), atol=1e-5, rtol=1e-5)
    for name, parameter in apart.lm_inside.named_parameters():
        if (plain_name := name.replace(".base_layer", "")) in base:
            torch.testing.assert_close(parameter, base[plain_name], atol=1e-6, rtol=1e-5)


def adapter_of_peft(model, folder, kind=AutoModelForCausalLM, task="CAUSAL_LM", **settings):
    """What PEFT, TRL or LLaMA-Factory leave, and the model it belongs to."""
    torch.manual_seed(3)
    lm = kind.from_pretrained(model, num_labels=1)
    adapted = get_peft_model(lm, LoraConfig(r=4, target_modules=["q_proj", "up_proj"], task_type=task, **settings))
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    adapted.save_pretrained(folder)
    return adapted


def test_a_folder_with_an_adapter_is_its_base_with_the_adapter_merged(tiny_model, tmp_path):
    adapted = adapter_of_peft(tiny_model, tmp_path / "adapter")
    policy = load_policy(str(tmp_path / "adapter"))
    ids = TOKENS.token_S[:5][None]
    logp_TV = adapted(ids).logits[0].log_softmax(-1)
    expected = logp_TV[1:4].gather(1, ids[0, 2:, None])[:, 0]
    torch.testing.assert_close(policy.logprobs(TOKENS)[:3], expected, atol=1e-5, rtol=1e-5)
    assert all(p.requires_grad for p in policy.parameters())
    assert load_chat(str(tmp_path / "adapter")).end_id == load_chat(tiny_model).end_id  # its base's tokenizer
    learned = load_policy(str(tmp_path / "adapter"), Adapter(lora_rank=2))
    torch.testing.assert_close(learned.logprobs(TOKENS), policy.logprobs(TOKENS))


def base_of(folder):
    """The base that a saved adapter names, for it alone is what PEFT adds an adapter to."""
    return json.loads((folder / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"]


def test_a_saved_adapter_names_what_it_was_added_to(tiny_model, tokenizer, tmp_path):
    """Not more: what an adapter already holds would be added twice. Not less: another adapter would be left out."""
    adapter_of_peft(tiny_model, tmp_path / "first")
    second = load_policy(str(tmp_path / "first"), Adapter(lora_rank=2))
    save(second, tokenizer, tmp_path / "second")
    assert not base_of(tmp_path / "second")  # nothing that it could be added to has been saved
    with pytest.raises(UserError, match="names no base model"):
        load_policy(str(tmp_path / "second" / "adapter"))
    for given in ("second", "second/adapter"):
        if given == "second/adapter":
            adapter_of_peft(tiny_model, tmp_path / given)
        again = load_policy(str(tmp_path / given), Adapter(lora_rank=2))
        save(again, tokenizer, tmp_path / "again")
        assert base_of(tmp_path / "again") == str(tmp_path / "second")


def test_an_adapter_of_an_adapter_is_refused(tiny_model, tmp_path):
    adapter_of_peft(tiny_model, tmp_path / "first")
    adapter_of_peft(tiny_model, tmp_path / "second")
    settings = json.loads((tmp_path / "second" / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = str(tmp_path / "first")
    (tmp_path / "second" / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=r"an adapter of another adapter, .*first: name a model that both are merged"):
        load_policy(str(tmp_path / "second"))


def test_names_of_layers_without_a_rank_are_refused():
    """All weights would learn, of which only some were asked for."""
    with pytest.raises(UserError, match=r"lora_targets = .*: with lora_rank = 0 all weights learn"):
        Adapter(lora_targets=("q_proj",))


def test_what_was_taken_apart_names_its_base_again_when_saved(tiny_model, tokenizer, tmp_path):
    moved_scorer(tiny_model, tokenizer, tmp_path / "reward")
    critic = load_scorer(str(tmp_path / "reward"), factored=True)
    save(critic, tokenizer, tmp_path / "critic")
    assert base_of(tmp_path / "reward") == base_of(tmp_path / "critic") == tiny_model
    plain = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=1)
    whole = PeftModel.from_pretrained(plain, tmp_path / "critic" / "adapter").base_model.model.model
    saved = AutoModelForSequenceClassification.from_pretrained(tmp_path / "critic").model
    ids = TOKENS.token_S[:5][None]
    torch.testing.assert_close(whole(ids)[0], saved(ids)[0], atol=1e-5, rtol=1e-5)


def test_a_reward_model_that_is_an_adapter_keeps_its_score(tiny_model, tmp_path):
    adapted = adapter_of_peft(tiny_model, tmp_path / "adapter", AutoModelForSequenceClassification, "SEQ_CLS")
    assert is_reward_model(str(tmp_path / "adapter"))
    raw = adapted(TOKENS.token_S[:5][None]).logits[0, 0]
    torch.testing.assert_close(load_scorer(str(tmp_path / "adapter"))(TOKENS)[0], raw, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"base_model_name_or_path": "./gone"},
            r"base cannot be read: model \./gone: there is no such folder",
        ),
        ({"base_model_name_or_path": None}, "names no base model"),
        ({"peft_type": "PREFIX_TUNING"}, "of the kind PREFIX_TUNING, of which only LoRA .* merge it first"),
        ({"target_modules": ["q_proj", "down_proj"]}, "the adapter does not fit its base"),
        ({"r": 8}, "the adapter does not fit its base"),
    ],
)
def test_an_adapter_that_cannot_be_merged_is_one_line(change, said, tiny_model, tmp_path):
    folder = tmp_path / "adapter"
    adapter_of_peft(tiny_model, folder)
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | change))
    with pytest.raises(UserError, match=said) as told:
        load_policy(str(folder))
    assert "\n" not in str(told.value)


def test_an_adapter_in_a_pickle_is_refused(tiny_model, tmp_path):
    folder = tmp_path / "adapter"
    adapter_of_peft(tiny_model, folder)
    shutil.move(folder / "adapter_model.safetensors", folder / "adapter_model.bin")
    with pytest.raises(UserError, match=r"only LoRA in adapter_model\.safetensors"):
        load_policy(str(folder))
