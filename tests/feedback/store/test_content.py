from sqlalchemy import select

from truing.data.records import Message, Prompt, Response, split_of
from truing.feedback.people import auth
from truing.feedback.store import content, projects
from truing.feedback.store import schema as t
from truing.feedback.store.content import Author, Selection


def test_a_prompt_is_stored_once_whatever_its_spaces_and_its_split_is_fixed(db, make):
    with db.writing() as connection:
        project = projects.open_project(connection)
        first = content.add_prompt(connection, project, make.prompt("Fine ﬁsh?"))
        assert content.add_prompt(connection, project, make.prompt("  Fine fish? ")) == first
        other = content.add_prompt(connection, project, make.prompt("fine fish?"))
        assert other != first  # case is kept
        row = connection.execute(select(t.prompt).where(t.prompt.c.id == first)).one()
        assert row.split == split_of(make.prompt("Fine ﬁsh?").root, content.HELD_OUT)
        told = content.add_prompt(connection, project, Prompt((Message("user", "x"),), split="test"))
        assert connection.scalar(select(t.prompt.c.split).where(t.prompt.c.id == told)) == "test"


def test_a_model_version_is_its_name_and_its_weights(db):
    with db.writing() as connection:
        first = content.add_model(connection, "runs/rl", checkpoint_hash="a" * 64)
        assert content.add_model(connection, "runs/rl", checkpoint_hash="a" * 64) == first
        assert content.add_model(connection, "runs/rl", checkpoint_hash="b" * 64) != first


def test_conversation_to_follows_the_tree(db, make):
    with db.writing() as connection:
        project = projects.open_project(connection)
        prompt = content.add_prompt(connection, project, make.prompt("Hello?"))
        answer = content.add_message(connection, prompt, Response("Hi."))
        content.add_message(connection, prompt, Response("Go away."))
        more = content.add_message(connection, prompt, Response("How are you?"), answer, Author(role="user"))
        told = content.conversation_to(connection, prompt, more)
        assert [(m["role"], m["content"]) for m in told] == [
            ("user", "Hello?"), ("assistant", "Hi."), ("user", "How are you?")
        ]  # fmt: skip


def test_how_an_answer_was_sampled_is_kept(db, make):
    with db.writing() as connection:
        project = projects.open_project(connection)
        prompt = content.add_prompt(connection, project, make.prompt("?"))
        response = Response("Yes.", (4, 5), (-0.5, -1.5), "stop", seed=3, sampling=(("temperature", 0.7),))
        identity = content.add_message(connection, prompt, response)
        row = connection.execute(select(t.message).where(t.message.c.id == identity)).one()
        assert (row.token_ids, row.logprob_sum, row.seed, row.finish_reason) == ([4, 5], -2.0, 3, "stop")
        assert row.sampling == {"temperature": 0.7}


def test_an_answer_of_a_text_is_found_again_and_not_in_the_turns_below(sqlite, make):
    with sqlite.writing() as connection:
        prompt = content.add_prompt(connection, projects.open_project(connection), make.prompt("Hello?"))
        answer = content.answer_of_text(connection, prompt, "Hi.")
        assert content.answer_of_text(connection, prompt, "Hi.") == answer
        below = content.add_message(connection, prompt, Response("Well?"), answer, Author(role="user"))
        assert content.answer_of_text(connection, prompt, "Well?") != below


def test_how_answers_were_chosen_is_kept_with_what_asking_is_worth(sqlite, make):
    with sqlite.writing() as connection:
        prompt = content.add_prompt(connection, projects.open_project(connection), make.prompt("Hello?"))
        two = [content.answer_of_text(connection, prompt, text) for text in "AB"]
        selection = Selection("disagreement", 0.25, {two[0]: 1.5, two[1]: -0.5})
        chosen = content.add_candidates(connection, prompt, two, selection=selection)
        row = connection.execute(select(t.candidate_set).where(t.candidate_set.c.id == chosen)).one()
        assert (row.selection, row.acquisition, row.scores) == ("disagreement", 0.25, {two[0]: 1.5, two[1]: -0.5})
        assert content.answers(connection, chosen) == content.answers_beside(connection, two[1]) == two
        assert content.answers_beside(connection, "nobody's") == []


def test_the_answers_to_a_person_are_those_below_what_they_said_last(sqlite, make):
    with sqlite.writing() as connection:
        prompt = content.add_prompt(connection, projects.open_project(connection), make.prompt("Hello?"))
        ann, ben = (auth.add_person(connection, name) for name in ("Ann", "Ben"))
        made = []
        for person, text in ((ann, "One."), (ben, "Two."), (ann, "Three.")):
            turn = content.add_message(connection, prompt, Response(text), author=Author(person=person, role="user"))
            made.append(
                content.add_candidates(connection, prompt, [content.answer_of_text(connection, prompt, "A")], turn)
            )
        assert content.newest_candidates(connection, prompt, ann) == made[2]
        assert content.newest_candidates(connection, prompt, ben) == made[1]
        assert content.newest_candidates(connection, prompt, auth.add_person(connection, "Cleo")) is None


def test_a_page_of_prompts_has_the_newest_first_and_finds_texts_in_and_below_them(db, make, clock):
    project, _ = make.project_with(db, "pair", make.conversation("Why 100%?", "Because.", "No_reason."))
    clock(1)
    make.project_with(db, "pair", make.conversation("WHEN?", "Now.", "Then.", "Never."))

    def found(search="", start=0, count=10):
        rows = content.prompts_page(connection, project, search, start, count)
        return [(row.messages[0]["content"], row.answers, row.comparisons) for row in rows]

    with db.reading() as connection:
        assert found() == [("WHEN?", 3, 0), ("Why 100%?", 2, 0)]
        assert found(start=1) == [("Why 100%?", 2, 0)] and found(count=1) == [("WHEN?", 3, 0)]
        assert found("when") == [("WHEN?", 3, 0)] == found("Never")
        assert found("0%") == [("Why 100%?", 2, 0)] and not found("0%y")
        assert found("o_r") == [("Why 100%?", 2, 0)] and not found("N_v")
