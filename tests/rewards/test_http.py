import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

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
