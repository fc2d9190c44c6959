"""What goes out in a layout is the same when it comes in again; so is what any tool says, as our own rows."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.data.formats import _fields, _ordered, _records_of, native, read, write
from truing.data.records import Comparison, Demonstration, Edit, Message, Prompt, Ranking, Rating
from truing.data.validate import BadRow, Unread, Unusable
from truing.errors import UserError

SOME = settings(max_examples=40, deadline=None)
words = st.sampled_from(["a", " b", "c \n", "ü", "\n\nHuman: d", ""]) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8
)
names = st.sampled_from(["", "ann", "kind"])
shares = st.sampled_from([0.0, 0.25, 0.75, 1.0])
earlier = st.lists(st.builds(Message, st.sampled_from(["user", "assistant", "system"]), words), max_size=2)
prompts = st.builds(
    lambda before, last, split, tags: Prompt((*before, Message("user", last)), split=split, tags=tags),
    earlier, words, st.sampled_from(["", "train", "test"]), st.sampled_from([(), ("x",)]),
)  # fmt: skip
pairs = st.lists(words, min_size=2, max_size=2, unique=True)
comparisons = st.builds(
    lambda prompt, pair, *rest: Comparison(prompt, *pair, *rest), prompts, pairs, shares, shares, shares, names, names
)
edits = st.builds(lambda prompt, pair: Edit(prompt, *pair), prompts, pairs)
rankings = st.builds(
    lambda prompt, texts, tiers, *rest: Ranking(prompt, tuple(texts), tuple(tiers[: len(texts)]), *rest),
    prompts, st.lists(words, min_size=2, max_size=4, unique=True), st.permutations([0, 1, 1, 3]), names, names,
)  # fmt: skip
ratings = st.builds(Rating, prompts, words, shares, st.just(0.0), st.just(1.0), names, names)
demonstrations = st.builds(Demonstration, prompts, words, names, st.booleans())
RECORDS = {
    "trl": prompts | demonstrations | comparisons | edits | ratings,
    "openrlhf": prompts | demonstrations | comparisons | edits,
    "hh": comparisons | edits,
    "oasst": rankings,
}


@pytest.mark.parametrize("layout", RECORDS)
def test_a_record_comes_back_from_a_layout_or_is_refused_or_its_losses_are_told(tmp_path_factory, layout):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"

    @SOME
    @given(RECORDS[layout])
    def holds(record):
        told = []
        try:
            write([record], path, layout, told.append)
        except UserError as error:
            assert "record 1: " in str(error) or "cannot hold" in str(error)
            return
        expected = _ordered(record)
        (back,) = read(str(path), (type(expected),), strict=True)
        lost = {name for name in _fields(expected) if _fields(back)[name] != _fields(expected)[name]}
        assert lost == {word.strip(", ") for line in told for word in line.split("hold:")[1].split() if "(" not in word}

    holds()


asked = st.fixed_dictionaries(
    {},
    optional={
        "system": words,
        "history": st.lists(st.tuples(words, words).map(list), max_size=2),
        "tags": st.just(["x"]),
        "split": st.sampled_from(["train", "other"]),
        "criterion": names,
        "annotator": names | st.integers(),
        "margin": st.floats(0, 9) | st.integers(),
        "weight": st.floats(-1, 9),
        "label": st.booleans() | st.integers(0, 2),
        "source": words,
    },
)
message = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": words}
) | st.fixed_dictionaries(
    {
        "from": st.sampled_from(["human", "gpt"]),
        "value": words | st.lists(st.fixed_dictionaries({"text": words}), max_size=2),
    }
)
talks = words | st.lists(message, max_size=3)
columns = st.fixed_dictionaries({}, optional={key: talks for key in (
    "prompt", "question", "completion", "answer", "chosen", "rejected", "messages", "conversations", "instruction",
    "input", "output", "response", "responses",
)})  # fmt: skip
dialogue = st.lists(words, min_size=2, max_size=2).map(lambda pair: "\n\nHuman: {}\n\nAssistant: {}".format(*pair))
answers = st.fixed_dictionaries({"prompt": words.filter(str.strip), "a": words, "b": words})
values = (
    st.sampled_from(["a", "b", "tie", "spam", True, ["b", "a"], ["a"], ["spam"], [], 10**400, 10**30])
    | st.integers(-9, 9)
    | st.floats()
    | st.permutations([{"value": "a", "rank": 1}, {"value": "b", "rank": 3}])
)
responses = st.lists(st.fixed_dictionaries({"value": values, "user_id": names}), max_size=2)
results = st.builds(
    lambda said, named: {"type": said[0], "value": dict([said[1:]]), "to_name": named},
    st.sampled_from(["left", "right", "up"]).map(lambda side: ("pairwise", "selected", side))
    | st.sampled_from([["j", "i"], {"_": ["i", "j"]}, {"x": ["j", "i"], "_": []}, {"x": ["i"], "y": ["j"]}]).map(
        lambda order: ("ranker", "ranker", order)
    )
    | (st.integers(-9, 9) | st.floats() | st.just(10**400)).map(lambda value: ("rating", "rating", value))
    | words.map(lambda text: ("textarea", "text", [text]))
    | st.just(("choices", "choices", ["a"])),
    st.sampled_from(["a,b", "b,a", "a", "prompt"]),
)
items = st.fixed_dictionaries({"items": st.lists(words, min_size=2, max_size=2).map(
    lambda pair: [{"id": key, "body": body} for key, body in zip("ij", pair, strict=True)])})  # fmt: skip
nodes = st.recursive(
    st.just([]),
    lambda inner: st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["assistant", "prompter"]), "text": words, "replies": inner},
            optional={"rank": st.integers(0, 3) | st.sampled_from([1.0, 10**30, None])},
        ),
        max_size=3,
    ),
    max_leaves=4,
)
ROWS = {
    "columns": st.builds(dict.__or__, asked, columns),
    "dialogues": st.builds(lambda a, b: {"chosen": a, "rejected": b}, dialogue, dialogue),
    "argilla": st.builds(lambda f, r: {"fields": f, "responses": {"of_a": r, "of_b": r}}, answers, responses),
    "argilla, flat": st.builds(lambda f, r: {**f, "of_a.responses": [one["value"] for one in r]}, answers, responses),
    "label studio": st.builds(lambda f, i, r: {"data": f | i, "annotations": [{"result": r, "completed_by": 1}]},
                              answers, items, st.lists(results, min_size=1, max_size=2)),
    "trees": st.builds(lambda text, replies: {"message_tree_id": "t", "prompt": {
        "role": "prompter", "text": text, "replies": replies}}, words, nodes),
}  # fmt: skip


@pytest.mark.parametrize("layout", ROWS)
def test_what_any_reader_reads_is_the_same_as_our_own_rows(layout):
    @SOME
    @given(ROWS[layout])
    def holds(row):
        try:
            found = [one for one in _records_of(row) if not isinstance(one, Unread | Unusable)]
        except BadRow as error:
            assert "\n" not in str(error)
            return
        for record in found:
            assert _records_of(json.loads(json.dumps(native.row_of(record)))) == [record]

    holds()
