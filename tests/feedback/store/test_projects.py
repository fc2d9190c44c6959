import pytest
from sqlalchemy import func, select

from truing.errors import UserError
from truing.feedback.store import projects, tasks
from truing.feedback.store import schema as t
from truing.feedback.store.tasks import Question


def test_guidelines_have_versions_and_the_same_text_is_no_new_one(db):
    with db.writing() as connection:
        project = projects.open_project(connection)
        assert projects.guideline(connection, project) is None
        one = projects.add_guideline(connection, project, "Be kind.")
        assert projects.add_guideline(connection, project, "Be kind.") == one
        projects.add_guideline(connection, project, "Be right.")
        newest = projects.guideline(connection, project)
        assert (newest.version, newest.text) == (2, "Be right.")


def test_the_only_project_needs_no_name(sqlite):
    with sqlite.writing() as connection:
        only = projects.open_project(connection, "kindness")
        assert projects.project_named(connection) == only
        default = projects.open_project(connection)
        assert projects.project_named(connection) == default


def test_wrong_names_are_told_with_those_there_are(db):
    with db.writing() as connection:
        projects.open_project(connection, "kindness")
        projects.open_project(connection, "truth")
        for name in ("kindnes", "default"):
            with pytest.raises(UserError, match=f'no project "{name}" in this store; there are: kindness, truth'):
                projects.project_named(connection, name)


def test_counts(db, make):
    project, _ = make.project_with(db, "pair", make.conversation("a", "b", "c"), make.conversation("d", "e", "f"))
    with db.reading() as connection:
        assert projects.counts(connection, project) == {"prompts": 2, "tasks": 2, "annotations": 0}
        assert connection.scalar(select(func.count()).select_from(t.model_version)) == 1


def test_one_round_is_open_and_ends_with_the_tasks_of_it_that_are_open(db, make):
    project, (before,) = make.project_with(db, "pair", make.conversation("a", "b", "c"))
    with db.writing() as connection:
        assert projects.open_round(connection, project) is None
        one = projects.add_round(connection, project, 1, ["runs/sft"])
        assert projects.open_round(connection, project).id == one
        prompt = connection.scalar(select(t.prompt.c.id))
        during = tasks.insert_task(connection, project, Question("demo"), prompt)
        projects.end_round(connection, one, None, {"judged": 3})
        assert projects.open_round(connection, project) is None
        (row,) = projects.rounds(connection, project)
        assert (row.number, row.served, row.metrics) == (1, ["runs/sft"], {"judged": 3})
        states = dict(connection.execute(select(t.task.c.id, t.task.c.state)).all())
        assert states == {before: "open", during: "closed"}
