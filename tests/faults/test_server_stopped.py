"""`truing label` is stopped, or cannot begin."""

import signal
import socket
import time

import pytest
from tests.conftest import PATIENCE_S, free_port


@pytest.fixture
def label(forked, tmp_path):
    """The command on a port, with one prompt to write an answer to."""
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Hi"}\n')
    started = []

    def begin(port):
        words = ["label", "--store", "f.db", "--prompts", "prompts.jsonl", "--kind", "demo", "--port", str(port)]
        started.append(forked.begin(words, {}, tmp_path))
        return started[-1]

    yield begin
    for one in started:
        one.kill()


def reached(port, begun):
    """A connection to the page, once it listens."""
    end = time.monotonic() + PATIENCE_S
    while "Ctrl+C stops" not in begun.stdout:
        assert time.monotonic() < end and not begun.has_ended(), begun.stderr
        time.sleep(0.02)
    return socket.create_connection(("127.0.0.1", port))


def test_a_request_sent_by_half_does_not_keep_the_page_from_stopping(label):
    port = free_port()
    begun = label(port)
    with reached(port, begun) as half:
        half.sendall(b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{")
        half.settimeout(0.2)
        with pytest.raises(TimeoutError):  # it waits for the rest
            half.recv(1)
        begun.send_signal(signal.SIGINT)
        begun.wait()
    assert begun.stdout.endswith("0 judgements in f.db\n")  # and no word of learning from them
    assert "Traceback" not in begun.stderr


def test_a_page_told_to_terminate_closes_its_store_as_one_interrupted_does(label, tmp_path):
    """Broken on purpose: no handler of SIGTERM -> red, nothing is told, and the log lies beside the file."""
    port = free_port()
    begun = label(port)
    reached(port, begun).close()
    begun.send_signal(signal.SIGTERM)
    begun.wait()
    assert begun.stdout.endswith("0 judgements in f.db\n")
    assert begun.returncode == 128 + signal.SIGTERM and "Traceback" not in begun.stderr
    assert sorted(path.name for path in tmp_path.glob("f.db*")) == ["f.db"]


def test_a_port_in_use_is_one_line_before_the_store_is_made(label, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        begun = label(port)
        begun.wait()
    assert begun.returncode == 2 and not (tmp_path / "f.db").exists()
    assert (
        begun.stderr.strip()
        .splitlines()[-1]
        .startswith(f"truing: nothing can listen at 127.0.0.1, port {port}: Address")
    )
