"""Requests that must not pass."""

import pytest

from truing.feedback.web.security import HEADERS, LARGEST_BODY, Bucket, Guard

UNDO = {"key": "key-00001"}


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:8742", ""])
def test_foreign_hosts_are_refused(here, host):
    assert here.client().get("/login", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8742", "localhost:1", "[::1]:8742", "localhost"])
def test_loopback_by_any_name_is_let_in(here, host):
    assert here.client().get("/login", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"},
    ],
)  # fmt: skip
def test_cross_site_posts_are_refused(here, headers):
    client = here.signed_in("Ann")
    answer = client.post("/api/undo", json=UNDO, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "origin")


def test_a_post_without_the_token_is_refused_even_from_here(here):
    client = here.signed_in("Ann")
    for token in ("", "wrong"):
        answer = client.post("/api/undo", json=UNDO, headers={"x-csrf-token": token})
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf")
    assert client.post("/api/undo", json=UNDO).status_code == 409  # with it: nothing to undo


def test_a_cookie_without_origin_is_no_page_of_ours(here):
    client = here.signed_in("Ann")
    del client.headers["origin"], client.headers["sec-fetch-site"]
    assert client.post("/api/undo", json=UNDO).json()["code"] == "origin"


def test_large_bodies_are_refused_told_or_not(here):
    client = here.signed_in("Ann")
    assert client.post("/api/undo", content=b"x" * (LARGEST_BODY + 1)).status_code == 413
    chunks = (b"x" * 100_000 for _ in range(20))
    assert client.post("/api/undo", content=chunks).status_code == 413


def test_every_answer_carries_the_headers(here):
    for path in ("/login", "/static/label.js", "/api/me", "/nothing"):
        answer = here.client().get(path)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
    assert "unsafe" not in HEADERS["content-security-policy"]


def test_the_bucket_refills():
    moment = [0.0]
    bucket = Bucket(rate=2, burst=3, clock=lambda: moment[0])
    assert [bucket.wait_s("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert bucket.wait_s("b") == 0
    moment[0] = 0.5
    assert bucket.wait_s("a") == 0 and bucket.wait_s("a") > 0


def test_too_many_requests_are_told_when_to_come_again(here):
    moment = [0.0]
    limited = Guard(here.app.app, (), Bucket(1, 2, clock=lambda: moment[0]))
    here.app = limited
    client = here.client()
    assert [client.get("/login").status_code for _ in range(3)] == [200, 200, 429]
    assert client.get("/login").headers["retry-after"] == "2"
    assert client.get("/static/style.css").status_code == 200
