"""Which model people prefer: versions by strength, from comparisons of their answers."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import Connection

from truing.feedback.judgements.votes import votes
from truing.feedback.store import statistics
from truing.maths import agreement
from truing.maths.statistics import elo


def rows(connection: Connection, project: str) -> list[dict[str, Any]]:
    """Model versions by strength (Davidson 1970), with intervals that keep the judgements of one prompt together, and
    Elo ratings in the order of play beside them.

    Models that no chain of games joins stand in different groups, the one with most games first: their points cannot
    be compared. An interval's open end is infinite.
    """
    author, names = statistics.authors(connection, project), statistics.model_names(connection)
    games, prompts = [], []
    index: dict[str, int] = {}
    for vote in votes(connection, project):
        pair = [author.get(message) or "" for message in (vote.first, vote.second)]
        if "" in pair or pair[0] == pair[1]:
            continue
        places = [index.setdefault(model, len(index)) for model in pair]
        games.append((places[0], places[1], vote.outcome))
        prompts.append(vote.prompt)
    if not games:
        return []
    found = agreement.davidson(games, len(index), prompts)
    points, ratings = agreement.to_elo(found.strength_M), elo(games, len(index))
    interval_M2 = agreement.to_elo(found.interval_M2)
    first_G, second_G, outcome_G = np.array(games).T
    sides = ((first_G.astype(int), outcome_G), (second_G.astype(int), 1 - outcome_G))
    count_M = np.sum([np.bincount(side_G, minlength=len(index)) for side_G, _ in sides], axis=0)
    score_M = np.sum([np.bincount(side_G, got_G, len(index)) for side_G, got_G in sides], axis=0) / count_M
    played = np.bincount(found.group_M, count_M)
    place_of = {int(group): place for place, group in enumerate(np.argsort(-played, kind="stable"))}
    told = [
        {"model": names[model], "group": place_of[found.group_M[m]], "points": points[m], "low": interval_M2[m, 0],
         "high": interval_M2[m, 1], "elo": ratings[m], "games": int(count_M[m]), "score": float(score_M[m])}
        for model, m in index.items()
    ]  # fmt: skip
    return sorted(told, key=lambda row: (row["group"], -row["points"]))
