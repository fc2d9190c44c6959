"""How fast the page's door is: simulated people at full speed against a real server, each request timed.

python -m benchmarks.labelling                    # 16 people for 60 seconds
python -m benchmarks.labelling --seconds 10 --json

Prints submissions a second and the quantiles of the time a submission takes, and checks that every acknowledged label
is in the store once. `--json` prints one line of figures at the end.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from truing.data.records import Conversation, Message, Prompt, Response
from truing.feedback.people import auth
from truing.feedback.store import projects
from truing.feedback.store.database import Database
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import questions
from truing.feedback.web import simulated_client

SERVER = """
import sys, uvicorn
from truing.feedback.store import projects
from truing.feedback.store.database import Database
from truing.feedback.web.app import create_app
from truing.feedback.web.site import Site
db = Database.open(sys.argv[1])
db.checkpoint_aside()
with db.reading() as connection:
    project = projects.project_named(connection)
app = create_app(Site(db, project), requests_a_second=0)
uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False)
"""


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told = measure(Path(folder) / "feedback.db", wanted.people, wanted.seconds, wanted.tasks)
    for name, value in told.items():
        print(f"{name:<28} {value:,.1f}")
    if wanted.json:
        print(json.dumps(told))


def measure(path: Path, count: int, seconds: float, tasks: int) -> dict[str, float]:
    """The figures of one run."""
    db = Database.open(str(path))
    with db.writing() as connection:
        project = projects.open_project(connection)
        for i in range(tasks):
            answers = (Response(f"An answer to {i}.", author="one"), Response(f"Another one to {i}.", author="two"))
            conversation = Conversation(Prompt((Message("user", f"Question {i}?"),)), answers)
            questions.add_conversation(connection, project, conversation, Question("pair"))
        tokens = [auth.issue(connection, "api", auth.add_person(connection, f"P{i}")) for i in range(count)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(path), str(port)])
    while not _listens(port):
        time.sleep(0.05)
    times: list[float] = []
    given: list[int] = []
    stop = threading.Event()

    def work(number: int) -> None:
        person = simulated_client.cast(count)[number]
        worker = simulated_client.Worker(f"http://127.0.0.1:{port}", tokens[number], person, _worth, number)
        given.append(worker.work(stop=stop, timed=times.append))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - begun
    server.terminate()
    server.wait()
    with db.reading() as connection:
        stored = projects.counts(connection, project)["annotations"]
        twice = connection.exec_driver_sql("SELECT task_id FROM annotation GROUP BY 1 HAVING count(*) > 1").all()
    p50, p90, p99, worst = np.quantile(np.array(times) * 1000, [0.5, 0.9, 0.99, 1.0])
    return {
        "people": count, "seconds": wall, "labels": float(sum(given)), "labels_a_second": sum(given) / wall,
        "p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "worst_ms": worst,
        "lost": float(sum(given) - stored), "double": float(len(twice)),
    }  # fmt: skip


def _worth(prompt: Prompt, response: str) -> float:
    return float(len(response))


def _listens(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
