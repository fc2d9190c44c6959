import re

from sqlalchemy import func, select

from truing.feedback.people import auth
from truing.feedback.store import schema as t
from truing.feedback.web.security import Bucket
from truing.feedback.web.site import COOKIE

FORM = {"origin": "http://127.0.0.1:8742", "content-type": "application/x-www-form-urlencoded"}


def link(here, purpose, role):
    with here.db.writing() as connection:
        return f"/{purpose}/{auth.issue(connection, purpose, role=role)}"


def test_the_setup_link_makes_the_owner_once(here):
    url = link(here, "setup", "owner")
    client = here.client()
    assert "You own this project" in client.get(url).text
    answer = client.post(url, content="name=Olga&password=", headers=FORM)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie
    assert client.get("/api/me").json()["role"] == "owner"
    again = here.client()
    assert again.get(url).status_code == 403
    assert again.post(url, content="name=Eve", headers=FORM).status_code == 400
    assert COOKIE not in again.cookies


def test_a_second_setup_link_lets_the_same_owner_in(here):
    for _ in range(2):
        here.client().post(link(here, "setup", "owner"), content="name=owner", headers=FORM)
    with here.db.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(t.annotator)) == 1


def test_an_invitation_is_used_up_only_by_somebody_who_joins(here):
    owner = here.signed_in("Olga", "owner")
    told = owner.post("/api/invitations", json={"role": "reviewer"}).json()
    url = re.sub("^http://[^/]*", "", told["link"])
    client = here.client()
    short = client.post(url, content="name=Rita&password=short", headers=FORM)
    assert short.status_code == 400 and "10 characters" in short.text
    client.post(url, content="name=Rita&password=long+enough+now", headers=FORM)
    assert client.get("/api/me").json() | {"role": "reviewer", "name": "Rita"} == client.get("/api/me").json()
    assert here.client().get(url).status_code == 403
    assert here.signed_in("Ann").post("/api/invitations", json={}).status_code == 403
    assert owner.post("/api/invitations", json={"role": "king"}).status_code == 400


def test_sign_in_and_out(here):
    with here.db.writing() as connection:
        auth.add_person(connection, "Ann", password="correct horse")
    client = here.client()
    wrong = client.post("/login", content="name=Ann&password=wrong", headers=FORM)
    assert wrong.status_code == 401 and "No such name" in wrong.text
    assert client.post("/login", content="name=Ann&password=correct+horse", headers=FORM).status_code == 303
    assert client.get("/").status_code == 200
    assert (
        client.post("/logout", content="csrf=wrong", headers=FORM | {"sec-fetch-site": "same-origin"}).status_code
        == 403
    )
    csrf = re.search('name="csrf" content="(.*?)"', client.get("/").text)[1]
    secret = client.cookies[COOKIE]
    assert (
        client.post("/logout", content=f"csrf={csrf}", headers=FORM | {"sec-fetch-site": "same-origin"}).status_code
        == 303
    )
    client.cookies.set(COOKIE, secret)
    assert client.get("/api/me").status_code == 401  # the session itself has ended


def test_passwords_cannot_be_tried_for_ever(here, monkeypatch):
    from truing.feedback.web import sign_in

    monkeypatch.setattr(sign_in, "TRIES", Bucket(rate=0.001, burst=2))
    client = here.client()
    tries = [client.post("/login", content="name=A&password=x", headers=FORM).status_code for _ in range(3)]
    assert tries == [401, 401, 429]


def test_hostile_names_are_text(here):
    url = link(here, "invitation", "annotator")
    page = here.client().post(url, content="name=%3Cscript%3E&password=x", headers=FORM)
    assert "<script>" not in page.text.replace('<script type="module"', "")
