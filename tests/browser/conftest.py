"""A real browser before a real server."""

import shutil
import threading
import time

import pytest
import uvicorn
from tests.conftest import PATIENCE_S, free_port

from truing.data.records import Conversation, Message, Prompt, Response
from truing.feedback.people import auth
from truing.feedback.store import content, projects
from truing.feedback.store.content import Author
from truing.feedback.store.database import Database
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import questions
from truing.feedback.web.app import create_app
from truing.feedback.web.site import COOKIE, Site

# Answers in the server's place where a test asks for it. In the page itself: what is routed or cut off outside may come
# too late for a request that is made at once.
MAY_FAIL = """
const ask = window.fetch;
window.fetch = async (path, ...more) => (window.failing && window.failing(path)) || ask(path, ...more);
"""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="session")
def chromium():
    """Playwright's own Chromium where it was downloaded, else the system's; skips where there is neither."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        try:
            browser = started.chromium.launch(args=FLAGS, timeout=PATIENCE_S * 1000)
        except playwright.Error:
            system = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
            if system is None:
                pytest.skip("no Chromium here: playwright install chromium, or Debian's package chromium")
            browser = started.chromium.launch(executable_path=system, args=FLAGS, timeout=PATIENCE_S * 1000)
        yield browser
        browser.close()


class Served:
    """A site that is served on a port of this machine."""

    def __init__(self, folder, lease_s=600.0, **settings):
        self.db = Database.open(str(folder / "feedback.db"))
        with self.db.writing() as connection:
            self.project = projects.open_project(connection, config=settings.pop("config", {}))
            replies = {content.add_model(connection, n): r for n, r in settings.pop("replies", {}).items()}
        self.site = Site(self.db, self.project, lease_s=lease_s, replies=replies, **settings)
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        app = create_app(self.site, requests_a_second=0)
        self.server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_level="error", lifespan="off"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self):
        self.server.should_exit = self.server.force_exit = True
        self.thread.join()

    def ask(self, kind, words, *answers, overlap=1, config=None):
        with self.db.writing() as connection:
            prompt = content.add_prompt(connection, self.project, Prompt((Message("user", words),)))
            model = content.add_model(connection, "secret-model-7b")
            said = [content.add_message(connection, prompt, Response(text), author=Author(model)) for text in answers]
            candidates = content.add_candidates(connection, prompt, said) if said else None
            question = Question(kind, overlap, config=config or {})
            return questions.add_task(connection, self.project, question, prompt, candidates)

    def conversation(self, *answers):
        return Conversation(Prompt((Message("user", "?"),)), tuple(Response(text) for text in answers))

    def secret(self, name, role="annotator"):
        with self.db.writing() as connection:
            return auth.issue(connection, "session", auth.add_person(connection, name, role))

    def rows(self, table):
        from sqlalchemy import select

        with self.db.reading() as connection:
            return connection.execute(select(table)).all()

    def wait_for(self, table, count):
        end = time.monotonic() + PATIENCE_S
        while len(self.rows(table)) < count:
            assert time.monotonic() < end, f"{len(self.rows(table))} rows, not {count}"
            time.sleep(0.02)
        return self.rows(table)


def set_offline(page, on):
    """Cut the connection or mend it, and wait until the page knows."""
    page.context.set_offline(on)
    page.wait_for_function("on => navigator.onLine !== on", arg=on)


@pytest.fixture
def serve(tmp_path):
    """A server with settings; all are stopped at the end."""
    started = []

    def start(**settings):
        started.append(Served(tmp_path, **settings))
        return started[-1]

    yield start
    for served in started:
        served.stop()
        served.db.close()


@pytest.fixture
def open_page(chromium):
    """A page of the server, signed in as somebody, whose errors fail the test."""
    contexts, errors = [], []

    def start(served, name="Ann", role="annotator", path="/", width=1200, height=900):
        context = chromium.new_context(viewport={"width": width, "height": height})
        context.set_default_timeout(PATIENCE_S * 1000)
        contexts.append(context)
        context.add_cookies([{"name": COOKIE, "value": served.secret(name, role), "url": served.address}])
        context.add_init_script(MAY_FAIL)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: (errors.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("console", lambda m: errors.append(m.text) if "Content Security Policy" in m.text else None)
        page.goto(served.address + path)
        return page

    yield start
    for context in contexts:
        context.close()
    assert not errors
