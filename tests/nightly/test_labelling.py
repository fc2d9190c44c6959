"""A minute of load on the page's server; five seconds of it stand in tests/test_benchmarks.py."""

from benchmarks import labelling


def test_a_minute_of_load_loses_and_doubles_nothing(tmp_path):
    told = labelling.measure(tmp_path / "feedback.db", count=16, seconds=60, tasks=20_000)
    assert told["labels"] > 0 and told["lost"] == told["double"] == 0
