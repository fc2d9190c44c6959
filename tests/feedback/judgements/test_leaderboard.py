import numpy as np
import pytest
from tests.feedback.judgements.test_agreement import judge, same_order, worth  # noqa: F401

from truing.feedback.judgements import leaderboard
from truing.feedback.people.simulated import Annotator


def test_the_leaderboard_ranks_models_and_knows_no_game_against_itself(sqlite, make):
    conversations = [make.conversation(f"{i}?", "a good answer", "bad") for i in range(60)]
    mixed = [
        type(c)(c.prompt, (c.responses[0].__class__(c.responses[0].text, author="strong"),
                           c.responses[1].__class__(c.responses[1].text, author="weak")))
        for c in conversations
    ]  # fmt: skip
    project, _ = make.project_with(sqlite, "pair", *mixed, make.conversation("self?", "x", "yy", author="weak"))
    names = make.people(sqlite, "Ann")
    judge(sqlite, project, names, [Annotator("Ann", error_rate=0.2)], worth)
    with sqlite.reading() as connection:
        first, second = leaderboard.rows(connection, project)
    assert (first["model"], second["model"]) == ("strong", "weak")
    assert first["games"] == 60 and first["low"] > second["high"]
    assert first["points"] - second["points"] == pytest.approx(400 * np.log10(first["score"] / second["score"]), abs=25)


def test_models_that_never_met_stand_in_groups_and_an_unbeaten_one_has_an_open_end(sqlite, make):
    talks = []
    for first, second, games in (("a", "b", 3), ("c", "d", 8)):
        one = make.conversation("?", "a good answer", author=first).responses
        other = make.conversation("?", "bad", author=second).responses
        talks += [type(c)(c.prompt, one + other) for c in (make.conversation(f"{first}{i}?") for i in range(games))]
    project, _ = make.project_with(sqlite, "pair", *talks)
    (ann,) = make.people(sqlite, "Ann")
    judge(sqlite, project, [ann], [Annotator("Ann")], worth)
    with sqlite.reading() as connection:
        rows = leaderboard.rows(connection, project)
    assert [(row["group"], row["model"], row["games"], row["score"]) for row in rows] == [
        (0, "c", 8, 1.0), (0, "d", 8, 0.0), (1, "a", 3, 1.0), (1, "b", 3, 0.0)
    ]  # fmt: skip
    assert rows[0]["high"] == np.inf and rows[1]["low"] == -np.inf
    assert all(np.isfinite(row["low"]) for row in rows[::2]) and all(np.isfinite(row["high"]) for row in rows[1::2])
