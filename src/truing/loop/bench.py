"""How fast this machine is, how near each stage comes to that, and what would make it faster."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import transformers

from truing.data.batches import Sequences
from truing.generation.local import Engine
from truing.generation.sampling import Sampling
from truing.models.loading import load_policy, policy_of
from truing.models.precision import WORTH, Precision, bfloat16_gain, dtype_of, products_s
from truing.models.roles import Policy
from truing.settings import require
from truing.training import supervised
from truing.training.loop import Learner
from truing.training.optimize import Learning

PROMPT, RESPONSE = 32, 64


@dataclass(frozen=True)
class Config:
    """Measure this machine, then sampling and learning against what it could do."""

    model: str = ""
    """The model to measure with: a hub id, a folder, or a run; empty: a Llama of 15 million random weights."""
    sequences: int = 32
    """Sequences of 96 tokens in a batch."""
    turns: int = 3
    """Turns of each measurement; the median counts."""
    precision: Precision = "auto"
    """What is computed with; auto takes bfloat16 where this machine does it faster."""

    def __post_init__(self) -> None:
        require(self, ("sequences", self.sequences >= 1, "1 or more"), ("turns", self.turns >= 1, "1 or more"))


def measure(config: Config, policy: Policy) -> dict[str, float]:
    """All figures: flops are multiplications and additions a second, shares are of the best matrix product."""
    lm = policy.lm_inside
    device = policy.device
    width, vocabulary = lm.config.hidden_size, lm.config.vocab_size
    figures = {
        f"product_{name}_gflops": 8 * 1024 * 1024**2 / seconds / 1e9
        for name, seconds in zip(("float32", "bfloat16"), products_s(1024, str(device), 1024), strict=True)
    }
    source = torch.ones(2**26, device=device)
    figures["copy_gib_s"] = 2 * source.nbytes / _seconds(lambda: source.clone(), config.turns) / 2**30
    dtype = dtype_of(config.precision, width, device)
    peak = figures[f"product_{'bfloat16' if dtype == torch.bfloat16 else 'float32'}_gflops"] * 1e9
    learning = Learning(lr=1e-9, precision=config.precision)
    learner = Learner.of("policy", policy, learning, 10**9)
    tokens = _tokens(config.sequences, vocabulary)
    said, read = config.sequences * RESPONSE, config.sequences * (PROMPT + RESPONSE)
    spent = _seconds(lambda: _sample(policy, tokens), config.turns)
    figures["sample_tokens_s"] = said / spent
    figures["sample_share"] = policy.flops(read, said) / spent / peak
    spent = _seconds(lambda: supervised.step(learner, tokens), config.turns)
    figures["learn_tokens_s"] = read / spent
    figures["learn_share"] = policy.learning_flops(read, said) / spent / peak
    return figures


def advice(figures: dict[str, float], config: Config, width: int, device: str = "cpu") -> list[str]:
    """What to change, a line each."""
    told = []
    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    if threads != cores:
        told.append(f"{threads} threads on {cores} cores: try OMP_NUM_THREADS={cores}")
    gain = bfloat16_gain(width, device)
    if config.precision == "float32" and gain >= WORTH:
        told.append(f"bfloat16 is {gain:.1f} times as fast here: leave precision at auto")
    if figures["sample_share"] < 0.5 * figures["learn_share"]:
        told.append("sampling is far from the machine's limit: sample more prompts at once (--prompts-per-iteration)")
    if figures["learn_share"] < 0.25:
        told.append("learning is far from the machine's limit: so narrow a model, or so small batches, cannot fill it; "
                    "raise batch_size and learning.budget_tokens")  # fmt: skip
    return told or ["nothing to change: the machine is busy with what was asked"]


def show(config: Config) -> dict[str, float]:
    """Measure, print, advise."""
    policy = load_policy(config.model) if config.model else policy_of(_random_llama())
    figures = measure(config, policy)
    names = {
        "product_float32_gflops": "matrix product, float32 (GFLOP/s)", "copy_gib_s": "copy (GiB/s)",
        "product_bfloat16_gflops": "matrix product, bfloat16 (GFLOP/s)", "sample_tokens_s": "sampling (tokens/s)",
        "sample_share": "  share of the product's speed", "learn_tokens_s": "learning (tokens/s)",
        "learn_share": "  share of the product's speed",
    }  # fmt: skip
    for name, value in figures.items():
        print(f"{names[name]:<36} {f'{value:.0%}' if name.endswith('share') else f'{value:,.0f}':>10}")
    for line in advice(figures, config, policy.width, str(policy.device)):
        print(f"-> {line}")
    return figures


def _seconds(work: Callable[[], object], turns: int) -> float:
    def done() -> float:
        begin = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # work is queued there, not done
        return time.perf_counter() - begin

    done()
    return statistics.median(done() for _ in range(turns))


def _random_llama() -> transformers.LlamaForCausalLM:
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(hidden_size=288, intermediate_size=768, num_hidden_layers=6, num_attention_heads=6,
                    num_key_value_heads=6, vocab_size=32_000, max_position_embeddings=1024, tie_word_embeddings=True)
    )  # fmt: skip


def _tokens(count: int, vocabulary: int) -> Sequences:
    draws = torch.Generator().manual_seed(0)
    ids = torch.randint(0, vocabulary, (count, PROMPT + RESPONSE), generator=draws).tolist()
    return Sequences.of([row[:PROMPT] for row in ids], [row[PROMPT:] for row in ids])


def _sample(policy: Policy, tokens: Sequences) -> None:
    engine = Engine(policy, Sampling(max_new_tokens=RESPONSE), [])
    for number, prompt in enumerate(tokens.prompt_M.split(PROMPT)):
        engine.add(prompt.tolist(), number)
    engine.run()
