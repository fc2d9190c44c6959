"""What is written means the same in plain transformers: policies and reward models, with people's tokenizers."""

import pytest
import torch
from tests import architectures
from tests.architectures import TOKENS, small_model
from tests.templates import CHATML, GEMMA, with_template
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, GenerationConfig

from truing.data.chat import Chat
from truing.data.records import Message, Prompt, Response
from truing.models.loading import load_policy, load_scorer, policy_of, save
from truing.rewards.model import model_reward

KINDS = ["llama", "qwen2", "qwen3", "gemma2", "gpt2", "gpt_neox", "phi3", "mixtral", "starcoder2", "glm"]
PROMPT = Prompt((Message("user", "What colour is a lemon?"),))
ANSWERS = ["A lemon is yellow.", "Red.", "It is as yellow as the sun."]


def other_end(tokenizer, **special):
    """Padded with its eos token, while the template ends a turn with another."""
    return with_template(tokenizer, GEMMA, **{"pad_token": "<|end|>", "eos_token": "<|end|>", **special})


@pytest.mark.parametrize("kind", KINDS)
def test_a_policy_and_its_reward_model_mean_the_same_in_plain_transformers(kind, tokenizer, tmp_path, monkeypatch):
    tokenizer = other_end(tokenizer)
    monkeypatch.setitem(architectures.SMALL, "vocab_size", len(tokenizer))
    policy, chat = policy_of(small_model(kind)), Chat(tokenizer)
    save(policy, tokenizer, tmp_path / "policy")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "policy")
    assert plain.generation_config.eos_token_id == [chat.end_id, tokenizer.eos_token_id]
    with torch.no_grad():
        ids = TOKENS.token_S[: TOKENS.total_B[0]][None]
        logp_TV = plain(ids, use_cache=False).logits[0].log_softmax(-1)
    count, start = TOKENS.lengths_B[0], TOKENS.prompt_lengths_B[0]
    expected = logp_TV[start - 1 : -1].gather(1, ids[0, start:, None])[:, 0]
    torch.testing.assert_close(policy.logprobs(TOKENS)[:count], expected, atol=1e-4, rtol=1e-4)

    scorer = load_scorer(str(tmp_path / "policy"))
    save(scorer, tokenizer, tmp_path / "reward")
    ours = model_reward(scorer, chat)([PROMPT] * len(ANSWERS), [Response(a, finish_reason="stop") for a in ANSWERS])
    torch.testing.assert_close(torch.tensor(ours), plain_scores(tmp_path / "reward", chat), atol=1e-4, rtol=1e-3)


def plain_scores(folder, chat):
    """Scores of a padded batch, as a serving program computes them."""
    model, tokenizer = (kind.from_pretrained(folder) for kind in (AutoModelForSequenceClassification, AutoTokenizer))
    assert tokenizer.pad_token_id == model.config.pad_token_id not in Chat(tokenizer).ends
    rows = [chat.prompt_ids(PROMPT.messages) + chat.response_ids(answer) for answer in ANSWERS]
    batch = tokenizer.pad({"input_ids": rows}, return_tensors="pt", padding_side="right")
    with torch.no_grad():
        return model(**batch).logits[:, 0]


@pytest.mark.parametrize(
    ("special", "named"),
    [
        ({}, "<|begin|>"),  # else its eos token
        ({"pad_token": "<|pad|>"}, "<|pad|>"),
        ({"pad_token": None}, "<|begin|>"),
        ({"pad_token": None, "bos_token": None, "unk_token": "ar"}, "ar"),
        ({"bos_token": None}, "\u0100"),  # of the byte 0: this model has no embeddings of the turns' tokens
    ],
)
def test_a_reward_model_pads_with_a_token_that_ends_no_answer(special, named, tokenizer, tiny_model, tmp_path):
    tokenizer = other_end(tokenizer, **special)
    before = tokenizer.pad_token
    save(load_scorer(tiny_model), tokenizer, tmp_path / "reward")
    assert AutoTokenizer.from_pretrained(tmp_path / "reward").pad_token == named
    assert tokenizer.pad_token == before


@pytest.mark.parametrize(("named", "expected"), [(None, 321), (2, [321, 2]), ([2, 7], [321, 2, 7])])
def test_generation_settings_name_the_end_taught_and_those_before(named, expected, tokenizer, tiny_model, tmp_path):
    policy = load_policy(tiny_model)
    policy.lm_inside.generation_config.eos_token_id = named
    taught = with_template(tokenizer, CHATML, eos_token="<|im_end|>")
    save(policy, taught, tmp_path / "policy")
    told = GenerationConfig.from_pretrained(tmp_path / "policy").eos_token_id
    assert told == expected
    assert policy.lm_inside.generation_config.eos_token_id == named


def test_a_reward_model_reads_one_end_whichever_the_policy_has_said(tokenizer, tiny_model):
    """Gemma's way: it may say <end_of_turn> or its eos token, and judgements are encoded with the first."""
    chat = Chat(other_end(tokenizer))
    scorer = load_scorer(tiny_model)
    scorer.lm_inside.resize_token_embeddings(len(chat.tokenizer))
    reward, body = model_reward(scorer, chat, chat), chat.response_ids("Red.", ended=False)
    ends = ([chat.end_id], [chat.tokenizer.eos_token_id], [])
    said = [Response("Red.", (*body, *end), finish_reason="stop") for end in ends]
    scores = reward([PROMPT] * 4, [*said, Response("Red.", finish_reason="stop")])
    assert len(set(scores)) == 1
    cut = reward([PROMPT], [Response("Red.", tuple(body), finish_reason="length")])
    assert abs(cut[0] - scores[0]) > 1e-6
