import os
import signal
import subprocess
import sys

from tests.conftest import PATIENCE_S

from truing.runs.signals import Stopping

TWICE = """
import time
from truing.runs.signals import Stopping
with Stopping() as stopping:
    print("ready", flush=True)
    while not stopping.asked:
        time.sleep(0.01)
    time.sleep(3600)
"""


def test_the_first_signal_is_noted_and_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with Stopping() as stopping:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.asked == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_second_signal_stops_at_once():
    child = subprocess.Popen([sys.executable, "-c", TWICE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        assert "once more stops at once" in child.stderr.readline()
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE_S) == 143
    finally:
        child.kill()
