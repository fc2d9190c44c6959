import pytest

from truing.data.formats.oasst import matches, records_of
from truing.data.records import Demonstration, Message, Prompt, Ranking
from truing.data.validate import BadRow, Unusable


def reply(text, rank=None, role="assistant", replies=(), **more):
    return {"text": text, "role": role, "rank": rank, "replies": list(replies), **more}


def test_answers_are_ranked_among_their_siblings_and_the_best_is_shown():
    again = reply("and now?", 0, "prompter", [reply("only one")])
    other = reply("then?", 1, "prompter")
    tree = {
        "message_tree_id": "t",
        "prompt": reply(
            "q",
            role="prompter",
            replies=[
                reply("no rank"),
                reply("worse", 1),
                reply("best", 0, replies=[again, other]),
                reply("spam", 2, deleted=True),
            ],
        ),
    }
    asked = Prompt((Message("user", "q"),), root="t")
    deeper = Prompt((*asked.messages, Message("assistant", "best"), Message("user", "and now?")), root="t")
    assert records_of(tree) == [
        Ranking(asked, ("worse", "best"), (1, 0), origin="oasst"),
        Demonstration(asked, "best"),
        Demonstration(deeper, "only one"),
    ]


def test_ranks_are_whole_numbers_of_64_bits():
    def tree(*ranks):
        replies = [{"role": "assistant", "text": f"a{i}", "rank": rank} for i, rank in enumerate(ranks)]
        return {"message_tree_id": "t", "prompt": {"role": "prompter", "text": "q", "replies": replies}}

    assert records_of(tree(1.0, 0.0))[0].tiers == (1, 0)  # a column with gaps holds them as floats
    for rank in (10**30, "first", True, 0.5):
        with pytest.raises(BadRow, match='"rank" must be a whole number'):
            records_of(tree(rank, 0))


def test_a_message_by_itself_is_named():
    row = {"message_id": "m", "message_tree_id": "m", "parent_id": "p", "text": "q", "role": "prompter"}
    assert matches(row)
    with pytest.raises(BadRow, match="those of whole trees are read"):
        records_of(row)


def test_one_bad_message_costs_what_is_below_it_and_a_bad_rank_its_group():
    """Was: the whole tree was left out."""
    below = [reply("good", 0), reply("bad", 1)]
    replies = [
        reply("best", 0, replies=[reply("and?", role="prompter", replies=[reply("x", 10**30), reply("y", 0)])]),
        reply(" ", 1, replies=[reply("lost", role="prompter", replies=below)]),
        reply("worst", 2, replies=[reply("so?", role="prompter", replies=below), reply("?", role="judge"), "?"]),
    ]
    found = records_of({"message_tree_id": "t", "prompt": reply("q", role="prompter", replies=replies)})
    assert [one.responses for one in found if isinstance(one, Ranking)] == [("best", "worst"), ("good", "bad")]
    assert [one.response for one in found if isinstance(one, Demonstration)] == ["best", "good"]
    whys = [one.why for one in found if isinstance(one, Unusable)]
    assert len(whys) == 4 and '"text" is empty' in whys and sum('"rank"' in why for why in whys) == 1
