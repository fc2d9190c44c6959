"""A judgement of each kind without a store: its rows, its records, what a simulated person says."""

from types import SimpleNamespace

import numpy as np
import pytest

from truing.data.records import Message, Prompt
from truing.feedback.people.simulated import Annotator
from truing.feedback.tasks import kinds
from truing.feedback.tasks.kinds.kind import Context, Scale, Shown, Simulation

PROMPT = Prompt((Message("user", "?"),))


def shown(answers, scale=(1, 5), texts=None, written=""):
    return Shown(list(answers), Scale(*scale), lambda answer: (texts or {})[answer], written)


def rows(kind, payload, answers, **more):
    """Table's name and values of each row."""
    before = shown(answers, **more)
    found = kinds.TABLE[kind].facts(kinds.parse(kind, payload, before), before)
    return [(table.name, values) for table, values in found]


def compared(kind, payload, answers, **more):
    """The comparisons among the rows."""
    keys = ("winner_id", "loser_id", "tie", "strength", "criterion", "origin")
    found = rows(kind, payload, answers, **more)
    return [tuple(values.get(key, "") for key in keys) for name, values in found if name == "comparison"]


def records(kind, payload, texts, scale=(1, 5), strength="margin", criterion="", given=None):
    """What training reads of a judgement; `texts` by the ids of the answers."""
    by = {"annotator": "Ann", "error": 0.1, "round": 2, "time": 5.0}
    context = Context(PROMPT, texts, Scale(*scale), criterion, by, strength, given)
    return list(kinds.TABLE[kind].records(kinds.stored(kind, payload), context))


def simulated(kind, *texts, annotator=Annotator("P"), preference=lambda prompt, text: len(text), seed=0):
    answers = [{"id": f"id-{i}", "text": text, "html": None} for i, text in enumerate(texts)]
    task = {"kind": kind, "messages": [{"role": "user", "text": "?"}], "answers": answers, "criteria": [],
            "scale": {"low": 1, "high": 7}}  # fmt: skip
    return kinds.TABLE[kind].simulated(Simulation(task, annotator, preference, np.random.default_rng(seed)))


@pytest.fixture
def given():
    """The helpers above, for test files."""
    return SimpleNamespace(
        prompt=PROMPT, shown=shown, rows=rows, compared=compared, records=records, simulated=simulated
    )
