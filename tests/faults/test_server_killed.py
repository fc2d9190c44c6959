"""SIGKILL of the web server in a storm of judgements: every acknowledged one is there afterwards, and none is double.

Seen red with the commit moved behind the answer (an acknowledged label was lost at the first or second kill), and with
the idempotency key left out of the retry (labels came double).
"""

import json
import socket
import threading
import time
import uuid

import httpx
from sqlalchemy import func, select
from tests.conftest import PATIENCE_S, free_port
from tests.served import begin

from truing.data.records import Message, Prompt, Response
from truing.feedback.people import auth
from truing.feedback.store import content, projects
from truing.feedback.store import schema as t
from truing.feedback.store.content import Author
from truing.feedback.store.database import Database
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import questions


def start(path, port):
    server = begin(str(path), port)
    while True:
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.02)


def judge(port, token, acknowledged, stop):
    """One person: asks again after each broken connection, with the same key."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {token}"}) as client:

        def asked(path, body):
            while not stop.is_set():
                try:
                    return client.post(path, json=body, timeout=PATIENCE_S).json()
                except (httpx.TransportError, ValueError):
                    time.sleep(0.02)
            return None

        while (told := asked("/api/next", {"held": []})) and told["task"]:
            body = {"key": uuid.uuid4().hex, "payload": {"verdict": "tie"}}
            answer = asked(f"/api/assignments/{told['task']['assignment']}/submit", body)
            if answer is None:
                return
            acknowledged.append(answer["annotation"])


def filled(path, tasks, people):
    """A store with tasks to judge, and a token for each person."""
    db = Database.open(str(path))
    with db.writing() as connection:
        project = projects.open_project(connection)
        prompt = content.add_prompt(connection, project, Prompt((Message("user", "?"),)))
        model = content.add_model(connection, "m")
        answers = [content.add_message(connection, prompt, Response(text), author=Author(model)) for text in "AB"]
        candidates = content.add_candidates(connection, prompt, answers)
        for _ in range(tasks):
            questions.add_task(connection, project, Question("pair"), prompt, candidates)
        return db, [auth.issue(connection, "api", auth.add_person(connection, f"P{i}")) for i in range(people)]


def looked_through(db, acknowledged):
    """What is acknowledged is there, each task has one judgement at most, and the file is whole."""
    with db.reading() as connection:
        c = t.annotation.c
        stored = set(connection.scalars(select(c.id)))
        assert set(acknowledged) <= stored
        assert connection.scalar(select(func.count()).select_from(t.comparison)) == len(stored)
        most = select(func.count(c.id).label("n")).group_by(c.task_id).subquery()
        assert connection.scalar(select(func.max(most.c.n))) == 1
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    return stored


def test_every_acknowledged_judgement_survives_all_kills_and_a_backup_under_load_is_whole(truing, tmp_path):
    storm(truing, tmp_path, tasks=4000, kills=3)


def storm(truing, tmp_path, tasks, kills):
    """Six people judge while the server is killed, then while the store is copied; the copy takes its place."""
    path, port = tmp_path / "feedback.db", free_port()
    db, tokens = filled(path, tasks, 6)
    acknowledged, stop = [], threading.Event()
    server = start(path, port)
    people = [threading.Thread(target=judge, args=(port, token, acknowledged, stop)) for token in tokens]
    for person in people:
        person.start()
    for kill in range(kills):
        before = len(acknowledged)
        while len(acknowledged) < before + 5:
            time.sleep(0.01)
        time.sleep(0.013 * (kill % 7))
        server.kill()
        server.join()
        server = start(path, port)
    before = list(acknowledged)
    while len(acknowledged) == len(before):  # they went on meanwhile
        (tmp_path / "copy.db").unlink(missing_ok=True)
        before = list(acknowledged)
        truing("feedback", "backup", "--store", path, "--out", tmp_path / "copy.db")
    stop.set()
    for person in people:
        person.join()
    server.kill()
    server.join()
    assert len(acknowledged) > 5 * kills and len(set(acknowledged)) == len(acknowledged)
    looked_through(db, acknowledged)
    restored(truing, tmp_path / "copy.db", before, tokens[0])


def restored(truing, copy, before, token):
    """The copy takes the store's place: it is whole, people go on in it, and an older Truing leaves it alone."""
    assert "OK" in truing("doctor", copy).stdout
    port, more = free_port(), []
    server, stop = start(copy, port), threading.Event()
    person = threading.Thread(target=judge, args=(port, token, more, stop))
    person.start()
    while len(more) < 5:
        time.sleep(0.01)
    stop.set()
    person.join()
    server.kill()
    server.join()
    db = Database.open(str(copy))
    looked_through(db, before + more)
    with db.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    db.close()
    told = truing("feedback", "stats", "--store", copy, code=2)
    assert "newer Truing" in told.stderr and "Traceback" not in told.stderr


def test_an_answer_that_was_lost_is_asked_for_again_and_is_the_same(tmp_path):
    """The connection breaks after a judgement was sent. Broken on purpose: a new row for each request -> red."""
    path, port = tmp_path / "feedback.db", free_port()
    db, (token,) = filled(path, 3, 1)
    server = start(path, port)
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
        task = client.post("/api/next", json={"held": []}).json()["task"]
        place = f"/api/assignments/{task['assignment']}/submit"
        body = {"key": uuid.uuid4().hex, "payload": {"verdict": "tie"}}
        raw = json.dumps(body).encode()
        head = f"POST {place} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        with socket.create_connection(("127.0.0.1", port)) as lost:
            lost.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw)
        again = [client.post(place, json=body) for _ in range(2)]
        assert again[0].status_code == 200 and again[0].json() == again[1].json()
        other = client.post(place, json={**body, "payload": {"verdict": "both_bad"}})
        assert other.status_code == 409 and other.json()["code"] == "conflict"
    server.kill()
    server.join()
    assert looked_through(db, [again[0].json()["annotation"]]) == {again[0].json()["annotation"]}
