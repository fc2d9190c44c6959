"""Eight processes race for a hundred tasks: each is judged once, by whoever was first, and all are.

Broken on purpose: a lease taken in a transaction that only reads at first (BEGIN in place of BEGIN IMMEDIATE) -> red.
"""

import subprocess
import sys
from collections import Counter

from sqlalchemy import func, select
from tests.conftest import PATIENCE_S
from tests.faults.test_server_killed import filled

from truing.feedback.people import auth
from truing.feedback.store import schema as t

PROCESSES, TASKS = 8, 100
PERSON = """
import sys, time
from truing.feedback.store import projects
from truing.feedback.store.database import Database
from truing.feedback.tasks import leases
db = Database.open(sys.argv[1])
with db.reading() as connection:
    project = projects.project_named(connection)
print("ready", flush=True)
sys.stdin.readline()
while True:
    with db.writing(durable=False) as connection:
        one = leases.lease(connection, project, sys.argv[2], [], 600.0, 0.0)
    if one is None:
        break
    time.sleep(0.01)
    with db.writing() as connection:
        print(leases.submit(connection, one, sys.argv[2], {"verdict": "tie"}, f"{sys.argv[2]}-{one}")[0])
"""


def test_eight_processes_race_for_a_hundred_tasks(tmp_path):
    path = tmp_path / "feedback.db"
    db, _ = filled(path, TASKS, 0)
    with db.writing() as connection:
        people = [auth.add_person(connection, f"Racer {i}") for i in range(PROCESSES)]
    racing = [
        subprocess.Popen(
            [sys.executable, "-c", PERSON, str(path), person], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for person in people
    ]
    assert all(process.stdout.readline() == "ready\n" for process in racing)
    for process in racing:
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate(timeout=PATIENCE_S)[0].split() for process in racing]
    assert all(process.returncode == 0 for process in racing)
    with db.reading() as connection:
        c = t.annotation.c
        judged = Counter(connection.scalars(select(c.task_id)))
        stored = set(connection.scalars(select(c.id)))
        numbers = connection.scalars(select(c.number).order_by(c.number)).all()
        assert connection.scalar(select(func.count()).select_from(t.comparison)) == TASKS
    assert len(judged) == TASKS and set(judged.values()) == {1}
    assert sorted(one for mine in told for one in mine) == sorted(stored) and list(numbers) == list(range(1, TASKS + 1))
    assert sum(bool(mine) for mine in told) > 1, "nobody raced"
