"""What many tests need: a tiny model, a tokenizer, and the real ones where they lie beside the project."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import hypothesis
import pytest
import torch
from tests import budget
from tests.forked import forking
from transformers import LlamaConfig, LlamaForCausalLM

from truing.data.chat import Chat
from truing.models.loading import policy_of, save
from truing.models.roles import Policy
from truing.training.pretrain import train_tokenizer

SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"

# A slow machine makes no property false.
hypothesis.settings.register_profile(
    "patient", hypothesis.settings(), deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")

# What never comes is waited for so long, and no longer: a bound for what hangs, not for what is slow.
PATIENCE_S = 240

# Tests run side by side: each command gets one core.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

TEXTS = [
    "The cat sat on the mat. The dog ran to the park. A bird sang in the tree.",
    "What colour is a lemon? A lemon is yellow. What colour is grass? Grass is green.",
]


SPENT_S: defaultdict[str, float] = defaultdict(float)  # by folder of tests


def pytest_runtest_logreport(report):
    SPENT_S[budget.folder_of(report.nodeid)] += report.duration


def pytest_terminal_summary(terminalreporter):
    for line in budget.over_budget(SPENT_S, budget.BUDGET_S):
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def one_thread_and_one_seed():
    """A test draws the same numbers alone, in any order and beside any other."""
    torch.set_num_threads(1)
    torch.manual_seed(0)


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


@pytest.fixture(scope="session")
def forked():
    """Run a command in a process forked from one that has loaded everything."""
    with forking("load_all()", ENVIRONMENT, PATIENCE_S) as started:
        yield started


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def raw_server():
    """A socket that reads one question at a time and answers as it is told to."""
    listening = socket.create_server(("127.0.0.1", 0))

    def begin(answer):
        def serve():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    answer(connection, question_of(connection))

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"

    yield begin
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def question_of(connection):
    """The JSON of one HTTP request."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += received(connection)
    head, _, body = raw.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += received(connection)
    return json.loads(body)


def received(connection):
    part = connection.recv(65536)
    if not part:
        raise ConnectionError("hung up in the middle of a question")
    return part


@pytest.fixture
def together(tmp_path):
    """Run this code in several processes; they end with `expected`. Returns what each printed, and its errors."""

    def run(code, several=2, expected=0):
        port = free_port()
        lines = ["import torch", "from torch import nn", "from truing.runs import distributed",
                 "torch.set_num_threads(1)", "with distributed.joined():",
                 *(f"    {line}" for line in code.splitlines())]  # fmt: skip
        (tmp_path / "code.py").write_text("\n".join(lines))
        started = []
        for rank in range(several):
            own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": several, "LOCAL_WORLD_SIZE": several,
                   "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1, "PYTHONFAULTHANDLER": 1,
                   "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # fmt: skip
            started.append(subprocess.Popen([sys.executable, str(tmp_path / "code.py")], text=True,
                                            env={**os.environ, **{name: str(value) for name, value in own.items()}},
                                            stdout=subprocess.PIPE, stderr=subprocess.PIPE))  # fmt: skip
        try:
            told = [process.communicate(timeout=PATIENCE_S) for process in started]
        finally:
            for process in started:
                process.kill()
        if any(process.returncode != expected for process in started):
            codes = [process.returncode for process in started]
            pytest.fail(
                "\n".join(f"exit code {code}\n{out}{error}" for code, (out, error) in zip(codes, told, strict=True))
            )
        return [out for out, _ in told], [error for _, error in told]

    return run
