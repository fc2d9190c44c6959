from truing.feedback.tasks.kinds.kind import Context, Scale, compared, in_order, marked


def test_two_by_two_the_smaller_place_first_and_ties_in_the_order_of_ids():
    assert list(in_order("cab", {"a": 1, "b": 0, "c": 1})) == [("b", "a", False), ("a", "c", True), ("b", "c", False)]


def test_rows_of_statistics():
    assert compared("a", "b", "rating", tie=True)["verdict"] == "tie"
    assert compared("a", "b", "pair", strength=2, criterion="kind") == {
        "winner_id": "a", "loser_id": "b", "tie": False, "strength": 2, "verdict": "better", "criterion": "kind",
        "origin": "pair",
    }  # fmt: skip
    assert marked("a", 4, Scale(1, 7), "rating") == {
        "message_id": "a", "value": 4, "low": 1, "high": 7, "criterion": "", "origin": "rating"
    }  # fmt: skip


def test_figures_are_those_that_came_in_or_the_usual_ones(given):
    def context(figures):
        by = {"annotator": "Ann", "error": 0.0, "round": 0, "time": 3.0}
        return Context(given.prompt, {}, Scale(0, 1), "", by, "margin", figures)

    assert context({"weight": 0.5}).imported_or("weight", 1.0) == 0.5
    assert context({}).imported_or("weight", 1.0) == context(None).imported_or("weight", 1.0) == 1.0
    assert context(None).author_and_time == {"annotator": "Ann", "time": 3.0}
