import pytest
from sqlalchemy import func, select

from truing.data.records import Message, Prompt, Response, split_of
from truing.errors import UserError
from truing.feedback.judgements import exchange, snapshot
from truing.feedback.people import auth
from truing.feedback.store import content
from truing.feedback.store import schema as t
from truing.feedback.tasks import leases


def test_a_prompt_is_stored_once_whatever_its_spaces_and_its_split_is_fixed(db, make):
    with db.writing() as connection:
        project = content.open_project(connection)
        first = content.add_prompt(connection, project, make.prompt("Fine ﬁsh?"))
        assert content.add_prompt(connection, project, make.prompt("  Fine fish? ")) == first
        other = content.add_prompt(connection, project, make.prompt("fine fish?"))
        assert other != first  # case is kept
        row = connection.execute(select(t.prompt).where(t.prompt.c.id == first)).one()
        assert row.split == split_of(make.prompt("Fine ﬁsh?").root, content.HELD_OUT)
        told = content.add_prompt(connection, project, Prompt((Message("user", "x"),), split="test"))
        assert connection.scalar(select(t.prompt.c.split).where(t.prompt.c.id == told)) == "test"


def test_guidelines_have_versions_and_the_same_text_is_no_new_one(db):
    with db.writing() as connection:
        project = content.open_project(connection)
        assert content.guideline(connection, project) is None
        one = content.add_guideline(connection, project, "Be kind.")
        assert content.add_guideline(connection, project, "Be kind.") == one
        content.add_guideline(connection, project, "Be right.")
        newest = content.guideline(connection, project)
        assert (newest.version, newest.text) == (2, "Be right.")


def test_a_model_version_is_its_name_and_its_weights(db):
    with db.writing() as connection:
        first = content.add_model(connection, "runs/rl", checkpoint_hash="a" * 64)
        assert content.add_model(connection, "runs/rl", checkpoint_hash="a" * 64) == first
        assert content.add_model(connection, "runs/rl", checkpoint_hash="b" * 64) != first


def test_conversation_to_follows_the_tree(db, make):
    with db.writing() as connection:
        project = content.open_project(connection)
        prompt = content.add_prompt(connection, project, make.prompt("Hello?"))
        answer = content.add_message(connection, prompt, Response("Hi."))
        content.add_message(connection, prompt, Response("Go away."))
        more = content.add_message(connection, prompt, Response("How are you?"), answer, "user")
        told = content.conversation_to(connection, prompt, more)
        assert [(m["role"], m["content"]) for m in told] == [
            ("user", "Hello?"), ("assistant", "Hi."), ("user", "How are you?")
        ]  # fmt: skip


def test_how_an_answer_was_sampled_is_kept(db, make):
    with db.writing() as connection:
        project = content.open_project(connection)
        prompt = content.add_prompt(connection, project, make.prompt("?"))
        response = Response("Yes.", (4, 5), (-0.5, -1.5), "stop", seed=3, sampling=(("temperature", 0.7),))
        identity = content.add_message(connection, prompt, response)
        row = connection.execute(select(t.message).where(t.message.c.id == identity)).one()
        assert (row.token_ids, row.logprob_sum, row.seed, row.finish_reason) == ([4, 5], -2.0, 3, "stop")
        assert row.sampling == {"temperature": 0.7}


def test_the_only_project_needs_no_name(sqlite):
    with sqlite.writing() as connection:
        only = content.open_project(connection, "kindness")
        assert content.project_named(connection) == only
        default = content.open_project(connection)
        assert content.project_named(connection) == default


def test_wrong_names_are_told_with_those_there_are(db):
    with db.writing() as connection:
        content.open_project(connection, "kindness")
        content.open_project(connection, "truth")
        for name in ("kindnes", "default"):
            with pytest.raises(UserError, match=f'no project "{name}" in this store; there are: kindness, truth'):
                content.project_named(connection, name)
        with pytest.raises(UserError, match='did you mean "pair"'):
            content.add_task(connection, "x", "pairs", "y")


def test_audit_keeps_hashes_and_not_texts(db):
    with db.writing() as connection:
        content.audit(connection, "Ann", "edited", "x", before="secret", after="other")
        row = connection.execute(select(t.audit_log)).one()
    assert row.before_hash == content.digest("secret") and "secret" not in str(row)


def test_counts(db, make):
    project, _ = make.project_with(db, "pair", make.conversation("a", "b", "c"), make.conversation("d", "e", "f"))
    with db.reading() as connection:
        assert content.counts(connection, project) == {"prompts": 2, "tasks": 2, "annotations": 0}
        assert connection.scalar(select(func.count()).select_from(t.model_version)) == 1


def test_a_rating_means_what_it_meant_whatever_scale_is_usual_later(sqlite, make):
    with sqlite.writing() as connection:
        project = content.open_project(connection, config={"scale": {"low": 0, "high": 10, "words": []}})
        content.add_conversation(connection, project, make.conversation("q", "A"), "rate")
        (ann,) = [auth.add_person(connection, "Ann")]
        leased = leases.lease(connection, project, ann)
        (answer,) = leases.assignment(connection, leased).shown_order
        leases.submit(connection, leased, ann, {"ratings": {answer: 9}}, "key-00001")
        connection.execute(t.project.update().values(config={"scale": {"low": 1, "high": 7, "words": []}}))
        (rating,) = snapshot.records(connection, snapshot.take(connection, project))
        assert (rating.value, rating.low, rating.high) == (9, 0, 10)
        connection.execute(t.task.update().values(config={}))  # as earlier versions made tasks
        (rating,) = snapshot.records(connection, snapshot.take(connection, project))
        assert (rating.low, rating.high) == (1, 7)
        (event,) = exchange._events(connection, snapshot.take(connection, project))
        assert event["scale"] == {"low": 1, "high": 7}
