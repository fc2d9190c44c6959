"""A reward that a small story model can learn, and prompts for it: stories with a happy mood that come to their end.

truing rl --model MODEL --data examples/stories.jsonl --reward examples/happy_stories.py:happiness ...
python examples/happy_stories.py > stories.jsonl        writes the prompts
"""

from __future__ import annotations

import json
import re
from itertools import product

HAPPY = {
    "happy", "happily", "glad", "proud", "joy", "fun", "smile", "smiled", "laugh", "laughed", "hug", "hugged", "love",
    "loved", "friend", "friends", "kind", "share", "shared", "thank", "thanked", "play", "played", "together", "safe",
}  # fmt: skip
SAD = {
    "sad",
    "angry",
    "mad",
    "cry",
    "cried",
    "scared",
    "afraid",
    "hurt",
    "mean",
    "bad",
    "lost",
    "broke",
    "broken",
    "sorry",
}


def happiness(prompt: str, response: str) -> float:
    """Different happy words, at most eight, less different sad ones; 2 more for a last sentence that is complete."""
    words = set(re.findall(r"[a-z]+", response.lower()))
    complete = response.rstrip().endswith((".", "!", "?", '"'))
    return min(len(words & HAPPY), 8) - min(len(words & SAD), 8) + 2.0 * complete


def openings() -> list[str]:
    """240 first sentences."""
    people = ["Lily", "Tom", "Mia", "Ben", "Sara", "Max"]
    kinds = ["girl", "boy", "cat", "dog", "bird"]
    manners = ["little", "quiet", "brave", "funny"]
    starts = ["Once upon a time, there was a {m} {k} named {p}.", "One day, a {m} {k} named {p} went to the park."]
    return [start.format(m=m, k=k, p=p) for start, m, k, p in product(starts, manners, kinds, people)]


if __name__ == "__main__":
    for opening in openings():
        print(json.dumps({"prompt": opening}))
