"""One kind of record from another, where that is possible without guessing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TypeVar

from truing.data.records import Comparison, Conversation, Demonstration, Edit, Prompt, Ranking, Rating, Record
from truing.errors import UserError

R = TypeVar("R", bound=Record)

RATING_WEIGHT = 0.5  # ratings and rankings disagree, in people too (arXiv:2308.15812): they count half by default
OF_RATINGS = ("rating", "binary")  # origins of comparisons that follow from ratings
OF_EDIT = "edit"  # and of one that follows from an edit


def convert(records: Iterable[Record], kinds: tuple[type, ...]) -> list[Record]:
    """The records of the wanted kinds, and what can be made of the others. A prompt is made once of what shares it.

    Ratings of two answers that their person has compared by the criterion too are not compared once more.
    """
    wanted: list[Record] = []
    ratings: list[Rating] = []
    compared: set[Hashable] = set()
    asked: set[str] = set()
    for record in records if Rating in kinds else without_derived(list(records)):
        if isinstance(record, Comparison):
            compared.add(_pair(record))
        if isinstance(record, kinds):
            wanted.append(record)
            asked |= {record.id} if isinstance(record, Prompt) else set()
        elif Prompt in kinds:
            prompt = record.prompt  # type: ignore[union-attr]
            wanted += [] if prompt.id in asked else [prompt]
            asked.add(prompt.id)
        elif isinstance(record, Rating) and Comparison in kinds:
            ratings.append(record)
        else:
            wanted += _made_of(record, kinds)
    return [*wanted, *(made for made in ratings_to_comparisons(ratings) if _pair(made) not in compared)]


def distinct(record: Record, kinds: tuple[type, ...]) -> Record | None:
    """The record without what compares a text with itself, where comparisons or rankings are wanted: it teaches nothing
    and can be asked of nobody. None where nothing is left.

    A ranking keeps one of equal answers in one tier, and none of those in several: where they stand is not known. An
    edit that changes nothing is a demonstration, where edits as such are not wanted.
    """
    if not {Comparison, Ranking} & set(kinds):
        return record
    if isinstance(record, Comparison):
        return record if record.chosen != record.rejected else None
    if isinstance(record, Edit) and record.before == record.after and Edit not in kinds:
        return Demonstration(record.prompt, record.after, record.annotator, time=record.time)
    if not isinstance(record, Ranking) or len(set(record.responses)) == len(record.responses):
        return record
    kept = ranked_once(record.responses, record.tiers)
    return replace(record, responses=tuple(kept), tiers=tuple(kept.values())) if len(kept) > 1 else None


def ranked_once(responses: Sequence[str], tiers: Sequence[int]) -> dict[str, int]:
    """The tier of each answer that stands in one tier alone, in the order given."""
    places: dict[str, set[int]] = {}
    for response, tier in zip(responses, tiers, strict=True):
        places.setdefault(response, set()).add(tier)
    return {response: tier for response, (tier, *others) in places.items() if not others}


def on_criterion(records: Sequence[R], criterion: str = "", report: Callable[[str], None] | None = None) -> list[R]:
    """The records that judge by this criterion, or overall where it is empty: an answer can be the more helpful and the
    less harmless one, so that criteria are not mixed. An edit answers no question: it belongs to every criterion.

    How many others there were is told to `report`. Raises UserError where all are.
    """
    asked = [_criterion(record) for record in records]
    found = Counter(name for name in asked if name is not None)
    others = ", ".join(f"{n} {_by(name)}" for name, n in sorted(found.items()) if name != criterion)
    if criterion not in found and (found or (records and criterion)):
        there = f"; there are {others}" if others else ""
        raise UserError(f'criterion = "{criterion}": no judgement is {_by(criterion)}{there}')
    if others and report:
        report(f"judgements on other criteria are left out: {others}; the setting criterion says which are taken")
    return [record for record, name in zip(records, asked, strict=True) if name in (None, criterion)]


def _by(criterion: str) -> str:
    return f"on {criterion}" if criterion else "overall"


def _criterion(record: Record) -> str | None:
    """The criterion that a record judges by, empty for an overall judgement; None where it answers no question."""
    if not isinstance(record, Comparison | Ranking | Rating):
        return None
    if isinstance(record, Comparison) and record.origin == OF_EDIT:
        return record.criterion or None
    return record.criterion


def without_derived(records: Sequence[Record], counts: Callable[[Rating], bool] = lambda rating: True) -> list[Record]:
    """The records without the comparisons that follow from ratings beside them, which are made of these anew.

    Exports of earlier versions hold both; error and round stand in the comparisons there. `counts`: whether a rating is
    one to make them of.
    """
    rated: dict[Hashable, set[str]] = defaultdict(set)
    for record in records:
        if isinstance(record, Rating) and counts(record):
            rated[_question(record)].add(record.response)
    derived: dict[Hashable, Comparison] = {}
    kept: list[Record] = []
    for record in records:
        if (
            isinstance(record, Comparison)
            and record.origin in OF_RATINGS
            and {record.chosen, record.rejected} <= rated[_question(record)]
        ):
            derived |= {(_question(record), text): record for text in (record.chosen, record.rejected)}
        else:
            kept.append(record)
    return [_as_beside(record, derived) if isinstance(record, Rating) else record for record in kept]


def _as_beside(rating: Rating, derived: Mapping[Hashable, Comparison]) -> Rating:
    beside = derived.get((_question(rating), rating.response))
    return replace(rating, error=beside.error, round=beside.round) if beside else rating


def _question(judgement: Comparison | Rating) -> Hashable:
    """Who was asked about which prompt, by which criterion."""
    return judgement.prompt.id, judgement.annotator, judgement.criterion


def _pair(comparison: Comparison) -> Hashable:
    """Who compared which two answers, by which criterion."""
    return _question(comparison), frozenset((comparison.chosen, comparison.rejected))


def _made_of(record: Record, kinds: tuple[type, ...]) -> Iterator[Record]:
    if Demonstration in kinds:
        if isinstance(record, Edit):
            yield Demonstration(record.prompt, record.after, record.annotator, time=record.time)
        if isinstance(record, Conversation):
            said = [r for r in record.responses if r.text.strip()]  # silence demonstrates nothing
            best = max(said, key=lambda r: float("-inf") if r.score is None else r.score, default=None)
            if best:
                yield Demonstration(record.prompt, best.text)
    if Comparison in kinds:
        if isinstance(record, Edit):
            yield edit_to_comparison(record)
        if isinstance(record, Ranking) and Ranking not in kinds:
            yield from ranking_to_comparisons(record)


def edit_to_comparison(edit: Edit) -> Comparison:
    """The correction is better than what it corrects."""
    who, time = edit.annotator, edit.time
    return Comparison(edit.prompt, edit.after, edit.before, annotator=who, origin=OF_EDIT, time=time)


def ranking_to_comparisons(ranking: Ranking) -> list[Comparison]:
    """All pairs of a ranking; together they weigh one (InstructGPT, arXiv:2203.02155, eq. 1). A shared tier is a tie.

    For export to what knows only pairs: a reward model learns better from the ranking whole, in one batch element.
    """
    placed = sorted(zip(ranking.tiers, ranking.responses, strict=True), key=lambda one: one[0])
    pairs = [(one, two) for one, two in combinations(placed, 2) if one[1] != two[1]]
    return [
        Comparison(
            ranking.prompt,
            better,
            worse,
            target=0.5 if high == low else 1.0,
            weight=1 / len(pairs),
            criterion=ranking.criterion,
            annotator=ranking.annotator,
            origin=ranking.origin,
            error=ranking.error,
            round=ranking.round,
            time=ranking.time,
        )
        for (high, better), (low, worse) in pairs
    ]


def sitting_of(rating: Rating) -> Hashable:
    """What ratings that can be compared have in common: prompt, person, criterion, round and scale."""
    return _question(rating), rating.round, rating.low, rating.high


def ratings_to_comparisons(ratings: Sequence[Rating]) -> list[Comparison]:
    """Every two ratings by one person of answers to one prompt, by one criterion, in one round and on one scale.

    Equal values are a tie. The margin is the difference as a share of the scale. Good / bad is the scale 0 to 1. What a
    person says twice counts once; ratings without a name are those of several people, and all count.
    """
    sittings: dict[Hashable, list[Rating]] = {}
    said: set[Hashable] = set()
    for rating in ratings:
        again = (sitting_of(rating), rating.response, rating.value)
        if not rating.annotator or again not in said:
            sittings.setdefault(sitting_of(rating), []).append(rating)
        said.add(again)
    made = []
    for sitting in sittings.values():
        for one, two in combinations(sitting, 2):
            if one.response == two.response:
                continue  # rated twice: nothing to compare
            better, worse = (one, two) if one.value >= two.value else (two, one)
            made.append(
                Comparison(
                    better.prompt,
                    better.response,
                    worse.response,
                    target=0.5 if better.value == worse.value else 1.0,
                    margin=(better.value - worse.value) / ((better.high - better.low) or 1.0),
                    weight=RATING_WEIGHT,
                    criterion=better.criterion,
                    annotator=better.annotator,
                    origin="rating",
                    error=better.error,
                    round=better.round,
                    time=max(one.time, two.time),
                )
            )
    return made
