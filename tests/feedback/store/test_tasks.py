from sqlalchemy import select

from truing.feedback.store import content, events, projects, queue, tasks
from truing.feedback.store import schema as t
from truing.feedback.store.content import Selection
from truing.feedback.store.events import SKIP, Event
from truing.feedback.store.tasks import Question


def prompt_of(connection):
    return connection.scalar(select(t.prompt.c.id))


def judged(connection, task, person, kind, payload):
    """The event of a person's judgement of a task."""
    row = queue.assignment(connection, queue.give(connection, task, person, 1.0, []))
    return events.record(connection, row, Event(kind, payload, f"key-{task}-{person}", "h"))


def test_a_task_asks_what_its_question_says_in_the_round_that_is_open(db, make):
    project, (before,) = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    with db.writing() as connection:
        round_ = projects.add_round(connection, project, 1, [])
        question = Question("rate", 3, 0.5, {"criterion": "helpful"}, gold=True, reviews="x")
        made = tasks.insert_task(connection, project, question, prompt_of(connection))
        row = connection.execute(select(t.task).where(t.task.c.id == made)).one()
        assert (row.kind, row.overlap, row.priority, row.config) == ("rate", 3, 0.5, {"criterion": "helpful"})
        assert (row.gold, row.reviews_id, row.round_id, row.candidate_set_id) == (True, "x", round_, None)
        assert connection.scalar(select(t.task.c.round_id).where(t.task.c.id == before)) is None
        assert tasks.is_asked(connection, row.prompt_id, "rate", round_)
        assert tasks.is_asked(connection, row.prompt_id, "pair", None)
        assert not tasks.is_asked(connection, row.prompt_id, "pair", round_)


def test_the_answers_that_tasks_ask_about_are_those_of_a_kind_and_of_gold_of_a_sort(db, make):
    project, _ = make.project_with(db, "pair", make.conversation("?", "A", "B"), make.conversation("?", "C", "D"))
    with db.writing() as connection:
        prompt = prompt_of(connection)
        for onboarding, letters in ((True, "EF"), (False, "GH")):
            answers = [content.answer_of_text(connection, prompt, one) for one in letters]
            shown = content.add_candidates(connection, prompt, answers, selection=Selection("gold"))
            task = tasks.insert_task(connection, project, Question("pair", gold=True), prompt, shown)
            tasks.add_gold(connection, task, {"winner": answers[0]}, "because", onboarding)

        def asked(kind="pair", onboarding=None):
            return sorted("".join(sorted(one)) for one in tasks.answers_asked(connection, prompt, kind, onboarding))

        assert asked() == ["AB", "CD", "EF", "GH"] and asked("rank") == []
        assert (asked(onboarding=True), asked(onboarding=False)) == (["EF"], ["GH"])


def test_what_was_judged_of_gold_is_read_as_it_was_at_a_moment(db, make, clock):
    project, (plain,) = make.project_with(db, "pair", make.conversation("?", "A", "B"))
    ann, ben, cleo = make.people(db, "Ann", "Ben", "Cleo")
    with db.writing() as connection:
        quiz = tasks.insert_task(connection, project, Question("pair", 9, gold=True), prompt_of(connection))
        tasks.add_gold(connection, quiz, {"tie": True}, "because", onboarding=True)
        assert tasks.is_quiz(connection, quiz) and not tasks.is_quiz(connection, plain)
        judged(connection, plain, ann, "pair", {})
        judged(connection, quiz, ann, "pair", {"verdict": "tie"})
        clock(10)
        judged(connection, quiz, ben, SKIP, {})
        judged(connection, quiz, cleo, "pair", {"verdict": "better"})
        now = {row.annotator_id: row.payload["verdict"] for row in tasks.judged_gold(connection, project)}
        assert now == {ann: "tie", cleo: "better"}
        assert [row.annotator_id for row in tasks.judged_gold(connection, project, 1_000_005.0)] == [ann]
        (leased,) = connection.scalars(
            select(t.assignment.c.id).where(t.assignment.c.task_id == quiz, t.assignment.c.annotator_id == ann)
        )
        found = tasks.quiz_of(connection, leased)
        assert (found.accepted, found.explanation, found.kind) == ({"tie": True}, "because", "pair")
        other = connection.scalar(select(t.assignment.c.id).where(t.assignment.c.task_id == plain))
        assert tasks.quiz_of(connection, other) is None


def test_a_judgement_is_reviewed_once_and_a_skipped_review_is_none(db, make):
    project, (task,) = make.project_with(db, "pair", make.conversation("?", "A", "B"), overlap=2)
    ann, ben = make.people(db, "Ann", "Ben")
    with db.writing() as connection:
        first = judged(connection, task, ann, "pair", {})
        second = judged(connection, task, ben, "pair", {})
        assert [row.id for row in tasks.unreviewed(connection, project, ["pair"])] == [first, second]
        assert not tasks.unreviewed(connection, project, ["rank"])
        about = [
            tasks.insert_task(connection, project, Question("review", reviews=one), prompt_of(connection))
            for one in (first, second)
        ]
        assert not tasks.unreviewed(connection, project, ["pair"])
        judged(connection, about[0], ben, "review", {"verdict": "agree"})
        judged(connection, about[1], ann, SKIP, {})
        assert [row.payload for row in tasks.given_reviews(connection, project)] == [{"verdict": "agree"}]


def test_open_tasks_are_counted_without_gold_and_those_nobody_has_seen(db, make):
    project, (task, _) = make.project_with(
        db, "pair", make.conversation("?", "A", "B"), make.conversation("!", "A", "B")
    )
    (ann,) = make.people(db, "Ann")
    with db.writing() as connection:
        tasks.insert_task(connection, project, Question("pair", gold=True), prompt_of(connection))
        assert tasks.still_open(connection, project) == tasks.still_open(connection, project, unseen=True) == 2
        queue.give(connection, task, ann, 1.0, [])
        assert (tasks.still_open(connection, project), tasks.still_open(connection, project, unseen=True)) == (2, 1)
