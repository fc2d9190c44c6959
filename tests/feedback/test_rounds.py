import pytest
from sqlalchemy import select

from truing.errors import UserError
from truing.feedback import assign, rounds
from truing.feedback import schema as t


def test_a_round_is_opened_filled_and_closed_with_its_snapshot(sqlite, make):
    project, _ = make.project_with(sqlite, "pair", make.conversation("old?", "A", "B"))
    (ann,) = make.people(sqlite, "Ann")
    with sqlite.writing() as connection:
        with pytest.raises(UserError, match="no round is open"):
            rounds.close_round(connection, project)
        assert rounds.open_round(connection, project, ["runs/rl"]) == 1
        with pytest.raises(UserError, match="round 1 is still open"):
            rounds.open_round(connection, project)
    _, (task,) = make.project_with(sqlite, "pair", make.conversation("new?", "C", "D"))
    with sqlite.writing() as connection:
        one = assign.lease(connection, project, ann)
        assign.submit(connection, one, ann, {"verdict": "tie"}, "key-00001")
        told = rounds.close_round(connection, project, {"win_rate": 0.6})
        assert (told["round"], told["judgements"]) == (1, 1)
        assert connection.scalar(select(t.task.c.state).where(t.task.c.id == task)) == "closed"
        assert rounds.open_round(connection, project) == 2
        first, second = rounds.listed(connection, project)
    assert first["snapshot"] == told["snapshot"] and not first["open"] and second["open"]
    assert first["served"] == ["runs/rl"]
