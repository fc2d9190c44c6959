"""Models in and out: a hub id, a folder or a run becomes a policy or a scorer; the Hugging Face layout comes out."""

from __future__ import annotations

import copy
import json
import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from truing.data.chat import Chat
from truing.data.settings import ChatFormat
from truing.errors import UserError, first_line, neighbour
from truing.models import attention
from truing.models.adapters import ADAPTER, Adapter, is_adapter, merged, settings_of, taken_apart, with_adapter
from truing.models.forward import check_hidden, context_of, unsupported
from truing.models.roles import Policy, Scorer
from truing.models.weights import check_files


def locate(model: str) -> str:
    """The folder with the weights of a run, or the folder or hub id itself."""
    folder = Path(model)
    if (folder / "model" / "config.json").is_file():
        return str(folder / "model")
    if folder.is_dir() and not (folder / "config.json").is_file() and not is_adapter(folder):
        raise UserError(
            f"model {model}: the folder holds no config.json and no model/: is the run that writes it finished?"
        )
    if folder.is_file():
        raise UserError(f"model {model}: this is a file: name the folder of a model, or of the run that made one")
    beside = folder.parent.is_dir() and "/" in model  # an id of the hub has two parts too, but its owner is no folder
    if not folder.is_dir() and (beside or folder.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1):
        raise UserError(f"model {model}: there is no such folder{neighbour(folder)}")
    return model


def is_reward_model(model: str) -> bool:
    """Whether the configuration names a model with a score in place of a vocabulary head."""
    if is_adapter(locate(model)):
        return settings_of(Path(locate(model))).get("task_type") == "SEQ_CLS"
    return any("SequenceClassification" in name for name in _config(model).architectures or ())


def load_tokenizer(model: str) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer that belongs to the model; an adapter's, where its folder holds none, is its base's."""
    path = locate(model)
    if is_adapter(path) and not Path(path, "tokenizer_config.json").is_file():
        path = locate(settings_of(Path(path))["base_model_name_or_path"])
    try:
        return transformers.AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise UserError(f"model {model}: no tokenizer: {_elsewhere(path)}{first_line(error)}") from error


def load_chat(model: str, chat_format: ChatFormat = "auto") -> Chat:
    """How conversations become the model's tokens. Raises UserError where the format uses tokens that it lacks."""
    vocabulary = _config(model).get_text_config().vocab_size
    return Chat(load_tokenizer(model), chat_format, vocabulary)


def load_context(model: str) -> float:
    """The most tokens of a sequence that the model reads."""
    return context_of(_config(model).get_text_config())


def same_tokens(one: str, other: str) -> bool:
    """Whether two models read the same token ids."""
    return one == other or load_tokenizer(one).get_vocab() == load_tokenizer(other).get_vocab()


def other_tokens(setting: str, model: str, policy: str) -> UserError:
    """What is raised where the model that a setting names would read a policy's tokens, and has others."""
    return UserError(f"{setting}: {model} has another tokenizer than {policy}, whose tokens it would read")


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
    policy = Policy(with_adapter(lm, adapter, freeze, seed), value_head)
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
    adapted = taken_apart(lm, kept) if factored and kept.is_dir() else with_adapter(lm, adapter, freeze, seed)
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
    for file in writing.rglob("*.safetensors"):  # written for nobody else to read, unlike all files beside them
        file.chmod((writing / "config.json").stat().st_mode)
    writing.chmod(0o755)
    writing.rename(target)


def _write(
    role: Policy | Scorer, tokenizer: transformers.PreTrainedTokenizerBase, folder: Path, dtype: torch.dtype | None
) -> None:
    config, state = _exportable(role)
    ends = Chat(tokenizer).ends
    if isinstance(role, Scorer):
        tokenizer = _padding_apart(tokenizer, ends, config.vocab_size)
        config.pad_token_id = tokenizer.pad_token_id
    if dtype is not None:
        state = {name: value.to(dtype) for name, value in state.items()}
    broken = [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        why = f"too large for {dtype}" if dtype else "training has broken them: try a smaller lr"
        raise UserError(f"{len(broken)} weights are not finite, first {broken[0]}, and not saved: {why}")
    scores = isinstance(role, Scorer)
    kind = transformers.AutoModelForSequenceClassification if scores else transformers.AutoModelForCausalLM
    shell = kind.from_config(config)
    if isinstance(role, Policy):
        shell.generation_config = copy.deepcopy(role.lm_inside.generation_config)
        ends = list(dict.fromkeys([*ends, *listed(shell.generation_config.eos_token_id)]))
        shell.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0] if ends else None
    shell.to(dtype or next(iter(state.values())).dtype)
    shell.load_state_dict(state, strict=False)
    shell.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if role.lm is not role.lm_inside:
        role.lm.save_pretrained(folder / ADAPTER, save_embedding_layers=False)  # type: ignore[operator]
        (folder / ADAPTER / "README.md").unlink(missing_ok=True)  # PEFT's, with nothing in it but headings


def _exportable(role: Policy | Scorer) -> tuple[transformers.PreTrainedConfig, dict[str, torch.Tensor]]:
    """Configuration and merged weights under the names transformers gives them."""
    config = type(role.lm_inside.config).from_dict(role.lm_inside.config.to_dict())
    state = role.merged_state()
    if isinstance(role, Scorer):
        config.num_labels = 1
        config.truing_score_mean, config.truing_score_std = role.mean, role.std
        state = {name: value for name, value in state.items() if not name.startswith("lm_head")}
        state["score.weight"] = role.score.weight.detach()
    return config, state


def listed(ids: int | list[int] | None) -> list[int]:
    """Token ids as configurations name them: one, several, or none."""
    return ids if isinstance(ids, list) else [] if ids is None else [ids]


def _elsewhere(path: str) -> str:
    """What is said first where a hub was asked: the name may have been meant for a folder."""
    return "" if Path(path).is_dir() else f"there is no such folder{neighbour(Path(path))}, and the hub gives none: "


def _padding_apart(
    tokenizer: transformers.PreTrainedTokenizerBase, ends: Sequence[int], vocabulary: int
) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer with a padding token that ends no answer: by it transformers finds an answer's last token.

    Where its own is none such, a token that no answer holds: the one of the beginning or of what is unknown, another
    special one, or that of a byte that no text has.
    """
    own, special = tokenizer.pad_token_id, reversed(tokenizer.all_special_ids)
    silent = map(tokenizer.get_vocab().get, ("<0x00>", "\u0100"))
    candidates = (own, tokenizer.bos_token_id, tokenizer.unk_token_id, *special, *silent, *range(vocabulary))
    token = next(i for i in candidates if i is not None and i < vocabulary and i not in ends)
    if token != own:
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(token)
    return tokenizer


def _config(model: str) -> transformers.PreTrainedConfig:
    path = locate(model)
    if is_adapter(path):
        base = settings_of(Path(path))["base_model_name_or_path"]
        try:
            return _config(base)
        except UserError as error:
            raise UserError(f"model {model}: an adapter whose base cannot be read: {error}") from error
    file = Path(path) / "config.json"
    if file.is_file():
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{file}: broken JSON: {error}") from error
        if "auto_map" in raw:
            raise UserError(f"{file}: the model wants to run code of its own (auto_map), which truing never does")
    try:
        config = transformers.AutoConfig.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise UserError(f"model {model}: {_elsewhere(path)}{first_line(error)}") from error
    if quantised := getattr(config, "quantization_config", None):
        method = quantised.get("quant_method") if isinstance(quantised, dict) else type(quantised).__name__
        raise UserError(
            f"model {model}: its weights are quantised ({method}), and truing learns from whole ones: name the "
            f"checkpoint that they were made of"
        )
    return config


def _from_pretrained(kind: Any, path: str, name: str) -> transformers.PreTrainedModel:
    """The model in float32, its adapter merged where the path is an adapter's."""
    config, base = _config(name), path
    if is_adapter(path):
        base = locate(settings_of(Path(path))["base_model_name_or_path"])
        config.num_labels = 1
    if Path(base).is_dir():
        check_files(Path(base))
    try:
        lm = kind.from_pretrained(
            base, config=config, attn_implementation=attention.registered(), dtype=torch.float32, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise UserError(f"model {name}: {first_line(error)}") from error
    except KeyError as error:
        if error.args != (attention.NAME,):
            raise
        raise UserError(
            f"model {name}: its architecture takes no attention but its own, and cannot be used here"
        ) from error
    return merged(lm, Path(path)) if base != path else lm


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
