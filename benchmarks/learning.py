"""Equal learning: PPO on the same task, prompts, seeds and number of updates, here and in TRL.

python -m benchmarks.learning --model ../shared/data/models/tinystories-656k        # four seeds of each side

A small model learns to tell happy stories (examples/happy_stories.py). Both sides: float32, 64 responses of up to 64
tokens an iteration, 20 iterations of 4 epochs of 4 minibatches, AdamW, a critic that starts as the policy with a head
of zeros, the same loss weights, a constant learning rate, no clipping of gradients (TRL's PPO does not clip). What is
compared is the mean reward of answers to the same held-out prompts, sampled from both policies by the same code with
the same seeds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from examples import happy_stories
from examples.happy_stories import happiness, openings
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from benchmarks import work
from truing.data.chat import Chat
from truing.data.formats import write
from truing.data.records import Message, Prompt
from truing.generation.local import LocalGenerator
from truing.generation.records import generate, requests
from truing.generation.sampling import Sampling
from truing.models.loading import load_policy, load_scorer, load_tokenizer
from truing.settings import configured
from truing.training import policy
from truing.training.optimize import Learning

RESPONSES, ITERATIONS, RESPONSE, HELD_OUT = 64, 20, 64, 48
LR, BETAS, EPSILON = 3e-4, (0.9, 0.95), 1e-5
SAMPLING = Sampling(max_new_tokens=RESPONSE)


def prompts(seed: int) -> tuple[list[Prompt], list[Prompt]]:
    """Openings to learn on, and held-out ones: the same for both sides."""
    texts = openings()
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(seed)).tolist()
    asked = [Prompt((Message("user", texts[i]),), split="test" if k < HELD_OUT else "train")
             for k, i in enumerate(order)]  # fmt: skip
    return asked[HELD_OUT:], asked[:HELD_OUT]


def mean_reward(model: str, seed: int) -> float:
    """Of 8 answers to each held-out prompt."""
    chat = Chat(load_tokenizer(model), "plain")
    generator = LocalGenerator(load_policy(model), chat)
    generated = generate(generator, chat, requests(prompts(seed)[1], 8, seed + 1000), SAMPLING)
    pairs = zip(generated.prompts, generated.responses, strict=True)
    return statistics.fmean(happiness(p.text, r.text) for p, r in pairs)


def ours(model: str, seed: int, folder: str) -> str:
    """Train here. Returns the policy's folder."""
    data = str(Path(folder) / "prompts.jsonl")
    write([p for part in prompts(seed) for p in part], data)
    policy.train(
        configured(
            policy.Config, model=model, data=(data,), reward=(f"{happy_stories.__file__}:happiness",),
            out=f"{folder}/ours", iterations=ITERATIONS, prompts_per_iteration=RESPONSES,
            critic_from="policy", chat_format="plain", sampling=SAMPLING, evaluation_prompts=1, tug_every=0,
            check_every=0,
            learning=Learning(lr=LR, beta1=BETAS[0], beta2=BETAS[1], adam_eps=EPSILON,
                              schedule="constant", max_grad_norm=0.0, precision="float32"), seed=seed,
        )
    )  # fmt: skip
    return f"{folder}/ours/model"


class FunctionReward(nn.Module):
    """A function of the text in the shape of a reward network, which is all that TRL's PPO takes."""

    base_model_prefix = "reading"

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.reading, self.score = _Reading(tokenizer), nn.Identity()


class _Reading(nn.Module):
    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
        texts = self.tokenizer.batch_decode(input_ids, skip_special_tokens=True)
        # The opening is one sentence; what follows its end is the response.
        rewards = torch.tensor([happiness("", text.partition(".")[2]) for text in texts])
        states = rewards[:, None, None].expand(-1, input_ids.shape[1], 1)
        return type("Output", (), {"hidden_states": (states,)})()


def theirs(model: str, seed: int, folder: str) -> str:
    """Train with TRL's PPO. Returns the policy's folder."""
    sys.path.insert(0, os.environ.get("TRL112", ""))
    from datasets import Dataset
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    tokenizer = load_tokenizer(model)
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.unk_token, "left"
    chat = Chat(tokenizer, "plain")
    rows = [{"input_ids": chat.prompt_ids(p.messages)} for p in prompts(seed)[0]]
    lm, reference = (AutoModelForCausalLM.from_pretrained(model) for _ in range(2))
    critic = load_scorer(model)
    nn.init.zeros_(critic.score.weight)
    critic.lm_inside.set_attn_implementation("sdpa")
    value = critic.lm_inside.base_model
    shaped = nn.Module()
    shaped.base_model_prefix, shaped.model, shaped.score = "model", value, critic.score  # type: ignore[assignment]
    shaped.gradient_checkpointing_disable = lambda: None  # type: ignore[assignment]
    config = PPOConfig(
        output_dir=folder, use_cpu=True, per_device_train_batch_size=RESPONSES, num_mini_batches=4, num_ppo_epochs=4,
        response_length=RESPONSE, total_episodes=RESPONSES * ITERATIONS, num_sample_generations=0, report_to="none",
        save_strategy="no", learning_rate=LR, adam_beta1=BETAS[0], adam_beta2=BETAS[1], adam_epsilon=EPSILON,
        lr_scheduler_type="constant", stop_token="eos", temperature=1.0, bf16=False, gradient_checkpointing=False,
        seed=seed, disable_tqdm=True,
    )  # fmt: skip
    trainer = PPOTrainer(
        args=config, processing_class=tokenizer, model=lm, ref_model=reference, reward_model=FunctionReward(tokenizer),
        value_model=shaped, train_dataset=Dataset.from_list(rows),
    )  # fmt: skip
    trainer.train()
    out = f"{folder}/theirs"
    lm.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-peer", action="store_true")
    parser.set_defaults(give_back=False)
    wanted = parser.parse_args()
    work.started(wanted)
    sides = {"truing": ours} if wanted.no_peer else {"truing": ours, "trl": theirs}
    found: dict[str, list[float]] = {name: [] for name in sides}
    for seed in range(wanted.first_seed, wanted.first_seed + wanted.seeds):
        before = mean_reward(wanted.model, seed)
        for name, train in sides.items():
            with tempfile.TemporaryDirectory() as folder:
                begin = time.perf_counter()
                trained = train(wanted.model, seed, folder)
                spent = time.perf_counter() - begin
                found[name].append(mean_reward(trained, seed))
            print(f"seed {seed} {name}: {before:.2f} -> {found[name][-1]:.2f} in {spent:.0f} s", flush=True)
    for name, rewards in found.items():
        spread = statistics.stdev(rewards) if len(rewards) > 1 else 0.0
        print(f"{name}: {statistics.fmean(rewards):.2f} ± {spread:.2f} over {len(rewards)} seeds")


if __name__ == "__main__":
    main()
