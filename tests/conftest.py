"""What many tests need: a tiny model, a tokenizer, and the real ones where they lie beside the project."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import hypothesis
import pytest
import torch
from tests import budget
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

# A wait for something that never comes ends here and fails; whatever the machine's load, what comes is waited for.
PATIENCE_S = 120

# Tests run side by side: each command gets one core.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

TEXTS = [
    "The cat sat on the mat. The dog ran to the park. A bird sang in the tree.",
    "What colour is a lemon? A lemon is yellow. What colour is grass? Grass is green.",
]


SPENT_S: Counter[str] = Counter()


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


class Forked:
    """Commands in processes that are forked from one that has loaded everything (`tests.forked`)."""

    def __init__(self, parent):
        self.parent = parent

    def ask(self, request):
        self.parent.stdin.write(json.dumps(request) + "\n")
        self.parent.stdin.flush()
        return int(self.parent.stdout.readline())

    def request(self, words, environment, folder, first=""):
        """Of one process. `first` is Python that runs before the command, to break what no seam can."""
        said = {name: folder / f".{name}" for name in ("stdout", "stderr")}
        for path in said.values():
            path.unlink(missing_ok=True)
        if first:
            (folder / ".first.py").write_text(first)
        paths = {name: str(path) for name, path in said.items()}
        return {"argv": words, "environment": environment, "folder": str(folder), **paths,
                "first": str(folder / ".first.py") if first else "", "processes": ({},)}  # fmt: skip

    def __call__(self, words, environment, folder, processes=({},), first=""):
        """Run it to its end."""
        request = {**self.request(words, environment, folder, first), "processes": processes}
        code = self.ask(request)
        texts = [Path(request[name]).read_text(errors="replace") for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess(words, code, *texts)

    def begin(self, words, environment, folder):
        """Start it and go on meanwhile."""
        return Begun(self, self.ask({**self.request(words, environment, folder), "wait": False}))


class Begun:
    """A command under way, as `subprocess.Popen` has it."""

    def __init__(self, forked, pid):
        self.forked, self.pid, self.code = forked, pid, None
        self.ended = os.pidfd_open(pid)

    def poll(self):
        """Its exit code, once it has ended."""
        return self.wait(0) if select.select([self.ended], [], [], 0)[0] else None

    def wait(self, timeout):
        """Its exit code; fails where it is still at work then."""
        if self.code is None:
            assert select.select([self.ended], [], [], timeout)[0], f"still at work after {timeout} s"
            self.code = self.forked.ask({"code_of": self.pid})
        return self.code

    def terminate(self):
        os.kill(self.pid, signal.SIGTERM)

    def kill(self):
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def forked():
    """Run a command in a process forked from one that has loaded everything."""
    words = [sys.executable, "-m", "tests.forked"]
    with subprocess.Popen(words, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        yield Forked(parent)
        parent.stdin.close()


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
