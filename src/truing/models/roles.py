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
from functools import cached_property

import torch
import transformers
from torch import Tensor, nn

from truing.data.batches import Sequences
from truing.errors import UserError
from truing.models.attention import Packed
from truing.models.forward import check_head, check_hidden, context_of, head_of, hidden, trunk
from truing.models.heads import VocabularyHead, exact_kl, logprobs, logprobs_and_entropy
from truing.models.last_layer import narrow_last
from truing.models.precision import Precision, WorkingCopy, dtype_of, kept_dtype, lower


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
    def context(self) -> float:
        """Most tokens of a sequence."""
        return context_of(self.lm_inside.config)

    @property
    def cache_bytes(self) -> int:
        """What a token's keys and values take in all layers."""
        return self._cached_numbers * kept_dtype(next(self.running.parameters()).dtype, self.device).itemsize

    @cached_property
    def _cached_numbers(self) -> int:
        layout = Packed([1], self.device)
        with torch.no_grad():
            trunk(self.running, torch.zeros(1, dtype=torch.long), layout)
        return sum(layout.numbers.values())

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

        try:
            with warnings.catch_warnings(action="ignore", category=FutureWarning):  # renamed, later on
                self.lm_inside.gradient_checkpointing_enable()
        except ValueError as error:
            raise UserError(f"checkpoint_activations = true: {error}; leave it out") from error
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
        return head_of(self.running)

    def forward(self, tokens: Sequences, temperature: float = 1.0, reference: Policy | None = None) -> Prediction:
        """Log-probs and entropies of the response tokens; exact KL to `reference` where one is given.

        A policy that is its own reference is so with its adapter off.
        """
        places = [tokens.before_place_N, *([] if self.value_head is None else [tokens.last_place_B])]
        before_ND, *last_BD = hidden(self.running, tokens, *places)
        logp_N, entropy_N = logprobs_and_entropy(self.head, before_ND, tokens.token_N.to(self.device), temperature)
        value_N = tail_value_B = kl_N = None
        if self.value_head is not None:
            value_N, tail_value_B = self.values(before_ND), self.values(*last_BD)
        if reference is not None:
            with torch.no_grad(), self.without_adapter() if reference is self else nullcontext():
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

    def check(self) -> None:
        """Compare with the model's own pass: an architecture that is misread here must not train. Raises UserError."""
        check_hidden(self.lm_inside)
        check_head(self.lm_inside)


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
        if self.running.get_output_embeddings() is None:
            raise UserError("the language-model loss needs a causal language model to start from, not a reward model")
        return self.read(last_BD), logprobs(head_of(self.running), before_ND, tokens.token_N.to(self.device)).cpu()

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


def merged_state(lm: nn.Module) -> dict[str, Tensor]:
    """Weights under transformers' names, LoRA's product added in a copy: the model itself is not touched."""
    model = inside(lm)
    state = {
        name.replace(".base_layer", ""): value.detach().clone()
        for name, value in model.state_dict().items()
        if ".lora_" not in name
    }
    if lm is not model:
        for name, _, delta in adapted_weights(model):
            state[name] += delta
    return state


def adapted_weights(model: transformers.PreTrainedModel) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Each matrix that LoRA adapts: its name without the adapter, itself, and what is added to it. The matrices of a
    mixture of experts may be one parameter, which has no layer of its own."""
    from peft.tuners.lora import LoraLayer
    from peft.tuners.lora.layer import ParamWrapper

    for place, module in model.named_modules():
        if isinstance(module, LoraLayer):
            name = module.parameter_name if isinstance(module, ParamWrapper) else "weight"
            inner = module.base_layer
            while isinstance(inner, LoraLayer):
                inner = inner.base_layer
            for adapter in module.active_adapters:
                delta = module.get_delta_weight(adapter).detach()  # type: ignore[attr-defined]
                yield f"{place.replace('.base_layer', '')}.{name}", inner.get_parameter(name), delta


def in_graph(role: Role) -> list[nn.Parameter]:
    """The weights that stand in the graph of what a role computes, where `trainable` gives those that move."""
    if role.copied is None:
        return list(trainable(role))
    return list(trainable(role.copied.lm, *(head for name, head in role.named_children() if name != "lm")))


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
