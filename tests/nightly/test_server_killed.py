"""tests/faults/test_server_killed.py with 25 kills."""

from tests.faults.test_server_killed import storm


def test_every_acknowledged_judgement_survives_25_kills_and_a_backup_under_load_is_whole(truing, tmp_path):
    storm(truing, tmp_path, tasks=4000, kills=25)
