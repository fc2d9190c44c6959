"""Open-Assistant's trees: ranked answers to each message, and the best ones as demonstrations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from truing.data.records import Demonstration, Message, Prompt, Ranking, Record
from truing.data.validate import BadRow, is_whole, shown, text

ROLES = {"prompter": "user", "assistant": "assistant"}
COLUMNS = ("message_tree_id", "tree_state", "prompt")


def matches(row: dict[str, Any]) -> bool:
    """Whether the row is a message tree, or a message of one by itself."""
    return "message_tree_id" in row and (isinstance(row.get("prompt"), dict) or "message_id" in row)


def records_of(row: dict[str, Any]) -> list[Record]:
    """A ranking for each group of ranked answers, a demonstration of the best answer to each message.

    A group of which only some are ranked is a ranking of those; where none is, the first answer counts as the best.
    """
    if "prompt" not in row:
        raise BadRow("a message by itself: of Open-Assistant's files those of whole trees are read (….trees.jsonl.gz)")
    found = list(_walk(row["prompt"], (), str(row["message_tree_id"])))
    if not found:
        raise BadRow("the tree holds no answer of the assistant")
    return found


def row_of(record: Record) -> dict[str, Any]:
    """A ranking as a tree of its own: the conversation as a chain, the ranked answers below its end."""
    if not isinstance(record, Ranking):
        raise BadRow(f"Open-Assistant's trees hold rankings, not a {type(record).__name__}")
    names = {role: name for name, role in ROLES.items()}
    answers = zip(record.tiers, record.responses, strict=True)
    replies = [{"role": "assistant", "text": said, "rank": tier, "replies": []} for tier, said in answers]
    for message in reversed(record.prompt.messages):
        if message.role not in names:
            raise BadRow("Open-Assistant's trees have no system messages")
        replies = [{"role": names[message.role], "text": message.content, "rank": None, "replies": replies}]
    return {"message_tree_id": record.prompt.root, "prompt": replies[0]}


def _walk(node: dict[str, Any], above: tuple[Message, ...], tree: str) -> Iterator[Record]:
    here = (*above, Message(_role(node), text(node, "text")))  # type: ignore[arg-type]
    replies = node.get("replies") or []
    if not isinstance(replies, list) or not all(isinstance(reply, dict) for reply in replies):
        raise BadRow(f'"replies" must be a list of messages, not {shown(replies)}')
    replies = [reply for reply in replies if not reply.get("deleted")]
    answers = [reply for reply in replies if _role(reply) == "assistant"]
    ranked = [(_rank(reply), text(reply, "text")) for reply in answers if reply.get("rank") is not None]
    prompt = Prompt(here, root=tree)
    if len(ranked) >= 2:
        tiers, said = zip(*ranked, strict=True)
        yield Ranking(prompt, said, tiers, origin="oasst")
    if answers:
        best = min(ranked, key=lambda one: one[0])[1] if ranked else text(answers[0], "text")
        yield Demonstration(prompt, best)
    for reply in replies:
        yield from _walk(reply, here, tree)


def _role(node: dict[str, Any]) -> str:
    role = node.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise BadRow(f'"role" must be prompter or assistant, not {shown(role)}')
    return ROLES[role]


def _rank(node: dict[str, Any]) -> int:
    rank = node["rank"]
    if isinstance(rank, float) and rank.is_integer():
        rank = int(rank)  # a column of whole numbers with gaps
    if not is_whole(rank):
        raise BadRow(f'"rank" must be a whole number, not {shown(rank)}')
    return rank
