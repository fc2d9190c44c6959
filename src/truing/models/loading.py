"""Models in and out: a hub id, a folder or a run becomes a policy or a scorer; the Hugging Face layout comes out."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from truing.errors import UserError
from truing.models import attention
from truing.models.forward import check_hidden, unsupported
from truing.models.roles import Policy, Scorer

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


def locate(model: str) -> str:
    """The folder with the weights of a run, or the folder or hub id itself."""
    folder = Path(model)
    if (folder / "model" / "config.json").is_file():
        return str(folder / "model")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise UserError(
            f"model {model}: the folder holds no config.json and no model/: is the run that writes it finished?"
        )
    looks_local = folder.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1
    if not folder.is_dir() and looks_local and "/" in model:
        raise UserError(f"model {model}: there is no such folder")
    return model


def is_reward_model(model: str) -> bool:
    """Whether the configuration names a model with a score in place of a vocabulary head."""
    return any("SequenceClassification" in name for name in _config(model).architectures or ())


def load_tokenizer(model: str) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer that belongs to the model."""
    try:
        return transformers.AutoTokenizer.from_pretrained(locate(model))
    except (OSError, ValueError) as error:
        raise UserError(f"model {model}: no tokenizer could be loaded: {_first_line(error)}") from error


def load_policy(
    model: str, adapter: Adapter = Adapter(), freeze: tuple[str, ...] = (), trunk_value: bool = False, seed: int = 0
) -> Policy:
    """A causal language model, float32, attention on flat tokens, dropout off.

    `freeze` holds patterns of parameter names (`*embed*`); one that matches nothing is an error. The seed decides an
    adapter's first weights, the same in every process.
    """
    path = locate(model)
    if is_reward_model(model):
        raise UserError(f"model {model} is a reward model: a policy must be a causal language model")
    lm = _from_pretrained(transformers.AutoModelForCausalLM, path, model)
    return policy_of(lm, adapter, freeze, trunk_value, seed)


def policy_of(
    lm: transformers.PreTrainedModel,
    adapter: Adapter = Adapter(),
    freeze: tuple[str, ...] = (),
    trunk_value: bool = False,
    seed: int = 0,
) -> Policy:
    """A policy around a transformers model already at hand."""
    _prepare(lm)
    value_head = None
    if trunk_value:
        value_head = nn.Linear(lm.config.hidden_size, 1)
        nn.init.zeros_(value_head.weight)
        nn.init.zeros_(value_head.bias)
    policy = Policy(_with_adapter(lm, adapter, freeze, seed), value_head)
    policy.check()
    return policy.to(accelerator())


def accelerator() -> torch.device:
    """Where networks live and compute: the first GPU, or the processor. CUDA_VISIBLE_DEVICES= hides all GPUs."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_scorer(
    model: str, adapter: Adapter = Adapter(), freeze: tuple[str, ...] = (), seed: int = 0, factored: bool = False
) -> Scorer:
    """A language model with one linear head: a trained reward model as it is, any other with a fresh head.

    `factored`: one that was trained with LoRA keeps the adapter it has in place of a new one, apart from its base,
    which other roles can then share (`roles.share_frozen`).
    The fresh head's weights have standard deviation 1 / sqrt(width + 1) (Stiennon et al. 2020, arXiv:2009.01325).
    """
    path = locate(model)
    if is_reward_model(model):
        lm = _from_pretrained(transformers.AutoModelForSequenceClassification, path, model)
        _prepare(lm)
        head = _score_of(lm, model)
    else:
        config = _config(model)
        if type(config) not in transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
            raise UserError(
                f"model {model}: a reward model or critic is saved as a sequence classifier, of which transformers has "
                f"none for architecture {config.model_type}: start from another model"
            )
        with torch.device("meta"):
            _score_of(transformers.AutoModelForSequenceClassification.from_config(config), model)
        lm = _from_pretrained(transformers.AutoModelForCausalLM, path, model)
        _prepare(lm)
        head = nn.Linear(lm.config.hidden_size, 1, bias=False)
        generator = torch.Generator().manual_seed(seed)
        nn.init.normal_(head.weight, std=1 / math.sqrt(lm.config.hidden_size + 1), generator=generator)
    config = lm.config
    mean, std = getattr(config, "truing_score_mean", 0.0), getattr(config, "truing_score_std", 1.0)
    kept = Path(path, ADAPTER)
    adapted = _factored(lm, kept) if factored and kept.is_dir() else _with_adapter(lm, adapter, freeze, seed)
    if adapted is not lm:
        head.requires_grad_(True)  # also where it is part of the model, all of which an adapter freezes
    scorer = Scorer(adapted, head, mean, std)
    check_hidden(scorer.lm_inside)
    return scorer.to(accelerator())


def _score_of(lm: nn.Module, model: str) -> nn.Linear:
    """The layer of a sequence classifier that a score is saved as. Raises UserError where there is none of its kind."""
    score = dict(lm.named_children()).get("score")
    if not isinstance(score, nn.Linear) or score.bias is not None:
        raise UserError(
            f"model {model}: a reward model or critic is saved as a sequence classifier with one linear layer called "
            f"score, which {type(lm).__name__} is not: start from another model"
        )
    return score


def save(
    role: Policy | Scorer,
    tokenizer: transformers.PreTrainedTokenizerBase,
    folder: str | Path,
    dtype: torch.dtype | None = None,
) -> None:
    """Write weights and tokenizer in the Hugging Face layout, LoRA merged; the folder appears whole or not at all.

    An adapter is written beside them too, in PEFT's layout: by it roles with one base find back to it.
    A scorer becomes a sequence classifier with one label. Its score normalisation stands in config.json.
    """
    target = Path(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    writing = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        _write(role, tokenizer, writing, dtype)
    except BaseException:
        shutil.rmtree(writing)
        raise
    if target.exists():
        shutil.rmtree(target)
    writing.chmod(0o755)
    writing.rename(target)


def _write(
    role: Policy | Scorer, tokenizer: transformers.PreTrainedTokenizerBase, folder: Path, dtype: torch.dtype | None
) -> None:
    config, state = _exportable(role)
    if dtype is not None:
        state = {name: value.to(dtype) for name, value in state.items()}
    scores = isinstance(role, Scorer)
    kind = transformers.AutoModelForSequenceClassification if scores else transformers.AutoModelForCausalLM
    shell = kind.from_config(config)
    if isinstance(role, Policy):
        shell.generation_config = role.lm_inside.generation_config
    shell.to(dtype or next(iter(state.values())).dtype)
    shell.load_state_dict(state, strict=False)
    shell.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if role.lm is not role.lm_inside:
        role.lm.save_pretrained(folder / ADAPTER, save_embedding_layers=False)  # type: ignore[operator]


def _exportable(role: Policy | Scorer) -> tuple[transformers.PreTrainedConfig, dict[str, torch.Tensor]]:
    """Configuration and merged weights under the names transformers gives them."""
    config = type(role.lm_inside.config).from_dict(role.lm_inside.config.to_dict())
    state = role.merged_state()
    if isinstance(role, Scorer):
        config.num_labels = 1
        config.truing_score_mean, config.truing_score_std = role.mean, role.std
        padding = getattr(config, "pad_token_id", None)
        config.pad_token_id = _first(config.eos_token_id) if padding is None else padding
        state = {name: value for name, value in state.items() if not name.startswith("lm_head")}
        state["score.weight"] = role.score.weight.detach()
    return config, state


def _first(ids: int | list[int] | None) -> int | None:
    return ids[0] if isinstance(ids, list) else ids


def _config(model: str) -> transformers.PreTrainedConfig:
    path = locate(model)
    file = Path(path) / "config.json"
    if file.is_file():
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{file}: broken JSON: {error}") from error
        if "auto_map" in raw:
            raise UserError(f"{file}: the model wants to run code of its own (auto_map), which truing never does")
    try:
        return transformers.AutoConfig.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise UserError(f"model {model}: {_first_line(error)}") from error


def _check_files(folder: Path) -> None:
    """Refuse weights that are not whole safetensors files, or that an index looks for outside the folder."""
    for index in folder.glob("*.index.json"):
        try:
            named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise UserError(f"{index}: no index of weights: {_first_line(error)}") from error
        outside = sorted(file for file in named if not isinstance(file, str) or Path(file).name != file)
        if outside:
            raise UserError(f"{index}: names weights outside its folder: {outside[0]!r:.80}")
    for file in folder.glob("*.safetensors"):
        try:
            with safe_open(file, "pt"):
                pass
        except SafetensorError as error:
            raise UserError(f"{file}: no whole safetensors file: {_first_line(error)}; fetch it again") from error


def _from_pretrained(kind: Any, path: str, name: str) -> transformers.PreTrainedModel:
    if Path(path).is_dir():
        _check_files(Path(path))
    try:
        return kind.from_pretrained(
            path, attn_implementation=attention.registered(), dtype=torch.float32, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise UserError(f"model {name}: {_first_line(error)}") from error
    except KeyError as error:
        if error.args != (attention.NAME,):
            raise
        raise UserError(
            f"model {name}: its architecture takes no attention but its own, and cannot be used here"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _prepare(lm: transformers.PreTrainedModel) -> None:
    """Dropout off everywhere, for it would make the ratio noisy; our attention on. Raises UserError where a model reads
    more than text."""
    if lm.config.get_text_config() is not lm.config:
        raise unsupported(lm, "it reads more than text")
    lm.eval()
    for module in lm.modules():  # by number too: activations computed again ask layers to train
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in list(module.__dict__.items()):
            if "drop" in name and isinstance(value, float):
                setattr(module, name, 0.0)
    lm.set_attn_implementation(attention.registered())


def _factored(lm: transformers.PreTrainedModel, folder: Path) -> nn.Module:
    """A model whose adapter was merged, taken apart again: what is left is its base, up to rounding."""
    from peft import set_peft_model_state_dict
    from peft.tuners.lora import LoraLayer

    _check_files(folder)
    try:
        told = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        adapter = Adapter(int(told["r"]), int(told["lora_alpha"]), tuple(map(str, told["target_modules"])))
        state = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: no whole adapter: {_first_line(error)}; remove the folder to go without") from error
    adapted = _with_adapter(lm, adapter, (), 0)
    set_peft_model_state_dict(adapted, state)
    for module in adapted.modules():
        if isinstance(module, LoraLayer):
            base = cast(nn.Linear, module.get_base_layer()).weight
            base.data -= module.get_delta_weight("default").detach()  # type: ignore[attr-defined,operator]
    return adapted


def _with_adapter(lm: transformers.PreTrainedModel, adapter: Adapter, freeze: tuple[str, ...], seed: int) -> nn.Module:
    for pattern in freeze:
        matched = [p for name, p in lm.named_parameters() if fnmatchcase(name, pattern)]
        if not matched:
            example = next(iter(dict(lm.named_parameters())))
            raise UserError(f'freeze = "{pattern}" matches no parameter; names look like "{example}"')
        for parameter in matched:
            parameter.requires_grad_(False)
    if not adapter.lora_rank:
        return lm
    from peft import LoraConfig, get_peft_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    speaks = lm.get_output_embeddings() is not None  # else it scores, and its score is no layer to adapt
    settings = LoraConfig(
        r=adapter.lora_rank, lora_alpha=adapter.lora_alpha, target_modules=list(adapter.lora_targets) or "all-linear",
        exclude_modules=None if speaks else ["score"], task_type="CAUSAL_LM" if speaks else None,
    )  # fmt: skip
    try:
        # The weights are still on the processor; of what peft warns of, a tied table, we refuse.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore", category=UserWarning):
            torch.default_generator.manual_seed(seed)
            adapted = get_peft_model(lm, settings)
    except ValueError as error:
        raise UserError(f"LoRA targets {list(adapter.lora_targets)}: {_first_line(error)}") from error
    read, said = lm.get_input_embeddings(), lm.get_output_embeddings()
    tied = lm.config.tie_word_embeddings
    if isinstance(said, BaseTunerLayer) or (tied and isinstance(read, BaseTunerLayer)):
        raise UserError(
            f"LoRA targets {list(adapter.lora_targets)}: the vocabulary's matrix takes no adapter; leave it out"
        )
    return adapted
