"""Data sources of a stage that may be feedback stores, beside files: `feedback.db`, `feedback.db#SNAPSHOT`,
`feedback.db#PROJECT`, `feedback.db#project=NAME,round=2` (or one of the two); so are PostgreSQL addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from statistics import fmean
from typing import Any, TypeVar

from sqlalchemy import Connection

from truing.data import formats
from truing.data.convert import convert
from truing.data.formats import Check
from truing.data.records import Comparison, Prompt
from truing.data.settings import DataSettings
from truing.data.validate import Complaints
from truing.errors import UserError
from truing.feedback.judgements import agreement, snapshot
from truing.feedback.store import projects
from truing.feedback.store.database import Database, is_store
from truing.runs import distributed

C = TypeVar("C")
KEYS: dict[str, Callable[[str], bool]] = {"project": bool, "round": str.isdecimal}  # and what their values must be
NAMES = "a snapshot, a project, or project=NAME,round=NUMBER"  # that a source may have after its #


def pinned(config: C) -> C:
    """The configuration with every store in `data` named with a snapshot, taken now where there is none: what a run
    writes down about itself can then be repeated. Of several processes the first takes it, for all."""
    inputs: DataSettings = config.inputs  # type: ignore[attr-defined]
    sources = distributed.by_first(lambda: [_pin(source) for source in inputs.data])
    return replace(config, inputs=replace(inputs, data=tuple(sources)))  # type: ignore[type-var]


def read(
    sources: Sequence[str],
    kinds: tuple[type, ...],
    strict: bool = False,
    report: Callable[[str], None] | None = None,
    check: Check | None = None,
) -> list[Any]:
    """As `formats.read`, from stores too: a snapshot's records, with each person's own error rate, or the mean of those
    that are known."""
    files = [source for source in sources if not is_store(source.partition("#")[0])]
    found = formats.read(files, kinds, strict, report, check) if files else []
    for source in sources:
        if source not in files:
            found += _fitting(_records(source, kinds, report), Complaints(source, strict, report), check)
    return found


def _fitting(records: Sequence[Any], complaints: Complaints, check: Check | None) -> list[Any]:
    """The records that a stage can use, known by their prompts."""
    prompts = [record if isinstance(record, Prompt) else record.prompt for record in records]
    kept = [
        record
        for record, prompt in zip(records, prompts, strict=True)
        if complaints.passes(record, f"prompt {prompt.id}", check)
    ]
    complaints.close()
    return kept


def _pin(source: str) -> str:
    place, _, name = source.partition("#")
    if not is_store(place):
        return source
    with closing(Database.open(place, create=False)) as db:
        with db.reading() as connection:
            if snapshot.project_of(connection, name):
                return source
        with db.writing() as connection:
            try:
                frozen = snapshot.take(connection, *_selected(connection, name))
            except UserError as error:
                raise UserError(f"data {source}: {error} (after # stands {NAMES})") from None
    return f"{place}#{frozen}"


def _selected(connection: Connection, name: str) -> tuple[str, dict[str, int]]:
    """The project, and the filters of a snapshot, that a source names after its #."""
    if "=" not in name or name in projects.projects(connection):
        return projects.project_named(connection, name or projects.DEFAULT), {}
    asked: dict[str, str] = {}
    for part in name.split(","):
        key, _, value = part.partition("=")
        if key not in KEYS or key in asked or not KEYS[key](value):
            raise UserError(f'"{part}" is not understood')
        asked[key] = value
    project = projects.project_named(connection, asked.get("project", projects.DEFAULT))
    return project, {"round": int(asked["round"])} if "round" in asked else {}


def _records(source: str, kinds: tuple[type, ...], report: Callable[[str], None] | None) -> list[Any]:
    place, _, frozen = source.partition("#")
    with closing(Database.open(place, create=False)) as db, db.reading() as connection:
        project = snapshot.project_of(connection, frozen) or ""  # without one there is no snapshot: refused below
        errors = agreement.error_rates(connection, project, frozen)
        # One of whom too little is known is taken to be as the others are. Of nobody's: 0, and `--error-rate` holds.
        prior = fmean(errors.values()) if errors else 0.0
        found = snapshot.records(connection, frozen, errors=errors, prior=prior, report=report)
        if report and Comparison in kinds and snapshot.is_of_earlier_rules(connection, frozen):
            report(
                f"data {source}: taken by an earlier version: what its ratings teach has changed since (CHANGELOG.md)"
            )
    return convert(found, kinds)
