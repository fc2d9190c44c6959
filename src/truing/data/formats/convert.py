"""One kind of record from another, where that is possible without guessing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from truing.data.records import Comparison, Conversation, Demonstration, Edit, Prompt, Rating, Record

RATING_WEIGHT = 0.5  # ratings and rankings disagree, in people too (arXiv:2308.15812): they count half by default


def convert(records: Iterable[Record], kinds: tuple[type, ...]) -> list[Record]:
    """The records of the wanted kinds, and what can be made of the others."""
    wanted: list[Record] = []
    ratings: list[Rating] = []
    for record in records:
        if isinstance(record, kinds):
            wanted.append(record)
        elif isinstance(record, Rating) and Comparison in kinds:
            ratings.append(record)
        else:
            wanted += _made_of(record, kinds)
    return [*wanted, *ratings_to_comparisons(ratings)]


def _made_of(record: Record, kinds: tuple[type, ...]) -> list[Record]:
    if Prompt in kinds:
        return [record.prompt]  # type: ignore[union-attr]
    if Demonstration in kinds:
        if isinstance(record, Edit):
            return [Demonstration(record.prompt, record.after, record.annotator)]
        if isinstance(record, Conversation) and record.responses:
            best = max(record.responses, key=lambda r: float("-inf") if r.score is None else r.score)
            return [Demonstration(record.prompt, best.text)]
    if Comparison in kinds and isinstance(record, Edit):
        return [Comparison(record.prompt, record.after, record.before, annotator=record.annotator, origin="edit")]
    return []


def ratings_to_comparisons(ratings: Sequence[Rating]) -> list[Comparison]:
    """Every two ratings by one person of answers to one prompt on one criterion; equal values are a tie."""
    sittings: dict[tuple[str, str, str], list[Rating]] = {}
    for rating in ratings:
        sittings.setdefault((rating.prompt.id, rating.annotator, rating.criterion), []).append(rating)
    made = []
    for sitting in sittings.values():
        for one, two in combinations(sitting, 2):
            better, worse = (one, two) if one.value >= two.value else (two, one)
            scale = (better.high - better.low) or 1.0
            made.append(
                Comparison(
                    better.prompt,
                    better.response,
                    worse.response,
                    target=0.5 if better.value == worse.value else 1.0,
                    margin=(better.value - worse.value) / scale,
                    weight=RATING_WEIGHT,
                    criterion=better.criterion,
                    annotator=better.annotator,
                    origin="rating",
                )
            )
    return made
