import pytest
from sqlalchemy import select

from truing.errors import UserError
from truing.feedback.judgements import rounds
from truing.feedback.store import schema as t
from truing.feedback.tasks import leases


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
        one = leases.lease(connection, project, ann)
        leases.submit(connection, one, ann, {"verdict": "tie"}, "key-00001")
        told = rounds.close_round(connection, project, {"win_rate": 0.6})
        assert (told["round"], told["judgements"]) == (1, 1)
        assert connection.scalar(select(t.task.c.state).where(t.task.c.id == task)) == "closed"
        assert rounds.open_round(connection, project) == 2
        first, second = rounds.listed(connection, project)
    assert first["snapshot"] == told["snapshot"] and not first["open"] and second["open"]
    assert first["served"] == ["runs/rl"]
