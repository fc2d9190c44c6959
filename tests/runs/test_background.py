import threading

import pytest
from tests.conftest import PATIENCE_S

from truing.runs.background import Behind


def test_work_is_done_meanwhile_one_piece_at_a_time():
    """Broken on purpose: the next piece begun without waiting -> red."""
    behind, may_end, done = Behind(), threading.Event(), []

    def slow():
        may_end.wait(PATIENCE_S)
        done.append("slow")

    behind.begin(slow)
    assert done == []
    threading.Timer(0.05, may_end.set).start()
    behind.begin(lambda: done.append("next"))
    assert done[0] == "slow"
    behind.wait()
    assert done == ["slow", "next"] and behind.spent_s >= 0.04
    behind.close()


def test_an_error_is_raised_once_at_the_next_piece_which_is_not_begun():
    behind, done = Behind(), []

    def fails():
        raise OSError("full")

    behind.begin(fails)
    with pytest.raises(OSError, match="full"):
        behind.begin(lambda: done.append(1))
    behind.wait()
    assert done == []
    behind.begin(fails)
    with pytest.raises(OSError, match="full"):
        behind.wait()
    behind.close()
