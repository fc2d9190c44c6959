from truing.feedback.people.simulated import Annotator
from truing.feedback.tasks.kinds import review


def test_a_review_is_of_a_judgement_and_teaches_nothing(given):
    assert given.rows("review", {"verdict": "agree"}, "ab") == []
    assert given.records("review", {"verdict": "agree"}, {"a": "A"}) == []
    assert review.KIND.words is None and review.KIND.gold is None


def test_people_disagree_as_often_as_they_err(given):
    careless = Annotator("P", error_rate=0.3)
    said = [given.simulated("review", "A", annotator=careless, seed=i)["verdict"] for i in range(300)]
    assert 0.2 < said.count("disagree") / 300 < 0.4
    assert {given.simulated("review", "A", seed=i)["verdict"] for i in range(20)} == {"agree"}
