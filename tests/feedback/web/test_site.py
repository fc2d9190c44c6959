import gzip

import pytest

from truing.feedback.people import auth
from truing.feedback.web.site import DEEPEST


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{", "json"), (b"[]", "json"), (b'{"a": NaN}', "json"), (b"[" * 100_000, "depth"), (b"\xff\xfe", "json")],
)
def test_bodies_that_are_no_json_object(here, body, code):
    client = here.signed_in("Ann")
    answer = client.post("/api/undo", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_a_packed_body_is_never_unpacked(here):
    """A megabyte that would become a gigabyte is bytes that are no JSON."""
    client, bomb = here.signed_in("Ann"), gzip.compress(b" " * 100_000_000)
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = client.post("/api/undo", content=bomb, headers=headers)
    assert answer.status_code == 400 and answer.json()["code"] in ("json", "depth")


def test_json_may_be_nested_so_deep_and_no_deeper(here):
    client = here.signed_in("Ann")

    def nested(depth):
        return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)

    assert client.post("/api/undo", content=nested(DEEPEST + 1)).json()["code"] == "depth"
    assert client.post("/api/undo", content=nested(DEEPEST)).json()["code"] == "key"


def test_programs_come_with_a_token_and_cookies_do_not_count_then(here):
    with here.db.writing() as connection:
        person = auth.add_person(connection, "Robot")
        token = auth.issue(connection, "api", person)
    client = here.client()
    assert client.get("/api/me", headers={"authorization": f"Bearer {token}"}).json()["name"] == "Robot"
    signed_in = here.signed_in("Ann")
    assert signed_in.get("/api/me", headers={"authorization": "Bearer wrong"}).status_code == 401


def test_roles_are_kept_apart(here):
    for path in ("/team", "/leaderboard", "/samples", "/api/team"):
        assert here.signed_in(f"A {path}").get(path).status_code == 403
        assert here.signed_in(f"R {path}", "reviewer").get(path).status_code == 200
