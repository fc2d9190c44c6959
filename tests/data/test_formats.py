import gzip
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from truing.data.formats import read, read_texts, write
from truing.data.formats.files import save
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
from truing.errors import UserError

ASKED = Prompt((Message("system", "Be kind."), Message("user", "2 + 2?\n\nSay  it.")), tags=("sum",))
PLAIN = Prompt((Message("user", "2 + 2?"),))
RECORDS = [
    ASKED,
    Demonstration(ASKED, "4 ✓", "ann"),
    Comparison(ASKED, "4", "five", 0.5, 0.25, 2.0, "honest", "bob", "pair"),
    Ranking(ASKED, ("4", "four", "5"), (0, 0, 1), "helpful", "cy"),
    Rating(ASKED, "4", 3.0, 1.0, 7.0, "helpful", "dee"),
    Flag(ASKED, "5", "spam", "eve"),
    Edit(ASKED, "5", "4", "flo"),
    Conversation(ASKED, (Response("4", (1, 2), (-0.5, -0.25), "stop", "m", 7, (("top_k", 3.0),), 0.5, "r1"),)),
]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".jsonl.gz", ".json.gz"])
@pytest.mark.parametrize("record", RECORDS, ids=lambda r: type(r).__name__)
def test_native_rows_come_back_as_they_were(tmp_path, record, suffix):
    path = tmp_path / f"rows{suffix}"
    assert write([record, record], path) == 2
    assert read(str(path), (type(record),), strict=True) == [record, record]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_native_parquet(tmp_path):
    comparisons = [Comparison(ASKED, "4", f"no {i}") for i in range(5)]
    write(comparisons, tmp_path / "rows.parquet")
    assert read(str(tmp_path / "rows.parquet"), (Comparison,), strict=True) == comparisons


@pytest.mark.parametrize("layout", ["trl", "hh", "openrlhf"])
def test_comparisons_survive_other_layouts(tmp_path, layout):
    talk = Prompt((Message("user", "hi"), Message("assistant", "hello"), Message("user", "2 + 2?")))
    pairs = [Comparison(PLAIN, "4", "5"), Comparison(talk, "It is four.", "No idea.")]
    write(pairs, tmp_path / "rows.jsonl", layout)
    assert read(str(tmp_path / "rows.jsonl"), (Comparison,), strict=True) == pairs


@pytest.mark.parametrize("layout", ["trl", "openrlhf"])
def test_demonstrations_and_prompts_survive_other_layouts(tmp_path, layout):
    write([Demonstration(PLAIN, "4")], tmp_path / "demos.jsonl", layout)
    assert read(str(tmp_path / "demos.jsonl"), (Demonstration,), strict=True) == [Demonstration(PLAIN, "4")]
    write([PLAIN], tmp_path / "prompts.jsonl", layout)
    assert read(str(tmp_path / "prompts.jsonl"), (Prompt,), strict=True) == [PLAIN]


def lines(path, *rows):
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows) + "\n", encoding="utf-8")
    return str(path)


TURN = [{"role": "user", "content": "2 + 2?"}]
PAIR = Comparison(PLAIN, "4", "5")
SAID = [{"role": "assistant", "content": "4"}]


@pytest.mark.parametrize(
    ("row", "kind", "expected"),
    [
        ({"prompt": "2 + 2?"}, Prompt, PLAIN),
        ({"prompt": TURN}, Prompt, PLAIN),
        ({"messages": [*TURN, *SAID]}, Demonstration, Demonstration(PLAIN, "4")),
        ({"prompt": "2 + 2?", "completion": "4"}, Demonstration, Demonstration(PLAIN, "4")),
        ({"prompt": TURN, "completion": SAID}, Demonstration, Demonstration(PLAIN, "4")),
        ({"prompt": "2 + 2?", "completion": "4", "label": True}, Rating, Rating(PLAIN, "4", 1.0, 0.0, 1.0)),
        ({"prompt": "2 + 2?", "chosen": "4", "rejected": "5", "margin": 2}, Comparison, replace(PAIR, margin=2.0)),
        ({"chosen": [*TURN, *SAID], "rejected": [*TURN, {**SAID[0], "content": "5"}]}, Comparison, PAIR),
        ({"instruction": "2 + 2?", "input": "", "output": "4"}, Demonstration, Demonstration(PLAIN, "4")),
        ({"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}, Prompt, PLAIN),
    ],
)  # fmt: skip
def test_columns_are_recognised(tmp_path, row, kind, expected):
    assert read(lines(tmp_path / "rows.jsonl", row), (kind,), strict=True) == [expected]


def test_instruction_and_input_are_joined_by_a_blank_line(tmp_path):
    row = {"instruction": "Translate.", "input": "Hund", "output": "dog", "chosen": "dog", "rejected": "cat"}
    (found,) = read(lines(tmp_path / "rows.jsonl", row), (Comparison,))
    assert found.prompt.text == "Translate.\n\nHund" and (found.chosen, found.rejected) == ("dog", "cat")


def test_hh_splits_at_the_last_assistant(tmp_path):
    before = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: who?"
    row = {"chosen": before + "\n\nAssistant: me", "rejected": before + "\n\nAssistant: go away"}
    (found,) = read(lines(tmp_path / "rows.jsonl", row), (Comparison,))
    assert [m.role for m in found.prompt.messages] == ["user", "assistant", "user"]
    assert (found.chosen, found.rejected) == ("me", "go away")


def test_edits_and_ratings_become_comparisons_with_their_origin(tmp_path):
    ratings = [Rating(PLAIN, text, value, annotator="a") for text, value in (("4", 5.0), ("5", 1.0), ("four", 5.0))]
    other = Rating(PLAIN, "six", 1.0, annotator="b")  # another person's scale is not compared with
    write([*ratings, other, Edit(PLAIN, "5", "4")], tmp_path / "rows.jsonl")
    found = read(str(tmp_path / "rows.jsonl"), (Comparison,))
    told = Counter((c.chosen, c.rejected, c.target, c.margin, c.weight, c.origin) for c in found)
    assert told == Counter(
        [("4", "5", 1.0, 0.0, 1.0, "edit"), ("4", "5", 1.0, 1.0, 0.5, "rating"), ("4", "four", 0.5, 0.0, 0.5, "rating"),
         ("four", "5", 1.0, 1.0, 0.5, "rating")]
    )  # fmt: skip
    assert read(str(tmp_path / "rows.jsonl"), (Demonstration,)) == [Demonstration(PLAIN, "4")]


def test_best_scored_answer_of_a_conversation_is_a_demonstration(tmp_path):
    talk = Conversation(PLAIN, (Response("5", score=0.1), Response("4", score=0.9), Response("6")))
    write([talk], tmp_path / "responses.jsonl")
    assert read(str(tmp_path), (Demonstration,)) == [Demonstration(PLAIN, "4")]


BAD = [
    ('{"prompt": "x"', "broken JSON"),
    ("[1, 2]", "a row must be an object"),
    ({"prompt": None}, "nothing but null in it, in the columns prompt"),
    ({"prompt": None, "completion": "x"}, '"prompt" is missing'),
    ({"prompt": 3}, '"prompt" must be a list of messages, not 3'),
    ({"prompt": "  "}, '"prompt" is empty'),
    ({"prompt": "x", "chosen": "a"}, '"rejected" is missing'),
    ({"prompt": "x", "chosen": "a", "rejected": 5}, '"rejected" must be a text, not 5'),
    ({"promt": "x"}, 'unknown columns promt; did you mean "prompt"'),
    ({"messages": [{"role": "robot", "content": "x"}]}, 'the role "robot" is none of'),
    ({"prompt": "x", "completion": "y", "label": "yes"}, '"label" must be true or false'),
    ({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: d"}, "differ before"),
    ({"record": "Promt", "messages": []}, 'did you mean "Prompt"'),
    ({"record": "Prompt", "messages": TURN, "colour": 1}, '"colour" is no field of Prompt'),
    ({"record": "Comparison", "prompt": {"messages": TURN}, "chosen": 4, "rejected": "5"}, '"chosen" must be a text'),
]


@pytest.mark.parametrize(("bad", "reason"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_a_bad_row_is_named_and_left_out_or_stops_where_strict(tmp_path, bad, reason):
    good = {"prompt": "x", "chosen": "a", "rejected": "b"}
    path = lines(tmp_path / "rows.jsonl", good, bad, good)
    told = []
    assert len(read(path, (Comparison,), report=told.append)) == 2
    assert len(told) == 1 and told[0].startswith(f"{path}:row 2: ") and reason in told[0] and "\n" not in told[0]
    with pytest.raises(UserError, match="row 2"):
        read(path, (Comparison,), strict=True)


def test_only_the_first_bad_rows_are_told_and_all_are_counted(tmp_path):
    path = lines(tmp_path / "rows.jsonl", {"prompt": "x"}, *["{"] * 50)
    told = []
    read(path, (Prompt,), report=told.append)
    assert len(told) == 21 and "50 bad rows" in told[-1]


def test_long_values_are_cut(tmp_path):
    told = []
    read(lines(tmp_path / "rows.jsonl", {"prompt": "x"}, {"prompt": {"a": "b" * 500}}), (Prompt,), report=told.append)
    assert len(told[0]) < len(str(tmp_path)) + 200


def test_bytes_that_people_really_have(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "one"}\r\n\r\n{"prompt": "tw\xff"}\r\n{"prompt": "three"}')
    told = []
    assert [p.text for p in read(str(path), (Prompt,), report=told.append)] == ["one", "three"]
    assert "row 3: not UTF-8: byte 0xff" in told[0]


def test_a_giant_line_is_left_out(tmp_path, monkeypatch):
    from truing.data.formats import files

    monkeypatch.setattr(files, "LONGEST_LINE", 1000)
    path = lines(tmp_path / "rows.jsonl", {"prompt": "one"}, {"prompt": "x" * 5000}, {"prompt": "three"})
    told = []
    assert [p.text for p in read(path, (Prompt,), report=told.append)] == ["one", "three"]
    assert "row 2: the line is longer" in told[0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nothing.jsonl", None, "no such file"),
        ("empty.jsonl", b"", "no Prompt in it"),
        ("rows.csv", b"a,b", "rows are read from"),
        ("rows.json", b"[{", "broken JSON"),
        ("rows.jsonl.gz", b"not gzip", "broken gzip"),
        ("rows.parquet", b"not parquet", "not a parquet file"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        read(str(tmp_path / name), (Prompt,))


def test_writing_what_a_layout_cannot_hold_leaves_the_old_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("precious")
    with pytest.raises(UserError, match="cannot hold a Ranking"):
        write([RECORDS[3]], path, "hh")
    assert path.read_text() == "precious"


def test_texts_are_files_or_rows(tmp_path):
    (tmp_path / "a.txt").write_text("first\n\nstill first", encoding="utf-8")
    lines(tmp_path / "b.jsonl", {"text": "second"}, {"texts": "bad"}, {"text": "third"})
    told = []
    assert read_texts(str(tmp_path), report=told.append) == ["first\n\nstill first", "second", "third"]
    assert "row 2" in told[0]
    with pytest.raises(UserError, match="no text in it"):
        read_texts(lines(tmp_path / "c.jsonl", {"prompt": "x"}))


def test_a_saved_dataset_is_read(tmp_path):
    import datasets

    datasets.Dataset.from_list([{"prompt": "one"}, {"prompt": "two"}]).save_to_disk(str(tmp_path / "saved"))
    assert [p.text for p in read(str(tmp_path / "saved"), (Prompt,))] == ["one", "two"]


def test_real_hh_rows(shared_data):
    told = []
    path = shared_data / "hh-rlhf" / "harmless-base-test.jsonl.gz"
    found = read(str(path), (Comparison,), report=told.append)
    assert len([line for line in told if "differ before" in line]) == 5
    assert len([line for line in told if "the last answer is empty" in line]) == 4
    assert len(found) == 2312 - 9
    with gzip.open(path, "rt") as file:
        first = json.loads(file.readline())
    assert first["chosen"].endswith("Assistant: " + found[0].chosen)
    assert all(c.prompt.messages[-1].role == "user" for c in found)


def test_real_trees_and_instructions(shared_data):
    rankings = read(str(shared_data / "oasst" / "en_100_tree.jsonl"), (Ranking,), strict=True)
    assert len(rankings) == 212
    assert sum(len(r.tiers) * (len(r.tiers) - 1) // 2 for r in rankings) == 754
    told: list[str] = []
    preferences = str(shared_data / "sft-small" / "rasbt_instruction-data-with-preference.json")
    assert len(read(preferences, (Comparison,), strict=True, report=told.append)) == 1100 - 6
    assert told == [
        f"{preferences}: 6 judgements compare a text with itself, which is left out: "
        "row 123, row 227, row 401, row 567, row 629, row 677"
    ]
    assert len(read(preferences, (Demonstration,), strict=True)) == 1100
    assert len(read(str(shared_data / "sft-small" / "self-instruct_seed_tasks.jsonl"), (Demonstration,))) == 175


def test_reading_data_never_loads_torch():
    code = "import sys, truing.data.formats, truing.feedback.people.simulated; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_not_read_of_the_rows_is_told_once_with_its_name(tmp_path):
    """Was: columns that no reader knows, a judgement among them, were dropped without a word."""
    row = {"prompt": "x", "winner": "a", "source": "web"}
    path = lines(tmp_path / "rows.jsonl", row, {**row, "lang": "en"}, {"prompt": "y"})
    told = []
    assert len(read(path, (Prompt,), report=told.append)) == 3
    assert told == [f'{path}: not read: column "winner" (2), column "source" (2), column "lang" (1)']
    with pytest.raises(UserError, match=r'its 3 rows hold 3 Prompt; .* not read: column "winner" \(2\)'):
        read(path, (Comparison,))
    told.clear()
    read(
        lines(tmp_path / "many.jsonl", *({"prompt": "x", f"c{i}": 1} for i in range(30))), (Prompt,), False, told.append
    )
    assert len(told) == 1 and told[0].count("column") == 20 and told[0].endswith(", …")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "Once upon a time."}, '"text" holds documents, for truing pretrain; sft needs prompt and completion'),
        ({"output": "a"}, "unknown columns output; valid: "),
        ({"promt": "x", "text": None}, 'unknown columns promt; did you mean "prompt"'),
    ],
)
def test_columns_of_no_layout_have_a_hint_that_helps(tmp_path, row, said):
    """Was: unknown columns text; did you mean "text"?"""
    with pytest.raises(UserError) as caught:
        read(lines(tmp_path / "rows.jsonl", row), (Demonstration,))
    assert said in str(caught.value)


def test_equal_answers_are_left_out_counted_and_named(tmp_path):
    same, good = {"prompt": "x", "chosen": "a", "rejected": "a"}, {"prompt": "x", "chosen": "a", "rejected": "b"}
    path = lines(tmp_path / "rows.jsonl", good, same, good, same)
    told = []
    assert len(read(path, (Comparison,), strict=True, report=told.append)) == 2
    assert told == [f"{path}: 2 judgements compare a text with itself, which is left out: row 2, row 4"]
    assert read(lines(tmp_path / "same.jsonl", same), (Comparison,)) == []
    assert len(read(path, (Prompt,), report=told.append)) == 1 and len(told) == 1
    assert len(read(str(tmp_path), (Comparison, Ranking), report=told.append)) == 2
    assert f"{path}:row 2, {path}:row 4, {tmp_path / 'same.jsonl'}:row 1" in told[-1]


OPTIONAL = [
    ({"prompt": "p", "chosen": "a", "rejected": "b"}, {"margin": 2.0, "tags": ["x"], "system": "s", "weight": 2.0}),
    ({"prompt": "p"}, {"completion": "a", "label": True, "chosen": "a", "rejected": "b", "history": [["q", "a"]]}),
    ({"instruction": "p"}, {"input": "i", "output": "o", "annotator": "ann"}),
    ({"messages": [{"role": "user", "content": "p"}]}, {"prompt": "q"}),
    ({"prompt": "p", "response": "a"}, {"score": 1.0}),
    ({"record": "Rating", "prompt": {"messages": [{"role": "user", "content": "p"}]}, "response": "a", "value": 2.0},
     {"low": 0.0, "annotator": "ann"}),
    ({"record": "Rating", "prompt": {"messages": [{"role": "user", "content": "p"}], "split": None}, "response": "a",
      "value": 2.0}, {"criterion": "kind"}),
]  # fmt: skip


@pytest.mark.parametrize(("row", "optional"), OPTIONAL)
def test_null_nan_and_no_column_are_the_same_in_every_file(tmp_path, row, optional):
    """Was: rows with null in JSON were bad rows, which as Parquet were good ones."""
    kinds = (Prompt, Demonstration, Comparison, Rating, Conversation)
    expected = read(lines(tmp_path / "absent.jsonl", row), kinds, strict=True)
    save(tmp_path / "null.parquet", [row, row | optional])
    lines(tmp_path / "null.jsonl", row | dict.fromkeys(optional))
    assert read(str(tmp_path / "null.jsonl"), kinds, strict=True) == expected
    assert read(str(tmp_path / "null.parquet"), kinds, strict=True)[: len(expected)] == expected
    texts = [key for key in optional if key not in ("margin", "weight", "score", "low")]
    lines(tmp_path / "nan.jsonl", row | dict.fromkeys(texts, float("nan")))
    assert read(str(tmp_path / "nan.jsonl"), kinds, strict=True) == expected


def test_a_layout_tells_what_its_rows_do_not_hold(tmp_path):
    """Was: a soft target, a weight, a person, a criterion, tags and the split were lost without a word."""
    asked = replace(PLAIN, split="test", tags=("sum",))
    sure = Comparison(asked, "4", "5", 0.25, 0.5, 2.0, "honest", "ann", "rating", 0.125, 3)
    path = tmp_path / "rows.jsonl"
    told = []
    for layout in ("trl", "openrlhf"):
        write([sure], path, layout, told.append)
        back = Comparison(asked, "5", "4", 1.0, 0.5, 2.0, "honest", "ann")
        assert read(str(path), (Comparison,), strict=True) == [back]
        assert told.pop() == f"{path}: {layout} rows do not hold: target (1), error (1), round (1)"
    write([sure, PAIR], path, "hh", told.append)
    names = ("split", "tags", "target", "margin", "weight", "criterion", "annotator", "error", "round")
    assert told.pop() == f"{path}: hh rows do not hold: {', '.join(f'{name} (1)' for name in names)}"
    write([PAIR], path, "hh", told.append)
    assert told == []


@pytest.mark.parametrize(
    ("record", "layout", "reason"),
    [
        (Rating(PLAIN, "4", 0.5, 0.0, 1.0), "trl", "cannot hold a Rating of 0.5 on the scale 0 to 1"),
        (Ranking(PLAIN, ("4", ""), (0, 1)), "oasst", 'it could not be read again: "text" is empty'),
        (Comparison(Prompt(PLAIN.messages * 2), "4", "5", 1.0, 1e400), "trl", "it could not be read again"),
    ],
)
def test_what_would_be_read_as_something_else_is_not_written(tmp_path, record, layout, reason):
    path = tmp_path / "rows.jsonl"
    with pytest.raises(UserError, match=f"record 1: .*{reason}"):
        write([record], path, layout)
    assert not path.exists()


def test_empty_answers_are_left_out_of_the_layouts_of_others(tmp_path):
    path, told = tmp_path / "rows.jsonl", []
    assert write([Comparison(PLAIN, "4", " "), Comparison(PLAIN, "4", "5")], path, "trl", told.append) == 1
    assert told == [f"{path}: left out: 1 empty answers, which trl rows cannot hold"]
    with pytest.raises(UserError, match="nothing to write but 1 empty answers, which openrlhf rows cannot hold"):
        write([Demonstration(PLAIN, "")], path, "openrlhf")


def test_a_check_leaves_out_the_record_and_not_its_row(tmp_path):
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "said"}]
    row = {"prompt": "p", "chosen": "A", "rejected": "B", "messages": turns}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))

    def check(record):
        if isinstance(record, Demonstration):
            raise BadRow("not this one")

    told = []
    (kept,) = read(str(tmp_path / "rows.jsonl"), (Comparison,), report=told.append, check=check)
    assert kept.chosen == "A" and told == [f"{tmp_path / 'rows.jsonl'}:row 1: not this one; left out"]
