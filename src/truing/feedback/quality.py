"""Whether the judgements can be trusted: agreement, bias, reliability of each person, and which model is better."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from truing.feedback import gold, reviews
from truing.feedback import schema as t
from truing.feedback.assign import SKIP, TURN, standing
from truing.feedback.database import now
from truing.maths import agreement
from truing.maths.statistics import elo, wilson

FEWEST = 5  # judgements of one person below which nothing is said of them


@dataclass(frozen=True)
class Vote:
    """One standing judgement of two answers: which was shown first, which is longer, which won."""

    annotation: str
    person: str
    prompt: str
    first: str
    second: str
    outcome: float
    """1: the first shown is the better one; 0: the second; 0.5: neither."""
    longer: float
    """1: the first shown is longer; 0: the second; 0.5: neither."""


def votes(connection: Connection, project: str, frozen: str = "") -> list[Vote]:
    """Comparisons of pairs and of chats, as they were shown; not gold. What stands, or what is in a frozen snapshot.

    Overall judgements, or, where there are none, those on the only criterion there is.
    """
    c, a = t.annotation.c, t.assignment.c
    asked = (
        select(t.comparison, c.annotator_id, c.kind, a.shown_order, t.task.c.prompt_id.label("prompt"))
        .join(t.annotation, c.id == t.comparison.c.annotation_id)
        .join(t.assignment, a.id == c.assignment_id)
        .join(t.task, t.task.c.id == c.task_id)
        .where(t.task.c.project_id == project, ~t.task.c.gold, t.comparison.c.origin == "pair")
        .where(*_counted(frozen))
        .order_by(c.number)
    )
    rows = connection.execute(asked).all()
    if len({row.criterion for row in rows}) > 1:
        rows = [row for row in rows if not row.criterion]
    m = t.message.c
    lengths = select(m.id, func.length(m.content)).join(t.prompt).where(t.prompt.c.project_id == project)
    length: dict[str, int] = dict(connection.execute(lengths).all())  # type: ignore[arg-type]
    found = []
    for row in rows:
        pair = sorted((row.winner_id, row.loser_id))
        order = row.shown_order if row.kind != TURN else _turn_order(connection, row.winner_id)
        first, second = [one for one in order if one in pair] if set(pair) <= set(order) else pair
        outcome = 0.5 if row.tie else float(row.winner_id == first)
        longer = 0.5 + 0.5 * np.sign(length[first] - length[second])
        found.append(Vote(row.annotation_id, row.annotator_id, row.prompt, first, second, outcome, float(longer)))
    return found


def _counted(frozen: str) -> list[Any]:
    """Conditions of an annotation that counts."""
    member = t.snapshot_annotation.c
    members = select(member.annotation_id).where(member.snapshot_id == frozen)
    return [t.annotation.c.id.in_(members)] if frozen else standing()


def _turn_order(connection: Connection, message: str) -> list[str]:
    """A chat's two answers in the order they were shown, which is that of the candidate set."""
    c = t.candidate.c
    found = connection.scalar(select(c.candidate_set_id).where(c.message_id == message))
    return list(connection.scalars(select(c.message_id).where(c.candidate_set_id == found).order_by(c.position)))


def figures(connection: Connection, project: str) -> dict[str, Any]:
    """All figures of the team page, as plain numbers: progress, agreement, biases, people."""
    cast = votes(connection, project)
    people = _people(connection, project)
    label_IR, raters = _matrix(cast)
    return {
        "progress": _progress(connection, project),
        "agreement": _agreement(label_IR),
        "first_wins": share(sum(v.outcome == 1 for v in cast), sum(v.outcome != 0.5 for v in cast)),
        "longer_wins": share(
            sum(v.outcome == v.longer for v in cast if v.outcome != 0.5 and v.longer != 0.5),
            sum(v.outcome != 0.5 and v.longer != 0.5 for v in cast),
        ),
        "reviews": share(*reviews.results(connection, project)),
        "ties": share(sum(v.outcome == 0.5 for v in cast), len(cast)),
        "people": _each(connection, project, cast, people, label_IR, raters),
        "disagreements": _disagreements(cast, people),
    }


def share(successes: int, n: int) -> dict[str, Any]:
    """A share with its 95 % interval (Wilson 1927); NaN as None where n is 0."""
    if not n:
        return {"share": None, "interval": None, "n": 0}
    return {"share": successes / n, "interval": wilson(successes, n), "n": n}


def error_rates(connection: Connection, project: str, frozen: str = "") -> dict[str, float]:
    """For each person the share of judgements made at random, e = 2 (1 − accuracy), for the likelihood of training.

    Accuracy is of gold where there is enough of it, else by Dawid and Skene. People of whom too little is known are
    left out. Ceiling 0.9: no judgement says nothing at all. Of a frozen snapshot the rates are always the same: what
    was said on gold later does not count.
    """
    label_IR, raters = _matrix(votes(connection, project, frozen))
    moment = connection.scalar(select(t.snapshot.c.created_at).where(t.snapshot.c.id == frozen)) if frozen else None
    rates = {}
    if len(raters) >= 3 and (np.sum(label_IR >= 0, 1) >= 2).sum() >= FEWEST:
        found = agreement.dawid_skene(label_IR, 2)
        rates = {
            person: accuracy
            for person, accuracy, n in zip(raters, found.accuracy_R, np.sum(label_IR >= 0, 0), strict=True)
            if n >= FEWEST
        }
    for person, (right, n) in gold.results(connection, project, moment).items():
        if n >= 2 * FEWEST:
            rates[person] = (right + 1) / (n + 2)
    return {person: float(np.clip(2 * (1 - accuracy), 0.0, 0.9)) for person, accuracy in rates.items()}


def leaderboard(connection: Connection, project: str) -> list[dict[str, Any]]:
    """Model versions by strength (Davidson 1970), with intervals that keep the judgements of one prompt together, and
    Elo ratings in the order of play beside them."""
    c = t.message.c
    asked = select(c.id, c.model_version_id).join(t.prompt).where(t.prompt.c.project_id == project)
    author = dict(connection.execute(asked).all())  # type: ignore[arg-type]
    names = dict(connection.execute(select(t.model_version.c.id, t.model_version.c.name)).all())  # type: ignore[arg-type]
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
    low, high = agreement.to_elo(found.interval_M2[:, 0]), agreement.to_elo(found.interval_M2[:, 1])
    rows = [
        {"model": names[model], "points": points[m], "low": low[m], "high": high[m], "elo": ratings[m],
         "games": sum(m in game[:2] for game in games),
         "score": float(np.mean([g[2] if g[0] == m else 1 - g[2] for g in games if m in g[:2]]))}
        for model, m in index.items()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: -row["points"])


def _matrix(cast: list[Vote]) -> tuple[np.ndarray, list[str]]:
    """Decided votes as label_IR: 1 where the answer with the smaller id won. Items are pairs of answers."""
    decided = [v for v in cast if v.outcome != 0.5]
    pairs = [(min(v.first, v.second), max(v.first, v.second)) for v in decided]
    items = list(dict.fromkeys(pairs))
    raters = list(dict.fromkeys(v.person for v in decided))
    row, column = {p: i for i, p in enumerate(items)}, {r: i for i, r in enumerate(raters)}
    label_IR = np.full((len(items), len(raters)), -1)
    for vote, pair in zip(decided, pairs, strict=True):
        winner = vote.first if vote.outcome == 1 else vote.second
        label_IR[row[pair], column[vote.person]] = int(winner == pair[0])
    return label_IR, raters


def _agreement(label_IR: np.ndarray) -> dict[str, Any]:
    """Agreement on pairs that two people or more decided, each figure with its interval."""
    judged = label_IR[(label_IR >= 0).sum(1) >= 2] if len(label_IR) else label_IR
    told: dict[str, Any] = {"items": len(judged)}
    statistics = {"percent": agreement.percent_agreement, "krippendorff_alpha": agreement.krippendorff_alpha,
                  "fleiss_kappa": agreement.fleiss_kappa}  # fmt: skip
    if judged.shape[1:] == (2,):
        statistics["cohen_kappa"] = agreement.cohen_kappa
    for name, statistic in statistics.items():
        value = statistic(judged) if len(judged) else float("nan")
        interval = agreement.bootstrap_interval(judged, statistic, draws=400) if np.isfinite(value) else None
        told[name] = {"value": value if np.isfinite(value) else None, "interval": interval}
    return told


def _people(connection: Connection, project: str) -> dict[str, Any]:
    """Everybody who said something: name, judgements, skips, median seconds."""
    c = t.annotation.c
    asked = (
        select(c.annotator_id, t.annotator.c.name, t.annotator.c.simulated, c.kind, c.duration_ms, c.created_at)
        .join(t.annotator, t.annotator.c.id == c.annotator_id)
        .join(t.task, t.task.c.id == c.task_id)
        .where(t.task.c.project_id == project, *standing())
    )
    found: dict[str, Any] = {}
    for row in connection.execute(asked):
        person = found.setdefault(row.annotator_id, {"name": row.name, "simulated": row.simulated, "judged": 0,
                                                     "skipped": 0, "durations": []})  # fmt: skip
        person["skipped" if row.kind == SKIP else "judged"] += 1
        if row.kind != SKIP and row.duration_ms is not None:
            person["durations"].append(row.duration_ms)
    return found


def _each(
    connection: Connection, project: str, cast: list[Vote], people: Mapping[str, Any], label_IR: np.ndarray,
    raters: list[str],
) -> list[dict[str, Any]]:  # fmt: skip
    """One row a person: how much, how fast, how reliable, how biased."""
    overlapping = bool(len(label_IR)) and bool(((label_IR >= 0).sum(1) >= 2).any())
    reliability = agreement.dawid_skene(label_IR, 2) if overlapping and len(raters) >= 3 else None
    on_gold = gold.results(connection, project)
    rows = []
    for identity, person in sorted(people.items(), key=lambda item: -item[1]["judged"]):
        mine = [v for v in cast if v.person == identity and v.outcome != 0.5]
        column = raters.index(identity) if identity in raters else None
        accuracy = (
            reliability.accuracy_R[column] if reliability and column is not None and len(mine) >= FEWEST else None
        )
        right, n = on_gold.get(identity, (0, 0))
        rows.append({
            "name": person["name"], "simulated": person["simulated"], "judged": person["judged"],
            "skipped": person["skipped"],
            "median_s": float(np.median(person["durations"])) / 1000 if person["durations"] else None,
            "reliability": None if accuracy is None else float(accuracy),
            "gold": share(right, n), "first_wins": share(sum(v.outcome == 1 for v in mine), len(mine)),
        })  # fmt: skip
    return rows


def _progress(connection: Connection, project: str) -> dict[str, Any]:
    """Tasks, places, how many are filled, and judgements of the last hour."""
    c = t.annotation.c
    plain = (t.task.c.project_id == project, ~t.task.c.gold, t.task.c.kind != "review")
    tasks, places = connection.execute(
        select(func.count(), func.coalesce(func.sum(t.task.c.overlap), 0)).where(*plain)
    ).one()
    said = (
        select(func.count())
        .select_from(t.annotation.join(t.task, t.task.c.id == c.task_id))
        .where(*plain, c.kind.not_in((SKIP, TURN)), *standing())
    )
    return {
        "tasks": tasks,
        "places": places,
        "filled": connection.scalar(said) or 0,
        "last_hour": connection.scalar(said.where(c.created_at >= now() - 3600)) or 0,
        "skips": connection.scalar(
            select(func.count()).select_from(t.annotation.join(t.task, t.task.c.id == c.task_id))
            .where(*plain, c.kind == SKIP, *standing())
        ) or 0,
    }  # fmt: skip


def _disagreements(cast: list[Vote], people: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Pairs that people decided differently, the most even first, at most twenty."""
    sides: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    prompts = {}
    for vote in cast:
        if vote.outcome != 0.5:
            pair = (min(vote.first, vote.second), max(vote.first, vote.second))
            winner = vote.first if vote.outcome == 1 else vote.second
            sides[pair][winner].append(people[vote.person]["name"])
            prompts[pair] = vote.prompt
    split = [(pair, won) for pair, won in sides.items() if len(won) == 2]
    split.sort(key=lambda item: -min(len(names) for names in item[1].values()))
    return [{"prompt": prompts[pair], "sides": {m: sorted(n) for m, n in won.items()}} for pair, won in split[:20]]
