import pytest
from sqlalchemy import func, select

from truing.data.records import Message, Prompt, Response, split_of
from truing.errors import UserError
from truing.feedback import assign, auth, exchange, snapshot, store
from truing.feedback import schema as t


def test_a_prompt_is_stored_once_whatever_its_spaces_and_its_split_is_fixed(db, make):
    with db.writing() as connection:
        project = store.open_project(connection)
        first = store.add_prompt(connection, project, make.prompt("Fine ﬁsh?"))
        assert store.add_prompt(connection, project, make.prompt("  Fine fish? ")) == first
        other = store.add_prompt(connection, project, make.prompt("fine fish?"))
        assert other != first  # case is kept
        row = connection.execute(select(t.prompt).where(t.prompt.c.id == first)).one()
        assert row.split == split_of(make.prompt("Fine ﬁsh?").root, store.HELD_OUT)
        told = store.add_prompt(connection, project, Prompt((Message("user", "x"),), split="test"))
        assert connection.scalar(select(t.prompt.c.split).where(t.prompt.c.id == told)) == "test"


def test_guidelines_have_versions_and_the_same_text_is_no_new_one(db):
    with db.writing() as connection:
        project = store.open_project(connection)
        assert store.guideline(connection, project) is None
        one = store.add_guideline(connection, project, "Be kind.")
        assert store.add_guideline(connection, project, "Be kind.") == one
        store.add_guideline(connection, project, "Be right.")
        newest = store.guideline(connection, project)
        assert (newest.version, newest.text) == (2, "Be right.")


def test_a_model_version_is_its_name_and_its_weights(db):
    with db.writing() as connection:
        first = store.add_model(connection, "runs/rl", checkpoint_hash="a" * 64)
        assert store.add_model(connection, "runs/rl", checkpoint_hash="a" * 64) == first
        assert store.add_model(connection, "runs/rl", checkpoint_hash="b" * 64) != first


def test_conversation_to_follows_the_tree(db, make):
    with db.writing() as connection:
        project = store.open_project(connection)
        prompt = store.add_prompt(connection, project, make.prompt("Hello?"))
        answer = store.add_message(connection, prompt, Response("Hi."))
        store.add_message(connection, prompt, Response("Go away."))
        more = store.add_message(connection, prompt, Response("How are you?"), answer, "user")
        told = store.conversation_to(connection, prompt, more)
        assert [(m["role"], m["content"]) for m in told] == [
            ("user", "Hello?"), ("assistant", "Hi."), ("user", "How are you?")
        ]  # fmt: skip


def test_how_an_answer_was_sampled_is_kept(db, make):
    with db.writing() as connection:
        project = store.open_project(connection)
        prompt = store.add_prompt(connection, project, make.prompt("?"))
        response = Response("Yes.", (4, 5), (-0.5, -1.5), "stop", seed=3, sampling=(("temperature", 0.7),))
        identity = store.add_message(connection, prompt, response)
        row = connection.execute(select(t.message).where(t.message.c.id == identity)).one()
        assert (row.token_ids, row.logprob_sum, row.seed, row.finish_reason) == ([4, 5], -2.0, 3, "stop")
        assert row.sampling == {"temperature": 0.7}


def test_the_only_project_needs_no_name(sqlite):
    with sqlite.writing() as connection:
        only = store.open_project(connection, "kindness")
        assert store.project_named(connection) == only
        default = store.open_project(connection)
        assert store.project_named(connection) == default


def test_wrong_names_are_told_with_those_there_are(db):
    with db.writing() as connection:
        store.open_project(connection, "kindness")
        store.open_project(connection, "truth")
        for name in ("kindnes", "default"):
            with pytest.raises(UserError, match=f'no project "{name}" in this store; there are: kindness, truth'):
                store.project_named(connection, name)
        with pytest.raises(UserError, match='did you mean "pair"'):
            store.add_task(connection, "x", "pairs", "y")


def test_audit_keeps_hashes_and_not_texts(db):
    with db.writing() as connection:
        store.audit(connection, "Ann", "edited", "x", before="secret", after="other")
        row = connection.execute(select(t.audit_log)).one()
    assert row.before_hash == store.digest("secret") and "secret" not in str(row)


def test_counts(db, make):
    project, _ = make.project_with(db, "pair", make.conversation("a", "b", "c"), make.conversation("d", "e", "f"))
    with db.reading() as connection:
        assert store.counts(connection, project) == {"prompts": 2, "tasks": 2, "annotations": 0}
        assert connection.scalar(select(func.count()).select_from(t.model_version)) == 1


def test_a_rating_means_what_it_meant_whatever_scale_is_usual_later(sqlite, make):
    with sqlite.writing() as connection:
        project = store.open_project(connection, config={"scale": {"low": 0, "high": 10, "words": []}})
        store.add_conversation(connection, project, make.conversation("q", "A"), "rate")
        (ann,) = [auth.add_person(connection, "Ann")]
        leased = assign.lease(connection, project, ann)
        (answer,) = assign.assignment(connection, leased).shown_order
        assign.submit(connection, leased, ann, {"ratings": {answer: 9}}, "key-00001")
        connection.execute(t.project.update().values(config={"scale": {"low": 1, "high": 7, "words": []}}))
        (rating,) = snapshot.records(connection, snapshot.take(connection, project))
        assert (rating.value, rating.low, rating.high) == (9, 0, 10)
        connection.execute(t.task.update().values(config={}))  # as earlier versions made tasks
        (rating,) = snapshot.records(connection, snapshot.take(connection, project))
        assert (rating.low, rating.high) == (1, 7)
        (event,) = exchange._events(connection, snapshot.take(connection, project))
        assert event["scale"] == {"low": 1, "high": 7}
