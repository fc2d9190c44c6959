import pytest
from sqlalchemy import select

from truing.data.records import Comparison, Demonstration, Edit, Flag, Ranking, Rating
from truing.errors import UserError
from truing.feedback.judgements import exchange, rounds, snapshot
from truing.feedback.people import auth
from truing.feedback.store import content, database, projects
from truing.feedback.store import schema as t
from truing.feedback.store.content import Author
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import leases, questions
from truing.loop import sources


def say(db, project, person, *payloads):
    """One judgement after the other; a payload is made of the answers' ids by their texts."""
    with db.writing() as connection:
        for make_payload in payloads:
            one = leases.lease(connection, project, person)
            row = leases.assignment(connection, one)
            m = t.message.c
            ids = {
                r.content: r.id for r in connection.execute(select(m.id, m.content).where(m.id.in_(row.shown_order)))
            }
            leases.submit(connection, one, person, make_payload(ids), f"key-{one}")


def frozen(db, project, **options):
    with db.writing() as connection:
        return snapshot.records(connection, snapshot.take(connection, project), **options)


def better(winner, strength):
    return lambda ids: {"verdict": "better", "winner": ids[winner], "strength": strength}


def test_pairs_become_comparisons_with_strength_as_margin_or_label(sqlite, make):
    project, _ = make.project_with(sqlite, "pair", make.conversation("?", "A", "B"), make.conversation("!", "C", "D"))
    (ann,) = make.people(sqlite, "Ann")
    say(sqlite, project, ann, better("B", 2), lambda ids: {"verdict": "both_bad"})
    first, tie, *rest = frozen(sqlite, project, errors={ann: 0.2})
    assert isinstance(first, Comparison)
    assert (first.chosen, first.rejected, first.target, first.error) == ("B", "A", 1.0, 0.2)
    assert first.margin == pytest.approx(2 / 3) and first.annotator == ann and first.prompt.messages[0].content == "?"
    assert (tie.target, tie.margin) == (0.5, 0.0)
    assert [(type(r), r.value) for r in rest] == [(Rating, 0), (Rating, 0)]
    soft = frozen(sqlite, project, strength="soft")[0]
    assert (soft.target, soft.margin) == (0.85, 0.0)
    assert frozen(sqlite, project, strength="none")[0].margin == 0


def test_rankings_stay_whole_and_the_best_three_become_what_they_order(sqlite, make):
    project, _ = make.project_with(sqlite, "rank", make.conversation("?", *"ABC"), make.conversation("!", *"DEFGH"))
    (ann,) = make.people(sqlite, "Ann")
    say(
        sqlite, project, ann,
        lambda ids: {"tiers": {ids["A"]: 1, ids["B"]: 0, ids["C"]: 1}},
        lambda ids: {"tiers": {ids["D"]: 0, ids["E"]: 1, ids["F"]: 2}, "unranked": [ids["G"], ids["H"]]},
    )  # fmt: skip
    ranking, *pairs = frozen(sqlite, project)
    assert isinstance(ranking, Ranking)
    assert dict(zip(ranking.responses, ranking.tiers, strict=True)) == {"A": 1, "B": 0, "C": 1}
    assert all(isinstance(pair, Comparison) for pair in pairs) and len(pairs) == 9
    assert sum(pair.weight for pair in pairs) == pytest.approx(1)
    assert {("D", "G"), ("F", "H")} <= {(p.chosen, p.rejected) for p in pairs}


def test_ratings_edits_demonstrations_flags(sqlite, make):
    project, _ = make.project_with(sqlite, "rate", make.conversation("?", "A", "B"))
    (ann,) = make.people(sqlite, "Ann")
    say(sqlite, project, ann, lambda ids: {"ratings": {ids["A"]: 5, ids["B"]: 1}, "flags": {ids["B"]: ["false"]}})
    found = frozen(sqlite, project, errors={ann: 0.2})
    assert sorted((r.value, r.error) for r in found if isinstance(r, Rating)) == [(1, 0.2), (5, 0.2)]
    assert [(r.response, r.name) for r in found if isinstance(r, Flag)] == [("B", "false")]
    assert len(found) == 3  # what the ratings say of two answers, `convert` says
    with sqlite.writing() as connection:
        questions.add_conversation(connection, project, make.conversation("write", "Bad."), Question("edit"))
        questions.add_conversation(connection, project, make.conversation("say"), Question("demo"))
    say_ = [lambda ids: {"message": ids["Bad."], "text": "Good."}, lambda ids: {"text": "Mine."}]
    (ben,) = make.people(sqlite, "Ben")
    say(sqlite, project, ben, *say_)
    found = frozen(sqlite, project)
    assert [(r.before, r.after) for r in found if isinstance(r, Edit)] == [("Bad.", "Good.")]
    assert [r.response for r in found if isinstance(r, Demonstration)] == ["Mine."]
    assert not [r for r in found if isinstance(r, Comparison) and r.origin == "edit"]  # the edit says it


def test_a_snapshot_stays_as_it_was_whatever_is_said_or_taken_back_later(sqlite, make):
    project, _ = make.project_with(sqlite, "pair", make.conversation("?", "A", "B"), make.conversation("!", "C", "D"))
    (ann,) = make.people(sqlite, "Ann")
    say(sqlite, project, ann, better("A", 1))
    with sqlite.writing() as connection:
        first = snapshot.take(connection, project)
        before = snapshot.records(connection, first)
        assert snapshot.take(connection, project) == first  # the same judgements are the same snapshot
        leases.undo(connection, ann, "key-undo1")
        with pytest.raises(UserError, match="no judgement"):
            snapshot.take(connection, project)
        assert snapshot.records(connection, first) == before and len(before) == 1
        assert snapshot.described(connection, first)["judgements"] == 1
        with pytest.raises(UserError, match="no snapshot"):
            snapshot.described(connection, "nothing")


def test_filters_by_round_and_person(sqlite, make):
    ann, ben = make.people(sqlite, "Ann", "Ben")
    project, _ = make.project_with(sqlite, "pair", make.conversation("?", "A", "B"), overlap=2)
    say(sqlite, project, ann, better("A", 1))
    say(sqlite, project, ben, better("B", 1))
    with sqlite.writing() as connection:
        assert rounds.open_round(connection, project) == 1
        questions.add_conversation(connection, project, make.conversation("2?", "E", "F"), Question("pair"))
    say(sqlite, project, ann, better("E", 3))
    with sqlite.writing() as connection:
        for filters, chosen in (({"round": 1}, ["E"]), ({"annotators": ["Ben"]}, ["B"])):
            told = snapshot.records(connection, snapshot.take(connection, project, filters))
            assert [c.chosen for c in told] == chosen
        assert snapshot.records(connection, snapshot.take(connection, project, {"round": 1}))[0].round == 1
        with pytest.raises(UserError, match="there is no round 2; there are 1"):
            snapshot.take(connection, project, {"round": 2})
        with pytest.raises(UserError, match=r"no judgement of round 1, annotators \['Ben'\] to take"):
            snapshot.take(connection, project, {"round": 1, "annotators": ["Ben"]})
        with pytest.raises(UserError, match='filter "colour"'):
            snapshot.take(connection, project, {"colour": 1})


def test_a_turn_of_a_chat_has_its_conversation_as_prompt(sqlite, make):
    from truing.data.records import Response

    project, _ = make.project_with(sqlite, "chat", make.conversation("Hello?"))
    (ann,) = make.people(sqlite, "Ann")
    with sqlite.writing() as connection:
        one = leases.lease(connection, project, ann)
        place = leases.assignment(connection, one).prompt_id
        hi = content.add_message(connection, place, Response("Hi."))
        asked = content.add_message(connection, place, Response("A joke?"), hi, Author(person=ann, role="user"))
        pair = [content.add_message(connection, place, Response(text), asked) for text in ("Knock.", "No.")]
        candidates = content.add_candidates(connection, place, pair, asked)
        said = {"verdict": "better", "winner": pair[0], "strength": 3, "goes_on": pair[0]}
        leases.turn(connection, leases.assignment(connection, one), candidates, said, "key-00001")
    (comparison,) = frozen(sqlite, project)
    assert [m.content for m in comparison.prompt.messages] == ["Hello?", "Hi.", "A joke?"]
    assert comparison.chosen == "Knock."
    assert comparison.prompt.id != place  # the turns of a chat are prompts of their own


def test_equal_texts_teach_nothing_and_are_told(sqlite, make):
    """Earlier versions asked people about them. A text twice in one tier stands there once, in two tiers nowhere."""
    talk = make.conversation
    project, _ = make.project_with(
        sqlite, "rank", talk("one tier", *"ABA"), talk("two tiers", *"CDEC"), talk("nothing left", *"FFG")
    )  # fmt: skip
    (ann,) = make.people(sqlite, "Ann")
    tiers = ({"A": [0, 0], "B": [1]}, {"C": [0, 2], "D": [1], "E": [3]}, {"F": [0, 1], "G": [2]})
    with sqlite.writing() as connection:
        for given in tiers:
            one = leases.lease(connection, project, ann)
            shown = connection.execute(
                select(t.message.c.id, t.message.c.content)
                .join(t.candidate)
                .where(t.candidate.c.candidate_set_id == leases.assignment(connection, one).candidate_set_id)
            )
            left = {text: list(places) for text, places in given.items()}
            said = {"tiers": {row.id: left[row.content].pop(0) for row in shown}}
            leases.submit(connection, one, ann, said, f"key-{one}")
    lines = []
    found = frozen(sqlite, project, report=lines.append)
    assert [dict(zip(r.responses, r.tiers, strict=True)) for r in found] == [{"A": 0, "B": 1}, {"D": 1, "E": 3}]
    assert len(lines) == 1 and lines[0].endswith("left out: 5 answers compared with a text equal to theirs")


def test_a_snapshot_of_an_earlier_version_says_that_its_ratings_teach_something_else(before):
    with before.reading() as connection:
        old = list(connection.scalars(select(t.snapshot.c.id).order_by(t.snapshot.c.created_at)))
    with before.writing() as connection:
        project = projects.project_named(connection)
        new = snapshot.take(connection, project)
        pairs = snapshot.take(connection, project, {"round": 2, "annotators": ["Ben"]})  # nothing is rated in it
        assert [snapshot.is_of_earlier_rules(connection, one) for one in (*old, new, pairs)] == [
            True,
            True,
            False,
            False,
        ]
        assert new not in old and snapshot.take(connection, project) == new
    told = {}
    for one in (*old, new):
        lines = told[one] = []
        sources.read([f"{before.name}#{one}"], (Comparison,), report=lines.append)
    said = [[line for line in told[one] if "taken by an earlier version" in line] for one in (*old, new)]
    assert [len(lines) for lines in said] == [1, 1, 0]


def test_a_snapshot_without_ratings_has_the_hash_it_had(sqlite, make):
    project, _ = make.project_with(sqlite, "pair", make.conversation("?", "A", "B"))
    (ann,) = make.people(sqlite, "Ann")
    say(sqlite, project, ann, better("A", 1))
    with sqlite.writing() as connection:
        (row,) = connection.execute(select(t.annotation)).all()
        told = snapshot.described(connection, snapshot.take(connection, project))
    assert told["hash"] == database.digest(f"{row.id} {row.body_hash}")


def test_a_snapshot_with_ratings_names_the_version_of_what_they_teach(sqlite, make):
    """The third: a rating that its person gave twice teaches once."""
    project, _ = make.project_with(sqlite, "rate", make.conversation("?", "A"))
    (ann,) = make.people(sqlite, "Ann")
    say(sqlite, project, ann, lambda ids: {"ratings": {ids["A"]: 3}})
    with sqlite.writing() as connection:
        (row,) = connection.execute(select(t.annotation)).all()
        told = snapshot.described(connection, snapshot.take(connection, project))
    assert told["hash"] == database.digest(f"{row.id} {row.body_hash} 3")


def test_what_is_known_of_a_person_here_comes_before_what_an_import_said(sqlite, make):
    given = [
        Comparison(make.prompt(name), "A", "B", annotator=name, error=error)
        for name, error in (("Ann", 0.25), ("Ben", 0.0), ("", 0.0))
    ]
    exchange.bring_in(sqlite, given, "default")
    with sqlite.writing() as connection:
        ann, ben = (auth.anybody_named(connection, name) for name in ("Ann", "Ben"))
        taken = snapshot.take(connection, projects.project_named(connection))

        def errors(known):
            return [r.error for r in snapshot.records(connection, taken, errors=known, prior=0.5)]

        assert errors({ann: 0.125}) == [0.125, 0.5, 0.0] and errors({}) == [0.25, 0.5, 0.0]  # of nobody: nothing
        assert errors({ben: 0.0}) == [0.25, 0.0, 0.0]


def test_a_long_flag_is_cut_as_its_row_is(sqlite, make):
    project, _ = make.project_with(sqlite, "pair", make.conversation("?", "A", "B"))
    (ann,) = make.people(sqlite, "Ann")
    say(sqlite, project, ann, lambda ids: {"verdict": "tie", "flags": {ids["A"]: ["x" * 300]}})
    (flag,) = [r for r in frozen(sqlite, project) if isinstance(r, Flag)]
    with sqlite.reading() as connection:
        assert flag.name == connection.scalar(select(t.flag.c.name)) == "x" * 100


def test_a_snapshot_of_nobody_is_refused_and_one_that_is_taken_is_noted(sqlite, make):
    project, _ = make.project_with(sqlite, "pair", make.conversation("?", "A", "B"))
    (ann,) = make.people(sqlite, "Ann")
    with sqlite.writing() as connection:
        leases.submit(connection, leases.lease(connection, project, ann), ann, {"verdict": "tie"}, "key-00001")
        with pytest.raises(UserError, match="there is no judgement of annotators"):
            snapshot.take(connection, project, {"annotators": []})
        frozen = snapshot.take(connection, project)
        noted = connection.execute(select(t.audit_log).where(t.audit_log.c.what == "snapshot")).one()
        assert (noted.who, noted.about) == ("truing", frozen)
        assert noted.after_hash == database.digest(snapshot.described(connection, frozen)["hash"])
