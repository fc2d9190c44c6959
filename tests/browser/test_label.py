"""Every kind of task, with the mouse and with keys, down to the rows in the store."""

import re

import pytest
from sqlalchemy import select
from tests.browser.conftest import set_offline

from truing.feedback.store import schema as t
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import questions


def answer_text(page, letter):
    return page.locator(f"#answer-{letter} .text").inner_text()


def message(served, text):
    return next(m.id for m in served.rows(t.message) if m.content == text)


def texts(served):
    return {m.id: m.content for m in served.rows(t.message)}


@pytest.mark.parametrize("by", ["key", "mouse"])
def test_pair(serve, open_page, by):
    served = serve()
    for i in range(3):
        served.ask("pair", f"Question {i}?", f"good {i}", f"bad {i}")
    page = open_page(served)
    page.wait_for_selector("#answer-A")
    left, right = answer_text(page, "A"), answer_text(page, "B")
    if by == "key":
        page.keyboard.press("6")
    else:
        page.get_by_role("button", name="B clearly better").click()
    (row,) = served.wait_for(t.comparison, 1)
    known = texts(served)
    assert (known[row.winner_id], known[row.loser_id], row.strength) == (right, left, 2)
    page.wait_for_function("text => !document.querySelector('#task').innerText.includes(text)", arg=left)
    page.wait_for_selector("#task[aria-busy=false]")
    page.keyboard.press("8") if by == "key" else page.get_by_role("button", name="Both good").click()
    row = served.wait_for(t.comparison, 2)[1]
    assert (row.tie, row.verdict) == (True, "both_good")
    page.wait_for_function("() => document.querySelector('#progress').innerText.startsWith('2 judged')")
    page.wait_for_selector("#task[aria-busy=false]")
    page.keyboard.press("0")
    page.get_by_text("All done").wait_for()
    assert len(served.rows(t.comparison)) == 2  # can't tell is no comparison
    said = served.rows(t.annotation)
    assert len(said) == 3 and all(0 <= s.active_ms <= s.duration_ms for s in said)


def test_criteria_flags_and_notes(serve, open_page):
    served = serve(config={"criteria": [{"name": "kind", "words": "Which is kinder?"}]})
    served.ask("pair", "Q?", "one", "two")
    page = open_page(served)
    page.wait_for_selector("#answer-A")
    chosen = answer_text(page, "A")
    page.keyboard.press("1")
    page.get_by_role("group", name="Which is kinder?").get_by_role("button", name="B much better").click()
    page.keyboard.press("f")
    page.get_by_role("button", name="B: Says what is not so").click()
    assert "Says what is not so" in page.locator("#flags-B").inner_text()
    page.keyboard.press("n")
    page.get_by_role("textbox", name="Note").fill("Because.")
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Enter")
    first, kind = served.wait_for(t.comparison, 2)
    known = texts(served)
    assert (known[first.winner_id], first.criterion, first.strength) == (chosen, "", 3)
    assert (known[kind.loser_id], kind.criterion) == (chosen, "kind")
    assert [(known[f.message_id], f.name) for f in served.rows(t.flag)] == [(known[kind.winner_id], "false")]
    assert served.rows(t.annotation)[0].payload["reason"] == "Because."


def names_in_order(page):
    return [re.sub("rank-", "", item.get_attribute("id")) for item in page.locator(".ranking li").all()]


def test_rank_by_keys_with_ties(serve, open_page):
    served = serve()
    served.ask("rank", "Q?", "one", "two", "three")
    page = open_page(served)
    page.wait_for_selector("#rank-A")
    page.keyboard.press("Enter")
    assert "Nothing is ordered yet" in page.locator("#status").inner_text()
    assert not served.rows(t.annotation)
    said = {name: page.locator(f"#rank-{name} .text").inner_text() for name in "ABC"}
    page.keyboard.press("3")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("k")
    assert names_in_order(page) == ["C", "A", "B"]
    page.keyboard.press("2")
    page.keyboard.press("t")
    page.keyboard.press("Enter")
    (row,) = served.wait_for(t.ranking, 1)
    known = texts(served)
    assert {known[m]: tier for m, tier in row.tiers.items()} == {said["C"]: 0, said["A"]: 1, said["B"]: 1}


def test_rank_by_dragging_and_only_the_best_three(serve, open_page):
    served = serve()
    served.ask("rank", "Q?", *[f"answer {i}" for i in range(5)])
    page = open_page(served)
    page.wait_for_selector("#rank-E")
    said = {name: page.locator(f"#rank-{name} .text").inner_text() for name in "ABCDE"}
    source, target = page.locator("#rank-E .body"), page.locator("#rank-A .body")
    source.hover()
    page.mouse.down()
    box = target.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 30, steps=4)
    page.mouse.move(box["x"] + 20, box["y"] - 12, steps=4)
    page.mouse.up()
    assert names_in_order(page) == ["E", "A", "B", "C", "D"]
    page.get_by_role("button", name="Only the best three").click()
    page.get_by_role("button", name="Submit").click()
    (row,) = served.wait_for(t.ranking, 1)
    known = texts(served)
    assert {known[m]: tier for m, tier in row.tiers.items()} == {
        said["E"]: 0, said["A"]: 1, said["B"]: 2, said["C"]: None, said["D"]: None
    }  # fmt: skip
    assert len(served.rows(t.comparison)) == 3 + 6


def test_an_order_that_is_right_as_it_stands_is_said_so(serve, open_page):
    served = serve()
    served.ask("rank", "Q?", "one", "two")
    page = open_page(served)
    page.wait_for_selector("#rank-A")
    first = page.locator("#rank-A .text").inner_text()
    page.keyboard.press("y")
    page.keyboard.press("Enter")
    (row,) = served.wait_for(t.ranking, 1)
    assert row.tiers[message(served, first)] == 0


@pytest.mark.parametrize("by", ["key", "mouse"])
def test_rate(serve, open_page, by):
    served = serve()
    served.ask("rate", "Q?", "one", "two")
    page = open_page(served)
    page.wait_for_selector("#answer-B")
    first, second = answer_text(page, "A"), answer_text(page, "B")
    if by == "key":
        page.keyboard.press("5")
        page.keyboard.press("Enter")
        assert "Answer B is not judged yet" in page.locator("#status").inner_text()
        page.keyboard.press("2")
        page.keyboard.press("Enter")
    else:
        page.locator("#answer-A").get_by_role("button", name="very good").click()
        page.locator("#answer-B").get_by_role("button", name="bad", exact=False).nth(1).click()
        page.get_by_role("button", name="Submit").click()
    known = {m: v for m, v in ((r.message_id, r.value) for r in served.wait_for(t.rating, 2))}
    assert known == {message(served, first): 5, message(served, second): 2}


@pytest.mark.parametrize("by", ["key", "mouse"])
def test_binary(serve, open_page, by):
    served = serve()
    served.ask("binary", "Q?", "only")
    page = open_page(served)
    page.wait_for_selector("#answer-A")
    if by == "key":
        page.keyboard.press("2")
        page.keyboard.press("Enter")
    else:
        page.get_by_role("button", name="Bad").click()
    (row,) = served.wait_for(t.rating, 1)
    assert (row.value, row.low, row.high) == (0, 0, 1)


def test_demonstration_whose_draft_survives_a_reload(serve, open_page):
    served = serve()
    served.ask("demo", "Write!")
    page = open_page(served)
    page.get_by_role("textbox", name="Your answer").fill("Half a")
    page.reload()
    field = page.get_by_role("textbox", name="Your answer")
    page.wait_for_function("() => document.querySelector('textarea')?.value === 'Half a'")
    field.fill("Half an answer, <b>made</b> whole.")
    page.keyboard.press("Control+Enter")
    (row,) = served.wait_for(t.demonstration, 1)
    assert texts(served)[row.message_id] == "Half an answer, <b>made</b> whole."
    page.wait_for_function("() => !Object.keys(localStorage).some((key) => key.includes('draft'))")


def test_edit_shows_what_is_changed(serve, open_page):
    served = serve()
    served.ask("edit", "Q?", "The sky are blue.")
    page = open_page(served)
    field = page.get_by_role("textbox", name="The corrected answer")
    field.wait_for()
    page.keyboard.press("Control+Enter")
    assert "Nothing is changed yet" in page.locator("#status").inner_text()
    field.fill("The sky is blue.")
    assert page.locator("#changes del").inner_text() == "are" and page.locator("#changes ins").inner_text() == "is"
    page.get_by_role("button", name="Submit").click()
    (row,) = served.wait_for(t.demonstration, 1)
    (fact,) = served.wait_for(t.comparison, 1)
    assert (row.origin, fact.winner_id, fact.loser_id) == ("edit", row.message_id, message(served, "The sky are blue."))


def test_chat_of_three_turns_goes_on_from_the_chosen_answer(serve, open_page):
    def parrot(messages, seed):
        yield "You said "
        yield messages[-1]["content"]

    def cat(messages, seed):
        yield "Meow."

    served = serve(replies={"one": parrot, "two": cat})
    served.ask("chat", "Hello?")
    page = open_page(served)
    for number in range(3):
        page.get_by_role("textbox", name="What you say").fill(f"word {number}")
        page.get_by_role("button", name="Send").click()
        page.wait_for_selector("#answer-B")
        letter = "A" if answer_text(page, "A").startswith("You") else "B"
        page.keyboard.press("1" if letter == "A" else "7")
        page.wait_for_function("n => document.querySelectorAll('.turn').length === n", arg=3 + 2 * number)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="End the conversation").click()
    page.get_by_text("All done").wait_for()
    facts = served.rows(t.comparison)
    assert [texts(served)[f.winner_id] for f in facts] == [f"You said word {i}" for i in range(3)]
    assert [s.kind for s in served.rows(t.annotation)] == ["turn"] * 3 + ["chat"]


def test_review(serve, open_page):
    from truing.feedback.tasks import leases

    served = serve()
    task = served.ask("pair", "Q?", "one", "two")
    with served.db.writing() as connection:
        from truing.feedback.people import auth

        ben = auth.add_person(connection, "Ben")
        lease = leases.lease(connection, served.project, ben)
        shown = leases.assignment(connection, lease).shown_order
        said, _ = leases.submit(
            connection, lease, ben, {"verdict": "better", "winner": shown[0], "strength": 2}, "key-00001"
        )
        row = connection.execute(select(t.task).where(t.task.c.id == task)).one()
        question = Question("review", reviews=said)
        questions.add_task(connection, served.project, question, row.prompt_id, row.candidate_set_id)
    page = open_page(served)
    page.get_by_text("is clearly better").wait_for()
    assert "Ben" not in page.content()
    page.keyboard.press("2")
    served.wait_for(t.annotation, 2)
    assert served.rows(t.annotation)[1].payload == {"verdict": "disagree"}


def test_undo_after_submit_and_after_skip(serve, open_page):
    served = serve()
    served.ask("pair", "First?", "one", "two")
    served.ask("pair", "Second?", "three", "four")
    page = open_page(served)
    page.get_by_text("First?").wait_for()
    left = answer_text(page, "A")
    page.keyboard.press("1")
    page.get_by_text("Second?").wait_for()
    page.keyboard.press("u")
    page.get_by_text("First?").wait_for()
    assert answer_text(page, "A") == left
    page.keyboard.press("7")
    page.get_by_text("Second?").wait_for()
    page.keyboard.press("s")
    page.get_by_role("button", name="not my field").click()
    page.get_by_text("All done").wait_for()
    page.keyboard.press("u")
    page.get_by_text("Second?").wait_for()
    page.keyboard.press("4")
    page.get_by_text("All done").wait_for()
    from truing.feedback.store.events import standing

    with served.db.reading() as connection:
        kept = connection.execute(select(t.comparison).join(t.annotation).where(*standing())).all()
    known = texts(served)
    assert sorted((row.tie, known[row.loser_id] if not row.tie else "") for row in kept) == [(False, left), (True, "")]


def test_order_is_the_same_after_a_reload(serve, open_page):
    served = serve()
    served.ask("rank", "Q?", *[f"answer {i}" for i in range(9)])
    page = open_page(served)
    page.wait_for_selector("#rank-I")
    before = page.locator(".ranking .text").all_inner_texts()
    for _ in range(3):
        page.reload()
        page.wait_for_selector("#rank-I")
        assert page.locator(".ranking .text").all_inner_texts() == before


def test_a_double_click_and_a_hasty_key_are_one_row(serve, open_page):
    served = serve()
    served.ask("pair", "Q?", "one", "two")
    page = open_page(served)
    page.wait_for_selector("#answer-A")
    page.evaluate("for (let i = 0; i < 2; i++) document.querySelector('.verdict button').click()")
    page.get_by_text("All done").wait_for()
    assert len(served.rows(t.annotation)) == 1


def test_a_lost_connection_loses_nothing(serve, open_page):
    served = serve()
    for i in range(3):
        served.ask("pair", f"Question {i}?", "one", "two")
    page = open_page(served)
    page.wait_for_selector("#answer-A")
    set_offline(page, True)
    page.keyboard.press("1")
    page.get_by_text("kept in this browser").or_(page.get_by_text("cannot be reached")).first.wait_for()
    assert not served.rows(t.annotation)
    set_offline(page, False)
    served.wait_for(t.annotation, 1)
    page.keyboard.press("u")
    page.wait_for_function("() => document.querySelector('#progress').innerText.startsWith('0 judged')")


def test_what_was_kept_is_sent_by_the_next_page_too(serve, open_page):
    served = serve()
    served.ask("pair", "Q?", "one", "two")
    page = open_page(served)
    page.wait_for_selector("#answer-A")
    set_offline(page, True)
    page.keyboard.press("1")
    page.wait_for_function("() => (localStorage.getItem('truing-queue') || '').includes('submit')")
    set_offline(page, False)
    page.reload()
    served.wait_for(t.annotation, 1)
    assert len(served.rows(t.comparison)) == 1


def test_two_browsers_never_exceed_the_overlap(serve, open_page):
    served = serve()
    for i in range(8):
        served.ask("pair", f"Question {i}?", "one", "two")
    pages = [open_page(served, name) for name in ("Ann", "Ben")]
    for _ in range(20):
        for page in pages:
            page.wait_for_selector("#task[aria-busy=false]")
            page.keyboard.press("4")
        if len(served.rows(t.annotation)) == 8:
            break
    served.wait_for(t.annotation, 8)
    said = served.rows(t.annotation)
    assert len({s.task_id for s in said}) == 8 and len(said) == 8
    assert len({s.annotator_id for s in said}) == 2


def test_a_lease_that_ran_out_is_told_and_the_late_answer_counts(serve, open_page):
    served = serve(lease_s=1.0)
    served.ask("pair", "Q?", "one", "two")
    page = open_page(served)
    page.wait_for_selector("#answer-A")
    page.wait_for_timeout(1100)
    other = open_page(served, "Ben")
    other.wait_for_selector("#answer-A")
    other.keyboard.press("1")
    served.wait_for(t.annotation, 1)
    page.keyboard.press("7")
    said = served.wait_for(t.annotation, 2)
    assert [s.extra for s in said] == [False, True]


def test_the_quiz_explains_at_once(serve, open_page):
    from truing.data.records import Comparison, Message, Prompt
    from truing.feedback.tasks import gold

    served = serve()
    with served.db.writing() as connection:
        record = Comparison(Prompt((Message("user", "2 + 2?"),)), "four", "five")
        gold.add_record(connection, served.project, record, "Two and two are four.", onboarding=True)
    served.ask("pair", "Real work?", "one", "two")
    page = open_page(served)
    page.get_by_text("A short quiz before the work").wait_for()
    page.keyboard.press("7" if answer_text(page, "A") == "four" else "1")
    page.get_by_text("Not what we would say. Two and two are four.").wait_for()
    page.keyboard.press("Enter")
    page.get_by_text("Real work?").wait_for()
