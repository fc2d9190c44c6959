import gzip
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from tests.conftest import PATIENCE_S

from truing.data.records import Message, Prompt, Response
from truing.errors import UserError
from truing.rewards import http
from truing.rewards.http import http_reward

PROMPT = Prompt((Message("user", "hi"),))


@pytest.fixture
def server(monkeypatch):
    """A real server on loopback that answers from a script of (status, body)."""
    monkeypatch.setattr(http.time, "sleep", lambda seconds: None)
    script, asked = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            status, body = script.pop(0) if len(script) > 1 else script[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args):
            pass

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}/", script, asked
    httpd.shutdown()


def test_scores_come_back_in_order(server):
    address, script, asked = server
    script.append((200, '{"scores": [1.5, -2]}'))
    assert http_reward(address)([PROMPT] * 2, [Response("a"), Response("b")]) == [1.5, -2]
    assert asked == [{"prompts": ["hi", "hi"], "responses": ["a", "b"]}]


def test_a_busy_server_is_asked_again(server):
    address, script, asked = server
    script += [(503, ""), (429, ""), (200, '{"scores": [1]}')]
    assert http_reward(address)([PROMPT], [Response("a")]) == [1]
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, "nonsense", "not JSON"),
        (200, '{"scores": [1, 2]}', "expected"),
        (200, "[1]", "expected"),
        (400, "no", "status 400"),
    ],
)
def test_nonsense_is_not_asked_again(server, status, body, said):
    address, script, asked = server
    script.append((status, body))
    with pytest.raises(UserError, match=said):
        http_reward(address)([PROMPT], [Response("a")])
    assert len(asked) == 1


def test_nobody_there(monkeypatch):
    monkeypatch.setattr(http.time, "sleep", lambda seconds: None)
    with pytest.raises(UserError, match="no answer after 5 tries"):
        http_reward("http://127.0.0.1:9/", timeout_s=1)([PROMPT], [Response("a")])


OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"


def test_a_server_that_sends_without_end_is_cut_off(monkeypatch, raw_server):
    monkeypatch.setattr(http, "LARGEST_ANSWER", 2_000_000)

    def flood(connection, question):
        connection.sendall(OK)
        while True:
            connection.sendall(b"1" * 65536)

    with pytest.raises(UserError, match="more than 2,000,000 bytes"):
        http_reward(raw_server(flood))([PROMPT], [Response("a")])


def test_a_server_that_trickles_does_not_hold_a_run_for_ever(monkeypatch, raw_server):
    """Red when only the wait for each piece is bounded."""
    monkeypatch.setattr(http, "TRIES", 2)
    asked, to_the_end = [], []

    def trickle(connection, question):
        asked.append(question)
        connection.sendall(OK)
        for _ in range(1000):
            connection.sendall(b" ")
            time.sleep(0.01)
        to_the_end.append(question)

    with pytest.raises(UserError, match="no answer after 2 tries"):
        http_reward(raw_server(trickle), timeout_s=0.4)([PROMPT], [Response("a")])
    while len(asked) < 2:  # the second question has been sent, and may not have been read yet
        time.sleep(0.01)
    assert not to_the_end


def test_a_server_that_hangs_is_given_up(monkeypatch, raw_server):
    monkeypatch.setattr(http, "TRIES", 2)
    with pytest.raises(UserError, match="no answer after 2 tries"):
        http_reward(raw_server(lambda *asked: time.sleep(3600)), timeout_s=0.2)([PROMPT], [Response("a")])


@pytest.mark.parametrize("lie", ["NaN", "null", '"good"', "Infinity", "1e999"])
def test_scores_that_are_no_numbers_are_refused_with_prompt_and_source(server, lie):
    from truing.rewards.combine import load_reward

    address, script, _ = server
    script.append((200, f'{{"scores": [{lie}]}}'))
    with pytest.raises(UserError, match=f"{PROMPT.id}.*not a finite number"):
        load_reward([address])([PROMPT], [Response("a")])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(server, raw_server, status):
    """Broken on purpose: follow_redirects=True -> red, the private address is asked."""
    address, script, asked = server
    script.append((200, '{"scores": [1]}'))
    head = f"HTTP/1.1 {status} Over there\r\nlocation: {address}\r\ncontent-length: 0\r\n\r\n".encode()
    with pytest.raises(UserError, match=f"status {status}: redirects are not followed"):
        http_reward(raw_server(lambda connection, question: connection.sendall(head)))([PROMPT], [Response("a")])
    assert asked == []


def test_a_packed_answer_is_not_unpacked(raw_server):
    """20 kB that would become 20 MB. Broken on purpose: iter_bytes in place of iter_raw -> red."""
    bomb = gzip.compress(b" " * 20_000_000)
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(bomb)}\r\n\r\n".encode()
    address = raw_server(lambda connection, question: connection.sendall(head + bomb))
    assert http._bounded(address, {"prompts": [], "responses": []}, PATIENCE_S) == (200, bomb)
