import pytest

from truing.data.convert import convert, distinct, on_criterion, ranking_to_comparisons, ratings_to_comparisons
from truing.data.records import Comparison, Demonstration, Edit, Message, Prompt, Ranking, Rating
from truing.errors import UserError

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


def test_pairs_of_a_ranking_keep_its_error_and_round_and_equal_answers_are_no_pair():
    (pair,) = ranking_to_comparisons(Ranking(Q, ("a", "b", "a"), (0, 1, 0), error=0.25, round=3))[:1]
    assert (pair.error, pair.round) == (0.25, 3)
    pairs = ranking_to_comparisons(Ranking(Q, ("a", "b", "a"), (0, 1, 2)))
    assert [(p.chosen, p.rejected, p.weight) for p in pairs] == [("a", "b", 0.5), ("b", "a", 0.5)]
    assert ranking_to_comparisons(Ranking(Q, ("a", "a"), (0, 1))) == []


def test_nothing_is_compared_with_itself():
    """Was: such pairs were learned from, and asked of people."""
    kinds = (Comparison, Ranking)
    for record in (Comparison(Q, "a", "a"), Comparison(Q, "a", "a", 0.5), Ranking(Q, ("a", "a"), (0, 1))):
        assert distinct(record, kinds) is None
        assert distinct(record, (Prompt,)) == record  # what was asked is as good as before
    assert distinct(Ranking(Q, ("a", "b", "a"), (0, 1, 2)), kinds) is None  # where it stands is not known
    assert distinct(Ranking(Q, ("a", "b", "a", "c"), (0, 1, 2, 1)), kinds) == Ranking(Q, ("b", "c"), (1, 1))
    assert distinct(Ranking(Q, ("a", "b", "a"), (1, 0, 1)), kinds) == Ranking(Q, ("a", "b"), (1, 0))
    assert distinct(Edit(Q, "a", "a", "ann"), kinds) == Demonstration(Q, "a", "ann")
    for kept in (Comparison(Q, "a", "b", 0.5), Ranking(Q, ("a", "b"), (0, 0)), Rating(Q, "a", 1), Edit(Q, "a", "b")):
        assert distinct(kept, kinds) == kept
    assert distinct(Edit(Q, "a", "a"), (*kinds, Edit)) == Edit(Q, "a", "a")


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


def test_what_a_person_rates_twice_the_same_counts_once_and_a_crowd_counts_each():
    rated = [Rating(Q, answer, value, annotator="ann") for answer, value in (("a", 5.0), ("b", 1.0), ("a", 5.0))]
    assert len(ratings_to_comparisons(rated)) == 1
    assert len(ratings_to_comparisons([*rated, Rating(Q, "a", 3.0, annotator="ann")])) == 2
    assert len(ratings_to_comparisons([Rating(Q, one.response, one.value) for one in rated])) == 2


def test_answers_that_a_person_has_compared_are_not_compared_again_by_their_ratings():
    rated = [Rating(Q, answer, value, annotator="ann") for answer, value in (("a", 5.0), ("b", 1.0), ("c", 3.0))]
    said = Comparison(Q, "b", "a", annotator="ann")
    made = convert([*rated, said], (Comparison,))
    assert [(c.chosen, c.rejected) for c in made] == [("b", "a"), ("a", "c"), ("c", "b")]
    for other in (Comparison(Q, "b", "a", annotator="bob"), Comparison(Q, "b", "a", criterion="kind", annotator="ann")):
        assert len(convert([*rated, other], (Comparison,))) == 4
    assert convert([*rated, said], (Rating,)) == rated


def test_comparisons_that_follow_from_ratings_beside_them_are_made_anew_with_their_error_and_round():
    """Exports of earlier versions hold both; the margin was a third, two thirds or all then, whatever the scale."""
    rated = [Rating(Q, answer, value, 1, 7, "kind", "ann") for answer, value in (("a", 7.0), ("b", 1.0), ("c", 4.0))]
    figures = {"weight": 0.5, "criterion": "kind", "annotator": "ann", "error": 0.2, "round": 3}
    beside = [Comparison(Q, x, y, 1.0, 1.0, origin="rating", **figures) for x, y in ("ab", "ac", "cb")]
    other = Comparison(Q, "a", "b", origin="rating", annotator="bob")  # whose ratings are not here
    found = convert([*beside, other, *rated], (Comparison,))
    assert found == [
        other,
        *(Comparison(Q, x, y, 1.0, m, origin="rating", **figures) for x, y, m in (("a", "b", 1.0), ("a", "c", 0.5))),
        Comparison(Q, "c", "b", 1.0, 0.5, origin="rating", **figures),
    ]
    assert convert([*beside, *rated], (Comparison, Rating)) == [*beside, *rated]  # asked for as they are


def test_criteria_are_not_mixed_and_none_named_means_overall():
    whole, kind = Comparison(Q, "a", "b"), Comparison(Q, "b", "a", criterion="kind")
    true = Ranking(Q, ("a", "b"), (0, 1), criterion="true")
    lines = []
    assert on_criterion([whole, kind, kind, true], report=lines.append) == [whole]
    told = "judgements on other criteria are left out: 2 on kind, 1 on true; the setting criterion says which are taken"
    assert lines == [told]
    assert on_criterion([whole, kind, true], "true") == [true]
    assert on_criterion([]) == []
    for records, criterion, said in (
        ([kind, true], "", "no judgement is overall; there are 1 on kind, 1 on true"),
        ([kind, kind], "", "no judgement is overall; there are 2 on kind"),
        ([whole], "kind", "no judgement is on kind; there are 1 overall"),
    ):
        with pytest.raises(UserError, match=said):
            on_criterion(records, criterion)


def test_what_answers_no_question_fits_any_criterion_and_does_not_count():
    kind, true = Comparison(Q, "b", "a", criterion="kind"), Ranking(Q, ("a", "b"), (0, 1), criterion="true")
    edit = Edit(Q, "a", "b")
    (edited,) = convert([edit], (Comparison,))
    lines = []
    for free in (edit, edited, Demonstration(Q, "a"), Q):
        assert on_criterion([free, kind, kind], "kind", lines.append) == [free, kind, kind] and lines == []
        assert on_criterion([free, kind, true], "true") == [free, true]
        assert on_criterion([free]) == [free]
        for others, criterion in (([kind, true], ""), ([kind], "true"), ([], "kind")):
            with pytest.raises(UserError, match=f"no judgement is {f'on {criterion}' if criterion else 'overall'}"):
                on_criterion([free, *others], criterion)
    whole = Comparison(Q, "a", "b")
    assert on_criterion([edited, whole, kind], report=lines.append) == [edited, whole] and "1 on kind" in lines[0]
