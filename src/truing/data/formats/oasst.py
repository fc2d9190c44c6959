"""Open-Assistant's trees: ranked answers to each message, and the best ones as demonstrations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from truing.data.records import Demonstration, Message, Prompt, Ranking, Record
from truing.data.validate import BadRow, text

ROLES = {"prompter": "user", "assistant": "assistant"}


def matches(row: dict[str, Any]) -> bool:
    """Whether the row is a message tree."""
    return "message_tree_id" in row and isinstance(row.get("prompt"), dict)


def records_of(row: dict[str, Any]) -> list[Record]:
    """A ranking for each group of ranked siblings by the assistant, a demonstration for each of its messages on top."""
    found = list(_walk(row["prompt"], (), str(row["message_tree_id"])))
    if not found:
        raise BadRow("the tree holds no answer of the assistant")
    return found


def _walk(node: dict[str, Any], above: tuple[Message, ...], tree: str) -> Iterator[Record]:
    if node.get("role") not in ROLES:
        raise BadRow(f'"role" must be prompter or assistant, not {node.get("role")!r}')
    here = (*above, Message(ROLES[node["role"]], text(node, "text")))  # type: ignore[arg-type]
    replies = [reply for reply in node.get("replies") or [] if not reply.get("deleted")]
    ranked = [reply for reply in replies if isinstance(reply.get("rank"), int)]
    prompt = Prompt(here, root=tree)
    if len(ranked) >= 2:
        tiers = tuple(reply["rank"] for reply in ranked)
        yield Ranking(prompt, tuple(text(r, "text") for r in ranked), tiers, origin="oasst")
    answers = [r for r in replies if r.get("role") == "assistant"]
    if answers:
        best = min(answers, key=lambda r: r["rank"] if isinstance(r.get("rank"), int) else 0)
        yield Demonstration(prompt, text(best, "text"))
    for reply in replies:
        yield from _walk(reply, here, tree)
