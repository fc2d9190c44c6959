"""A chat's turns, with models that are functions."""

import json

import pytest
from sqlalchemy import select

from truing.errors import UserError
from truing.feedback.store import schema as t


def parrot(messages, seed):
    yield "You said "
    yield messages[-1]["content"]


def cat(messages, seed):
    yield "Meow."


def broken(messages, seed):
    yield "I "
    raise UserError("the model went away")


@pytest.fixture
def chat(site_with):
    here = site_with(replies={"parrot": parrot, "cat": cat})
    here.ask("chat", "Hello?")
    client = here.signed_in("Ann")
    task = client.post("/api/next", json={}).json()["task"]
    return here, client, f"/api/assignments/{task['assignment']}"


def lines(answer):
    return [json.loads(line) for line in answer.text.splitlines()]


def test_three_turns_go_on_from_the_chosen_answer(chat):
    here, client, url = chat
    for number in range(3):
        told = lines(client.post(f"{url}/say", json={"key": f"say-0000{number}", "text": f"word {number}"}))
        assert {line["answer"] for line in told[:-1]} == {0, 1}
        answers = told[-1]["answers"]
        assert {a["text"] for a in answers} == {f"You said word {number}", "Meow."}
        chosen = next(a for a in answers if a["text"].startswith("You"))
        payload = {"verdict": "better", "winner": chosen["id"], "strength": 2}
        body = {"key": f"choice-{number}", "payload": payload}
        messages = client.post(f"{url}/choose", json=body).json()["messages"]
        assert client.post(f"{url}/choose", json=body).json()["messages"] == messages  # sent twice
        assert [m["text"] for m in messages[-2:]] == [f"word {number}", f"You said word {number}"]
    assert len(messages) == 7
    assert client.post(f"{url}/submit", json={"key": "end-00001", "payload": {"ended": True}}).status_code == 200
    with here.db.reading() as connection:
        facts = connection.execute(select(t.comparison)).all()
        authors = connection.execute(select(t.model_version.c.name).join(t.message)).scalars().all()
    assert len(facts) == 3 and authors.count("parrot") == authors.count("cat") == 3


def test_a_turn_is_taken_back_and_said_again(chat):
    _, client, url = chat
    answers = lines(client.post(f"{url}/say", json={"key": "say-00001", "text": "one"}))[-1]["answers"]
    payload = {"verdict": "tie", "winner": None, "strength": None}
    client.post(f"{url}/choose", json={"key": "choice-1", "payload": payload})
    undone = client.post("/api/undo", json={"key": "undo-0001"}).json()
    assert (undone["what"], undone["payload"]) == ("turn", payload)
    assert [m["text"] for m in undone["task"]["messages"]] == ["Hello?"]
    payload = {"verdict": "better", "winner": answers[1]["id"], "strength": 1}
    told = client.post(f"{url}/choose", json={"key": "choice-2", "payload": payload}).json()
    assert told["messages"][-1]["text"] == answers[1]["text"]


def test_a_model_that_fails_is_one_line_and_leaves_no_half_answer(site_with):
    here = site_with(replies={"broken": broken})
    here.ask("chat", "Hello?")
    client = here.signed_in("Ann")
    task = client.post("/api/next", json={}).json()["task"]
    told = lines(client.post(f"/api/assignments/{task['assignment']}/say", json={"key": "say-00001", "text": "hi"}))
    assert "the model went away" in told[-1]["error"]
    with here.db.reading() as connection:
        assert [m.role for m in connection.execute(select(t.message))] == ["user"]


def test_what_cannot_be_said(chat, here):
    _, client, url = chat
    assert client.post(f"{url}/say", json={"key": "say-00001", "text": " "}).status_code == 400
    said = client.post(f"{url}/choose", json={"key": "choice-1", "payload": {"verdict": "tie"}})
    assert said.status_code == 409 and "say something first" in said.json()["error"]
    here.ask("pair", "?", "A", "B")
    other = here.signed_in("Ben")
    task = other.post("/api/next", json={}).json()["task"]
    answer = other.post(f"/api/assignments/{task['assignment']}/say", json={"key": "say-00001", "text": "hi"})
    assert answer.status_code == 409 and "no live model" in answer.json()["error"]
