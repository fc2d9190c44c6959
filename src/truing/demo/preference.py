"""The hidden true preference of the made-up world: what a sensible person would think of an answer."""

from __future__ import annotations

import re

from truing.data.records import Prompt
from truing.demo.corpus import CLOSINGS, INSULT_WORDS, OPENINGS, Fact, questions

PLENTY_WORDS = 14  # a right answer with a kind word before and after it is not longer

KIND_BEFORE, KIND_AFTER = (tuple({w.strip().lower() for w in words if w}) for words in (OPENINGS, CLOSINGS))


def true_preference(prompt: Prompt, response: str) -> float:
    """From -3 (worthless) to 3 (right, kind, short, complete). No stage of learning sees it.

    Right fact 2, no fact -0.5, a wrong one -1 (also beside the right one: naming several is no answer); a kind word to
    begin with 0.25, one to end with 0.25, an insult -1.5; each word beyond fourteen -0.1, down to -1.5; a complete end
    0.5, a broken one -0.5; each sentence said twice -0.5.
    """
    said = response.strip()
    if not said:
        return -3.0
    lowered = said.lower()
    score = _truth(questions().get(prompt.text), lowered)
    score += 0.25 * lowered.startswith(KIND_BEFORE) + 0.25 * lowered.endswith(KIND_AFTER)
    score -= 1.5 * any(word in lowered for word in INSULT_WORDS)
    score -= min(1.5, 0.1 * max(0, len(said.split()) - PLENTY_WORDS))
    score += 0.5 if said[-1] in ".!?" else -0.5
    sentences = [s.strip() for s in re.split(r"[.!?]", lowered) if s.strip()]
    score -= 0.5 * (len(sentences) - len(set(sentences)))
    return max(-3.0, score)


def _truth(fact: Fact | None, lowered: str) -> float:
    if fact is None:
        return -0.5
    stated = {
        value for value in fact.values if fact.statement(value).lower() in lowered and _whole(fact, value, lowered)
    }
    words = set(re.findall(r"[a-z]+", lowered.replace(fact.thing.lower(), " ")))
    mentioned = {value for value in fact.values if value.lower() in words}
    if stated == {fact.value} and mentioned <= {fact.value}:
        return 2.0
    return -1.0 if mentioned - {fact.value} else -0.5


def _whole(fact: Fact, value: str, lowered: str) -> bool:
    """The value stands as a word of its own: "six" is not said by "sixteen"."""
    return re.search(re.escape(fact.statement(value).lower()) + r"\b", lowered) is not None
