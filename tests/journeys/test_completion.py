"""What the tab key gives, asked of the shells themselves."""

import os
import pty
import select
import shutil
import subprocess
import time

import pytest
from tests.conftest import ENVIRONMENT, PATIENCE_S

from truing.commands import TABLE, actions
from truing.completion import SHELLS
from truing.config import options

TYPED = [  # what was typed so far, what is offered, and what is not
    ("truing r", {"rl", "reward", "report"}, {"sft"}),
    ("truing rl --mod", {"--model"}, {"--data"}),
    ("truing rl --model x --lora-r", {"--lora-rank"}, {"--lora-alpha"}),
    ("truing rl --learning.lr", {"--learning.lr"}, set()),
    ("truing rl --model x --track ", {"none", "wandb", "trackio"}, {"--model"}),
    ("truing rl --no-", {"--no-fresh", "--no-strict"}, {"--fresh"}),
    ("truing feedback ", set(actions("feedback")), {"rl"}),
    ("truing feedback export --", {"--store", "--snapshot", "--help", "--config"}, {"--dtype"}),
    ("truing export --", {"--dtype", "--help", "--config"}, {"--snapshot"}),
    ("truing help s", {"sft", "sample"}, {"rl"}),
    ("truing completion ", set(SHELLS), {"rl"}),
    ("truing rl --data a wo", {"words.txt"}, {"--model"}),
]


@pytest.fixture(scope="module")
def script(forked, tmp_path_factory):
    """The script for a shell, in a folder with one file."""
    folder = tmp_path_factory.mktemp("completion")
    (folder / "words.txt").touch()

    def written(shell):
        if not shutil.which(shell):
            pytest.skip(f"{shell} is not here")
        told = forked(["completion", shell], ENVIRONMENT, folder)
        assert told.returncode == 0
        (folder / shell).write_text(told.stdout)
        return folder / shell

    return written


def offered(shell, path, line):
    """All that the shell offers after a line."""
    if shell == "bash":
        words = " ".join(f"'{word}'" for word in line.split(" "))
        asked = f"source {path}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _truing; " + (
            'echo "${COMPREPLY[*]:-$(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")}"'  # as -o default does
        )
        command = ["bash", "--norc", "-c", asked]
    else:
        command = ["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"]
    told = subprocess.run(command, capture_output=True, text=True, cwd=path.parent, timeout=PATIENCE_S, check=True)
    return {word for line in told.stdout.splitlines() for word in line.split()}


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_the_tab_key_gives_what_may_stand_there(shell, script):
    path = script(shell)
    for line, there, gone in TYPED:
        found = offered(shell, path, line)
        assert there <= found and not gone & found, (line, found)


def test_zsh_reads_the_script(script):
    """In a terminal, as it is used: what was begun is ended by the key."""
    path = script("zsh")
    shell, terminal = pty.fork()
    if not shell:
        os.chdir(path.parent)
        os.execvpe("zsh", ["zsh", "-f", "-i"], {**os.environ, "TERM": "dumb"})
    os.write(terminal, f"source {path}\ntruing feedback imp\t".encode())
    said, until = b"", time.monotonic() + PATIENCE_S
    while b"feedback import" not in said and select.select([terminal], [], [], max(0, until - time.monotonic()))[0]:
        said += os.read(terminal, 4096)
    os.close(terminal)
    os.waitpid(shell, 0)
    assert b"feedback import" in said


def test_every_command_is_in_it_with_the_options_it_has(script):
    words = script("bash").read_text()
    for name in TABLE:
        known = "--help --config --" if options(TABLE[name].settings) else "--help' ;;"
        assert f"'{name}':-*) known='{known}" in words, name
    assert "'rl':-*) known='--help --config --explain --model" in words
