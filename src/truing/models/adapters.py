"""LoRA: an adapter put around a model, taken out of a merged one, or merged from a folder of its own."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from torch import nn

from truing.errors import UserError, first_line
from truing.models.roles import adapted_weights, inside
from truing.models.weights import check_files

SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # as PEFT names them
ADAPTER = "adapter"  # the folder of a saved model's adapter, where it was trained with one


@dataclass(frozen=True)
class Adapter:
    """LoRA (Hu et al. 2021, arXiv:2106.09685): rank 0 trains all weights instead."""

    lora_rank: int = 0
    """Rank of the two factors added to each matrix; 0: all weights learn."""
    lora_alpha: int = 16
    """Their product is scaled by this over the rank."""
    lora_targets: tuple[str, ...] = ()
    """Names of the layers that get an adapter; none: all linear layers but the vocabulary head."""

    def __post_init__(self) -> None:
        if self.lora_rank < 0 or self.lora_alpha <= 0:
            raise UserError(f"LoRA needs lora_rank >= 0 and lora_alpha > 0, not {self.lora_rank} and {self.lora_alpha}")
        if self.lora_targets and not self.lora_rank:
            raise UserError(
                f"lora_targets = {self.lora_targets}: with lora_rank = 0 all weights learn: give a rank too"
            )


def with_adapter(lm: transformers.PreTrainedModel, adapter: Adapter, freeze: tuple[str, ...], seed: int) -> nn.Module:
    """The model with a fresh adapter around it, or itself at rank 0; what `freeze` matches does not learn."""
    for pattern in freeze:
        matched = [p for name, p in lm.named_parameters() if fnmatchcase(name, pattern)]
        if not matched:
            example = next(iter(dict(lm.named_parameters())))
            raise UserError(f'freeze = "{pattern}" matches no parameter; names look like "{example}"')
        for parameter in matched:
            parameter.requires_grad_(False)
    if not adapter.lora_rank:
        return lm
    from peft import LoraConfig
    from peft.tuners.tuners_utils import BaseTunerLayer

    speaks = lm.get_output_embeddings() is not None  # else it scores, and its score is no layer to adapt
    settings = LoraConfig(
        r=adapter.lora_rank, lora_alpha=adapter.lora_alpha, target_modules=list(adapter.lora_targets) or "all-linear",
        exclude_modules=None if speaks else ["score"], task_type="CAUSAL_LM" if speaks else None,
    )  # fmt: skip
    adapted = _around(lm, settings, seed)
    read, said = lm.get_input_embeddings(), lm.get_output_embeddings()
    tied = lm.config.tie_word_embeddings
    if isinstance(said, BaseTunerLayer) or (tied and isinstance(read, BaseTunerLayer)):
        raise UserError(
            f"LoRA targets {list(adapter.lora_targets)}: the vocabulary's matrix takes no adapter; leave it out"
        )
    return adapted


def _around(lm: transformers.PreTrainedModel, settings: Any, seed: int) -> nn.Module:
    """The model with an adapter of these settings of PEFT's around it; the seed decides its first weights."""
    from peft import get_peft_model

    try:
        # The weights are still on the processor; of what peft warns of, a tied table, we refuse.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
            torch.default_generator.manual_seed(seed)
            return get_peft_model(lm, settings)
    except ValueError as error:
        raise UserError(f"LoRA targets {settings.target_modules}: {first_line(error)}") from error


def taken_apart(lm: transformers.PreTrainedModel, folder: Path) -> nn.Module:
    """A model whose adapter was merged, taken apart again: what is left is its base, up to rounding."""
    from peft import LoraConfig, set_peft_model_state_dict

    check_files(folder)
    try:
        settings, state = LoraConfig.from_pretrained(str(folder)), load_file(folder / WEIGHTS)
        settings.inference_mode, settings.task_type = False, None  # it learns on, whatever head the model has now
        lm.name_or_path = settings.base_model_name_or_path or ""  # for that is what is left
        adapted = _around(lm, settings, 0)
        set_peft_model_state_dict(adapted, state)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"{folder}: no whole adapter: {first_line(error)}; remove the folder to go without") from error
    for _, weight, delta in adapted_weights(inside(adapted)):
        weight.data -= delta
    return adapted


def is_adapter(folder: str | Path) -> bool:
    """Whether a folder holds an adapter, and no model."""
    return Path(folder, SETTINGS).is_file() and not Path(folder, "config.json").is_file()


def settings_of(folder: Path) -> dict[str, Any]:
    """What PEFT wrote of an adapter. Raises UserError where it is none that can be merged."""
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        kind, base = str(settings["peft_type"]), str(settings["base_model_name_or_path"] or "")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / SETTINGS}: no settings of an adapter: {first_line(error)}") from error
    if kind != "LORA" or not (folder / WEIGHTS).is_file():
        raise UserError(
            f"{folder}: an adapter of the kind {kind}, of which only LoRA in {WEIGHTS} can be read here: merge it first"
        )
    if not base:
        raise UserError(f"{folder / SETTINGS}: its base_model_name_or_path names no base model: {base!r}")
    if is_adapter(base):
        raise UserError(f"{folder}: an adapter of another adapter, {base}: name a model that both are merged into")
    return settings


def merged(lm: transformers.PreTrainedModel, folder: Path) -> transformers.PreTrainedModel:
    """A base with a saved adapter added in."""
    from peft import PeftModel

    check_files(folder)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*missing adapter keys")
            adapted = PeftModel.from_pretrained(lm, str(folder))
    except (RuntimeError, ValueError, KeyError, UserWarning) as error:
        base = lm.config.name_or_path
        raise UserError(f"{folder}: the adapter does not fit its base {base}: {first_line(error)}") from error
    whole = adapted.merge_and_unload().requires_grad_(True)  # type: ignore[operator]
    beside = folder.name == ADAPTER and (folder.parent / "config.json").is_file()
    whole.name_or_path = str(folder.parent) if beside else ""  # a further adapter has no other base than the whole
    return whole
