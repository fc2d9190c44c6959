from truing.data.formats.oasst import records_of
from truing.data.records import Demonstration, Message, Prompt, Ranking


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
