"""What many tests need: a tiny model, a tokenizer, and the real ones where they lie beside the project."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from truing.data.chat import Chat
from truing.models.loading import policy_of, save
from truing.models.roles import Policy
from truing.training.pretrain import train_tokenizer

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"

TEXTS = [
    "The cat sat on the mat. The dog ran to the park. A bird sang in the tree.",
    "What colour is a lemon? A lemon is yellow. What colour is grass? Grass is green.",
]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the real models and data do not lie beside this checkout (../shared/data)")
    return SHARED


@pytest.fixture(scope="session")
def tokenizer():
    return train_tokenizer(TEXTS, 320)


def tiny_llama(vocabulary: int, seed: int = 0, spread: float = 0.05) -> LlamaForCausalLM:
    """A Llama of a few thousand weights, random enough that its distributions are not flat."""
    torch.manual_seed(seed)
    lm = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=96,
            tie_word_embeddings=True,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
    )
    with torch.no_grad():
        for parameter in lm.parameters():
            parameter += spread * torch.randn_like(parameter)
    return lm


@pytest.fixture
def policy(tokenizer) -> Policy:
    return policy_of(tiny_llama(len(tokenizer)))


@pytest.fixture
def chat(tokenizer) -> Chat:
    return Chat(tokenizer)


@pytest.fixture(scope="session")
def tiny_model(tokenizer, tmp_path_factory) -> str:
    """The folder of a tiny model with its tokenizer, as a user would have one."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save(policy_of(tiny_llama(len(tokenizer))), tokenizer, folder)
    return str(folder)
