"""Whether the judgements can be trusted: agreement, bias, reliability of each person."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection

from truing.feedback.judgements.votes import Label, Mark, Vote, labels_of, marks, votes
from truing.feedback.store import snapshots, statistics
from truing.feedback.store.database import now
from truing.feedback.store.events import SKIP
from truing.feedback.tasks import gold, reviews
from truing.feedback.tasks.kinds.chat import TURN
from truing.maths import agreement
from truing.maths.statistics import win_rate

FEWEST = 5  # judgements of one person below which nothing is said of them


def figures(connection: Connection, project: str) -> dict[str, Any]:
    """All figures of the team page, as plain numbers: progress, agreement, biases, people."""
    cast, alone = votes(connection, project), marks(connection, project)
    people = _people(connection, project)
    labels = labels_of(connection, cast, alone)
    decided = [v for v in cast if v.outcome != 0.5]
    uneven = [v for v in decided if v.longer != 0.5]
    return {
        "progress": progress(connection, project),
        "agreement": _agreement(labels),
        "ratings": _rating_agreement(alone),
        "first_wins": _first_wins(decided),
        "longer_wins": share([v.outcome == v.longer for v in uneven], [v.prompt for v in uneven]),
        "reviews": share(*reviews.results(connection, project)),
        "ties": share([v.outcome == 0.5 for v in cast], [v.prompt for v in cast]),
        "people": _each(decided, people, reliability(labels), gold.results(connection, project)),
        "disagreements": _disagreements(decided, alone, people),
    }


def share(outcomes: Sequence[float], prompts: Sequence[str] | None = None) -> dict[str, Any]:
    """A share with its 95 % interval (`win_rate`: what is said on one prompt is not independent); None of nothing."""
    if not outcomes:
        return {"share": None, "interval": None, "n": 0}
    rate, low, high = win_rate(outcomes, prompts)
    return {"share": rate, "interval": (low, high), "n": len(outcomes)}


def _first_wins(decided: Sequence[Vote]) -> dict[str, Any]:
    """How often the answer shown first won, where a person has seen them in an order that is known."""
    shown = [v for v in decided if v.was_shown]
    return share([v.outcome for v in shown], [v.prompt for v in shown])


def error_rates(connection: Connection, project: str, frozen: str = "") -> dict[str, float]:
    """For each person the share of judgements made at random, e = 2 (1 − accuracy), for the likelihood of training.

    Accuracy is of gold where there is enough of it, else by Dawid and Skene from what others judged too. People of whom
    too little is known are left out. Ceiling 0.9: no judgement says nothing at all. Of a frozen snapshot the rates are
    always the same: what was said on gold later does not count.
    """
    labels = labels_of(connection, votes(connection, project, frozen), marks(connection, project, frozen))
    taken = snapshots.snapshot(connection, frozen) if frozen else None
    rates = {person: known.accuracy for person, known in reliability(labels).items()}
    for person, (right, n) in gold.results(connection, project, taken.created_at if taken else None).items():
        if n >= 2 * FEWEST:
            rates[person] = (right + 1) / (n + 2)
    return {person: float(np.clip(2 * (1 - accuracy), 0.0, 0.9)) for person, accuracy in rates.items()}


class Known(NamedTuple):
    """How often a person is right, with its 95 % interval."""

    accuracy: float
    interval: tuple[float, float]


def _shared(labels: Sequence[Label]) -> list[Label]:
    """Those of items that two people or more judged."""
    judges: dict[Hashable, set[str]] = defaultdict(set)
    for label in labels:
        judges[label.item].add(label.person)
    return [label for label in labels if len(judges[label.item]) >= 2]


def _matrix(labels: Sequence[Label]) -> tuple[np.ndarray, list[str], list[str]]:
    """Labels as label_IR, −1 where a person did not judge an item; the people, and the prompt of each item."""
    prompts = {label.item: label.prompt for label in labels}
    row = {item: i for i, item in enumerate(prompts)}
    column = {person: r for r, person in enumerate(dict.fromkeys(label.person for label in labels))}
    label_IR = np.full((len(row), len(column)), -1)
    for label in labels:
        label_IR[row[label.item], column[label.person]] = label.value
    return label_IR, list(column), list(prompts.values())


def reliability(labels: Sequence[Label]) -> dict[str, Known]:
    """How reliable people are, by Dawid and Skene, from what others judged too: of each who did so FEWEST times, and
    where it can be told, which of two people alone it cannot.

    A pair counts both ways round: which of two answers is named first says nothing, and must change nothing.
    """
    shared = _shared(labels)
    pairs = [label for label in shared if isinstance(label.item, tuple)]
    turned = [label._replace(item=label.item[::-1], value=1 - label.value) for label in pairs]  # type: ignore[index]
    everybody_IR, people, _ = _matrix([*shared, *turned])
    known_R = agreement.identifiable(everybody_IR)
    label_IR = everybody_IR[:, known_R]
    raters = [person for person, known in zip(people, known_R, strict=True) if known]
    if not raters:
        return {}
    sittings = Counter(person for person, _ in {(label.person, label.annotation) for label in shared})
    at_once_R = [max(1.0, n / sittings[r]) for r, n in zip(raters, (label_IR >= 0).sum(0), strict=True)]
    found = agreement.dawid_skene(label_IR, 2, at_once_R=at_once_R)
    return {
        person: Known(float(accuracy), (float(interval[0]), float(interval[1])))
        for person, accuracy, interval in zip(raters, found.accuracy_R, found.interval_R2, strict=True)
        if sittings[person] >= FEWEST
    }


def _agreement(labels: Sequence[Label]) -> dict[str, Any]:
    """Agreement on pairs, and on answers said to be good or bad, that two people or more decided, with intervals."""
    label_IR, raters, prompts = _matrix(_shared(labels))
    percent = share([float(x) for x in agreement.agreeing_pairs(label_IR)], prompts)
    told: dict[str, Any] = {
        "items": len(label_IR),
        "percent": {"value": percent["share"], "interval": percent["interval"]},
    }
    statistics = {"krippendorff_alpha": agreement.krippendorff_alpha, "fleiss_kappa": agreement.fleiss_kappa}
    if len(raters) == 2:
        statistics["cohen_kappa"] = agreement.cohen_kappa
    return told | {name: _beyond_chance(label_IR, statistic, prompts) for name, statistic in statistics.items()}


def _rating_agreement(alone: Sequence[Mark]) -> dict[str, Any]:
    """Agreement on the numbers given to answers that two people or more rated: the order of the scale counts."""
    scaled = [m for m in alone if not m.good_or_bad]
    place = {value: i for i, value in enumerate(sorted({m.value - m.low for m in scaled}))}
    rated = [
        Label((m.message, m.low, m.high), m.person, place[m.value - m.low], m.annotation, m.prompt) for m in scaled
    ]
    label_IR, _, prompts = _matrix(_shared(rated))
    alpha = partial(agreement.krippendorff_alpha, level="ordinal")
    return {"items": len(label_IR), "krippendorff_alpha": _beyond_chance(label_IR, alpha, prompts)}


def _beyond_chance(
    label_IR: np.ndarray, statistic: Callable[[np.ndarray], float], prompts: Sequence[str]
) -> dict[str, Any]:
    """A statistic and its interval; None where it has none, and where no two draws of prompts differ in it."""
    value = statistic(label_IR) if len(label_IR) else float("nan")
    if not np.isfinite(value):
        return {"value": None, "interval": None}
    low, high = agreement.bootstrap_interval(label_IR, statistic, draws=400, clusters=prompts)
    return {"value": value, "interval": (low, high) if low < high else None}


def _people(connection: Connection, project: str) -> dict[str, Any]:
    """Everybody who said something: name, judgements, skips, median seconds."""
    found: dict[str, Any] = {}
    for row in statistics.by_person(connection, project):
        person = found.setdefault(row.annotator_id, {"name": row.name, "simulated": row.simulated, "judged": 0,
                                                     "skipped": 0, "durations": []})  # fmt: skip
        person["skipped" if row.kind == SKIP else "judged"] += 1
        if row.kind != SKIP and row.duration_ms is not None:
            person["durations"].append(row.duration_ms)
    return found


def _each(
    decided: Sequence[Vote], people: Mapping[str, Any], reliability: Mapping[str, Known],
    on_gold: Mapping[str, tuple[int, int]],
) -> list[dict[str, Any]]:  # fmt: skip
    """One row a person: how much, how fast, how reliable, how biased."""
    rows = []
    for identity, person in sorted(people.items(), key=lambda item: -item[1]["judged"]):
        mine = [v for v in decided if v.person == identity]
        accuracy, interval = reliability.get(identity, (None, None))
        right, n = on_gold.get(identity, (0, 0))
        rows.append({
            "name": person["name"], "simulated": person["simulated"], "judged": person["judged"],
            "skipped": person["skipped"],
            "median_s": float(np.median(person["durations"])) / 1000 if person["durations"] else None,
            "reliability": accuracy, "reliability_interval": interval,
            "gold": share([1.0] * right + [0.0] * (n - right)),
            "first_wins": _first_wins(mine),
        })  # fmt: skip
    return rows


def progress(connection: Connection, project: str) -> dict[str, Any]:
    """Tasks, places, how many are filled, and judgements of the last hour."""
    tasks, places = statistics.tasks_and_places(connection, project)
    return {
        "tasks": tasks,
        "places": places,
        "filled": statistics.count_judgements(connection, project, (TURN,)),
        "last_hour": statistics.count_judgements(connection, project, (TURN,), since=now() - 3600),
        "skips": statistics.count_skips(connection, project),
    }


def _disagreements(decided: Sequence[Vote], alone: Sequence[Mark], people: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Pairs that people decided differently, by the winner, and answers that they marked differently, by the mark: the
    furthest apart and most even first, at most twenty."""
    sides: dict[Hashable, dict[Any, list[str]]] = defaultdict(lambda: defaultdict(list))
    about: dict[Hashable, dict[str, str]] = {}
    scale: dict[Hashable, Mark] = {}
    for vote in decided:
        if not vote.by_marks:
            sides[vote.pair][vote.first if vote.outcome == 1 else vote.second].append(people[vote.person]["name"])
            about[vote.pair] = {"prompt": vote.prompt}
    for mark in alone:
        answer = mark.message, mark.good_or_bad, mark.low, mark.high
        sides[answer][mark.value].append(people[mark.person]["name"])
        about[answer] = {"prompt": mark.prompt, "message": mark.message}
        scale[answer] = mark
    found = []
    for item, said in sides.items():
        if len(said) > 1:
            of = scale.get(item)
            apart = (max(said) - min(said)) / (of.high - of.low) if of else 1.0
            crowd = [len(names) for names in said.values()]
            named = {_mark_words(of, side) if of else side: sorted(names) for side, names in said.items()}
            found.append((-apart, max(crowd) - sum(crowd), about[item] | {"sides": named}))
    return [row for _, _, row in sorted(found, key=lambda one: one[:2])[:20]]


def _mark_words(mark: Mark, value: float) -> str:
    return ("good" if value > mark.low else "bad") if mark.good_or_bad else f"{value:g}"
