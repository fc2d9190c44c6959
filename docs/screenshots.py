"""Take the pictures of docs/images from the page itself: python docs/screenshots.py (needs Chromium)."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from truing.demo import corpus
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import questions
from truing.feedback.web import simulated_client

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))  # the browser's tests import others of the repository
spec = importlib.util.spec_from_file_location("served", DOCS.parent / "tests" / "browser" / "conftest.py")
assert spec and spec.loader
served_module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(served_module)

QUESTION = "Why do leaves fall in autumn?"
ANSWERS = [
    "Days grow short and cold, so a leaf would cost the tree more than it earns. The tree takes back what is useful, "
    "closes the stem, and lets the leaf go.",
    "Leaves fall because it is autumn, and in autumn leaves fall.",
    "My uncle used to talk about this all the time. It depends on how you look at it.",
    "They fall because the wind is stronger then.",
]


def main() -> None:
    """All pictures."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=served_module.FLAGS)

        def reply(messages, seed):
            yield ANSWERS[seed % 2]

        served = served_module.Served(Path(folder), replies={"runs/sft": reply, "runs/ppo": reply})
        for kind, count in (("pair", 2), ("rank", 4), ("rate", 2), ("edit", 1), ("chat", 0)):
            served.ask(kind, QUESTION, *ANSWERS[:count])
            picture(browser, served, kind, f"{kind} person")
            close(served)
        served.ask("pair", QUESTION, *ANSWERS[:2])
        picture(browser, served, "phone", "phone person", width=390, height=844)
        close(served)
        simulate(served)
        for page in ("team", "leaderboard", "samples"):
            picture(browser, served, page, f"{page} owner", f"/{page}", "owner")
        browser.close()
        served.stop()


def picture(browser, served, name, person, path="/", role="annotator", width=1100, height=760):
    """One page as one person sees it."""
    context = browser.new_context(viewport={"width": width, "height": height})
    secret = served.secret(person, role)
    context.add_cookies([{"name": served_module.COOKIE, "value": secret, "url": served.address}])
    page = context.new_page()
    page.goto(served.address + path)
    if path == "/":
        page.wait_for_selector("#question")
    if name == "edit":
        page.locator("textarea").fill(ANSWERS[0].replace("short and cold", "shorter and colder"))
    if name == "chat":
        page.locator("textarea").fill("And evergreens?")
        page.get_by_role("button", name="Send").click()
        page.wait_for_selector("#answer-B")
    page.wait_for_timeout(300)
    page.screenshot(path=str(DOCS / "images" / f"{name}.png"))
    context.close()


def close(served):
    """Nobody else gets the tasks shown so far."""
    from sqlalchemy import update

    from truing.feedback.store import schema

    with served.db.writing() as connection:
        connection.execute(update(schema.task).values(state="closed"))


def simulate(served):
    """Judgements of simulated people on answers of two models."""
    import random

    from truing.data.records import Conversation, Response
    from truing.demo.preference import true_preference
    from truing.feedback.people import auth

    rng = random.Random(0)
    with served.db.writing() as connection:
        for prompt in corpus.prompts(0, 60, "train"):
            fact = corpus.questions()[prompt.text]
            weak = corpus.answer(fact, rng.choice(corpus.KINDS), rng)
            strong = corpus.answer(fact, "helpful" if rng.random() < 0.7 else "rude", rng)
            pair = (Response(weak, author="runs/sft"), Response(strong, author="runs/ppo"))
            questions.add_conversation(connection, served.project, Conversation(prompt, pair), Question("pair", 3))
        tokens = [
            auth.issue(connection, "api", auth.add_person(connection, person.name, simulated=True))
            for person in simulated_client.cast(5)
        ]
    for number, (token, person) in enumerate(zip(tokens, simulated_client.cast(5), strict=True)):
        simulated_client.Worker(served.address, token, person, true_preference, number).work(labels=36)


if __name__ == "__main__":
    main()
