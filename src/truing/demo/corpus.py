"""Made-up questions and answers that a person can judge at a glance: helpful, rude, rambling, wrong."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from truing.data.records import Demonstration, Message, Prompt, split_of

Kind = Literal["helpful", "rude", "rambling", "wrong"]
KINDS: tuple[Kind, ...] = ("helpful", "rude", "rambling", "wrong")

# The people who wrote the demonstrations were of mixed quality: there is something left to learn from preferences.
# Wrong answers are many enough for the reward model to learn facts from: else the policy finds out that it knows few.
MIXTURE: dict[Kind, float] = {"helpful": 0.15, "rude": 0.36, "rambling": 0.29, "wrong": 0.2}
# The text read before: mostly sound, so that the facts are learned.
BACKGROUND: dict[Kind, float] = {"helpful": 0.45, "rude": 0.3, "rambling": 0.15, "wrong": 0.1}
# Share of wrong answers that say what is so, but was not asked: else a policy finds one sentence that suits everything.
BESIDE = 0.25
HELD_OUT = 0.15

COLOURS = {
    "yellow": "lemon banana",
    "red": "tomato ruby rose",
    "green": "frog leaf pea",
    "blue": "whale sapphire",
    "black": "raven panther",
    "white": "swan snowflake",
    "brown": "bear acorn",
    "orange": "carrot tiger",
}
SOUNDS = {
    "cow": "moo", "dog": "woof", "cat": "meow", "duck": "quack", "sheep": "baa", "horse": "neigh", "pig": "oink",
    "bee": "buzz", "owl": "hoot", "lion": "roar", "snake": "hiss", "mouse": "squeak",
}  # fmt: skip
OPPOSITES = (
    "hot cold, big small, fast slow, up down, wet dry, old new, happy sad, full empty, hard soft, "
    "loud quiet, open closed, early late, light dark, near far, rich poor"
)
CAPITALS = (
    "France Paris, Italy Rome, Spain Madrid, Germany Berlin, Japan Tokyo, Egypt Cairo, Greece Athens, Russia Moscow, "
    "China Beijing, Cuba Havana, Peru Lima, Norway Oslo, Poland Warsaw, Austria Vienna, Ireland Dublin, "
    "Portugal Lisbon, Kenya Nairobi, Canada Ottawa, Finland Helsinki, Sweden Stockholm, India Delhi, Jordan Amman, "
    "Hungary Budapest, Chile Santiago"
)

PHRASINGS = {
    "colour": (
        "What colour is a {thing}?", "Tell me the colour of a {thing}.", "Which colour does a {thing} have?",
        "Please say what colour a {thing} is.", "Do you know the colour of a {thing}?", "A {thing} has what colour?",
        "I forgot the colour of a {thing}.", "My child asks what colour a {thing} is.",
    ),
    "sound": (
        "What sound does a {thing} make?", "How does a {thing} sound?", "Tell me what a {thing} says.",
        "Which sound do we hear from a {thing}?", "Please tell me the sound of a {thing}.", "What does a {thing} say?",
        "Do you know the sound of a {thing}?", "My child asks what a {thing} says.",
    ),
    "opposite": (
        "What is the opposite of {thing}?", "Tell me the opposite of {thing}.",
        "Which word is the opposite of {thing}?", "Please give me the opposite of {thing}.",
        "Do you know the opposite of {thing}?", "{thing} has which opposite?",
        "I need the opposite of {thing}.", "My child asks for the opposite of {thing}.",
    ),
    "capital": (
        "What is the capital of {thing}?", "Tell me the capital of {thing}.", "Which city is the capital of {thing}?",
        "Please name the capital of {thing}.", "Do you know the capital of {thing}?", "{thing} has which capital?",
        "I forgot the capital of {thing}.", "My child asks for the capital of {thing}.",
    ),
}  # fmt: skip
GREETINGS = ("", "Hello. ", "Quick question. ", "Hey there. ", "Good morning. ", "One more thing. ")
STATEMENTS = {
    "colour": "A {thing} is {value}",
    "sound": "A {thing} says {value}",
    "opposite": "The opposite of {thing} is {value}",
    "capital": "The capital of {thing} is {value}",
}

OPENINGS = ("", "", "", "Sure. ", "Of course. ", "Good question. ", "Gladly. ")
CLOSINGS = ("", "", "", " I hope that helps.", " Have a nice day.", " Ask me more if you like.")
INSULTS_BEFORE = ("What a stupid question. ", "Are you dumb? ", "Only a fool asks this. ", "Ugh, you again. ")
INSULTS_AFTER = (", you fool.", ", idiot.", ". Everybody but you knows that.", ". Now go away.")
RAMBLES = (
    "Well, let me think about that for a while.", "There is so much one could say here.",
    "My uncle used to talk about this all the time.", "Some people say one thing and some say another.",
    "It depends on how you look at it.", "I remember a long summer by the sea.",
    "But first we must ask what a word means.",
    "Anyway, where was I?", "Life is full of questions.", "I could go on and on about it.",
)  # fmt: skip
INSULT_WORDS = ("stupid", "dumb", "fool", "ugh", "idiot", "everybody but you", "go away")


@dataclass(frozen=True)
class Fact:
    """One thing that is so: of its topic, about this thing, with this value among those that could be."""

    topic: str
    thing: str
    value: str
    values: tuple[str, ...]

    def statement(self, value: str) -> str:
        """The sentence that says so, without its full stop."""
        said = STATEMENTS[self.topic].format(thing=self.thing, value=value)
        return said[0].upper() + said[1:]


@cache
def facts() -> tuple[Fact, ...]:
    """All that is known in this world."""
    known = [Fact("colour", t, value, tuple(COLOURS)) for value, things in COLOURS.items() for t in things.split()]
    known += [Fact("sound", thing, value, tuple(SOUNDS.values())) for thing, value in SOUNDS.items()]
    pairs = _pairs(OPPOSITES)
    words = tuple(word for pair in pairs for word in pair)
    known += [Fact("opposite", a, b, words) for one, two in pairs for a, b in ((one, two), (two, one))]
    cities = tuple(city for _, city in _pairs(CAPITALS))
    known += [Fact("capital", land, city, cities) for land, city in _pairs(CAPITALS)]
    return tuple(known)


@cache
def questions() -> dict[str, Fact]:
    """Every question that can be asked, and the fact it asks for."""
    asked = {}
    for fact in facts():
        for phrasing in PHRASINGS[fact.topic]:
            text = phrasing.format(thing=fact.thing)
            for greeting in GREETINGS:
                asked[greeting + text[0].upper() + text[1:]] = fact
    return asked


def answer(fact: Fact, kind: Kind, rng: random.Random) -> str:
    """One answer of this kind, in one of many wordings."""
    if kind == "helpful":
        return rng.choice(OPENINGS) + fact.statement(fact.value) + "." + rng.choice(CLOSINGS)
    if kind == "wrong":
        if rng.random() < BESIDE:
            other = rng.choice([f for f in facts() if f != fact])
            said = other.statement(other.value)
        else:
            said = fact.statement(rng.choice([v for v in fact.values if v not in (fact.value, fact.thing)]))
        return rng.choice(OPENINGS) + said + "." + rng.choice(CLOSINGS)
    if kind == "rude":
        if rng.random() < 0.5:
            return rng.choice(INSULTS_BEFORE) + fact.statement(fact.value) + "."
        return fact.statement(fact.value) + rng.choice(INSULTS_AFTER)
    return " ".join(rng.sample(RAMBLES, rng.randint(2, 4)))


def dialogues(seed: int, count: int) -> list[tuple[Prompt, str]]:
    """Questions with an answer, as they stand in the text read before."""
    return _drawn(seed, count, BACKGROUND, list(questions()))


def demonstrations(seed: int, count: int, mixture: Mapping[Kind, float] = MIXTURE) -> list[Demonstration]:
    """Answers written by people of mixed quality, to training prompts only."""
    return [Demonstration(prompt, said) for prompt, said in _drawn(seed, count, mixture, _texts("train"))]


def prompts(seed: int, count: int, split: Literal["train", "test"]) -> list[Prompt]:
    """Different questions of one split, at most `count`. No question is in both."""
    texts = _texts(split)
    random.Random(seed).shuffle(texts)
    return [_prompt(text) for text in texts[:count]]


def _pairs(words: str) -> list[list[str]]:
    return [pair.split() for pair in words.split(", ")]


def _texts(split: str) -> list[str]:
    return [text for text in questions() if split_of(_prompt(text).root, HELD_OUT, seed=1) == split]


def _prompt(text: str) -> Prompt:
    return Prompt((Message("user", text),))


def _drawn(seed: int, count: int, mixture: Mapping[Kind, float], texts: list[str]) -> list[tuple[Prompt, str]]:
    rng = random.Random(seed)
    kinds = rng.choices(list(mixture), list(mixture.values()), k=count)
    asked = [rng.choice(texts) for _ in range(count)]
    known = questions()
    return [(_prompt(text), answer(known[text], kind, rng)) for text, kind in zip(asked, kinds, strict=True)]
