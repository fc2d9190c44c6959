"""On an accelerator: sampling against the bandwidth floor and against `generate`, learning against the best product.

python -m benchmarks.gpu                 # 0.5 and 1.1 billion parameters, random weights, bfloat16

Sampling: 256 prompts of 128 tokens, 128 new ones each. Each new token must at least read all weights and all keys and
values that it looks at; the floor is the time of that at the measured speed of a copy. Learning: supervised updates on
sequences of 512 tokens.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from truing.data.batches import Sequences
from truing.generation.local import Engine
from truing.generation.sampling import Sampling
from truing.models.loading import policy_of
from truing.models.precision import best_flops
from truing.models.roles import Policy
from truing.training.loop import Learner
from truing.training.optimize import Learning
from truing.training.supervised import step

BATCH, PROMPT, NEW, VOCABULARY = 256, 128, 128, 32_000
SIZES = {  # width, inner width, layers, heads, key heads
    "0.5B": (1024, 4096, 24, 16, 8),
    "1.1B": (2048, 5632, 22, 32, 4),
}


def language_model(size: str) -> LlamaForCausalLM:
    """A Llama with random weights on the accelerator."""
    width, inner, layers, heads, key_heads = SIZES[size]
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=key_heads, vocab_size=VOCABULARY, max_position_embeddings=1024, bos_token_id=1,
        eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def seconds(work: Callable[[], object], turns: int = 3) -> float:
    """The median of some turns, after one that warms up."""
    times = []
    for _ in range(turns + 1):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        work()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def copied_bytes_s() -> float:
    """Bytes a second that a copy reads and writes."""
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    return 2 * len(source) / seconds(lambda: source.clone(), 5)


def floor_s(policy: Policy) -> float:
    """The least time of sampling: weights, keys and values read once for each new token of the batch."""
    lm = policy.running
    weights = sum(p.numel() for p in lm.parameters()) * 2
    if lm.get_input_embeddings().weight is not lm.get_output_embeddings().weight:
        weights -= lm.get_input_embeddings().weight.numel() * 2  # a row a token is all that is read of it
    return NEW * (weights + BATCH * (PROMPT + NEW / 2) * policy.cache_bytes) / copied_bytes_s()


def sample(policy: Policy, prompts: list[list[int]]) -> None:
    """Sample with our engine."""
    engine = Engine(policy, Sampling(max_new_tokens=NEW), end_ids=(), slots=BATCH)
    for seed, prompt in enumerate(prompts):
        engine.add(prompt, seed)
    engine.run()


def generate_s(size: str, ids: torch.Tensor) -> float:
    """Seconds of transformers' own sampling."""
    lm = language_model(size).to("cuda", torch.bfloat16)  # type: ignore[call-arg]
    given = {"do_sample": True, "top_k": 0, "max_new_tokens": NEW, "min_new_tokens": NEW, "pad_token_id": 0}
    return seconds(lambda: lm.generate(ids.cuda(), **given))


def measure(size: str) -> None:
    """Print the figures of one size."""
    ids = torch.randint(4, VOCABULARY, (BATCH, PROMPT), generator=torch.Generator().manual_seed(0))
    theirs = generate_s(size, ids)
    policy, learning = policy_of(language_model(size)), Learning(lr=1e-6, precision="bfloat16", budget_tokens=16_384)
    learner = Learner.of("policy", policy, learning, 10**6)
    ours = seconds(lambda: sample(policy, ids.tolist()))
    floor = floor_s(policy)
    print(f"{size} sampling: {BATCH * NEW / ours:,.0f} tokens/s, {floor / ours:.0%} of the bandwidth floor; "
          f"generate {BATCH * NEW / theirs:,.0f} tokens/s, ratio {theirs / ours:.2f}")  # fmt: skip
    rows = torch.randint(4, VOCABULARY, (64, 512)).tolist()
    tokens = Sequences.of([row[:1] for row in rows], [row[1:] for row in rows])
    spent = seconds(lambda: step(learner, tokens))
    needed = policy.learning_flops(len(tokens.token_S), len(tokens.token_N))
    print(f"{size} learning: {len(tokens.token_S) / spent:,.0f} tokens/s, {needed / spent / best_flops('cuda'):.0%} of "
          f"the best product, {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")  # fmt: skip


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, help="one size only")
    wanted = parser.parse_args()
    if not torch.cuda.is_available():
        print("no accelerator here: nothing was measured")
        return
    for size in [wanted.size] if wanted.size else SIZES:
        measure(size)


if __name__ == "__main__":
    main()
