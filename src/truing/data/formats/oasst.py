"""Open-Assistant's trees: ranked answers to each message, and the best ones as demonstrations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from truing.data.records import Demonstration, Message, Prompt, Ranking, Record
from truing.data.validate import BadRow, Said, Unusable, is_whole, refuse_useless, shown, text, usable

ROLES = {"prompter": "user", "assistant": "assistant"}
HOLDS = {Ranking: "rankings"}
COLUMNS = ("message_tree_id", "tree_state", "prompt")


def matches(row: dict[str, Any]) -> bool:
    """Whether the row is a message tree, or a message of one by itself."""
    return "message_tree_id" in row and (isinstance(row.get("prompt"), dict) or "message_id" in row)


def records_of(row: dict[str, Any]) -> list[Said]:
    """A ranking for each group of ranked answers, a demonstration of the best answer to each message.

    A group of which only some are ranked is a ranking of those; where none is, the first answer counts as the best.
    A message that cannot be read costs what is below it, a rank its group, and neither the rest of the tree.
    """
    if "prompt" not in row:
        raise BadRow("a message by itself: of Open-Assistant's files those of whole trees are read (….trees.jsonl.gz)")
    found = list(_walk(row["prompt"], str(row["message_tree_id"])))
    refuse_useless(found)
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


def _walk(prompt: dict[str, Any], tree: str) -> Iterator[Said]:
    todo: list[tuple[dict[str, Any], tuple[Message, ...]]] = [(prompt, (_message(prompt),))]
    while todo:
        node, here = todo.pop()
        replies = node.get("replies") or []
        if not isinstance(replies, list):
            yield Unusable(f'"replies" must be a list of messages, not {shown(replies)}')
            continue
        read = []
        for reply in replies:
            if not isinstance(reply, dict) or not reply.get("deleted"):
                try:
                    read.append((reply, _message(reply)))
                except BadRow as error:
                    yield Unusable(str(error))
        answers = [(reply, said.content) for reply, said in read if said.role == "assistant"]
        yield from usable(_judged, Prompt(here, root=tree), answers)
        todo += [(reply, (*here, said)) for reply, said in reversed(read)]


def _judged(prompt: Prompt, answers: Sequence[tuple[dict[str, Any], str]]) -> list[Record]:
    ranked = [(_rank(reply), said) for reply, said in answers if reply.get("rank") is not None]
    found: list[Record] = []
    if len(ranked) >= 2:
        tiers, said = zip(*ranked, strict=True)
        found.append(Ranking(prompt, said, tiers, origin="oasst"))
    if answers:
        best = min(ranked, key=lambda one: one[0])[1] if ranked else answers[0][1]
        found.append(Demonstration(prompt, best))
    return found


def _message(node: Any) -> Message:
    if not isinstance(node, dict):
        raise BadRow(f'"replies" must be a list of messages, not {shown(node)}')
    return Message(_role(node), text(node, "text"))  # type: ignore[arg-type]


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
