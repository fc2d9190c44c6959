"""The four roles around a language model: policy and reference speak, critic and reward model score.

Tokens come from the host, and numbers a token or a response go back to it: only networks live on an accelerator.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from truing.data.batches import Sequences
from truing.errors import UserError
from truing.models.attention import NAME, Layout, Packed
from truing.models.heads import VocabularyHead, exact_kl, logprobs, logprobs_and_entropy
from truing.models.narrow import narrow_last
from truing.models.precision import Precision, WorkingCopy, dtype_of, kept_dtype, lower, spare


@dataclass(frozen=True)
class Prediction:
    """What a policy says of given responses: for each token its log-prob, the entropy there, the value before it."""

    logp_N: Tensor
    entropy_N: Tensor
    value_N: Tensor | None = None
    tail_value_B: Tensor | None = None
    exact_kl_N: Tensor | None = None


class Role(nn.Module):
    """A language model in one of the four roles. It may compute with a copy of itself in lower precision."""

    def __init__(self, lm: nn.Module) -> None:
        super().__init__()
        self.lm = lm
        self.copied: WorkingCopy | None = None
        for module in lm.modules():
            if isinstance(module, nn.Embedding):
                # No padding here; and where a tokenizer pads with its end token, that token would never learn.
                module.padding_idx = None
            elif isinstance(module, transformers.PreTrainedModel):
                # Nor a warning that there may be some, which looks at the tokens in every pass.
                module.warn_if_padding_and_no_attention_mask = _no_warning  # type: ignore[method-assign]
        narrow_last(lm)

    @property
    def lm_inside(self) -> transformers.PreTrainedModel:
        """The transformers model itself, without the wrapper that LoRA puts around it."""
        return inside(self.lm)

    @property
    def width(self) -> int:
        """Numbers in a hidden state."""
        return self.lm_inside.config.hidden_size

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.lm.parameters()).device

    @property
    def running(self) -> transformers.PreTrainedModel:
        """The transformers model that computes: the copy in low precision where there is one."""
        return inside(self.copied.lm if self.copied else self.lm)

    @property
    def cache_bytes(self) -> int:
        """What a token's keys and values take in all layers."""
        config = self.lm_inside.config
        heads = config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        groups = getattr(config, "num_key_value_heads", None) or heads
        kept = kept_dtype(next(self.running.parameters()).dtype, self.device)
        return 2 * config.num_hidden_layers * groups * width * kept.itemsize

    def flops(self, read: int, said: int = 0) -> float:
        """Multiplications and additions of a pass over `read` tokens, the vocabulary's matrix at `said` of them.

        The usual count: attention's own, which grow with the length, are left out; all layers count for all tokens, and
        of a mixture of experts all.
        """
        lm = self.lm_inside
        tables = [lm.get_input_embeddings(), lm.get_output_embeddings()]
        outside = {id(table.weight) for table in tables if table is not None}
        body = sum(p.numel() for p in lm.parameters() if p.ndim >= 2 and id(p) not in outside)
        return 2.0 * (read * body + said * self.width * lm.config.vocab_size)

    def learning_flops(self, read: int, said: int = 0) -> float:
        """The same with the backward pass: twice the forward one, or once where the model's own matrices stay."""
        whole = any(p.requires_grad for name, p in self.lm.named_parameters() if ".lora_" not in name)
        return (3 if whole else 2) * self.flops(read, said)

    def compute_in(self, dtype: torch.dtype, moves: bool = True) -> None:
        """Compute in this precision from now on. A role that never `moves` is lowered itself; else a copy follows."""
        if dtype != torch.float32 and moves:
            self.copied = WorkingCopy(self.lm, dtype)
        elif dtype != torch.float32:
            lower(self.lm, dtype)

    def compute_as(self, wanted: Precision, moves: bool = True) -> None:
        """The same by name; "auto" measures."""
        self.compute_in(dtype_of(wanted, self.width, self.device), moves)

    def checkpoint_activations(self) -> None:
        """Keep only what goes into each layer, and compute the rest again in the backward pass."""
        from transformers.modeling_layers import GradientCheckpointingLayer

        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # renamed, later on
            self.lm_inside.gradient_checkpointing_enable()
        for module in self.lm_inside.modules():
            if isinstance(module, GradientCheckpointingLayer):
                module.training = True  # it asks for that; all else stays as if it did not learn: nothing is dropped

    def compile_layers(self) -> None:
        """Compile each layer of the network that computes, once for any number of tokens; attention stays as it is.

        Raises UserError where there is no compiler, or nothing to compile.
        """
        compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
        if self.device.type == "cpu" and compiler is None:
            raise UserError("compile = true needs a C++ compiler, and there is none here: install g++, or leave it out")
        named = self.running._no_split_modules or ()
        layers = [module for module in self.running.modules() if type(module).__name__ in named]
        if not layers:
            kind = self.running.config.model_type
            raise UserError(f"compile = true: architecture {kind} does not name its layers; leave it out")
        # Else the last layer would be taken for one like the first, without the hooks that make it narrow.
        torch._dynamo.config.skip_nnmodule_hook_guards = False
        for layer in layers:
            _compile_learning(layer)

    def follow(self) -> None:
        """After weights have moved: the copy that computes takes them over."""
        if self.copied is not None:
            self.copied.follow()

    def merged_state(self) -> dict[str, Tensor]:
        """Weights under transformers' names, LoRA added in."""
        return merged_state(self.lm)


class Policy(Role):
    """A causal language model that reads flat tokens; with `value_head`, the critic lives on its trunk."""

    def __init__(self, lm: nn.Module, value_head: nn.Linear | None = None) -> None:
        super().__init__(lm)
        self.value_head = value_head

    @property
    def head(self) -> VocabularyHead:
        """The vocabulary head as the architecture defines it."""
        output, config = self.running.get_output_embeddings(), self.running.config
        scale = getattr(config, "logit_scale", None) or 1.0 / (getattr(config, "logits_scaling", None) or 1.0)
        return VocabularyHead(output.weight, output.bias, scale, getattr(config, "final_logit_softcapping", None))

    def forward(self, tokens: Sequences, temperature: float = 1.0, reference: Policy | None = None) -> Prediction:
        """Log-probs and entropies of the response tokens; exact KL to `reference` where one is given."""
        places = [tokens.before_place_N, *([] if self.value_head is None else [tokens.last_place_B])]
        before_ND, *last_BD = hidden(self.running, tokens, *places)
        logp_N, entropy_N = logprobs_and_entropy(self.head, before_ND, tokens.token_N.to(self.device), temperature)
        value_N = tail_value_B = kl_N = None
        if self.value_head is not None:
            value_N, tail_value_B = self.values(before_ND), self.values(*last_BD)
        if reference is not None:
            with torch.no_grad():
                (ref_ND,) = hidden(reference.running, tokens, tokens.before_place_N)
            kl_N = exact_kl(self.head, before_ND, reference.head, ref_ND, temperature).cpu()
        return Prediction(logp_N.cpu(), entropy_N.cpu(), value_N, tail_value_B, kl_N)

    def logprobs(self, tokens: Sequences, temperature: float = 1.0) -> Tensor:
        """Log-probs of the response tokens, [N], in nats: all that many a pass needs, and less work."""
        (before_ND,) = hidden(self.running, tokens, tokens.before_place_N)
        return logprobs(self.head, before_ND, tokens.token_N.to(self.device), temperature).cpu()

    def values(self, hidden_ND: Tensor) -> Tensor:
        """What the value head on the trunk says, [N], in float32."""
        assert self.value_head is not None
        return self.value_head(hidden_ND.to(self.value_head.weight.dtype))[:, 0].cpu()

    def without_adapter(self) -> AbstractContextManager[None]:
        """Within it the policy speaks as its base did: with LoRA this is the reference, at no cost in memory."""
        lm = self.copied.lm if self.copied else self.lm
        return nullcontext() if inside(lm) is lm else lm.disable_adapter()  # type: ignore[operator]

    @torch.no_grad()
    def check(self) -> None:
        """Compare with the model's own pass: an architecture that is misread here must not train. Raises UserError."""
        lm = self.lm_inside
        check_reading(lm)
        token_S, (length, _) = _probe(lm)
        layout = Packed([length], self.device)
        position_S = layout.position_S
        own = lm(input_ids=token_S[None, :length], position_ids=position_S[None], use_cache=False, layout=layout)
        here_SV = self.head.logits(trunk(lm, token_S[:length], layout))
        _refuse_gap(lm, "vocabulary head is", here_SV, own.logits[0])


class Scorer(Role):
    """A language model with one linear head: the reward model reads it at the last token, the critic at every token."""

    def __init__(self, lm: nn.Module, score: nn.Linear, mean: float = 0.0, std: float = 1.0) -> None:
        super().__init__(lm)
        self.score = score
        self.mean, self.std = mean, std

    def forward(self, tokens: Sequences) -> Tensor:
        """Score of each response at its last token, [B], minus `mean`, over `std`."""
        return self.read(*hidden(self.running, tokens, tokens.last_place_B))

    def with_language_model(self, tokens: Sequences) -> tuple[Tensor, Tensor]:
        """Scores [B], and log-probs of the response tokens [N] from the same pass, for the auxiliary loss."""
        before_ND, last_BD = hidden(self.running, tokens, tokens.before_place_N, tokens.last_place_B)
        output = self.running.get_output_embeddings()
        if output is None:
            raise UserError("the language-model loss needs a causal language model to start from, not a reward model")
        head = VocabularyHead(output.weight, output.bias)
        return self.read(last_BD), logprobs(head, before_ND, tokens.token_N.to(self.device)).cpu()

    def values(self, tokens: Sequences) -> tuple[Tensor, Tensor]:
        """The critic's estimate before each response token [N], and after the last one [B]."""
        before_ND, last_BD = hidden(self.running, tokens, tokens.before_place_N, tokens.last_place_B)
        return self.read(before_ND), self.read(last_BD)

    def read(self, hidden_ND: Tensor) -> Tensor:
        """The head at chosen positions, [N]."""
        return (self.score(hidden_ND.to(self.score.weight.dtype))[:, 0].float().cpu() - self.mean) / self.std


def _no_warning(*_: object) -> None:
    """In place of transformers' warning of padding."""


def _compile_learning(layer: nn.Module) -> None:
    """Compile a layer for passes that learn: for others there is little to gain, for few tokens something to lose.

    By torch's own place for it; its switch `set_stance` is one for all threads.
    """
    plain, compiled = layer._call_impl, torch.compile(layer._call_impl, dynamic=True)

    def call(*given: object, **named: object) -> object:
        return (compiled if torch.is_grad_enabled() else plain)(*given, **named)

    layer._compiled_call_impl = call


def inside(lm: nn.Module) -> transformers.PreTrainedModel:
    """The transformers model, whether or not LoRA wraps it."""
    return lm.get_base_model() if hasattr(lm, "get_base_model") else lm  # type: ignore[operator,return-value]


def trunk(lm: transformers.PreTrainedModel, token_S: Tensor, layout: Layout) -> Tensor:
    """Last hidden states of flat tokens, [S, D]; right at those that the layout says are read."""
    weight, count = next(lm.parameters()), len(token_S)
    rows = (0, spare(count, weight))  # a token 0 at place 0 that nobody attends to
    token_S, position_S = (functional.pad(x.to(weight.device), rows)[None] for x in (token_S, layout.position_S))
    out = lm.base_model(input_ids=token_S, position_ids=position_S, use_cache=False, layout=layout)
    return out.last_hidden_state[0, :count]


def hidden(lm: transformers.PreTrainedModel, tokens: Sequences, *places: Tensor) -> list[Tensor]:
    """Last hidden states at some places among the S tokens of prompts and responses, [·, D] each.

    Raises UserError where a sequence is longer than the model's context.
    """
    longest, context = int(tokens.total_B.max()), getattr(lm.config, "max_position_embeddings", None)
    if context is not None and longest > context:
        raise UserError(f"a sequence of {longest} tokens is longer than the model's context of {context}: shorten it")
    lengths, after = tokens.pieces
    read_R = torch.cat([*places, torch.tensor([0])]).unique()  # the first too: one alone would be compiled for itself
    hidden_SD = trunk(lm, tokens.token_S, Packed(lengths, next(lm.parameters()).device, after, read_R))
    # Not by brackets: the backward pass of those goes number by number.
    return [hidden_SD.index_select(0, place.to(hidden_SD.device)) for place in places]


def _probe(lm: transformers.PreTrainedModel) -> tuple[Tensor, list[int]]:
    """Tokens of two sequences to try a model with, end to end, and their lengths."""
    size = min(16, getattr(lm.config, "max_position_embeddings", 16))
    lengths = [size, -(-size // 2)]
    return torch.arange(sum(lengths), device=next(lm.parameters()).device) % lm.config.vocab_size, lengths


@torch.no_grad()
def check_reading(lm: transformers.PreTrainedModel) -> None:
    """Compare two sequences end to end, half of their tokens read at a time, with the model's own pass over each.

    Raises UserError where hidden states differ, or where a layer does not ask our attention.
    """
    token_S, lengths = _probe(lm)
    places = [torch.arange(start, len(token_S), 2) for start in (0, 1)]
    layouts = [Packed(lengths, token_S.device, read_R=place_R) for place_R in places]
    read = [trunk(lm, token_S, layout)[place_R] for layout, place_R in zip(layouts, places, strict=True)]
    once, layers = sum(count == 1 for count in layouts[0].asked.values()), lm.config.num_hidden_layers
    if once != layers:
        raise UserError(
            f"architecture {lm.config.model_type} cannot be used here: {once} of its {layers} layers ask the attention "
            "they are given, once in a pass; use another model"
        )
    lm.set_attn_implementation("eager")
    own = [lm.base_model(input_ids=ids[None], use_cache=False) for ids in token_S.split(lengths)]
    lm.set_attn_implementation(NAME)
    own_SD = torch.cat([out.last_hidden_state[0] for out in own])
    _refuse_gap(lm, "hidden states are", torch.cat(read)[torch.cat(places).argsort()], own_SD)


def _refuse_gap(lm: transformers.PreTrainedModel, what: str, here: Tensor, own: Tensor) -> None:
    gap = (here.float() - own.float()).abs().max().item()
    if not gap <= 1e-3 * own.abs().max().item():
        kind = lm.config.model_type
        raise UserError(f"architecture {kind}: its {what} not computed right here (numbers differ by {gap:.3g})")


def merged_state(lm: nn.Module) -> dict[str, Tensor]:
    """Weights under transformers' names, LoRA's product added in a copy: the model itself is not touched."""
    model = inside(lm)
    state = {
        name.replace(".base_layer", ""): value.detach().clone()
        for name, value in model.state_dict().items()
        if ".lora_" not in name
    }
    if lm is not model:
        from peft.tuners.lora import LoraLayer

        for name, module in model.named_modules():
            if isinstance(module, LoraLayer):
                for adapter in module.active_adapters:
                    state[f"{name}.weight"] += module.get_delta_weight(adapter).detach()  # type: ignore[attr-defined]
    return state


def in_graph(role: Role) -> list[nn.Parameter]:
    """The weights that stand in the graph of what a role computes, where `trainable` gives those that move."""
    if role.copied is None:
        return list(trainable(role))
    heads = [p for name, p in role.named_parameters() if p.requires_grad and not name.startswith("lm.")]
    return [*(p for p in role.copied.lm.parameters() if p.requires_grad), *heads]


def share_frozen(role: Role, owner: Role) -> None:
    """Let a role compute with another's frozen weights where they are equal up to rounding: one base in memory for all
    adapters."""
    mine, theirs = ([net.lm] + ([net.copied.lm] if net.copied else []) for net in (role, owner))
    known = {(name, p.dtype): p for lm in theirs for name, p in lm.named_parameters() if not p.requires_grad}
    for lm in mine:
        for name, own in lm.named_parameters():
            other = known.get((name, own.dtype))
            if own.requires_grad or other is None or own.shape != other.shape:
                continue
            if torch.allclose(own, other, rtol=1e-5, atol=1e-6):
                own.data = other.data


def trainable(*roles: nn.Module | None) -> Iterator[nn.Parameter]:
    """Parameters that learn, each once, also where roles share a trunk."""
    seen: set[int] = set()
    for role in roles:
        for parameter in role.parameters() if role is not None else ():
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                yield parameter
