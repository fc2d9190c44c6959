"""The forward pass of a transformers model over flat tokens, and the check that it is the model's own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
import transformers
from torch import Tensor
from torch.nn import functional

from truing.data.batches import Sequences
from truing.errors import UserError
from truing.models.attention import NAME, Layout, Packed
from truing.models.heads import VocabularyHead
from truing.models.precision import spare, wants_few_sizes

PROBE = 16  # tokens of the longer sequence that a model is tried with
WINDOWS = ("sliding_window", "sliding_window_size", "attention_chunk_size")  # names of their sizes, in tokens


def context_of(config: transformers.PreTrainedConfig) -> float:
    """Most tokens of a sequence; infinite where the architecture names no bound.

    Where it has two sets of rotary factors (longrope), and takes the long one for a whole call as soon as one sequence
    asks for that, as many as the short one is for: what is computed of a sequence must not depend on its neighbours.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *(kind for kind in rope.values() if isinstance(kind, dict))]  # some have one for each kind of layer
    short = [kind["original_max_position_embeddings"] for kind in kinds if kind.get("rope_type") == "longrope"]
    longest = getattr(config, "max_position_embeddings", None) or -1
    return min([longest if longest > 0 else math.inf, *short])


def head_of(lm: transformers.PreTrainedModel) -> VocabularyHead:
    """The vocabulary head as the architecture defines it."""
    output, config = lm.get_output_embeddings(), lm.config
    scale = getattr(config, "logit_scale", None) or 1.0 / (getattr(config, "logits_scaling", None) or 1.0)
    return VocabularyHead(output.weight, output.bias, scale, getattr(config, "final_logit_softcapping", None))


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
    longest, context = int(tokens.total_B.max()), context_of(lm.config)
    if longest > context:
        raise UserError(f"a sequence of {longest} tokens is longer than the model's context of {context}: shorten it")
    lengths, after = tokens.pieces
    read_R = torch.cat([*places, torch.tensor([0])]).unique()  # the first too: one alone would be compiled for itself
    weight = next(lm.parameters())
    layout = Packed(lengths, weight.device, after, read_R, few_sizes=wants_few_sizes(weight))
    hidden_SD = trunk(lm, tokens.token_S, layout)
    # Not by brackets: the backward pass of those goes number by number.
    return [hidden_SD.index_select(0, place.to(hidden_SD.device)) for place in places]


def _probe(lm: transformers.PreTrainedModel) -> tuple[Tensor, list[int]]:
    """Tokens of two sequences to try a model with, end to end, and their lengths."""
    size = int(min(PROBE, context_of(lm.config)))
    lengths = [size, -(-size // 2)]
    return torch.arange(sum(lengths), device=next(lm.parameters()).device) % lm.config.vocab_size, lengths


def check_hidden(lm: transformers.PreTrainedModel) -> None:
    """Compare two sequences end to end, half of their tokens read at a time, with the model's own pass over each.

    Windows are a quarter of the probe meanwhile. Raises UserError where hidden states differ, where a layer does not
    ask our attention, or asks it for no window though there is one.
    """
    has_window = _has_window(lm)
    with _windows_of(lm, PROBE // 4) if has_window else nullcontext():
        _compare_hidden(lm, has_window)


@torch.no_grad()
def _compare_hidden(lm: transformers.PreTrainedModel, has_window: bool) -> None:
    token_S, lengths = _probe(lm)
    places = [torch.arange(start, len(token_S), 2) for start in (0, 1)]
    layouts = [Packed(lengths, token_S.device, read_R=place_R) for place_R in places]
    with _unsupported_on_error(lm):
        read = [trunk(lm, token_S, layout)[place_R] for layout, place_R in zip(layouts, places, strict=True)]
    once, layers = sum(count == 1 for count in layouts[0].asked.values()), lm.config.num_hidden_layers
    if once != layers:
        raise unsupported(lm, f"{once} of its {layers} layers ask the attention they are given, once in a pass")
    if has_window and layouts[0].windows == {None}:
        raise unsupported(lm, "its layers do not tell attention of the window they look through")
    lm.set_attn_implementation("eager")
    with _unsupported_on_error(lm):
        own = [lm.base_model(input_ids=ids[None], use_cache=False) for ids in token_S.split(lengths)]
    lm.set_attn_implementation(NAME)
    own_SD = torch.cat([out.last_hidden_state[0] for out in own])
    _refuse_gap(lm, "hidden states are", torch.cat(read)[torch.cat(places).argsort()], own_SD)


@torch.no_grad()
def check_head(lm: transformers.PreTrainedModel) -> None:
    """Compare the vocabulary head of a language model with its own. Raises UserError where logits differ."""
    token_S, (length, _) = _probe(lm)
    layout = Packed([length], token_S.device)
    position_S = layout.position_S
    own = lm(input_ids=token_S[None, :length], position_ids=position_S[None], use_cache=False, layout=layout)
    here_SV = head_of(lm).logits(trunk(lm, token_S[:length], layout))
    _refuse_gap(lm, "vocabulary head is", here_SV, own.logits[0])


@contextmanager
def _unsupported_on_error(lm: transformers.PreTrainedModel) -> Iterator[None]:
    """Raises UserError in place of whatever an architecture's own code raises."""
    try:
        yield
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise unsupported(lm, f"reading two sequences fails ({error})") from error


@contextmanager
def _windows_of(lm: transformers.PreTrainedModel, size: int) -> Iterator[None]:
    """Windows of `size` tokens at most, in settings and layers alike, so that a short probe is longer than any."""
    holders = {id(holder): holder for holder in (lm.config, *lm.modules())}.values()
    held = [(holder, name, vars(holder).get(name)) for holder in holders for name in WINDOWS]
    wider = [(holder, name, value) for holder, name, value in held if isinstance(value, int) and value > size]
    try:
        for holder, name, _ in wider:
            setattr(holder, name, size)
        yield
    finally:
        for holder, name, value in wider:
            setattr(holder, name, value)


def _has_window(lm: transformers.PreTrainedModel) -> bool:
    """Whether some layer sees fewer tokens than the context has."""
    sizes = [getattr(lm.config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    kinds = getattr(lm.config, "layer_types", None)
    somewhere = kinds is None or any("sliding" in kind or "chunked" in kind for kind in kinds)
    return somewhere and any(size and size < context_of(lm.config) for size in sizes)


def unsupported(lm: transformers.PreTrainedModel, why: str) -> UserError:
    """What is said of an architecture that cannot be used."""
    return UserError(f"architecture {lm.config.model_type} cannot be used here: {why}; use another model")


def _refuse_gap(lm: transformers.PreTrainedModel, what: str, here: Tensor, own: Tensor) -> None:
    gap = (here.float() - own.float()).abs().max().item()
    if not gap <= 1e-3 * own.abs().max().item():
        kind = lm.config.model_type
        raise UserError(f"architecture {kind}: its {what} not computed right here (numbers differ by {gap:.3g})")
