"""Pretraining: a small Llama and its tokenizer from raw text, for when no weights can be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from truing.data import formats
from truing.data.batches import Sequences, shuffled
from truing.models.loading import policy_of
from truing.models.roles import Policy
from truing.runs.run import Result, Run
from truing.runs.settings import RunSettings
from truing.settings import Flat, require
from truing.training.loop import PassSettings
from truing.training.optimize import Learning
from truing.training.supervised import HeldOut, fit

BEGIN, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
USUAL_LR = 3e-3
TURNS = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}
CHAT_TEMPLATE = (
    BEGIN + "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% if m.role == 'assistant' %}" + END + "{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True)
class Config:
    """Pretraining of a small Llama from raw text."""

    data: tuple[str, ...]
    """Text: .txt files, or rows with a "text" column; a file or a row is a document."""
    vocabulary: int = 1024
    """Tokens of the byte-level BPE tokenizer that is trained first."""
    width: int = 128
    """Size of the hidden states."""
    layers: int = 4
    """Transformer layers."""
    heads: int = 4
    """Attention heads; divides the width into even parts."""
    context: int = 128
    """Longest sequence the model can read, in tokens."""
    passes: Flat[PassSettings] = PassSettings()
    """Examples are windows of `context` tokens."""
    held_out: float = 0.02
    """Share of the windows kept for the held-out loss."""
    evaluate_every: int = 100
    """Updates between two measurements of the held-out loss."""
    learning: Learning = field(
        default_factory=lambda: Learning(USUAL_LR, "cosine", warmup=0.05, weight_decay=0.1, adam_eps=1e-8)
    )
    """How weights move."""
    run: Flat[RunSettings] = RunSettings("runs/pretrain")
    """Where the run is written."""

    def __post_init__(self) -> None:
        require(
            self,
            ("vocabulary", self.vocabulary >= 300, "300 or more: 256 bytes, and special tokens"),
            ("layers", self.layers >= 1, "1 or more"),
            ("width", self.width >= 2, "2 or more"),
            ("heads", self.heads >= 1 and self.width % (2 * self.heads) == 0, "a divisor of width / 2"),
            ("context", self.context >= 8, "8 or more"),
            ("held_out", 0 <= self.held_out < 1, "a share, at least 0 and below 1"),
            ("evaluate_every", self.evaluate_every >= 1, "1 or more"),
        )
        object.__setattr__(self, "learning", self.learning.rated(USUAL_LR))


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> transformers.PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer (any text can be written) with a chat template of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, BEGIN, END, *TURNS.values()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=list(TURNS.values()),
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def build(config: Config, tokenizer: transformers.PreTrainedTokenizerFast) -> Policy:
    """A Llama of the configured size with fresh weights."""
    torch.manual_seed(config.run.seed)
    shape = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.width,
        intermediate_size=round(config.width * 8 / 3 / 16) * 16,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        max_position_embeddings=config.context,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return policy_of(transformers.LlamaForCausalLM(shape))


def windows(texts: Sequence[str], tokenizer: transformers.PreTrainedTokenizerFast, context: int) -> list[list[int]]:
    """Documents end to end, each between its begin and end token, cut into windows of `context` tokens."""
    ids: list[int] = []
    for document in tokenizer(list(texts), add_special_tokens=False)["input_ids"]:
        ids += [tokenizer.bos_token_id, *document, tokenizer.eos_token_id]
    cut = [ids[start : start + context] for start in range(0, len(ids), context)]
    return [window for window in cut if len(window) >= 2]


def train(config: Config) -> Result:
    """The whole stage, from text to a run's folder."""
    with Run.open(config.run, config, "pretrain") as run:
        texts = [text for source in config.data for text in formats.read_texts(source)]
        tokenizer = train_tokenizer(texts, config.vocabulary)
        rows = windows(texts, tokenizer, config.context)
        order = shuffled(len(rows), config.run.seed, 0)
        held = min(round(config.held_out * len(rows)), len(rows) - 1)
        held_out = HeldOut(_sequences([rows[i] for i in order[:held]]), config.evaluate_every) if held else None
        policy = build(config, tokenizer)
        tokens = _sequences([rows[i] for i in order[held:]])
        summary = fit(policy, tokens, held_out, config.passes.over(len(tokens), run), config.learning, run)
        run.save(policy, tokenizer, "model")
        count = sum(p.numel() for p in policy.parameters())
        return run.finish({**summary, "parameters": count, "tokens": sum(map(len, rows)), "documents": len(texts)})


def _sequences(rows: list[list[int]]) -> Sequences:
    """The first token is given, all others are learned."""
    return Sequences.of([row[:1] for row in rows], [row[1:] for row in rows])
