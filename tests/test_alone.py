import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLAKY = """
from pathlib import Path

def test_steady():
    pass

def test_passes_the_second_time():
    before = Path("before")
    was_there = before.exists()
    before.touch()
    assert was_there

def test_fails():
    assert not {fails}
"""


def run(folder, *words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", *words]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def checked(folder, fails):
    (folder / "test_some.py").write_text(FLAKY.format(fails=fails))
    assert run(folder, "pytest", "-q").returncode == 1
    return run(folder, "tests.alone")


def test_what_passes_alone_is_named_and_lets_the_check_pass(tmp_path):
    told = checked(tmp_path, fails=False)
    assert told.returncode == 0, told.stdout
    assert told.stdout.splitlines()[-1] == "failed, then passed alone: test_some.py::test_passes_the_second_time"


def test_what_fails_again_fails_the_check(tmp_path):
    told = checked(tmp_path, fails=True)
    assert told.returncode == 1
    assert "failed, then passed alone: test_some.py::test_passes_the_second_time" in told.stdout
    assert "failed twice: test_some.py::test_fails" in told.stdout


def test_without_a_list_of_what_failed_the_check_fails(tmp_path):
    told = run(tmp_path, "tests.alone")
    assert told.returncode == 1 and "0 tests are known to have failed" in told.stdout
