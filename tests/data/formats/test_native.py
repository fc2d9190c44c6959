import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.data.formats import _records_of, read, write
from truing.data.formats.native import records_of, row_of
from truing.data.records import (
    Comparison,
    Conversation,
    Demonstration,
    Edit,
    Flag,
    Message,
    Prompt,
    Ranking,
    Rating,
    Response,
)
from truing.data.validate import BadRow


@pytest.mark.parametrize("value", [1 << 1024, -(1 << 1024), float("nan"), True], ids=["large", "low", "nan", "true"])
def test_numbers_that_no_float_can_hold_are_bad_rows(value):
    row = row_of(Comparison(Prompt((Message("user", "q"),)), "a", "b")) | {"margin": value}
    with pytest.raises(BadRow, match='"margin" must be a number'):
        records_of(row)


@pytest.mark.parametrize("value", [(1 << 63) - 1, 1 - (1 << 63)])
def test_whole_numbers_of_64_bits_are_read(value):
    record = Comparison(Prompt((Message("user", "q"),)), "a", "b", round=value)
    assert records_of(row_of(record)) == [record]


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
said = words.filter(str.strip)
numbers = st.floats(0, 1, width=32).map(float)
prompts = st.builds(
    Prompt,
    st.tuples(st.builds(Message, st.just("system"), words), st.builds(Message, st.just("user"), said)),
    words,
    words,
    words,
    st.lists(words, max_size=2).map(tuple),
)
responses = st.builds(
    Response,
    words,
    st.lists(st.integers(0, 9), max_size=3).map(tuple),
    st.lists(numbers, max_size=3).map(tuple),
    st.sampled_from(["stop", "length", ""]),
    words,
    st.none() | st.integers(0, 2**31),
    st.lists(st.tuples(words, numbers), max_size=2).map(tuple),
    st.none() | numbers,
    words,
)
ranked = st.lists(words, min_size=2, max_size=4).map(tuple)
records = st.one_of(
    prompts,
    st.builds(Demonstration, prompts, words, words),
    st.builds(Comparison, prompts, words, words, numbers, numbers, numbers, words, words, words),
    ranked.flatmap(lambda r: st.builds(Ranking, prompts, st.just(r), st.just(tuple(range(len(r)))), words, words)),
    st.builds(Rating, prompts, words, numbers, st.just(0.0), st.just(1.0), words, words),
    st.builds(Flag, prompts, words, words, words),
    st.builds(Edit, prompts, words, words, words),
    st.builds(Conversation, prompts, st.lists(responses, max_size=2).map(tuple)),
)


@settings(max_examples=150)
@given(records)
def test_every_record_is_its_row(record):
    assert records_of(json.loads(json.dumps(row_of(record)))) == [record]


@settings(max_examples=25)
@given(
    st.lists(
        st.builds(Conversation, prompts, st.lists(responses, max_size=2).map(tuple)),
        min_size=1, max_size=3, unique_by=lambda talk: talk.prompt.id,
    )
)  # fmt: skip
def test_conversations_survive_parquet(tmp_path_factory, talks):
    path = tmp_path_factory.mktemp("parquet") / "rows.parquet"
    write(talks, path)
    assert read(str(path), (Conversation,), strict=True) == talks


keys = st.sampled_from(
    [
        *(
            "record",
            "prompt",
            "completion",
            "chosen",
            "rejected",
            "label",
            "messages",
            "instruction",
            "input",
            "output",
        ),
        *("instances", "message_tree_id", "replies", "role", "text", "content", "rank", "margin", "tags", "responses"),
        *("tiers", "value", "low", "high", "response", "score", "target", "sampling", "system", "history"),
        *("conversations", "from", "fields", "data", "annotations", "result", "to_name", "x.responses", "weight"),
    ]
)
leaves = st.sampled_from(
    [None, True, 3, 0.5, float("nan"), "", "x", "user", "assistant", "prompter", "\n\nHuman: a\n\nAssistant: b"]
    + [kind.__name__ for kind in (Prompt, Ranking, Conversation, Comparison, Rating)]
)
values = st.recursive(leaves, lambda v: st.lists(v, max_size=3) | st.dictionaries(keys, v, max_size=4), max_leaves=12)
trees = st.builds(
    lambda replies: {"message_tree_id": "t", "prompt": {"role": "prompter", "text": "x", "replies": replies}}, values
)
own = st.builds(
    lambda kind, rest: {"prompt": {"messages": [{"role": "user", "content": "x"}]}, **rest, "record": kind},
    st.sampled_from(["Prompt", "Ranking", "Conversation", "Comparison", "Rating"]),
    st.dictionaries(keys, values, max_size=4),
)


argilla = st.builds(
    lambda value: {"fields": {"prompt": "x", "a": "y", "b": "z"}, "responses": {"q": [{"value": value}]}}, values
)
studio = st.builds(
    lambda kind, value: {
        "data": {"prompt": "x", "a": "y", "b": "z", "items": value},
        "annotations": [{"result": [{"type": kind, "value": {kind: value, "selected": value}, "to_name": "a,b"}]}],
    },
    st.sampled_from(["pairwise", "ranker", "rating", "text"]),
    values,
)


@settings(max_examples=1500)
@given(st.dictionaries(keys, values, max_size=6) | trees | own | argilla | studio)
def test_no_row_whatever_breaks_a_reader(row):
    try:
        assert _records_of(row)
    except BadRow as error:
        assert "\n" not in str(error)


PROMPT = {"messages": [{"role": "user", "content": "q"}]}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"record": "Ranking", "responses": ["a", "b"], "tiers": [0]}, '"tiers" needs a rank for each'),
        ({"record": "Ranking", "responses": ["a", "b"], "tiers": [0, "1"]}, '"tiers" must be a whole number, not "1"'),
        ({"record": "Comparison", "chosen": "a", "rejected": "b", "target": 2}, '"target" must be between 0 and 1'),
        ({"record": "Comparison", "chosen": "a"}, "missing 1 required positional argument: 'rejected'"),
        ({"record": "Rating", "response": "a", "value": 9, "low": 1, "high": 5}, '"value" must be between'),
        ({"record": "Rating", "response": "a", "value": float("nan")}, '"value" must be a number'),
        ({"record": "Rating", "response": "a", "value": 1e308, "low": -1.7e308, "high": 1.7e308}, "too far apart"),
        ({"record": "Comparison", "chosen": "a", "rejected": "b", "round": 1 << 63}, '"round" must be a whole number'),
        ({"record": "Conversation", "responses": [{"text": "a", "seed": -(10**30)}]}, '"seed" must be a whole number'),
        ({"record": "Conversation", "responses": [{"text": "a", "token_ids": [1 << 63]}]}, '"token_ids" must be a'),
        ({"record": "Conversation", "responses": "abc"}, '"responses" must be a list, not "abc"'),
        ({"record": "Conversation", "responses": [{"text": "a", "finish_reason": "?"}]}, "is none of stop, length"),
        ({"record": "Response", "text": "a"}, '"record": "Response" is unknown'),
    ],
)
def test_fields_of_the_wrong_kind_are_named(row, reason):
    with pytest.raises(BadRow) as caught:
        records_of({"prompt": PROMPT, **row})
    assert reason in str(caught.value)


def test_rows_of_a_runs_samples_are_conversations(tmp_path):
    rows = [
        {"step": 0, "phase": "before", "prompt": "q", "response": "a", "score": 0.5},
        {"step": 9, "phase": "after", "prompt": "p", "response": "", "score": None},
    ]
    (tmp_path / "samples.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "metrics.jsonl").write_text("{}")
    q, p = Prompt((Message("user", "q"),)), Prompt((Message("user", "p"),))
    talks = [Conversation(q, (Response("a", score=0.5),)), Conversation(p, (Response(""),))]
    assert read(str(tmp_path), (Conversation,), strict=True) == talks
    assert read(str(tmp_path), (Prompt,), strict=True) == [q, p]
    assert read(str(tmp_path), (Demonstration,), strict=True) == [Demonstration(q, "a")]  # silence shows nothing
