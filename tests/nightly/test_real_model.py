"""What users bring: SmolLM2-135M-Instruct. Its chat template has a system prompt of its own, its padding token is its
end token. Each stage at a tiny size, then what was written, in plain transformers."""

import json
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from truing.data.chat import Chat
from truing.data.records import Message, Prompt, Response
from truing.models.loading import load_chat, load_scorer
from truing.rewards.model import model_reward

QUESTIONS = ["What is the capital of France?", "Name a colour.", "What do cows drink?", "Is ice cold?"]
SHORT, LONG = "A short answer.", "A longer answer, that goes on and on."


@pytest.fixture(scope="module")
def model(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "smollm2"
    subprocess.run([sys.executable, shared_data / "models" / "get_smollm2.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def work(model, forked, tmp_path_factory):
    """A folder in which every stage has run, one after the other."""
    place = tmp_path_factory.mktemp("work")
    turns = [[said("user", q), said("assistant", "Yes."), said("user", q), said("assistant", "No.")] for q in QUESTIONS]
    rows = {
        "demos": [{"messages": turn} for turn in turns],
        "pairs": [{"prompt": q, "chosen": SHORT, "rejected": LONG} for q in QUESTIONS],
        "prompts": [{"prompt": q} for q in QUESTIONS],
    }
    for name, listed in rows.items():
        (place / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in listed))
    small = "--lora-rank 4 --batch-size 4 --max-tokens 128 --held-out 0"
    for line in (
        f"sft --model {model} --data demos.jsonl --out sft --lr 1e-5 {small}",
        f"reward --model {model} --data pairs.jsonl --out reward --epochs 4 {small}",
        "rl --model sft --data prompts.jsonl --reward reward --out rl --algorithm ppo --lora-rank 4 --iterations 2 "
        "--prompts-per-iteration 2 --max-new-tokens 8",
        f"compare --model rl --against {model} --judge reward --data prompts.jsonl --max-new-tokens 8 --out compare",
        "export --model rl --out policy",
        "export --model reward --out scorer",
    ):
        done = forked(line.split(), {}, place)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    return place


def said(role, content):
    return {"role": role, "content": content}


def test_every_stage_leaves_figures_that_are_numbers(work):
    for run in ("sft", "reward", "rl", "compare"):
        figures = json.loads((work / run / "summary.json").read_text())
        assert figures and "NaN" not in (work / run / "summary.json").read_text()


def test_the_policy_still_answers_and_ends_in_plain_transformers(work):
    lm, tokenizer = (kind.from_pretrained(work / "policy") for kind in (AutoModelForCausalLM, AutoTokenizer))
    ids = torch.tensor([load_chat(str(work / "policy")).prompt_ids([Message("user", QUESTIONS[0])])])
    assert ids[0].tolist() == tokenizer.apply_chat_template(
        [said("user", QUESTIONS[0])], add_generation_prompt=True, return_dict=False
    )
    answer = lm.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False)[
        0, ids.shape[1] :
    ]
    assert "Paris" in tokenizer.decode(answer) and answer[-1] in Chat(tokenizer).ends


def test_the_reward_model_scores_as_plain_transformers_do(work):
    chat, reward = (
        load_chat(str(work / "reward")),
        model_reward(load_scorer(str(work / "reward")), load_chat(str(work / "reward"))),
    )
    plain = AutoModelForSequenceClassification.from_pretrained(work / "scorer", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(work / "scorer")
    assert tokenizer.pad_token_id == plain.config.pad_token_id not in chat.ends
    prompt, answers = Prompt((Message("user", QUESTIONS[1]),)), ["Blue.", LONG]
    rows = [chat.prompt_ids(prompt.messages) + chat.response_ids(answer) for answer in answers]
    with torch.no_grad():
        raw = plain(**tokenizer.pad({"input_ids": rows}, return_tensors="pt", padding_side="right")).logits[:, 0]
    scaled = (raw - plain.config.truing_score_mean) / plain.config.truing_score_std
    ours = reward([prompt] * 2, [Response(answer, finish_reason="stop") for answer in answers])
    torch.testing.assert_close(torch.tensor(ours), scaled, atol=1e-3, rtol=1e-3)
