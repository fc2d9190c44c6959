"""What tests/faults/test_processes.py leaves out of several processes that real `torchrun` started."""

from tests.faults.conftest import files, stages  # noqa: F401
from tests.faults.test_processes import ALONE, several  # noqa: F401


def test_one_process_killed_ends_all(stages, several):  # noqa: F811
    told = several(*stages["sft"], "--out", "run", first=ALONE.format(what="os.kill(os.getpid(), 9)"))
    assert "exitcode  : -9" in told.stderr
