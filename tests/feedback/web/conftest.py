"""The application over a store, asked without a network."""

from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from truing.data.records import Conversation, Message, Prompt, Response
from truing.feedback.people import auth
from truing.feedback.store import content, projects
from truing.feedback.store.database import Database
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import questions
from truing.feedback.web.app import create_app
from truing.feedback.web.site import COOKIE, Site


class Here:
    """A site with people signed in."""

    def __init__(self, site, **options):
        self.site, self.db, self.project = site, site.db, site.project
        self.app = create_app(site, requests_a_second=0, **options)

    def client(self):
        return TestClient(self.app, base_url="http://127.0.0.1:8742", follow_redirects=False)

    def signed_in(self, name, role="annotator"):
        """A browser's session: cookie, CSRF token, and the headers that a browser sends from our page."""
        with self.db.writing() as connection:
            person = auth.add_person(connection, name, role)
            secret = auth.issue(connection, "session", person)
            csrf = auth.whose(connection, secret).csrf
        client = self.client()
        client.cookies.set(COOKIE, secret)
        client.headers |= {"x-csrf-token": csrf, "origin": "http://127.0.0.1:8742", "sec-fetch-site": "same-origin"}
        client.person = person
        return client

    def ask(self, kind, words, *answers, overlap=1, author="secret-model-7b"):
        with self.db.writing() as connection:
            said = tuple(Response(text, author=author) for text in answers)
            conversation = Conversation(Prompt((Message("user", words),)), said)
            return questions.add_conversation(connection, self.project, conversation, Question(kind, overlap))


@pytest.fixture
def here(tmp_path):
    db = Database.open(str(tmp_path / "feedback.db"))
    with db.writing() as connection:
        project = projects.open_project(connection)
    yield Here(Site(db, project))
    db.close()


@pytest.fixture
def site_with(tmp_path):
    """Sites with other settings than the default ones."""
    opened = []

    def make(**settings):
        db = Database.open(str(tmp_path / f"{len(opened)}.db"))
        opened.append(db)
        with db.writing() as connection:
            project = projects.open_project(connection)
            replies = {
                content.add_model(connection, name): reply for name, reply in settings.pop("replies", {}).items()
            }  # fmt: skip
        return Here(Site(db, project, replies=replies, **settings))

    yield SimpleNamespace(make=make).make
    for db in opened:
        db.close()
