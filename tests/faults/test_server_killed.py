"""SIGKILL of the web server in a storm of judgements: every acknowledged one is there afterwards, and none is double.

Seen red with the commit moved behind the answer (an acknowledged label was lost at the first or second kill), and with
the idempotency key left out of the retry (labels came double).
"""

import socket
import subprocess
import sys
import threading
import time
import uuid

import httpx
from sqlalchemy import func, select

from truing.data.records import Conversation, Message, Prompt, Response
from truing.feedback import auth, store
from truing.feedback import schema as t
from truing.feedback.database import Database

KILLS = 25
SERVER = """
import sys, uvicorn
from truing.feedback.database import Database
from truing.feedback import store
from truing.feedback.web.app import create_app
from truing.feedback.web.site import Site
db = Database.open(sys.argv[1])
db.checkpoint_aside()
with db.reading() as connection:
    project = store.project_named(connection)
uvicorn.run(create_app(Site(db, project), requests_a_second=0), port=int(sys.argv[2]), log_level="critical")
"""


def start(path, port):
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(path), str(port)])
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
                    return client.post(path, json=body, timeout=10).json()
                except (httpx.TransportError, ValueError):
                    time.sleep(0.02)
            return None

        while (told := asked("/api/next", {"held": []})) and told["task"]:
            body = {"key": uuid.uuid4().hex, "payload": {"verdict": "tie"}}
            answer = asked(f"/api/assignments/{told['task']['assignment']}/submit", body)
            if answer is None:
                return
            acknowledged.append(answer["annotation"])


def test_every_acknowledged_judgement_survives_all_kills(tmp_path):
    path = tmp_path / "feedback.db"
    db = Database.open(str(path))
    with db.writing() as connection:
        project = store.open_project(connection)
        for i in range(4000):
            answers = (Response("A", author="m"), Response("B", author="m"))
            conversation = Conversation(Prompt((Message("user", f"{i}?"),)), answers)
            store.add_conversation(connection, project, conversation, "pair")
        tokens = [auth.issue(connection, "api", auth.add_person(connection, f"P{i}")) for i in range(6)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    acknowledged, stop = [], threading.Event()
    server = start(path, port)
    people = [threading.Thread(target=judge, args=(port, token, acknowledged, stop)) for token in tokens]
    for person in people:
        person.start()
    for kill in range(KILLS):
        before = len(acknowledged)
        while len(acknowledged) < before + 5:
            time.sleep(0.01)
        time.sleep(0.013 * (kill % 7))
        server.kill()
        server.wait()
        server = start(path, port)
    stop.set()
    for person in people:
        person.join()
    server.kill()
    server.wait()
    with db.reading() as connection:
        stored = set(connection.scalars(select(t.annotation.c.id)))
        assert len(acknowledged) > 5 * KILLS and set(acknowledged) <= stored
        assert len(set(acknowledged)) == len(acknowledged)
        c = t.annotation.c
        assert connection.scalar(select(func.count()).select_from(t.comparison)) == len(stored)
        most = select(func.count(c.id).label("n")).group_by(c.task_id).subquery()
        assert connection.scalar(select(func.max(most.c.n))) == 1
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
