"""How the pages stand: by keyboard alone, on a phone's width, with a screen reader's labels."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from truing.feedback.store import projects
from truing.feedback.store import schema as t

KINDS = {
    "pair": ["one", "two"], "rank": ["one", "two", "three", "four"], "rate": ["one", "two"], "binary": ["one"],
    "demo": [], "edit": ["one"], "chat": [],
}  # fmt: skip


def findings(page):
    """What axe has against the page, of any impact."""
    found = Axe().run(page).response["violations"]
    return [(v["id"], v["impact"], [node["html"][:160] for node in v["nodes"][:3]]) for v in found]


@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing_in_the_work(serve, open_page, kind):
    served = serve(config={"criteria": [{"name": "kind", "words": "Which is kinder?"}]})
    served.ask(kind, "A question?", *KINDS[kind])
    page = open_page(served)
    page.wait_for_selector("#question")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert findings(page) == [], scheme


@pytest.mark.parametrize("path", ["/team", "/leaderboard", "/samples", "/guidelines", "/login"])
def test_axe_finds_nothing_on_other_pages(serve, open_page, path):
    served = serve()
    served.ask("pair", "Q?", "one", "two")
    page = open_page(served, role="owner", path=path)
    assert findings(page) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_phone_shows_all_without_scrolling_sideways(serve, open_page, kind):
    served = serve()
    served.ask(kind, "A question?", *[f"{text} " * 60 for text in KINDS[kind]])
    page = open_page(served, width=390, height=844)
    page.wait_for_selector("#question")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = page.evaluate(
        "[...document.querySelectorAll('#task button')].filter(b => b.offsetHeight < 30).map(b => b.innerText)"
    )
    assert small == []


def test_the_work_is_done_by_tab_and_enter_alone(serve, open_page):
    served = serve()
    served.ask("pair", "Q?", "one", "two")
    page = open_page(served)
    page.wait_for_selector("#answer-A")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText.startsWith('Tie')"):
            break
    page.keyboard.press("Enter")
    (row,) = served.wait_for(t.comparison, 1)
    assert row.tie


def test_help_tells_the_keys_and_escape_closes_it(serve, open_page):
    served = serve()
    served.ask("pair", "Q?", "one", "two")
    page = open_page(served)
    page.wait_for_selector("#answer-A")
    page.keyboard.press("?")
    shown = page.locator("dialog").inner_text()
    for words in ("A much better", "Undo the last thing", "Show where the answers differ"):
        assert words in shown
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    page.keyboard.press("d")
    assert page.locator("mark").count() == 2


def test_the_guideline_stands_beside_the_task(serve, open_page):

    served = serve()
    with served.db.writing() as connection:
        projects.add_guideline(connection, served.project, "# Be kind\n\nAlways.")
    served.ask("pair", "Q?", "one", "two")
    page = open_page(served)
    page.wait_for_selector("#answer-A")
    page.keyboard.press("h")
    assert page.locator("#guideline h1").inner_text() == "Be kind"


def test_an_invitation_is_made_and_used(serve, open_page, chromium):
    served = serve()
    served.ask("pair", "Q?", "one", "two")
    page = open_page(served, "Olga", "owner", "/team")
    page.get_by_role("button", name="Make a link").click()
    link = page.locator("#link code").inner_text()
    guest = chromium.new_context().new_page()
    guest.goto(link)
    guest.get_by_label("Your name").fill("Gus")
    guest.get_by_label("Password").fill("long enough now")
    guest.get_by_role("button", name="Begin").click()
    guest.wait_for_selector("#answer-A")
    guest.keyboard.press("1")
    served.wait_for(t.annotation, 1)
    guest.get_by_role("button", name="Sign out").click()
    guest.get_by_label("Password").fill("long enough now")
    guest.get_by_label("Name").fill("Gus")
    guest.get_by_role("button", name="Sign in").click()
    guest.get_by_text("All done").wait_for()
    guest.context.close()
