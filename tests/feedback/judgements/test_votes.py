"""What people said of answers, read from every kind of judgement, by the sides they saw."""

from truing.feedback.judgements import votes
from truing.feedback.store import content
from truing.feedback.tasks import leases


def submitted(connection, project, person, payload_of):
    """One judgement through the store's own door; the answers in the order they were stored."""
    one = leases.lease(connection, project, person)
    answers = content.answers(connection, leases.assignment(connection, one).candidate_set_id)
    leases.submit(connection, one, person, payload_of(answers), f"key-{one}")
    return answers, leases.assignment(connection, one).shown_order


def test_a_ranking_is_a_vote_on_each_pair_it_orders_as_it_was_shown(sqlite, make):
    project, _ = make.project_with(sqlite, "rank", make.conversation("?", "long", "tie", "a"))
    (ann,) = make.people(sqlite, "Ann")
    with sqlite.writing() as connection:
        (x, y, z), order = submitted(
            connection, project, ann, lambda said: {"tiers": {said[0]: 0, said[1]: 1, said[2]: 1}, "unranked": []}
        )
        found = {frozenset((v.first, v.second)): v for v in votes.votes(connection, project)}
    assert set(found) == {frozenset((x, y)), frozenset((x, z)), frozenset((y, z))}
    for vote in found.values():
        assert order.index(vote.first) < order.index(vote.second) and not vote.by_marks
    assert found[frozenset((y, z))].outcome == 0.5
    assert found[frozenset((x, y))].outcome == float(found[frozenset((x, y))].first == x)
    assert found[frozenset((x, z))].longer == float(found[frozenset((x, z))].first == x)


def test_ratings_are_marks_and_votes_and_edits_are_neither(sqlite, make):
    project, _ = make.project_with(sqlite, "rate", make.conversation("?", "A", "B"))
    make.project_with(sqlite, "edit", make.conversation("!", "C"))
    (ann,) = make.people(sqlite, "Ann")
    with sqlite.writing() as connection:
        (a, b), _ = submitted(connection, project, ann, lambda said: {"ratings": {said[0]: 2, said[1]: 5}})
        submitted(connection, project, ann, lambda said: {"message": said[0], "text": "D"})
        (vote,), marks = votes.votes(connection, project), votes.marks(connection, project)
    assert (vote.first if vote.outcome else vote.second) == b and not vote.by_marks
    assert {(m.message, m.value, m.low, m.high, m.good_or_bad) for m in marks} == {
        (a, 2, 1, 5, False), (b, 5, 1, 5, False)
    }  # fmt: skip
    with sqlite.reading() as connection:
        labels = votes.labels_of(connection, [vote], marks)
    assert [label.value for label in labels] == [int(vote.pair[0] == b)]


def test_good_and_bad_at_one_sitting_count_once_as_what_was_said(sqlite, make):
    project, _ = make.project_with(sqlite, "binary", make.conversation("?", "A", "B"))
    (ann,) = make.people(sqlite, "Ann")
    with sqlite.writing() as connection:
        (a, b), _ = submitted(connection, project, ann, lambda said: {"good": {said[0]: False, said[1]: True}})
        cast, marks = votes.votes(connection, project), votes.marks(connection, project)
    assert [v.by_marks for v in cast] == [True]  # for the leaderboard; people's agreement is on the marks
    with sqlite.reading() as connection:
        labels = votes.labels_of(connection, cast, marks)
    assert {(label.item, label.value) for label in labels} == {(a, 0), (b, 1)} and all(m.good_or_bad for m in marks)
