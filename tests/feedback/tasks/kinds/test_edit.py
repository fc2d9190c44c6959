import pytest

from truing.data.records import Edit
from truing.errors import UserError
from truing.feedback.tasks import kinds
from truing.feedback.tasks.kinds import edit

PAYLOAD = {"message": "a", "text": "Good."}


def test_a_correction_is_a_demonstration_and_better_than_what_it_corrects(given):
    found = given.rows("edit", PAYLOAD, "a", texts={"a": "Bad."}, written="new")
    assert found[0] == ("demonstration", {"message_id": "new", "before_id": "a", "origin": "edit"})
    assert given.compared("edit", PAYLOAD, "a", texts={"a": "Bad."}, written="new") == [
        ("new", "a", False, None, "", "edit")
    ]
    assert edit.KIND.written(kinds.stored("edit", PAYLOAD)) == "Good."


def test_training_reads_the_edit(given):
    assert given.records("edit", PAYLOAD, {"a": "Bad."}) == [Edit(given.prompt, "Bad.", "Good.", "Ann", 5.0)]


def test_a_correction_that_changes_nothing_is_refused(given):
    with pytest.raises(UserError, match="the text is unchanged"):
        kinds.parse("edit", PAYLOAD, given.shown("a", texts={"a": "Good."}))


def test_an_edit_that_came_in_stays_one(given):
    told = Edit(given.prompt, "Bad.", "Good.", "Ann", 5.0)
    kind, imported = kinds.imported([told])
    assert kind is edit.KIND and imported.answers == ["Bad."]
    assert given.records("edit", imported.payload(["a"]), {"a": "Bad."}, given=imported.given) == [told]
