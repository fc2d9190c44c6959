"""Haste and lost connections: each of these once judged, took back or lost the wrong thing."""

import time

import pytest
from sqlalchemy import select
from tests.browser.conftest import set_offline

from truing.feedback.store import schema as t
from truing.feedback.store.events import standing


@pytest.fixture
def three(serve, open_page):
    served = serve()
    for i in range(3):
        served.ask("pair", f"Question {i}?", "one", "two")
    page = open_page(served)
    page.wait_for_selector("#task[aria-busy=false]")
    return served, page


def test_the_second_click_of_a_double_click_does_not_judge_the_next_task(three):
    served, page = three
    page.clock.install()
    page.clock.pause_at(time.time() + 60)  # however slow this machine is, no time passes for the page
    tie = page.get_by_role("button", name="Tie")
    tie.click()
    page.wait_for_selector("text=Saved.")
    tie.click()
    page.clock.run_for(300)
    page.wait_for_selector("#task[aria-busy=false]")
    assert len(served.rows(t.annotation)) == 1
    tie.click()
    served.wait_for(t.annotation, 2)


def test_undo_without_a_connection_takes_back_what_was_judged_last(three):
    served, page = three
    page.keyboard.press("1")
    (first,) = served.wait_for(t.annotation, 1)
    page.wait_for_selector("#task[aria-busy=false]")
    page.evaluate("() => { window.failing = path => { if (path.endsWith('/submit')) throw new TypeError('away') } }")
    page.keyboard.press("7")
    page.wait_for_function("() => (localStorage.getItem('truing-queue') || '').includes('submit')")
    page.wait_for_selector("text=Kept in this browser")
    page.keyboard.press("u")
    page.wait_for_selector("text=Taken back.")
    page.evaluate("window.failing = null")
    served.wait_for(t.annotation, 3)  # it is sent, and then taken back
    with served.db.reading() as connection:
        kept = connection.execute(select(t.annotation.c.id).where(*standing())).scalars().all()
    assert kept == [first.id]


def test_a_server_that_fails_once_loses_no_judgement(three):
    served, page = three
    answer = "path.endsWith('/submit') ? new Response('{}', { status: 500 }) : null"
    page.evaluate(f"() => {{ window.failing = path => {answer} }}")
    page.keyboard.press("1")
    page.wait_for_selector("#offline:not([hidden])")
    page.reload()
    served.wait_for(t.annotation, 1)
    assert len(served.rows(t.annotation)) == 1


def test_judgements_of_somebody_who_left_are_not_sent_as_those_of_the_next(serve, open_page):
    served = serve()
    served.ask("pair", "Q?", "one", "two", overlap=2)
    page = open_page(served, "Ann")
    page.wait_for_selector("#task[aria-busy=false]")
    set_offline(page, True)
    page.keyboard.press("1")
    page.wait_for_function("() => (localStorage.getItem('truing-queue') || '').includes('submit')")
    page.context.clear_cookies()
    from truing.feedback.web.site import COOKIE

    page.context.add_cookies([{"name": COOKIE, "value": served.secret("Ben"), "url": served.address}])
    set_offline(page, False)
    page.goto(served.address)
    page.wait_for_selector("#task[aria-busy=false]")
    page.wait_for_timeout(1500)
    assert not served.rows(t.annotation)
