"""The fixed work of the speed benchmarks: two sizes of model, texts, the arithmetic they need, timing, peers.

The sizes are those of the peers' scripts, so that both sides do the same work: S has 15.2 million parameters, XS 2.6.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

from truing.models import attention, memory
from truing.models.precision import best_flops, bfloat16_gain
from truing.models.roles import Scorer
from truing.training.optimize import Learning

PEERS = Path(os.environ.get("TRUING_PEERS", "../shared/peers"))


@dataclass(frozen=True)
class Size:
    """A Llama's measures."""

    width: int
    inner: int
    layers: int
    heads: int
    vocabulary: int

    @property
    def body_flops(self) -> int:
        """Multiplications and additions of all matrices but the vocabulary's, for one token forward."""
        return 2 * self.layers * (4 * self.width**2 + 3 * self.width * self.inner)

    @property
    def head_flops(self) -> int:
        """Those of the vocabulary's matrix."""
        return 2 * self.width * self.vocabulary

    def sequence_flops(self, length: int) -> float:
        """Of one sequence forward, without the vocabulary's matrix, attention counted in."""
        return length * self.body_flops + 4 * self.layers * self.width * length * (length + 1) / 2


SIZES = {"S": Size(288, 768, 6, 6, 32_000), "XS": Size(192, 512, 4, 6, 4_096)}


def config(size: str, **more: Any) -> LlamaConfig:
    """The transformers configuration of a size."""
    s = SIZES[size]
    return LlamaConfig(
        hidden_size=s.width, intermediate_size=s.inner, num_hidden_layers=s.layers, num_attention_heads=s.heads,
        num_key_value_heads=s.heads, vocab_size=s.vocabulary, max_position_embeddings=1024, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=2, pad_token_id=0, **more,
    )  # fmt: skip


def language_model(size: str, seed: int = 0) -> LlamaForCausalLM:
    """A language model with random weights."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(config(size))


def scorer(size: str, seed: int = 1) -> Scorer:
    """The same with one score in place of the vocabulary."""
    torch.manual_seed(seed)
    lm = LlamaForSequenceClassification(config(size, num_labels=1))
    lm.set_attn_implementation(attention.registered())
    return Scorer(lm, lm.score)


def tokenizer(size: str) -> PreTrainedTokenizerFast:
    """Words w4, w5, … are the tokens."""
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3}
    vocabulary |= {f"w{i}": i for i in range(4, SIZES[size].vocabulary)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def words(count: int, size: str, rng: random.Random) -> str:
    """A text of so many random words."""
    return " ".join(f"w{rng.randrange(4, SIZES[size].vocabulary)}" for _ in range(count))


def arguments(about: str, **defaults: Any) -> argparse.ArgumentParser:
    """What all benchmarks take."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="S")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--compile", action="store_true", help="compile the layers of what learns")
    parser.add_argument("--checkpoint", action="store_true", help="compute activations again in the backward pass")
    parser.add_argument("--budget-tokens", type=int, default=2048, help="most tokens of one micro-batch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--give-back", action="store_true", help="leave the allocator as it is, unlike the commands")
    parser.add_argument("--turns", type=int, default=3, help="turns of each side, one after the other")
    parser.add_argument("--no-peer", action="store_true", help="measure ours only")
    parser.add_argument("--once", action="store_true", help="one turn of ours in this process: what the turns call")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.set_defaults(**defaults)
    return parser


def learning(wanted: argparse.Namespace) -> Learning:
    """How weights move in all benchmarks."""
    return Learning(
        lr=1e-5, schedule="constant", precision=wanted.precision, compile=wanted.compile,
        checkpoint_activations=wanted.checkpoint, budget_tokens=wanted.budget_tokens,
    )  # fmt: skip


def own_turn(*more: str) -> dict[str, Any]:
    """One turn of ours: this benchmark in a process of its own, so that its peak memory is its own too."""
    module = sys.modules["__main__"].__spec__
    assert module is not None
    told = subprocess.run(
        [sys.executable, "-m", module.name, *sys.argv[1:], "--once", *more], capture_output=True, text=True, check=False
    )  # fmt: skip
    if told.returncode:
        raise SystemExit(told.stderr)
    return json.loads(told.stdout.splitlines()[-1])


def peer_turn(script: str, *given: str) -> dict[str, Any] | None:
    """One turn of the peer's script; None where it, or what it needs, is not there.

    TRUING_PEER_PYTHON names an interpreter that has it, TRUING_PEER_PATH folders put before its path.
    """
    if not (PEERS / script).exists():
        return None
    python, path = os.environ.get("TRUING_PEER_PYTHON", sys.executable), os.environ.get("TRUING_PEER_PATH", "")
    told = subprocess.run(
        [python, script, *given], cwd=PEERS, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    lines = [line.removeprefix("RESULT ") for line in told.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        print(f"the peer did not run: {(told.stderr.strip().splitlines() or ['no word'])[-1][:200]}", file=sys.stderr)
        return None
    return json.loads(lines[-1])


def tuned(wanted: argparse.Namespace) -> tuple[str, ...]:
    """What makes TRL 1.16 fastest: allocator settings, and bfloat16 where that is faster here or asked for."""
    low = wanted.precision == "bfloat16" or (wanted.precision == "auto" and bfloat16_gain(1024) > 1)
    return ("--malloc", "--bf16") if low else ("--malloc",)


def started(wanted: argparse.Namespace) -> None:
    """What the commands do too before they begin."""
    torch.set_num_threads(wanted.threads)
    if not wanted.give_back:
        memory.keep_freed_memory()


def told_once(seconds: list[float], **more: Any) -> None:
    """The line by which a turn in a process of its own tells its figures."""
    print(json.dumps({"seconds": seconds, "peak_mb": memory.peak_bytes() / 2**20, **more}))


def compare(
    wanted: argparse.Namespace, name: str, peer: Callable[[], dict[str, Any] | None],
    seconds_of: Callable[[dict[str, Any]], list[float]], flops: float,
) -> None:  # fmt: skip
    """Ours and the peer's in turn; medians, ratio, share of the machine's best matrix product, peak memory."""
    mine, theirs, memory_mb, their_mb = [], [], 0.0, 0.0
    name = f"{name} {wanted.size} {wanted.precision}"
    for _ in range(wanted.turns):
        told = own_turn()
        mine += told["seconds"]
        memory_mb = max(memory_mb, told["peak_mb"])
        other = None if wanted.no_peer else peer()
        if other is not None:
            theirs += seconds_of(other)
            their_mb = max(their_mb, float(other["rss"]))
    best = best_flops()
    middle = statistics.median(mine)
    line = {"name": name, "ours": middle, "runs": mine, "peak_mb": memory_mb, "share_of_peak": flops / middle / best}
    print(f"{name}: {middle:.3f} s [{min(mine):.3f}, {max(mine):.3f}], {flops / middle / 1e9:.0f} GFLOP/s useful, "
          f"{flops / middle / best:.0%} of the best matrix product, {memory_mb:.0f} MB")  # fmt: skip
    if theirs:
        line |= {"peer": statistics.median(theirs), "ratio": statistics.median(theirs) / middle, "peer_mb": their_mb,
                 "peer_runs": theirs}  # fmt: skip
        print(f"peer: {line['peer']:.3f} s [{min(theirs):.3f}, {max(theirs):.3f}], {their_mb:.0f} MB; "
              f"ratio {line['ratio']:.2f}, memory {memory_mb / their_mb:.2f}")  # fmt: skip
    else:
        print("no peer here: ratio not measured")
    if wanted.json:
        print(json.dumps(line))
