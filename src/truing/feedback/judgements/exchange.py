"""Judgements in and out: other tools' files become annotations, snapshots become files with a manifest."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection

import truing
from truing.data import formats
from truing.data.convert import convert, on_criterion, sitting_of, without_derived
from truing.data.formats.columns import is_label
from truing.data.formats.files import save
from truing.data.records import (
    Comparison,
    Conversation,
    Demonstration,
    Edit,
    Flag,
    Prompt,
    Ranking,
    Rating,
    Record,
)
from truing.data.validate import shown
from truing.errors import UserError
from truing.feedback.judgements import snapshot
from truing.feedback.judgements.duplicates import Known
from truing.feedback.people import auth
from truing.feedback.store import accounts, content, projects, queue, snapshots
from truing.feedback.store.content import Selection
from truing.feedback.store.database import Database, now
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import kinds, leases, questions
from truing.feedback.tasks.kinds.kind import Imported

JUDGEMENTS = (Comparison, Ranking, Rating, Flag, Edit, Demonstration)
AT_ONCE = 20  # records of one transaction: a page that is open meanwhile waits for a tenth of a second
GAP_S = 0.02  # between two of them: SQLite lets those of other processes try again, and gives them no turn
LARGEST = 50  # ratings of one sitting: each two become a comparison
FIGURES = ("error", "round", "time")  # of a record, beside what its kind keeps
EVENTS = "events"  # the layout that is for reading
LAYOUTS = (*formats.WRITERS, EVENTS)
ALL_CRITERIA = ("native", EVENTS)  # layouts that hold every judgement, and name its criterion
if TYPE_CHECKING:
    ExportLayout = str
else:
    ExportLayout = Literal[LAYOUTS]


def read_in(sources: Sequence[str], report: Callable[[str], None] | None = None) -> list[Record]:
    """The judgements, sampled answers and prompts in files of any layout. Raises UserError where there are none."""
    # A file that is named twice is one: what nobody in particular says in it would count twice.
    return formats.read(list(dict.fromkeys(sources)), (*JUDGEMENTS, Conversation, Prompt), report=report)


def bring_in(
    db: Database, records: Sequence[Record], project: str, kind: str = "pair", overlap: int = 1,
    report: Callable[[str], None] | None = None,
) -> dict[str, int]:  # fmt: skip
    """Records into the store: judgements as annotations of those who made them, prompts and sampled answers as open
    tasks of a kind. What is there already is not taken twice. Returns how many of each were new.

    What the store cannot hold as it is, is left out, counted and told to `report` with the reason.
    """
    tell = report or (lambda line: None)
    with db.writing() as connection:
        place = projects.open_project(connection, project)
    counted: Counter[str] = Counter()
    kept = without_derived(records, counts=lambda rating: not _why_unstorable(rating))
    if count := len(records) - len(kept):
        counted["left out"] += count
        tell(f"left out: {count} comparisons that follow from the ratings beside them, and are made of these")
    records, equal = _without_equal_answers(kept)
    if equal:
        tell(f"left out: {equal} sampled answers that read as another answer to their prompt")
    known = Known(place)
    for number, sittings in enumerate(_blocks(_sittings(records))):
        if number:
            time.sleep(GAP_S)
        with db.writing() as connection:
            for sitting in sittings:
                try:
                    # Records that cannot be held leave nothing half of them behind.
                    with connection.begin_nested():
                        new = _bring(connection, known, sitting, kind, overlap)
                except UserError as error:
                    counted["left out"] += len(sitting)
                    tell(f"left out: {_described(sitting[0])}: {error}")
                    continue
                counted[type(sitting[0]).__name__] += new
                counted["already there"] += len(sitting) - new
    return dict(+counted)


def take_out(
    db: Database, project: str, out: Path, layout: str, frozen: str = "", criterion: str = ""
) -> dict[str, Any]:
    """Write a snapshot's judgements (a new one of all that stands, if none is named) in a layout, with a manifest
    beside them. Returns the manifest.

    Native rows and events hold judgements by all criteria. The layouts of others hold those on one, for what reads
    them would mix them, also where a column names it.
    """
    if layout not in LAYOUTS:
        raise UserError(f"to = {layout!r}: it must be one of {', '.join(LAYOUTS)}")
    if criterion and layout in ALL_CRITERIA:
        raise UserError(f"criterion = {criterion!r}: {layout} rows name the criterion, and hold all of them")
    with db.writing() as connection:
        place = projects.project_named(connection, project)
        frozen = frozen or snapshot.take(connection, place)
        manifest = snapshot.described(connection, frozen)
        told: list[str] = []
        records = snapshot.records(connection, frozen, report=told.append)
        events = list(_events(connection, frozen)) if layout == EVENTS else []
    if layout == EVENTS:
        rows = save(out, events)
    else:
        fitting = list(records)
        if layout not in ALL_CRITERIA:
            fitting = _for_layout(on_criterion(fitting, criterion, told.append), layout, told.append)
        rows = formats.write(fitting, out, layout, told.append)
    manifest |= {"layout": layout, "rows": rows, "file": out.name, "truing": truing.__version__, "left_out": told}
    manifest["records"] = dict(Counter(type(record).__name__ for record in records))
    manifest["annotators"] = sorted({r.annotator for r in records if not isinstance(r, Prompt | Conversation)})
    path = out.with_name(f"{out.name}.manifest.json")
    path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def _for_layout(records: Sequence[Record], layout: str, report: Callable[[str], None]) -> list[Record]:
    """What rows of another tool's layout hold of the records: the first class of which there are any, for what reads a
    file wants one. How many records say nothing of it is told to `report`."""
    only_ties: list[Record] = []  # or empty answers
    for wanted, name in formats.WRITERS[layout].HOLDS.items():
        found = [record for record in convert(records, (wanted,)) if not isinstance(record, Rating) or is_label(record)]
        if not any(formats.fits_other_layouts(record) for record in found):
            only_ties += found
            continue
        if left := Counter(type(record).__name__ for record in _left_out(records, wanted, found)):
            others = ", ".join(f"{count} {what}" for what, count in left.items())
            report(f"left out: {others}: {layout} rows of {name} hold nothing else")
        return found
    if only_ties:
        return only_ties  # who writes them says so
    held = ", ".join(sorted({type(record).__name__ for record in records})) or "nothing that teaches"
    raise UserError(f"there is nothing that the layout {layout} can hold: the snapshot has {held}")


def _left_out(records: Sequence[Record], wanted: type, found: Sequence[Record]) -> list[Record]:
    """The records that none of those found follows from."""
    compared = {
        (one.prompt.id, one.annotator, one.criterion, text)
        for one in found
        if isinstance(one, Comparison)
        for text in (one.chosen, one.rejected)
    }

    def is_held(record: Record) -> bool:
        if not isinstance(record, Rating):
            return bool(convert([record], (wanted,)))
        about = (record.prompt.id, record.annotator, record.criterion, record.response)
        return about in compared if wanted is Comparison else wanted is Rating and is_label(record)

    return [record for record in records if not is_held(record)]


def _events(connection: Connection, frozen: str) -> Iterator[dict[str, Any]]:
    """The annotations themselves, with the answers as they were shown, and what was asked.

    The criterion is that of the task, empty for an overall judgement; a payload names those asked for beside it.
    """
    for row in snapshots.whole_annotations(connection, frozen):
        shown = content.texts(connection, row.shown_order)
        kind = kinds.EVENTS[row.kind]
        scale = kinds.scale_of(kind, row.config, row.usual)
        yield {
            "id": row.id, "number": row.number, "kind": row.kind, "version": row.version, "payload": row.payload,
            "annotator": row.annotator_id, "created_at": row.created_at, "duration_ms": row.duration_ms,
            "active_ms": row.active_ms, "guideline": row.guideline,
            "criterion": row.config.get("criterion", ""),
            "scale": scale and {"low": scale["low"], "high": scale["high"]},
            "prompt": content.conversation_to(connection, row.prompt_id, None),
            "shown": [{"id": one, "text": shown[one]} for one in row.shown_order],
        }  # fmt: skip


def _without_equal_answers(records: Sequence[Any]) -> tuple[list[Any], int]:
    """The records, of sampled answers only those that people can tell apart, and how many others there were."""
    kept, equal = [], 0
    for record in records:
        if isinstance(record, Conversation):
            record, same = questions.distinct(record)
            equal += same
        kept.append(record)
    return kept, equal


def _sittings(records: Sequence[Any]) -> list[list[Any]]:
    """The records of each task: a person's ratings of the answers to one prompt together, every other record alone."""
    sittings: list[list[Any]] = []
    open_: dict[Hashable, list[Any]] = {}
    for record in records:
        if not isinstance(record, Rating) or _why_unstorable(record):
            sittings.append([record])
            continue
        key = sitting_of(record), record.error
        sitting = open_.get(key, [])
        if any(one.response == record.response for one in sitting):
            sittings.append([record])  # rated twice: nothing to compare
            continue
        if len(sitting) in (0, LARGEST):
            sitting = open_[key] = []
            sittings.append(sitting)
        sitting.append(record)
    return sittings


def _blocks(sittings: Sequence[list[Any]]) -> Iterator[list[list[Any]]]:
    """The sittings in groups that hold AT_ONCE records or little more."""
    block: list[list[Any]] = []
    for sitting in sittings:
        block.append(sitting)
        if sum(map(len, block)) >= AT_ONCE:
            yield block
            block = []
    if block:
        yield block


def _bring(connection: Connection, known: Known, sitting: Sequence[Any], kind: str, overlap: int) -> int:
    """The records of one task into the store. Returns how many of them are new."""
    first, project = sitting[0], known.project
    if isinstance(first, Prompt | Conversation):
        return int(_bring_task(connection, project, first, kind, overlap))
    if reason := _why_unstorable(first):
        raise UserError(reason)
    person = _person(connection, first.annotator)
    brought = known.new(connection, person, sitting)
    if not brought:
        return 0
    new = [record for record, _ in brought]
    prompt = content.add_prompt(connection, project, first.prompt, "import")
    asked, imported = kinds.imported(new)
    ids = [content.answer_of_text(connection, prompt, text) for text in imported.answers]
    candidates = content.add_candidates(connection, prompt, ids, selection=Selection("import")) if ids else None
    question = Question(asked.name, config=_config(new, imported))
    task = questions.add_task(connection, project, question, prompt, candidates)
    identity = queue.give(connection, task, person, now(), ids)
    leases.submit(connection, identity, person, imported.payload(ids), known.key(brought))
    known.add(connection, person, brought)
    return len(new)


def _bring_task(connection: Connection, project: str, record: Prompt | Conversation, kind: str, overlap: int) -> bool:
    """Store what is new as tasks; a prompt that brings no answers where they are needed is only kept."""
    one = record if isinstance(record, Conversation) else Conversation(record)
    known = content.known_prompt(connection, project, one.prompt)
    prompt = known or content.add_prompt(connection, project, one.prompt, "import")
    if one.responses and not questions.parts(one, kind):
        raise UserError(
            f"it has too few answers to ask for a {kind}: {len(one.responses)} of {kinds.TABLE[kind].fewest}"
        )
    parts = questions.new_parts(connection, project, prompt, one, kind)
    for part in parts:
        questions.add_conversation(connection, project, part, Question(kind, overlap), "import")
    return bool(parts) or known is None


def _described(record: Any) -> str:
    """The record as a line about it names it."""
    prompt = record if isinstance(record, Prompt) else record.prompt
    return f"{type(record).__name__} of the prompt {shown(prompt.text)}"


def _why_unstorable(record: Any) -> str:
    """Why the store cannot hold a record; empty if it can."""
    if isinstance(record, Rating) and not record.low <= record.value <= record.high:
        return f"{record.value:g} is outside the scale {record.low:g} to {record.high:g}"
    return ""


def _config(records: Sequence[Any], imported: Imported) -> dict[str, Any]:
    """What the task asks, where it is not the usual: a rating's scale, a criterion in place of an overall judgement.

    Beside it, as `given`, the figures of records that no person gives on a page: a snapshot has them as they came in.
    """
    record, times = records[0], [record.time for record in records]
    config: dict[str, Any] = {
        "given": {name: value for name, value in vars(record).items() if name in FIGURES and value}
    }
    config["given"] |= imported.given | ({"times": times} if len(set(times)) > 1 else {})
    if imported.scale:
        config["scale"] = {**imported.scale._asdict(), "words": []}
    if getattr(record, "criterion", ""):
        config["criterion"] = record.criterion
    return config


def _person(connection: Connection, name: str) -> str:
    """The person with this name, or, in an export of this store, with this pseudonym; made if there is none."""
    if accounts.has_id(connection, name):
        return name
    name = auth.normal_name(name) or snapshot.NOBODY
    return auth.anybody_named(connection, name) or auth.add_person(connection, name)
