"""Two processes by real `torchrun`, from `-m truing` to the end: a run, a refusal, a process that is killed."""

from tests.faults.test_processes import ALONE


def test_a_run_comes_to_its_end(stages, several, tmp_path):
    several(*stages["sft"], "--out", "run")
    assert (tmp_path / "run" / "summary.json").is_file()


def test_what_the_first_process_refuses_ends_all(stages, several, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "diary.txt").touch()
    told = several(*stages["sft"], "--out", "run", ended=False)
    assert told.stderr.count("the folder holds other things and is no run") == 1
    assert "exitcode  : 2" in told.stderr


def test_one_process_killed_ends_all(stages, several):
    killed = ALONE.format(what="os.kill(os.getpid(), 9)")
    told = several(*stages["sft"], "--out", "run", first=killed, ended=False)
    assert "exitcode  : -9" in told.stderr
