"""An architecture of transformers, made small, all the way: it reads, samples, learns and is saved as it should."""

import inspect

import torch
import transformers
from tests.models.test_attention import model_of

from truing.data.batches import Sequences
from truing.errors import UserError
from truing.generation.local import Engine
from truing.generation.sampling import Sampling
from truing.models.loading import load_policy, load_scorer, save
from truing.models.roles import trainable

WINDOW = 8
SMALL = {
    "vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "sliding_window": WINDOW,
    "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "n_inner": 48, "ffn_dim": 48, "word_embed_proj_dim": 32,
    "dff": 48, "d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 64, "rotary_dim": 8,
    "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "num_experts": 4, "num_local_experts": 4,
    "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "n_shared_experts": 1,
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12,
    "encoder_layers": 1, "decoder_layers": 2, "decoder_ffn_dim": 48, "decoder_attention_heads": 4,
    "encoder_attention_heads": 4, "encoder_ffn_dim": 48, "ffn_hidden_size": 48,
    "vocab_size_per_layer_input": 99, "hidden_size_per_layer_input": 8, "rope_head_dim": 8,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
PADDING_LOST = ("youtu",)  # transformers empties the padding token's row whenever it loads one
FEWER = (("head_dim",), (), ("head_dim", "num_key_value_heads"), ("sliding_window",), ("head_dim", "sliding_window"))
MOST = 20_000_000  # weights
PROMPTS, RESPONSES = [[*range(3, 13)], [4], [*range(3, 13)]], [[*range(20, 50)], [9, 10, 11, 12], [20] * 19]
TOKENS = Sequences.of(PROMPTS, RESPONSES)


class CannotBeSmall(Exception):
    """No set of small sizes suits the architecture."""


def small_model(kind):
    """With the first set of small sizes that the architecture takes."""
    config_class = transformers.CONFIG_MAPPING[kind]
    known = inspect.signature(config_class).parameters
    why = ""
    for left_out in FEWER:
        sizes = {name: value for name, value in SMALL.items() if name in known and name not in left_out}
        if "kv_lora_rank" in sizes:  # latent attention: keys for all heads
            sizes["num_key_value_heads"] = sizes["num_attention_heads"]
        try:
            config = config_class(**sizes)
            with torch.device("meta"):
                made = transformers.AutoModelForCausalLM.from_config(config)
            if sum(p.numel() for p in made.parameters()) <= MOST:
                return model_of(config)
            why = "it is too large"
        except Exception as error:  # of code we do not know
            why = str(error)
    raise CannotBeSmall(f"{kind} cannot be made small: {why}")


def refused(error):
    """A refusal is one line that names what is wrong."""
    text = str(error)
    assert text and "\n" not in text and len(text) < 400, text
    return text


def all_the_way(lm, policy, tokenizer, folder):
    """A policy made of a language model does all that Truing asks of it."""
    reads_what_the_model_reads(policy, lm)
    samples_what_it_reads(policy)
    learns(policy)
    if lm.config.model_type in PADDING_LOST:
        policy.lm_inside.get_input_embeddings().weight.data[0] = 0
    is_saved(policy, tokenizer, folder / "policy")
    scores(tokenizer, folder)


def reads_what_the_model_reads(policy, lm):
    """Sequences longer than any window, end to end, against the architecture's own pass over each."""
    here_N = policy.logprobs(TOKENS)
    lm.set_attn_implementation("eager")
    plain = []
    for prompt, response in zip(PROMPTS, RESPONSES, strict=True):
        with torch.no_grad():
            logp_TV = lm(torch.tensor([prompt + response]), use_cache=False).logits[0].log_softmax(-1)
        plain += [logp_TV[len(prompt) - 1 + t, token] for t, token in enumerate(response)]
    lm.set_attn_implementation("truing")
    torch.testing.assert_close(here_N, torch.stack(plain), atol=1e-4, rtol=1e-4)


def samples_what_it_reads(policy):
    engine = Engine(policy, Sampling(max_new_tokens=20), end_ids=())
    flights = [engine.add(prompt, seed) for seed, prompt in enumerate([[1, 5, 7], [4] * 12])]
    engine.run()
    tokens = Sequences.of([f.prompt for f in flights], [f.token_ids for f in flights])
    said_N = torch.tensor([logp for f in flights for logp in f.logprobs])
    torch.testing.assert_close(policy.logprobs(tokens), said_N, atol=1e-4, rtol=1e-4)


def learns(policy):
    policy(TOKENS).logp_N.sum().backward()
    pulls = [p.grad for p in trainable(policy) if p.grad is not None]
    assert pulls and all(bool(g.isfinite().all()) for g in pulls) and any(bool(g.any()) for g in pulls)


def is_saved(policy, tokenizer, folder):
    save(policy, tokenizer, folder)
    torch.testing.assert_close(load_policy(str(folder)).logprobs(TOKENS), policy.logprobs(TOKENS))


def scores(tokenizer, folder):
    """As a reward model too, or it is refused before it learns."""
    try:
        scorer = load_scorer(str(folder / "policy"))
    except UserError as error:
        refused(error)
        return
    save(scorer, tokenizer, folder / "scorer")
    torch.testing.assert_close(load_scorer(str(folder / "scorer"))(TOKENS), scorer(TOKENS))
