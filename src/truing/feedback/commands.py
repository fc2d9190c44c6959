"""`truing feedback`: what can be done with a store from the command line."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from truing.errors import UserError
from truing.feedback.judgements import agreement, exchange, leaderboard, rounds, snapshot
from truing.feedback.store import projects
from truing.feedback.store.database import Database
from truing.feedback.tasks import kinds, reviews
from truing.maths.statistics import interval_text
from truing.settings import require


@dataclass(frozen=True)
class Import:
    """Judgements, sampled answers and prompts from files into a store; what is there already is not taken twice."""

    data: tuple[str, ...]
    """Files, folders, runs or hub ids, in any layout that Truing reads, Argilla's and Label Studio's too."""
    store: str = "feedback.db"
    """A SQLite file, or postgresql://user@host/name."""
    project: str = "default"
    """The project they belong to; made if there is none."""
    kind: kinds.Name = "pair"
    """What people are to do with prompts and sampled answers."""
    overlap: int = 1
    """How many different people judge each of them."""

    def __post_init__(self) -> None:
        require(self, ("project", bool(self.project), "a name"), ("overlap", self.overlap >= 1, "1 or more"))


@dataclass(frozen=True)
class Export:
    """A snapshot's judgements as a file, with a manifest beside it."""

    out: str
    """The file: .jsonl, .json, .parquet, or .gz of the first two."""
    to: exchange.ExportLayout = "native"
    """Our own rows, TRL's columns, HH's two texts, OpenRLHF's columns, Open-Assistant's trees, or raw events."""
    store: str = "feedback.db"
    """A SQLite file, or postgresql://user@host/name."""
    project: str = "default"
    """The project."""
    snapshot: str = ""
    """A snapshot's id; empty: one of all that stands now."""
    round: int = 0
    """Only judgements of this round, where no snapshot is named; 0: all."""
    criterion: str = ""
    """What rows of other tools judge by, such as helpful; empty: overall judgements."""

    def __post_init__(self) -> None:
        if self.snapshot and self.round:
            raise UserError(
                f"round = {self.round}: the snapshot {self.snapshot} says what is written; name one of both"
            )


@dataclass(frozen=True)
class Stats:
    """Progress, agreement, biases and people of a store."""

    store: str = "feedback.db"
    """A SQLite file, or postgresql://user@host/name."""
    project: str = "default"
    """The project."""
    json: bool = False
    """Print all figures as JSON."""


@dataclass(frozen=True)
class Snapshot:
    """Freeze what stands now; training names it by its id."""

    store: str = "feedback.db"
    """A SQLite file, or postgresql://user@host/name."""
    project: str = "default"
    """The project."""
    round: int = 0
    """Only judgements of this round; 0: all."""
    annotators: tuple[str, ...] = ()
    """Only judgements of these people; none named: all."""


@dataclass(frozen=True)
class Backup:
    """A whole copy of a SQLite store, while it is in use."""

    out: str
    """The file to write."""
    store: str = "feedback.db"
    """A SQLite file."""


@dataclass(frozen=True)
class Round:
    """Open the next round, close the open one with a snapshot, or list them."""

    action: Literal["list", "open", "close"] = "list"
    """What to do."""
    store: str = "feedback.db"
    """A SQLite file, or postgresql://user@host/name."""
    project: str = "default"
    """The project."""
    models: tuple[str, ...] = ()
    """With open: the models that answer in this round."""


@dataclass(frozen=True)
class Review:
    """Have judgements drawn at random reviewed by another person, as tasks of the page."""

    count: int = 50
    """How many, at most; none is reviewed twice."""
    store: str = "feedback.db"
    """A SQLite file, or postgresql://user@host/name."""
    project: str = "default"
    """The project."""
    seed: int = 0
    """Of the draw."""

    def __post_init__(self) -> None:
        require(self, ("count", self.count >= 1, "1 or more"))


def import_(config: Import) -> None:
    """Files into the store."""
    records = exchange.read_in(config.data, _complain)
    db = Database.open(config.store)  # not before all files have been read: one refused makes no store
    counted = exchange.bring_in(db, records, config.project, config.kind, config.overlap, _complain)
    print(f"{config.store}: " + (", ".join(f"{n} {name}" for name, n in sorted(counted.items())) or "nothing came in"))


def export(config: Export) -> None:
    """The store into a file."""
    db = Database.open(config.store, create=False)
    frozen = config.snapshot
    if config.round:
        with db.writing() as connection:
            project = projects.project_named(connection, config.project)
            frozen = snapshot.take(connection, project, {"round": config.round})
    manifest = exchange.take_out(db, config.project, Path(config.out), config.to, frozen, config.criterion)
    for line in manifest["left_out"]:
        _complain(line)
    print(f"{manifest['rows']} rows of snapshot {manifest['snapshot']} written to {config.out}")


def stats(config: Stats) -> None:
    """Figures of a store."""
    db = Database.open(config.store, create=False)
    with db.reading() as connection:
        project = projects.project_named(connection, config.project)
        told: dict[str, Any] = agreement.figures(connection, project)
        told["leaderboard"] = leaderboard.rows(connection, project)
    if config.json:
        ends = ("low", "high")  # an open end is infinite, for which JSON has null
        told["leaderboard"] = [
            row | {end: row[end] if math.isfinite(row[end]) else None for end in ends} for row in told["leaderboard"]
        ]
        print(json.dumps(told, default=float, allow_nan=False))
        return
    from rich.console import Console
    from rich.table import Table

    progress, agreed = told["progress"], told["agreement"]
    table = Table(show_header=False, box=None)
    table.add_row("judgements", f"{progress['filled']} of {progress['places']} wanted, {progress['skips']} skipped")
    for name in ("percent", "krippendorff_alpha", "fleiss_kappa", "cohen_kappa"):
        if name in agreed:
            table.add_row("agreement" if name == "percent" else name, *_with_interval(agreed[name]))
    if told["ratings"]["items"]:
        table.add_row("krippendorff_alpha of ratings", *_with_interval(told["ratings"]["krippendorff_alpha"]))
    for name in ("first_wins", "longer_wins", "ties"):
        value = told[name]
        table.add_row(name, *_with_interval({"value": value["share"], "interval": value["interval"]}))
    for row in told["people"]:
        share, interval = row["reliability"], row["reliability_interval"]
        said = (
            "too little known" if share is None else f"right {share:.2f} of the time {interval_text(interval, '.2f')}"
        )
        table.add_row(row["name"], f"{row['judged']} judged", said)
    grouped = told["leaderboard"] and told["leaderboard"][-1]["group"] > 0
    for row in told["leaderboard"]:
        group = f", group {row['group'] + 1}" if grouped else ""  # of those that never met nothing is compared
        interval = interval_text((row["low"], row["high"]), ".0f")
        table.add_row(row["model"], f"{row['points']:.0f} points{group}", interval)
    Console(soft_wrap=True, markup=False).print(table)


def take_snapshot(config: Snapshot) -> None:
    """Freeze what stands."""
    db = Database.open(config.store, create=False)
    filters: dict[str, Any] = {"round": config.round} if config.round else {}
    filters |= {"annotators": list(config.annotators)} if config.annotators else {}
    with db.writing() as connection:
        project = projects.project_named(connection, config.project)
        told = snapshot.described(connection, snapshot.take(connection, project, filters))
    print(f"snapshot {told['snapshot']}: {told['judgements']} judgements, hash {told['hash']}")


def backup(config: Backup) -> None:
    """Copy the store."""
    Database.open(config.store, create=False).backup(Path(config.out))
    print(f"{config.store} copied to {config.out}")


def turn_round(config: Round) -> None:
    """Rounds of the loop."""
    db = Database.open(config.store, create=False)
    with db.writing() as connection:
        project = projects.project_named(connection, config.project)
        if config.action == "open":
            print(f"round {rounds.open_round(connection, project, config.models)} is open")
        elif config.action == "close":
            told = rounds.close_round(connection, project)
            print(
                f"round {told['round']} is closed: snapshot {told['snapshot']}, {told['judgements']} judgements to date"
            )
        else:
            for row in rounds.listed(connection, project):
                state = "open" if row["open"] else f"closed, snapshot {row['snapshot']}"
                print(f"round {row['round']}: {state}")


def review(config: Review) -> None:
    """Make review tasks."""
    db = Database.open(config.store, create=False)
    with db.writing() as connection:
        made = reviews.ask(connection, projects.project_named(connection, config.project), config.count, config.seed)
    print(f"{made} judgements will be reviewed by somebody else")
    if not made:
        print(f"(those of the kinds {', '.join(kinds.REVIEWED)} can be, each once)")


def _with_interval(figure: dict[str, Any]) -> tuple[str, str]:
    value, interval = figure["value"], figure["interval"]
    if value is None:
        return "–", ""
    return f"{value:.3f}", interval_text(interval, ".3f") if interval else ""


def _complain(line: str) -> None:
    print(line, file=sys.stderr)
