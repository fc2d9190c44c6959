import pytest
import torch
from tests.models.test_attention import GATED, SIZE, model_of
from transformers import (
    AutoModelForCausalLM,
    BioGptConfig,
    BloomConfig,
    CohereConfig,
    CTRLConfig,
    DeepseekV3Config,
    DiffLlamaConfig,
    DogeConfig,
    FalconConfig,
    Gemma2Config,
    Gemma3Config,
    GPTBigCodeConfig,
    GPTNeoConfig,
    GptOssConfig,
    GraniteConfig,
    JambaConfig,
    Phi3Config,
    PhimoeConfig,
    Qwen2Config,
    StableLmConfig,
    Starcoder2Config,
)

from truing.data.batches import Sequences
from truing.errors import UserError
from truing.generation.local import Engine
from truing.generation.sampling import Sampling
from truing.models import forward
from truing.models.heads import VocabularyHead
from truing.models.loading import load_policy, load_scorer, policy_of
from truing.models.roles import Scorer
from truing.training import reward_model, supervised

NARROW = {name: value for name, value in GATED.items() if name != "head_dim"}
EXPERTS = {"num_local_experts": 2, "num_experts_per_tok": 1}
TOKENS = Sequences.of([[1, 5], [1]], [[6, 7, 8], [9, 10]])


def test_too_long_for_the_context_is_said(policy):
    with pytest.raises(UserError, match="longer than the model's context of 96"):
        policy(Sequences.of([[1]], [[5] * 96]))


def test_an_architecture_misread_is_refused(policy, monkeypatch):
    wrong = VocabularyHead(policy.head.weight_VD, scale=2.0)
    monkeypatch.setattr(forward, "head_of", lambda lm: wrong)
    with pytest.raises(UserError, match="vocabulary head is not computed right"):
        policy.check()


@pytest.mark.parametrize(
    "config",
    [
        DiffLlamaConfig(**GATED),
        FalconConfig(**SIZE),
        GPTNeoConfig(vocab_size=99, hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global"], 2]]),
        BloomConfig(vocab_size=99, hidden_size=32, n_layer=2, n_head=4),
        JambaConfig(**SIZE, use_mamba_kernels=False),
    ],
    ids=lambda config: config.model_type,
)
def test_an_architecture_with_attention_of_its_own_is_refused(config, tmp_path):
    """Broken on purpose: layers not counted -> red, Falcon learns and its samples do not know their prompts."""
    lm = AutoModelForCausalLM.from_config(config)
    lm.save_pretrained(tmp_path)
    asked = f"architecture {config.model_type} cannot be used here: . of its 2 layers ask"
    with pytest.raises(UserError, match=asked):
        policy_of(lm)
    for load in (load_policy, load_scorer):
        with pytest.raises(UserError, match=f"{asked}|its architecture takes no attention but its own"):
            load(str(tmp_path))


def test_an_architecture_that_does_not_hand_the_layout_on_is_refused():
    with pytest.raises(UserError, match="StableLmAttention was not told where sequences lie"):
        policy_of(AutoModelForCausalLM.from_config(StableLmConfig(**GATED)))


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (PhimoeConfig(**NARROW, **EXPERTS, sliding_window=20), "do not tell attention of the window"),
        (DogeConfig(**NARROW), "a mask of its own"),
        (GptOssConfig(**GATED, **EXPERTS), "attention sinks"),
        (
            Gemma3Config(text_config=dict(GATED), vision_config={**NARROW, "image_size": 28, "patch_size": 14}),
            "than text",
        ),
    ],
    ids=lambda given: getattr(given, "model_type", ""),
)
def test_an_architecture_that_would_be_misread_later_on_is_refused(config, why, tmp_path):
    """Broken on purpose: windows not asked for, or masks not looked at -> red, PhiMoE and Doge sample from wrong
    numbers."""
    lm = AutoModelForCausalLM.from_config(config)
    lm.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=why):
        policy_of(lm)
    with pytest.raises(UserError, match=why + "|transformers has none"):
        load_scorer(str(tmp_path))


def test_a_window_as_wide_as_the_context_is_none():
    policy_of(model_of(PhimoeConfig(**NARROW, **EXPERTS, sliding_window=64)))


def test_a_layer_that_forgets_its_window_is_refused_however_wide_the_window_is():
    """Broken on purpose: windows left as they are -> red, for the probe is shorter than this one."""
    lm = model_of(Qwen2Config(**NARROW, use_sliding_window=True, sliding_window=40, max_window_layers=0))
    policy_of(lm)
    assert lm.config.sliding_window == lm.model.layers[1].self_attn.sliding_window == 40
    lm.model.layers[1].self_attn.sliding_window = None
    with pytest.raises(UserError, match="hidden states are not computed right"):
        policy_of(lm)


def test_code_that_fails_in_its_own_way_of_reading_is_told_with_its_architecture(policy, monkeypatch):
    monkeypatch.setattr("transformers.models.llama.modeling_llama.eager_attention_forward", {}.__getitem__)
    with pytest.raises(UserError, match="architecture llama cannot be used here: reading two sequences fails"):
        policy.check()


def test_code_that_fails_at_flat_tokens_is_told_with_its_architecture(policy):
    policy.lm.model.layers[0].forward = lambda *_, **__: {}["no such key"]
    with pytest.raises(UserError, match=r"architecture llama cannot be used here: .* fails \(.no such key.\); use"):
        policy.check()


def test_rotary_factors_never_depend_on_neighbours():
    """Broken on purpose: the longer context taken -> red, a sequence beside a long one gets other factors."""
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    config = Phi3Config(
        **NARROW, original_max_position_embeddings=24, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        rope_parameters={**rope, "original_max_position_embeddings": 24},
    )  # fmt: skip
    policy = policy_of(model_of(config))
    assert policy.context == 24
    with pytest.raises(UserError, match="longer than the model's context of 24"):
        policy(Sequences.of([[3], [4]], [[5] * 9, [6] * 24]))
    engine = Engine(policy, Sampling(max_new_tokens=60), [])
    flight = engine.add([3, 5, 7], 1)
    engine.run()
    assert len(flight.token_ids) == 21 and flight.finish_reason == "length"
    logp_N = policy.logprobs(Sequences.of([flight.prompt], [flight.token_ids]))
    torch.testing.assert_close(logp_N, torch.tensor(flight.logprobs), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        Gemma2Config(**GATED, final_logit_softcapping=1.0),
        CohereConfig(**NARROW, logit_scale=0.1),
        GraniteConfig(**GATED, logits_scaling=8.0),
    ],
    ids=lambda config: config.model_type,
)
def test_a_reward_models_language_model_has_the_architectures_head(config):
    lm = model_of(config)
    policy, scorer = policy_of(lm), Scorer(lm, torch.nn.Linear(32, 1, bias=False))
    torch.testing.assert_close(scorer.with_language_model(TOKENS)[1], policy.logprobs(TOKENS))


def loud(config):
    """Weights so large that a soft cap bends the logits far."""
    lm = model_of(config)
    with torch.no_grad():
        lm.get_output_embeddings().weight *= 8
    return lm


@pytest.mark.parametrize(
    "config",
    [
        Gemma2Config(**GATED, final_logit_softcapping=5.0),
        CohereConfig(**NARROW, logit_scale=0.25),
        GraniteConfig(**GATED, logits_scaling=8.0),
    ],
    ids=lambda config: config.model_type,
)
def test_every_logprob_is_the_architectures_own(config):
    """Transformers' own loss and logits, against log-probs, the loss of fine-tuning and sampling."""
    lm, ids, begin = loud(config), [3, 14, 15, 92, 65, 35, 89, 79], 3
    labels = torch.tensor([[-100] * begin + ids[begin:]])
    with torch.no_grad():
        own = lm(torch.tensor([ids]), labels=labels)
    own_N = own.logits[0].log_softmax(-1)[range(begin - 1, len(ids) - 1), ids[begin:]]
    policy, tokens = policy_of(lm), Sequences.of([ids[:begin]], [ids[begin:]])
    head, plain = policy.head, VocabularyHead(policy.head.weight_VD, policy.head.bias_V)
    assert (head.logits(torch.ones(1, 32)) - plain.logits(torch.ones(1, 32))).abs().max() > 1
    torch.testing.assert_close(policy.logprobs(tokens), own_N, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(policy(tokens).logp_N, own_N, atol=1e-4, rtol=1e-4)
    losses = supervised.gradients(policy, supervised.split(tokens, supervised.weights(tokens), 99))
    assert losses["nll"] == pytest.approx(own.loss.item(), rel=1e-4)
    engine = Engine(policy, Sampling(max_new_tokens=6), [])
    flight = engine.add(ids[:begin], 1)
    engine.run()
    logp_N = policy.logprobs(Sequences.of([flight.prompt], [flight.token_ids]))
    torch.testing.assert_close(torch.tensor(flight.logprobs), logp_N, atol=1e-4, rtol=1e-4)
    scorer = Scorer(lm, torch.nn.Linear(32, 1, bias=False))
    items = [reward_model.Item(tuple(ids[:begin]), (tuple(ids[begin:]), (5, 6)), (0, 1), "a", target=0.8)]
    config = reward_model.Config("m", ("d",), language_weight=1.0)
    told = reward_model.gradients(scorer, items, config, [items])["language"]
    assert told == pytest.approx(own.loss.item(), rel=1e-4)


def test_keys_and_values_take_what_the_layers_hand_over():
    """Latent attention, whose heads are as wide as no setting says. Broken on purpose: counted by `head_dim` -> red."""
    heads = {"qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12, "q_lora_rank": 16, "kv_lora_rank": 16}
    experts = {"n_routed_experts": 4, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2}
    config = DeepseekV3Config(
        **SIZE, **heads, **experts, num_key_value_heads=4, intermediate_size=48, moe_intermediate_size=16
    )
    assert policy_of(model_of(config)).cache_bytes == 2 * 4 * (16 + 8 + 12) * 4  # layers, heads, widths, bytes


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        GPTBigCodeConfig(vocab_size=99, n_embd=32, n_layer=2, n_head=4, n_positions=64, attn_pdrop=0.5),
        PhimoeConfig(**NARROW, **EXPERTS, router_jitter_noise=0.5, input_jitter_noise=0.5),
        Starcoder2Config(**NARROW, residual_dropout=0.5, embedding_dropout=0.5, attention_dropout=0.5),
        BioGptConfig(**SIZE, intermediate_size=48, hidden_dropout_prob=0.5, activation_dropout=0.5, layerdrop=0.5),
    ],
    ids=lambda config: config.model_type,
)
def test_nothing_is_dropped_from_a_model_just_made(config, again):
    """Broken on purpose: the model left as it was made, or its numbers left -> red."""
    policy = policy_of(model_of(config).train())
    if again:
        policy.checkpoint_activations()
    torch.testing.assert_close(policy(TOKENS).logp_N, policy(TOKENS).logp_N, atol=0, rtol=0)


def test_checkpoints_where_an_architecture_has_none_are_refused():
    policy = policy_of(model_of(CTRLConfig(vocab_size=99, n_embd=32, dff=48, n_layer=2, n_head=4, n_positions=64)))
    with pytest.raises(UserError, match=r"checkpoint_activations = true: .*; leave it out"):
        policy.checkpoint_activations()
