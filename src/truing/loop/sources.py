"""Data sources of a stage that may be feedback stores, beside files: `feedback.db`, `feedback.db#PROJECT`, or
`feedback.db#SNAPSHOT`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, TypeVar

from sqlalchemy import Connection

from truing.data import formats
from truing.data.formats.convert import convert
from truing.data.records import Rating
from truing.errors import UserError
from truing.feedback import quality, snapshot, store
from truing.feedback.database import Database, is_store
from truing.training import processes

C = TypeVar("C")


def pinned(config: C) -> C:
    """The configuration with every store in `data` named with a snapshot, taken now where there is none: what a run
    writes down about itself can then be repeated. Of several processes the first takes it, for all."""
    sources = processes.by_first(lambda: [_pin(source) for source in config.data])  # type: ignore[attr-defined]
    return replace(config, data=tuple(sources))  # type: ignore[type-var]


def read(
    sources: Sequence[str], kinds: tuple[type, ...], strict: bool = False, report: Callable[[str], None] | None = None
) -> list[Any]:
    """As `formats.read`, from stores too: a snapshot's records, with each person's own error rate, or the mean of those
    that are known."""
    files = [source for source in sources if not is_store(source.partition("#")[0])]
    found = formats.read(files, kinds, strict, report) if files else []
    for source in sources:
        if source not in files:
            found += _records(source, kinds)
    return found


def _pin(source: str) -> str:
    place, _, name = source.partition("#")
    if not is_store(place):
        return source
    db = Database.open(place, create=False)
    with db.reading() as connection:
        frozen = snapshot.project_of(connection, name) is not None
    if not frozen:
        with db.writing() as connection:
            name = snapshot.take(connection, _project(connection, place, name))
    db.close()
    return f"{place}#{name}"


def _project(connection: Connection, place: str, name: str) -> str:
    """The id of a store's project; without a name the default one."""
    try:
        return store.project_named(connection, name) if name else store.project_named(connection)
    except UserError as error:
        if name:
            raise UserError(f'data {place}#{name}: there is no snapshot "{name}", and {error}') from None
        raise UserError(f"data {place}: {error}; {place}#NAME takes another project") from None


def _records(source: str, kinds: tuple[type, ...]) -> list[Any]:
    place, _, frozen = source.partition("#")
    db = Database.open(place, create=False)
    with db.reading() as connection:
        project = snapshot.project_of(connection, frozen) or ""  # without one there is no snapshot: refused below
        errors = quality.error_rates(connection, project, frozen)
        # One of whom too little is known is taken to be as the others are. Of nobody's: 0, and `--error-rate` holds.
        found = snapshot.records(connection, frozen, errors=errors, prior=fmean(errors.values()) if errors else 0.0)
        # Ratings at one sitting are comparisons in the store already: they are not turned into them once more.
        records = [r for r in found if not isinstance(r, Rating)]
    db.close()
    return convert(records, kinds)
