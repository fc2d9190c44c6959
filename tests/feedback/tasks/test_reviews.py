from sqlalchemy import select

from truing.feedback.judgements import agreement
from truing.feedback.store import schema as t
from truing.feedback.tasks import leases, reviews


def test_judgements_are_reviewed_once_by_somebody_else(sqlite, make):
    project, _ = make.project_with(sqlite, "pair", *[make.conversation(f"{i}?", "A", "B") for i in range(3)])
    ann, ben = make.people(sqlite, "Ann", "Ben")
    with sqlite.writing() as connection:
        for i in range(3):
            one = leases.lease(connection, project, ann)
            leases.submit(connection, one, ann, {"verdict": "tie"}, f"key-{i:05}")
        assert reviews.ask(connection, project, 2) == 2
        assert reviews.ask(connection, project, 9) == 1  # the others are asked for already
        assert reviews.ask(connection, project, 9) == 0
        of = connection.scalars(select(t.task.c.reviews_id).where(t.task.c.kind == "review")).all()
        assert len(set(of)) == 3
        assert leases.lease(connection, project, ann) is None
        for i, verdict in enumerate(("agree", "disagree", "agree")):
            one = leases.lease(connection, project, ben)
            leases.submit(connection, one, ben, {"verdict": verdict}, f"key-{i:05}")
        agree, prompts = reviews.results(connection, project)
        assert agree == [True, False, True] and len(set(prompts)) == 3
        told = agreement.figures(connection, project)
    assert told["reviews"]["share"] == 2 / 3
    assert told["progress"]["tasks"] == 3 and told["progress"]["filled"] == 3  # reviews are no judgements of answers


def test_a_review_may_be_skipped(sqlite, make):
    project, _ = make.project_with(sqlite, "pair", make.conversation("?", "A", "B"))
    ann, ben = make.people(sqlite, "Ann", "Ben")
    with sqlite.writing() as connection:
        leases.submit(connection, leases.lease(connection, project, ann), ann, {"verdict": "tie"}, "key-00001")
        reviews.ask(connection, project, 1)
        leases.skip(connection, leases.lease(connection, project, ben), ben, "other", "key-00001")
        assert agreement.figures(connection, project)["reviews"] == {"share": None, "interval": None, "n": 0}
