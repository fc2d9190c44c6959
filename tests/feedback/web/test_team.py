"""Pages for those who run the work."""

import pytest

from truing.data.records import Conversation, Message, Prompt, Response
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import questions

HOSTILE = "<img src=x onerror=alert(1)>\u202e"


@pytest.fixture
def judged(here):
    here.clients = []
    here.ask("pair", f"Which? {HOSTILE}", f"A {HOSTILE}", "B", overlap=2)
    for name, place in (("Ann", 0), (f"Ben {HOSTILE}", 1)):
        client = here.signed_in(name)
        here.clients.append(client)
        task = client.post("/api/next", json={}).json()["task"]
        answers = sorted(task["answers"], key=lambda a: a["text"])
        payload = {"verdict": "better", "winner": answers[place]["id"], "strength": 1, "reason": HOSTILE}
        url = f"/api/assignments/{task['assignment']}/submit"
        assert client.post(url, json={"key": "key-00001", "payload": payload}).status_code == 200
    return here


def test_the_team_page_shows_people_and_disagreement(judged):
    page = judged.signed_in("Rita", "reviewer").get("/team").text
    assert "on 1 pairs judged twice or more" in page
    assert "Where people disagree" in page and "Ann" in page and "<img src=x" not in page and "⟨U+202E⟩" in page
    assert "Invite" not in page
    assert "Invite" in judged.signed_in("Olga", "owner").get("/team").text


def test_team_figures_as_json(judged):
    told = judged.signed_in("Rita", "reviewer").get("/api/team").json()
    assert told["progress"]["filled"] == 2 and told["agreement"]["percent"]["value"] == 0


def test_samples_are_found_and_opened(judged):
    client = judged.signed_in("Rita", "reviewer")
    listed = client.get("/samples").text
    assert "Which?" in listed and "<img src=x" not in listed
    assert "Which?" in client.get("/samples", params={"search": "which"}).text
    assert "Nothing here" in client.get("/samples", params={"search": "100%_nothing"}).text
    path = listed.split('href="/samples/')[1].split('"')[0]
    page = client.get(f"/samples/{path}").text
    assert "secret-model-7b" in page and "<img src=x" not in page and "better" in page
    assert client.get("/samples/nothing").status_code == 404


def test_what_was_taken_back_is_no_longer_counted(judged):
    ben, rita = judged.clients[1], judged.signed_in("Rita", "reviewer")
    assert '<td class="number">2</td><td class="number">2</td>' in rita.get("/samples").text  # answers, comparisons
    assert ben.post("/api/undo", json={"key": "key-00002"}).status_code == 200
    assert '<td class="number">2</td><td class="number">1</td>' in rita.get("/samples").text


def test_the_leaderboard_waits_for_two_models(judged):
    page = judged.signed_in("Rita", "reviewer").get("/leaderboard").text
    assert "No two different models have met yet" in page


@pytest.mark.parametrize(("kind", "said"), [("binary", "good: Ann; bad: Ben"), ("rate", "5: Ann; 1: Ben")])
def test_the_team_page_shows_marks_of_answers_too(here, kind, said):
    here.ask(kind, "Which?", "A", "B", overlap=2)
    for name, place in (("Ann", 0), ("Ben", 1)):
        client = here.signed_in(name)
        task = client.post("/api/next", json={}).json()["task"]
        answers = sorted(task["answers"], key=lambda a: a["text"])
        best = {a["id"]: i == place for i, a in enumerate(answers)}
        payload = {"good": best} if kind == "binary" else {"ratings": {i: 1 + 4 * good for i, good in best.items()}}
        url = f"/api/assignments/{task['assignment']}/submit"
        assert client.post(url, json={"key": "key-00001", "payload": payload}).status_code == 200
    client = here.signed_in("Rita", "reviewer")
    page = client.get("/team").text
    assert "nothing was judged twice" not in page and "judged twice or more" in page
    assert said in page and ("answers rated twice or more" in page) == (kind == "rate")
    assert client.get("/api/team").json()["agreement"]["percent"]["value"] == 0


def test_the_leaderboard_shows_open_ends_and_groups(here):
    for first, second in (("one", "two"), ("three", "four")):
        with here.db.writing() as connection:
            said = (Response("A", author=first), Response("B", author=second))
            conversation = Conversation(Prompt((Message("user", f"{first}?"),)), said)
            questions.add_conversation(connection, here.project, conversation, Question("pair"))
    client = here.signed_in("Ann")
    for i in range(2):
        task = client.post("/api/next", json={}).json()["task"]
        winner = next(a["id"] for a in task["answers"] if a["text"] == "A")
        payload = {"verdict": "better", "winner": winner, "strength": 1}
        client.post(f"/api/assignments/{task['assignment']}/submit", json={"key": f"key-0000{i}", "payload": payload})
    page = here.signed_in("Rita", "reviewer").get("/leaderboard").text
    assert page.count("[668, –)") == 2 and page.count("(–, 1332]") == 2
    assert "Group 1" in page and "Group 2" in page and "cannot be compared" in page
