"""A reward server that hangs, trickles, lies, sends without end, or is away for a while, under a real `truing rl`.

Broken on purpose: the size of an answer not bounded -> the flood ends only with the memory, red.
"""

import json
import time

import pytest
from benchmarks.replay import outcome

from truing.rewards.function import load_function

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
IMPATIENT = """
from truing.rewards import http
http.TRIES = 2
bounded = http._bounded
http._bounded = lambda address, question, timeout_s: bounded(address, question, 0.3)
"""

PEAK = """
from truing import cli
from truing.models.memory import peak_bytes
plain = cli.main
def main(argv):
    try:
        plain(argv)
    finally:
        print(peak_bytes())
cli.main = main
"""


def asking(stages, address):
    words = list(map(str, stages["grpo"]))
    words[words.index("--reward") + 1] = address
    return words


def hang(connection, question):
    time.sleep(3600)


def trickle(connection, question):
    connection.sendall(OK)
    for _ in range(20):
        connection.sendall(b" ")
        time.sleep(0.05)


@pytest.mark.parametrize("answer", [hang, trickle], ids=["hangs", "trickles"])
def test_one_that_keeps_us_waiting_is_given_up(answer, raw_server, stages, truing):
    told = truing(*asking(stages, raw_server(answer)), "--out", "run", first=IMPATIENT, code=2).stderr
    assert "no answer after 2 tries" in told.splitlines()[-1]


@pytest.mark.parametrize("score", ["NaN", '"good"'])
def test_one_that_lies_is_named_with_the_prompt(score, raw_server, stages, truing):
    def lie(connection, question):
        connection.sendall(OK + f'{{"scores": [{", ".join([score] * len(question["responses"]))}]}}'.encode())

    address = raw_server(lie)
    told = truing(*asking(stages, address), "--out", "run", code=2).stderr.splitlines()[-1]
    assert f"reward {address} gave" in told and "for prompt" in told


def test_a_gigabyte_is_refused_in_bounded_memory(raw_server, stages, truing):
    def flood(connection, question):
        connection.sendall(OK + b'{"scores": [')
        for _ in range(1000):
            connection.sendall(b"1" * 1_000_000)

    told = truing(*asking(stages, raw_server(flood)), "--out", "run", first=PEAK, code=2)
    assert "more than 50,000,000 bytes" in told.stderr.splitlines()[-1]
    assert 0 < int(told.stdout.splitlines()[-1]) < 1.5e9


def test_one_that_is_away_for_a_while_changes_nothing(raw_server, stages, files, uninterrupted, truing, tmp_path):
    """Busy, broken off, cut short: asked again, and the run's bits are those of the same reward as a function."""
    function, asked = load_function(f"{files}/reward.py:many_vowels"), []

    def answer(connection, question):
        asked.append(question)
        scores = [function(*pair) for pair in zip(question["prompts"], question["responses"], strict=True)]
        said = json.dumps({"scores": scores}).encode()
        if len(asked) == 2:
            connection.sendall(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        elif len(asked) == 4:
            connection.sendall(
                OK.replace(b"connection", b"content-length: 9999\r\nconnection") + said[: len(said) // 2]
            )
        elif len(asked) != 6:  # the sixth question is answered by hanging up
            connection.sendall(OK + said)

    truing(*asking(stages, raw_server(answer)), "--out", "run")
    assert outcome(tmp_path / "run") == uninterrupted("grpo", truing) and len(asked) == 5 + 3
