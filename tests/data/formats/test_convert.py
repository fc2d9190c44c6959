import pytest

from truing.data.formats.convert import convert, ranking_to_comparisons, ratings_to_comparisons
from truing.data.records import Comparison, Demonstration, Message, Prompt, Ranking, Rating

Q = Prompt((Message("user", "q"),))


def test_all_pairs_of_a_ranking_weigh_one_together_and_a_shared_tier_is_a_tie():
    pairs = ranking_to_comparisons(Ranking(Q, ("c", "a", "b"), (1, 0, 1), "honest", "ann"))
    told = [(p.chosen, p.rejected, p.target, p.criterion, p.annotator, p.origin) for p in pairs]
    assert told == [
        ("a", "c", 1.0, "honest", "ann", "ranking"),
        ("a", "b", 1.0, "honest", "ann", "ranking"),
        ("c", "b", 0.5, "honest", "ann", "ranking"),
    ]
    assert sum(p.weight for p in pairs) == pytest.approx(1.0)


def test_a_ranking_stays_whole_where_rankings_are_wanted():
    ranking = Ranking(Q, ("a", "b"), (0, 1))
    assert convert([ranking], (Comparison, Ranking)) == [ranking]
    assert [type(r) for r in convert([ranking], (Comparison,))] == [Comparison]


def test_a_prompt_is_made_once_of_all_that_share_it():
    made = convert([Demonstration(Q, "a"), Demonstration(Q, "b"), Ranking(Q, ("a", "b"), (0, 1))], (Prompt,))
    assert made == [Q]
    assert convert([Q, Q, Demonstration(Q, "a")], (Prompt,)) == [Q, Q]  # rows that are prompts stay as they are


def test_only_ratings_on_one_scale_by_one_person_of_two_answers_are_compared():
    rated = [
        Rating(Q, "a", 5.0, annotator="ann"),
        Rating(Q, "a", 3.0, annotator="ann"),  # the same answer again
        Rating(Q, "b", 1.0, 0.0, 1.0, annotator="ann"),  # another scale
        Rating(Q, "b", 1.0, annotator="bob"),
        Rating(Q, "b", 1.0, criterion="honest", annotator="ann"),
    ]
    assert ratings_to_comparisons(rated) == []
    (one,) = ratings_to_comparisons([rated[3], Rating(Q, "c", 4.0, annotator="bob")])
    assert (one.chosen, one.rejected, one.margin, one.weight, one.origin) == ("c", "b", 0.75, 0.5, "rating")
