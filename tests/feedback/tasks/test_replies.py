"""Remote models: a server of the test's own speaks the protocol, well and badly."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from truing.errors import UserError
from truing.feedback.tasks import replies
from truing.feedback.tasks.replies import Misconfigured, Remote, Unreachable, refuse_private


@pytest.fixture
def server(monkeypatch):
    """`server.answers` is a list of (status, lines) that are given in turn; `server.asked` what came."""
    monkeypatch.setattr(replies.time, "sleep", lambda s: None)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            made.asked.append((self.path, dict(self.headers), json.loads(body)))
            status, lines = made.answers.pop(0)
            self.send_response(status)
            if status == 302:
                self.send_header("location", "http://169.254.169.254/")
            self.end_headers()
            for line in lines:
                self.wfile.write(f"{line}\n\n".encode())

        def log_message(self, *args):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.asked, made.answers = [], []
    made.address = f"http://127.0.0.1:{made.server_port}/v1"
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()


def piece(text):
    return "data: " + json.dumps({"choices": [{"delta": {"content": text}}]})


def reply(server, **settings):
    return Remote(server.address, "m", allow_private=True, **settings)


def test_an_answer_is_streamed_with_the_settings_asked_for(server):
    server.answers = [(200, [piece("Hel"), ": comment", piece("lo"), "data: [DONE]"])]
    said = list(reply(server, key="k", temperature=0.5, max_new_tokens=9)([{"role": "user", "content": "Hi"}], 7))
    assert said == ["Hel", "lo"]
    path, headers, body = server.asked[0]
    assert path == "/v1/chat/completions" and headers["authorization"] == "Bearer k"
    assert body == {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "seed": 7, "stream": True,
                    "temperature": 0.5, "max_tokens": 9}  # fmt: skip


def test_a_busy_server_is_asked_again_and_then_given_up(server):
    server.answers = [(503, []), (429, []), (200, [piece("Yes")])]
    assert list(reply(server)([], 0)) == ["Yes"]
    server.answers = [(503, [])] * replies.TRIES
    with pytest.raises(Unreachable, match="status 503"):
        list(reply(server)([], 0))


@pytest.mark.parametrize(
    ("answer", "said", "is_closed"),
    [((400, ["too long"]), "status 400: too long", False), ((302, []), "status 302", True),
     ((401, ["bad key"]), "status 401: bad key", True), ((404, ["bad model"]), "status 404: bad model", True),
     ((200, ["data: {]"]), "no answer of a chat", True),
     ((200, ['data: {"choices": []}']), "no answer of a chat", True)],
)  # fmt: skip
def test_what_is_wrong_is_told_at_once(server, answer, said, is_closed):
    """A prompt that is refused is left out; where nobody is answered, prompts wait."""
    server.answers = [answer]
    with pytest.raises(UserError, match=said) as told:
        list(reply(server)([], 0))
    assert len(server.asked) == 1 and isinstance(told.value, Misconfigured) == is_closed


def test_an_endless_answer_ends(server, monkeypatch):
    monkeypatch.setattr(replies, "LONGEST", 10)
    server.answers = [(200, [piece("12345678")] * 50)]
    assert len("".join(reply(server)([], 0))) <= 18


def test_nobody_listening_is_unreachable(monkeypatch):
    monkeypatch.setattr(replies.time, "sleep", lambda s: None)
    with pytest.raises(Unreachable):
        list(Remote("http://127.0.0.1:9/v1", "m", allow_private=True)([], 0))


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1/v1", "http://localhost:8000/v1", "http://10.0.0.1/v1", "http://169.254.169.254/latest", "http://[::1]/v1",
     "http://0.0.0.0/v1", "http://192.168.1.1/v1"],
)  # fmt: skip
def test_private_addresses_are_refused_unless_allowed(address):
    with pytest.raises(UserError, match="--allow-private"):
        refuse_private(address, False)
    refuse_private(address, True)


@pytest.mark.parametrize("address", ["ftp://x/v1", "file:///etc/passwd", "no address", "http://"])
def test_what_is_no_address(address):
    with pytest.raises(UserError, match="begins with http"):
        refuse_private(address, True)
