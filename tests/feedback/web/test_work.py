"""The routes of the work, as the page uses them."""

import json

import pytest
from sqlalchemy import select

from truing.data.records import Comparison
from truing.feedback.store import projects
from truing.feedback.store import schema as t
from truing.feedback.tasks import gold


def next_task(client, held=()):
    answer = client.post("/api/next", json={"held": list(held)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def submit(client, task, payload, key="key-00001", **more):
    return client.post(f"/api/assignments/{task['assignment']}/submit", json={"key": key, "payload": payload, **more})


def test_a_pair_from_the_next_task_to_the_rows(here):
    here.ask("pair", "Which?", "A", "B")
    client = here.signed_in("Ann")
    told = next_task(client)
    task = told["task"]
    assert task["kind"] == "pair" and {a["text"] for a in task["answers"]} == {"A", "B"}
    assert told["progress"] == {"mine": 0, "today": 0, "left": 1, "total": 1}
    payload = {"verdict": "better", "winner": task["answers"][1]["id"], "strength": 1}
    answer = submit(client, task, payload, duration_ms=1500.4, active_ms=900).json()
    assert answer["gold"] is None and not answer["extra"]
    with here.db.reading() as connection:
        (row,) = connection.execute(select(t.comparison)).all()
        (said,) = connection.execute(select(t.annotation)).all()
    assert (row.winner_id, row.loser_id) == (task["answers"][1]["id"], task["answers"][0]["id"])
    assert (said.id, said.duration_ms, said.active_ms) == (answer["annotation"], 1500, 900)
    told = next_task(client)
    assert told["task"] is None and told["wait_s"] is None and told["progress"]["mine"] == 1


def test_the_page_never_tells_who_wrote_it_nor_what_others_said(here):
    here.ask("pair", "Which?", "A", "B", overlap=2)
    ann, ben = here.signed_in("Annabel"), here.signed_in("Ben")
    task = next_task(ann)["task"]
    submit(ann, task, {"verdict": "better", "winner": task["answers"][0]["id"], "strength": 3, "reason": "ANN SAID SO"})
    pages = [ben.get("/").text, ben.get("/api/me").text, json.dumps(next_task(ben)), ben.get("/guidelines").text]
    for page in pages:
        for hidden in ("secret-model", "Annabel", "ANN SAID SO"):
            assert hidden not in page


def test_skip_undo_and_heartbeat(here):
    here.ask("pair", "Which?", "A", "B")
    client = here.signed_in("Ann")
    task = next_task(client)["task"]
    beat = client.post(f"/api/assignments/{task['assignment']}/heartbeat", json={})
    assert beat.json() == {"held": True, "lease_s": 600.0}
    client.post(f"/api/assignments/{task['assignment']}/skip", json={"key": "key-00001", "reason": "unclear"})
    assert next_task(client)["task"] is None
    undone = client.post("/api/undo", json={"key": "key-00002"}).json()
    assert (undone["what"], undone["payload"]) == ("skip", None)
    assert undone["task"]["answers"] == task["answers"]
    payload = {"verdict": "tie", "winner": None, "strength": None}
    submit(client, task, payload, "key-00003")
    undone = client.post("/api/undo", json={"key": "key-00004"}).json()
    assert (undone["what"], undone["payload"]) == ("submit", payload)
    client.post("/api/undo", json={"key": "key-00005"})
    assert client.post("/api/undo", json={"key": "key-00006"}).status_code == 409


def test_the_same_submission_twice_is_one_row_another_body_409(here):
    here.ask("pair", "Which?", "A", "B")
    client = here.signed_in("Ann")
    task = next_task(client)["task"]
    first, second = (submit(client, task, {"verdict": "tie"}) for _ in range(2))
    assert first.json()["annotation"] == second.json()["annotation"]
    refused = submit(client, task, {"verdict": "both_bad"})
    assert refused.status_code == 409 and refused.json()["code"] == "conflict"


@pytest.mark.parametrize(
    ("payload", "status", "said"),
    [
        ({"verdict": "better"}, 400, "winner and strength"), ("text", 400, "payload must be an object"),
        ({"verdict": "better", "winner": "other", "strength": 1}, 400, "none of the answers shown"),
    ],
)  # fmt: skip
def test_a_wrong_body_is_one_line_and_no_row(here, payload, status, said):
    here.ask("pair", "Which?", "A", "B")
    client = here.signed_in("Ann")
    answer = submit(client, next_task(client)["task"], payload)
    assert answer.status_code == status and said in answer.json()["error"]
    with here.db.reading() as connection:
        assert not connection.execute(select(t.annotation)).all()


def test_keys_and_tasks_of_others_are_refused(here):
    here.ask("pair", "Which?", "A", "B")
    ann, ben = here.signed_in("Ann"), here.signed_in("Ben")
    task = next_task(ann)["task"]
    assert submit(ann, task, {"verdict": "tie"}, key="short").status_code == 400
    assert submit(ben, task, {"verdict": "tie"}).status_code == 404
    assert ben.post("/api/assignments/nothing/heartbeat", json={}).status_code == 404


def test_the_quiz_says_at_once_whether_it_was_right(here):
    from truing.data.records import Message, Prompt

    with here.db.writing() as connection:
        prompt = Prompt((Message("user", "2 + 2?"),))
        gold.add_record(connection, here.project, Comparison(prompt, "4", "5"), "It is four.", onboarding=True)
    here.ask("pair", "Which?", "A", "B")
    client = here.signed_in("Ann")
    assert client.get("/api/me").json()["onboarding"] == {"needed": True, "left": 1}
    task = next_task(client)["task"]
    assert task["onboarding"]
    wrong = next(a["id"] for a in task["answers"] if a["text"] == "5")
    told = submit(client, task, {"verdict": "better", "winner": wrong, "strength": 1}).json()
    assert told["gold"] == {"right": False, "explanation": "It is four."}
    assert client.get("/api/me").json()["onboarding"] == {"needed": False, "left": 0}
    assert not next_task(client)["task"]["onboarding"]


def test_nobody_works_without_signing_in(here):
    client = here.client()
    assert client.get("/").headers["location"] == "/login"
    assert client.get("/api/me").status_code == 401
    assert client.post("/api/next", json={}).status_code == 401


def test_held_must_be_a_list_of_texts(here):
    assert here.signed_in("Ann").post("/api/next", json={"held": [1]}).status_code == 400


def test_guidelines_are_shown(here):

    with here.db.writing() as connection:
        projects.add_guideline(connection, here.project, "# Be kind\n\n<script>no</script>")
    page = here.signed_in("Ann").get("/guidelines").text
    assert "<h1>Be kind</h1>" in page and "<script>no" not in page


@pytest.mark.parametrize("text", ["\x00", "half \ud800"])
def test_a_text_that_no_database_keeps_is_refused(here, text):
    here.ask("demo", "Say.")
    client = here.signed_in("Ann")
    task = next_task(client)["task"]
    for payload in ({"text": text}, {"text": "fine", "flags": {text: []}}, {"text": "fine", "reason": text}):
        body = json.dumps({"key": "key-00001", "payload": payload})  # in which every character is ASCII's
        answer = client.post(f"/api/assignments/{task['assignment']}/submit", content=body)
        assert answer.status_code == 400 and "half of a character" in answer.text
    assert submit(client, task, {"text": "\U0001f600 whole"}).status_code == 200
