"""Rows of labelling tools."""

import pytest

from truing.data import formats
from truing.data.formats import argilla, files, label_studio
from truing.data.records import Comparison, Demonstration, Message, Prompt, Ranking, Rating
from truing.data.validate import BadRow, Unread, Unusable
from truing.errors import UserError

ASKED = Prompt((Message("user", "p"),))


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
    for rank in (10**30, True, 1.5):
        with pytest.raises(BadRow, match="ranks none of a, b"):
            argilla.records_of(argilla_row("order", [{"value": "a", "rank": rank}, {"value": "b", "rank": 2}]))
    for value in (10**400, float("nan"), float("inf")):
        with pytest.raises(BadRow, match="quality_b: a rating must be a number"):
            argilla.records_of(argilla_row("quality_b", value))
    with pytest.raises(BadRow, match="between two answers"):
        argilla.records_of(argilla_row("better", "a", prompt="p", a="A", b="B", c="C"))


def test_argilla_answers_that_name_no_field_are_no_bare_prompt():
    """Was: a row with a label, or a comment on its answers, was read as a prompt that nobody has judged."""
    for value in ("safe", ["fluent", "short"], "Because it is kind.", True, {"start": 1}):
        with pytest.raises(BadRow, match='not understood: question "topic"'):
            argilla.records_of(argilla_row("topic", value))
    row = argilla_row("better", "b")
    row["responses"]["topic"] = [{"value": "safe", "user_id": "u"}, {"value": "safe", "user_id": "v"}]
    choice, *unread = argilla.records_of(row)
    assert choice.chosen == "B" and unread == [Unread('question "topic"')] * 2
    assert argilla.records_of(argilla_row("topic", " ", prompt="p")) == [ASKED]  # nothing is written: nothing is said


def test_argilla_ratings_below_one_stay_on_their_scale():
    for value in (0, -2, 0.5):
        (rating,) = argilla.records_of(argilla_row("quality_b", value))
        assert rating.low == rating.value == value


def test_argilla_flat_rows_are_the_nested_ones():
    """As `records.to_list(flatten=True)` and its datasets have them: argilla-io/argilla, pull request 5137."""
    own = {
        "id": "x",
        "status": "completed",
        "_server_id": "s",
        "quality_b.suggestion": 5,
        "quality_b.suggestion.score": 1,
    }
    flat = own | {"prompt": "p", "a": "A", "b": "B", "quality_b.responses": [1, 4, 2]}
    said = {"quality_b.responses.users": ["u", "v", "w"]}
    states = {"quality_b.responses.status": ["submitted", "discarded", "submitted"]}
    found = argilla.records_of(flat | said | states)
    assert found == [Rating(ASKED, "B", value, 1, 5, "quality_b", who) for value, who in ((1, "u"), (2, "w"))]
    assert [rating.annotator for rating in argilla.records_of(flat)] == ["", "", ""]
    for wrong in ({"quality_b.responses.users": ["u"]}, {"quality_b.responses": 1}, {"quality_b.responses.users": 7}):
        with pytest.raises(BadRow, match="lists of one length"):
            argilla.records_of(flat | said | wrong)


def test_a_system_field_of_a_labelling_tool_is_a_system_message_and_no_answer():
    told = {"prompt": "p", "system": "Be kind.", "a": "A", "b": "B"}
    asked = Prompt((Message("system", "Be kind."), Message("user", "p")))
    (choice,) = argilla.records_of(argilla_row("better", "b", **told))
    assert choice == Comparison(asked, "B", "A", criterion="better", annotator="u", origin="argilla")
    (pair,) = label_studio.records_of(studio_row("pairwise", {"selected": "left"}, told, named="b,a"))
    assert pair == Comparison(asked, "B", "A", annotator="4", origin="label_studio")


def studio_row(kind, value, data=None, cancelled=False, named="answer1,answer2"):
    data = data or {"prompt": "p", "answer1": "A", "answer2": "B"}
    result = [{"from_name": "x", "to_name": named, "type": kind, "value": value}]
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


@pytest.mark.parametrize(
    ("written", "time"),
    [
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T02:01:00.5+02:00", 60.5),
        ("1970-01-01T00:01:00", 60.0),
        ("now", 0.0),
    ],
)
def test_label_studio_says_when_a_judgement_was_given(written, time):
    row = studio_row("pairwise", {"selected": "right"})
    row["annotations"][0]["created_at"] = written
    assert [one.time for one in label_studio.records_of(row)] == [time]


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


def test_label_studio_sides_are_those_of_to_name_not_of_the_keys_of_data():
    """Was: the winner by the order of the keys, which a database may give back in another one."""
    data = {"ours": "Our answer.", "prompt": "Hi?", "baseline": "The baseline's answer.", "source": "web-2024"}
    for side, chosen in (("left", "The baseline's answer."), ("right", "Our answer.")):
        (pair,) = label_studio.records_of(studio_row("pairwise", {"selected": side}, data, named="baseline, ours"))
        assert pair.chosen == chosen and pair.rejected != chosen
    for named in ("", "one,two", "ours", "ours,prompt", "ours,baseline,source"):
        with pytest.raises(BadRow, match="left or right of two fields of data, which are ours, baseline, source"):
            label_studio.records_of(studio_row("pairwise", {"selected": "left"}, data, named=named))


def test_label_studio_what_nobody_moved_to_a_bucket_is_not_ranked():
    data = {"prompt": "p", "answers": [{"id": i, "body": i.upper()} for i in "abcd"]}

    def ranked(buckets):
        return label_studio.records_of(studio_row("ranker", {"ranker": buckets}, data, named="answers"))

    for buckets in ({"_": ["c", "d"], "good": ["b", "a"]}, {"good": ["b", "a"], "bad": []}, ["b", "a"]):
        (ranking,) = ranked(buckets)
        assert (ranking.responses, ranking.tiers) == (("B", "A"), (0, 1))
    for buckets in ({"_": ["c", "d"]}, {"_": ["c", "d"], "good": ["a"]}, {"good": ["a", "b"], "bad": ["c", "d"]}, {}):
        with pytest.raises(BadRow, match="does not order the answers a, b, c, d"):
            ranked(buckets)
    data["others"] = [{"id": "a", "body": "another"}]
    with pytest.raises(BadRow, match='two items have the id "a"'):
        ranked(["b", "a"])


def test_label_studio_results_that_are_not_understood_are_no_bare_prompt():
    """Was: choices, and comments on answers as demonstrations, and JSON_MIN were read as what they are not."""
    for kind, value, named in (
        ("choices", {"choices": ["answer2"]}, "answer1"),
        ("textarea", {"text": ["Because it is kind."]}, "answer1"),
        ("rating", {"rating": 3}, "prompt"),
    ):
        with pytest.raises(BadRow, match=f'not understood: {kind} "x"'):
            label_studio.records_of(studio_row(kind, value, named=named))
    row = studio_row("pairwise", {"selected": "left"})
    row["annotations"][0]["result"].append({"from_name": "topic", "type": "choices", "value": {"choices": ["maths"]}})
    pair, unread = label_studio.records_of(row)
    assert pair.chosen == "A" and unread == Unread('choices "topic"')
    least = {"id": 1, "prompt": "p", "answer1": "A", "pw": {"selected": "left"}, "annotator": 3, "annotation_id": 7}
    assert label_studio.matches(least)
    with pytest.raises(BadRow, match="JSON_MIN does not say which answer stood left: export the project as JSON"):
        label_studio.records_of(least)


def test_label_studio_ratings_and_texts_are_of_what_they_name():
    (rating,) = label_studio.records_of(studio_row("rating", {"rating": 0}, named="answer2"))
    assert rating == Rating(ASKED, "B", 0.0, 0.0, 5.0, annotator="4")
    (text,) = label_studio.records_of(studio_row("textarea", {"text": ["Mine.", " "]}, named="prompt"))
    assert text == Demonstration(ASKED, "Mine.", "4")
    for value in (10**400, float("nan"), "4", None):
        with pytest.raises(BadRow, match="must be a number, of one answer"):
            label_studio.records_of(studio_row("rating", {"rating": value}, named="answer2"))
    with pytest.raises(BadRow, match="there are 2"):
        label_studio.records_of(studio_row("rating", {"rating": 4}, named="answer1,answer2"))


def studio_people(*results, data=None):
    """A task that several people have judged, each with a result of this kind and value."""
    row = studio_row("pairwise", {}, data, named="answer1,answer2")
    row["annotations"] = [
        {"completed_by": i, "result": [{"from_name": "x", "to_name": "answer1,answer2", "type": kind, "value": value}]}
        for i, (kind, value) in enumerate(results)
    ]
    return row


def test_label_studio_one_persons_unusable_answer_costs_nobody_elses():
    """Was: the whole row was left out, with what the others had said."""
    left, right = ("pairwise", {"selected": "left"}), ("pairwise", {"selected": "right"})
    found = label_studio.records_of(studio_people(left, ("pairwise", {}), right))
    assert [type(one) for one in found] == [Comparison, Unusable, Comparison] and "pairwise: null" in found[1].why
    items = {"prompt": "p", "items": [{"id": "x", "body": "X"}, {"id": "y", "body": "Y"}]}
    moved, unsorted = ("ranker", {"ranker": {"r": ["y", "x"]}}), ("ranker", {"ranker": {"_": ["x", "y"]}})
    ranking, unusable = label_studio.records_of(studio_people(moved, unsorted, data=items))
    assert ranking.responses == ("Y", "X") and "does not order" in unusable.why
    row = studio_people(left, ("relation", None))
    row["annotations"].append({"completed_by": 9})
    del row["annotations"][1]["result"][0]["value"], row["annotations"][1]["result"][0]["from_name"]
    pair, unread, unusable = label_studio.records_of(row)
    assert pair.chosen == "A" and unread == Unread("relation") and 'must have a "result"' in unusable.why
    with pytest.raises(BadRow, match="left or right of two"):
        label_studio.records_of(studio_people(("pairwise", {}), ("choices", {}), ("pairwise", {})))


def test_argilla_one_persons_unusable_answer_costs_nobody_elses():
    """Was: the whole row was left out, with what the others had said."""
    row = argilla_row("order", [{"value": "b", "rank": 1}, {"value": "a", "rank": 2}])
    row["responses"] |= {"quality": [{"value": 4, "user_id": "v"}], "of_a": ["?", {"value": 2}], "lost": 7}
    ranking, unclear, broken, rating, lost = argilla.records_of(row)
    assert ranking.responses == ("B", "A") and (rating.response, rating.value) == ("A", 2)
    assert [type(one) for one in (unclear, broken, lost)] == [Unusable] * 3 and "which of the 2" in unclear.why
    flat = {"prompt": "p", "a": "A", "b": "B", "of_a.responses": [4], "of_b.responses": [1], "of_b.responses.users": []}
    rating, unusable = argilla.records_of(flat)
    assert rating.response == "A" and "lists of one length" in unusable.why


def test_what_is_bad_in_a_row_is_told_with_its_place_and_strict_stops(tmp_path):
    path, told = tmp_path / "t.json", []
    left = ("pairwise", {"selected": "left"})
    files.save(path, [studio_people(left, ("pairwise", {})), studio_people(("pairwise", {})), studio_people(left)])
    assert len(formats.read(str(path), (Comparison,), report=told.append)) == 2
    assert [line.partition(": pairwise")[0] for line in told] == [f"{path}:row 1", f"{path}:row 2"]
    assert told[0].endswith("; left out, the rest of the row is read") and told[1].endswith("; left out")
    with pytest.raises(UserError, match=r"row 1: pairwise.*strict stops"):
        formats.read(str(path), (Comparison,), strict=True)
    files.save(path, [studio_people(left, *[("pairwise", {})] * 30)])
    told.clear()
    with pytest.raises(UserError, match="bad rows: 0, bad parts of others: 30"):
        formats.read(str(path), (Rating,), report=told.append)
    assert len(told) == 21 and "0 bad rows and 30 bad parts of others left out in all" in told[-1]
