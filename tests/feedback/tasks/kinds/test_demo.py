from truing.data.records import Demonstration
from truing.feedback.tasks import kinds
from truing.feedback.tasks.kinds import demo


def test_what_was_written_is_a_demonstration(given):
    said = kinds.stored("demo", {"text": "Mine."})
    assert demo.KIND.written(said) == "Mine." and demo.KIND.stage == "sft"
    assert given.rows("demo", {"text": "Mine."}, "", written="new") == [
        ("demonstration", {"message_id": "new", "origin": "demonstration"})
    ]
    assert given.records("demo", {"text": "Mine."}, {}) == [
        Demonstration(given.prompt, "Mine.", "Ann", conversation=False, time=5.0)
    ]


def test_a_whole_conversation_that_came_in_stays_one(given):
    told = Demonstration(given.prompt, "B", "Ann", conversation=True, time=5.0)
    kind, imported = kinds.imported([told])
    assert kind is demo.KIND and imported.answers == []
    assert given.records("demo", imported.payload([]), {}, given=imported.given) == [told]
