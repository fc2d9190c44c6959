"""Run the tests that failed last once more, each alone in a process: python -m tests.alone

A test that passes then is named loudly: it is a defect all the same, and stands in docs/log.md until it is mended.
Exit code 1 where one fails again, where more failed than accidents can explain, and where nothing tells which failed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

FAILED = Path(".pytest_cache/v/cache/lastfailed")  # pytest's own list, written at the end of each run
MOST = 20
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def main() -> int:
    """Run them; returns the exit code."""
    names = list(json.loads(FAILED.read_text())) if FAILED.is_file() else []
    if not 1 <= len(names) <= MOST:
        print(f"{len(names)} tests are known to have failed: none is run again")
        return 1
    again = [name for name in names if subprocess.run([*PYTEST, name], env=ONE_THREAD, check=False).returncode]
    for name in names:
        print(f"{'failed twice' if name in again else 'failed, then passed alone'}: {name}")
    return 1 if again else 0


if __name__ == "__main__":
    sys.exit(main())
