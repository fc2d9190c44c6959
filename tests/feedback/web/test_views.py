import pytest
from sqlalchemy import select

from truing.feedback.store import schema as t
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import kinds, leases, questions
from truing.feedback.web import views


def leased(here, person):
    with here.db.writing() as connection:
        return leases.lease(connection, here.project, person)


def test_each_kind_has_what_its_page_needs(here):
    client = here.signed_in("Ann")
    for kind, answers in (("rank", "ABCD"), ("rate", "A"), ("demo", ""), ("edit", "A"), ("binary", "AB"), ("chat", "")):
        here.ask(kind, f"{kind}?", *answers)
        one = leased(here, client.person)
        with here.db.writing() as connection:
            task = views.task(connection, here.site, one)
            assert task["kind"] == kind and sorted(a["text"] for a in task["answers"]) == sorted(answers)
            assert task["question"] == kinds.TABLE[kind].question
            assert (task["scale"] is not None) == (kind == "rate")
            assert task["keep_best"] == (3 if kind == "rank" else None)
            leases.skip(connection, one, client.person, "other", f"key-{kind}")


def test_markdown_only_where_it_is_asked_for(here, site_with):
    assert views.turn("user", "*a*", here.site)["html"] is None
    assert "<em>a</em>" in views.turn("user", "*a*", site_with(show_markdown=True).site)["html"]


def test_a_review_shows_the_judgement_in_words_and_not_who_made_it(here):
    task = here.ask("rank", "Which?", *"ABC")
    ann, ben = here.signed_in("Annabel"), here.signed_in("Ben")
    one = leased(here, ann.person)
    with here.db.writing() as connection:
        row = connection.execute(select(t.task).where(t.task.c.id == task)).one()
        c = t.message.c
        ids = {r.content: r.id for r in connection.execute(select(c.id, c.content))}
        payload = {"tiers": {ids["B"]: 0, ids["A"]: 1}, "unranked": [ids["C"]], "reason": "B is short"}
        said, _ = leases.submit(connection, one, ann.person, payload, "key-00001")
        question = Question("review", reviews=said)
        questions.add_task(connection, here.project, question, row.prompt_id, row.candidate_set_id)
    review = leased(here, ben.person)
    with here.db.reading() as connection:
        told = views.task(connection, here.site, review)
    letter = {a["text"]: "ABC"[i] for i, a in enumerate(told["answers"])}
    assert told["reviewed"]["words"] == f"{letter['B']} > {letter['A']} > {letter['C']} (B is short)"
    assert "Annabel" not in str(told)


def test_progress_counts_what_stands(here):
    here.ask("pair", "1?", "A", "B")
    here.ask("pair", "2?", "A", "B")
    client = here.signed_in("Ann")
    one = leased(here, client.person)
    with here.db.writing() as connection:
        leases.submit(connection, one, client.person, {"verdict": "tie"}, "key-00001")
        assert views.progress(connection, here.site, client.person) == {"mine": 1, "today": 1, "left": 1, "total": 2}
        leases.undo(connection, client.person, "key-00002")
        assert views.progress(connection, here.site, client.person)["mine"] == 0


@pytest.mark.parametrize(
    ("kind", "answers", "keep_best", "criteria"),
    [("rank", "ABC", None, False), ("rank", "ABCD", 3, False), ("rate", "ABCD", None, True)],
)
def test_a_page_asks_what_its_kind_has_a_question_for(here, kind, answers, keep_best, criteria):
    """All of three are ranked, of four the best three may be; criteria that a task has are asked where the kind can."""
    here.ask(kind, "?", *answers)
    asked = [{"name": "kind", "words": "Which is kinder?"}]
    client = here.signed_in("Ann")
    with here.db.writing() as connection:
        connection.execute(t.task.update().values(config={"criteria": asked}))
    one = leased(here, client.person)
    with here.db.reading() as connection:
        task = views.task(connection, here.site, one)
    assert (task["keep_best"], task["criteria"]) == (keep_best, asked if criteria else [])
