"""Rows of labelling tools."""

import pytest

from truing.data.formats import argilla, label_studio
from truing.data.records import Comparison, Demonstration, Prompt, Ranking, Rating
from truing.data.validate import BadRow


def argilla_row(question, value, status="submitted", **fields):
    fields = fields or {"prompt": "p", "a": "A", "b": "B"}
    response = {"value": value, "user_id": "u", "status": status}
    return {"id": "x", "fields": fields, "responses": {question: [response]}}


def test_argilla_choices_rankings_ratings_texts():
    (choice,) = argilla.records_of(argilla_row("better", "b"))
    assert isinstance(choice, Comparison) and (choice.chosen, choice.rejected, choice.annotator) == ("B", "A", "u")
    (tie,) = argilla.records_of(argilla_row("better", "tie"))
    assert tie.target == 0.5
    ranked = [{"value": "b", "rank": 1}, {"value": "a", "rank": 3}]
    (ranking,) = argilla.records_of(argilla_row("order", ranked))
    assert isinstance(ranking, Ranking) and (ranking.responses, ranking.tiers) == (("B", "A"), (0, 1))
    (rating,) = argilla.records_of(argilla_row("quality_b", 4))
    assert isinstance(rating, Rating) and (rating.response, rating.value) == ("B", 4)
    (text,) = argilla.records_of(argilla_row("answer", "Mine.", prompt="p"))
    assert isinstance(text, Demonstration) and text.response == "Mine."


def test_argilla_drafts_say_nothing_and_what_is_unclear_is_refused():
    assert isinstance(argilla.records_of(argilla_row("better", "b", status="discarded"))[0], Prompt)
    with pytest.raises(BadRow, match="no field is a prompt"):
        argilla.records_of(argilla_row("better", "b", text="p"))
    with pytest.raises(BadRow, match="which of the 2 answers"):
        argilla.records_of(argilla_row("quality", 4))
    with pytest.raises(BadRow, match="ranks none of a, b"):
        argilla.records_of(argilla_row("order", [{"value": "z", "rank": 1}]))
    for few in ([], ["a"], ["a", "a"], [{"value": "b", "rank": 1}]):
        with pytest.raises(BadRow, match="order: a ranking needs two answers or more"):
            argilla.records_of(argilla_row("order", few))
    for value in (10**400, float("nan"), float("inf")):
        with pytest.raises(BadRow, match="quality_b: a rating must be a number"):
            argilla.records_of(argilla_row("quality_b", value))
    with pytest.raises(BadRow, match="between two answers"):
        argilla.records_of(argilla_row("better", "a", prompt="p", a="A", b="B", c="C"))


def studio_row(kind, value, data=None, cancelled=False):
    data = data or {"prompt": "p", "answer1": "A", "answer2": "B"}
    result = [{"from_name": "x", "type": kind, "value": value}]
    return {"id": 1, "data": data, "annotations": [{"completed_by": 4, "was_cancelled": cancelled, "result": result}]}


def test_label_studio_pairs_rankings_ratings_texts():
    (pair,) = label_studio.records_of(studio_row("pairwise", {"selected": "right"}))
    assert (pair.chosen, pair.rejected, pair.annotator) == ("B", "A", "4")
    data = {"prompt": "p", "items": [{"id": "x", "body": "X"}, {"id": "y", "body": "Y"}]}
    (ranking,) = label_studio.records_of(studio_row("ranker", {"ranker": {"rank": ["y", "x"]}}, data))
    assert (ranking.responses, ranking.tiers) == (("Y", "X"), (0, 1))
    (rating,) = label_studio.records_of(studio_row("rating", {"rating": 4}, {"prompt": "p", "answer": "A"}))
    assert (rating.response, rating.value) == ("A", 4)
    (text,) = label_studio.records_of(studio_row("textarea", {"text": ["Mine."]}, {"prompt": "p"}))
    assert text.response == "Mine."


def test_label_studio_skips_say_nothing_and_what_is_unclear_is_refused():
    assert isinstance(label_studio.records_of(studio_row("pairwise", {"selected": "left"}, cancelled=True))[0], Prompt)
    for row, said in (
        (studio_row("pairwise", {"selected": "up"}), "left or right of two"),
        (studio_row("ranker", {"ranker": {"rank": ["z", "y"]}}), "does not order"),
        (studio_row("pairwise", None), "has no value"),
        (studio_row("pairwise", {"selected": "left"}, {"x": 1}), "no field of data is a prompt"),
    ):
        with pytest.raises(BadRow, match=said):
            label_studio.records_of(row)
