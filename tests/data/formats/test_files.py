import gzip
import json

import pytest

from truing.data.formats import read, write
from truing.data.records import Comparison, Conversation, Demonstration, Message, Prompt, Ranking, Response
from truing.errors import UserError

Q = Prompt((Message("user", "q"),))
PAIRS = [Comparison(Q, f"a{i}", " b\r\n\u2028é", margin=0.5 * i) for i in range(3)]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet"])
@pytest.mark.parametrize("layout", ["native", "trl", "openrlhf"])
def test_every_layout_in_every_container(tmp_path, layout, suffix):
    assert write(PAIRS, tmp_path / f"x{suffix}", layout) == 3
    assert read(str(tmp_path / f"x{suffix}"), (Comparison,), strict=True) == PAIRS


def test_a_damaged_gzip_is_one_clear_line(tmp_path):
    whole = gzip.compress(json.dumps({"prompt": "x" * 500}).encode())
    for name, damaged in (("cut", whole[:-9]), ("bent", whole[:12] + b"\xff\x00\xff\xff" + whole[16:])):
        (tmp_path / f"{name}.jsonl.gz").write_bytes(damaged)
        with pytest.raises(UserError, match="broken gzip"):
            read(str(tmp_path / f"{name}.jsonl.gz"), (Prompt,))


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
def test_half_a_character_is_a_bad_row(tmp_path, suffix):
    rows = [r'{"prompt": "a\ud83d"}', r'{"prompt": "b\ud83d\ude00"}']
    text = "\n".join(rows) if suffix == ".jsonl" else f"[{','.join(rows)}]"
    (tmp_path / f"x{suffix}").write_text(text)
    told = []
    assert [p.text for p in read(str(tmp_path / f"x{suffix}"), (Prompt,), report=told.append)] == ["b😀"]
    assert len(told) == 1 and "row 1: half of a" in told[0]


def test_records_of_different_shapes_do_not_fit_in_one_parquet_file(tmp_path):
    path = tmp_path / "x.parquet"
    path.write_text("precious")
    with pytest.raises(UserError, match="rows of one shape"):
        write([Conversation(Q, (Response("a"),)), Ranking(Q, ("a", "b"), (0, 1))], path)
    assert path.read_text() == "precious" and len(list(tmp_path.iterdir())) == 1


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "x.jsonl").mkdir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "x.jsonl", tmp_path / "file" / "x.jsonl"):
        with pytest.raises(UserError, match="cannot be written"):
            write([Q], path)


def test_ties_are_never_put_in_an_order(tmp_path):
    tie, reversed_ = Comparison(Q, "a", "b", 0.5), Comparison(Q, "worse", "better", 0.0)
    for layout in ("trl", "hh", "openrlhf"):
        told = []
        assert write([tie, reversed_], tmp_path / "x.jsonl", layout, told.append) == 1
        assert read(str(tmp_path / "x.jsonl"), (Comparison,)) == [Comparison(Q, "better", "worse")]
        assert len(told) == 1 and "left out: 1 ties, which" in told[0]
        with pytest.raises(UserError, match="nothing to write"):
            write([tie], tmp_path / "x.jsonl", layout)


def test_an_empty_source_and_one_of_other_records_say_so(tmp_path):
    for name in ("x.jsonl", "x.json"):
        (tmp_path / name).write_text(" \n")
        with pytest.raises(UserError, match="it is empty"):
            read(str(tmp_path / name), (Prompt,))
    write([Demonstration(Q, "a")], tmp_path / "demos.jsonl")
    with pytest.raises(UserError, match="its 1 rows hold 1 Demonstration"):
        read(str(tmp_path / "demos.jsonl"), (Comparison,))


def test_a_mistyped_file_is_never_looked_for_on_the_network(tmp_path, monkeypatch):
    from truing.data.formats import hub

    monkeypatch.setattr(hub, "rows", lambda source: pytest.fail("asked the hub"))
    with pytest.raises(UserError, match="no such file"):
        read("dta/preferences.jsonl", (Prompt,))
    write([Q], tmp_path / "preferences.jsonl")
    with pytest.raises(UserError, match=r"did you mean .*preferences\.jsonl"):
        read(str(tmp_path / "preferences.json"), (Prompt,))


def test_a_run_without_samples_is_no_data(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}')
    with pytest.raises(UserError, match=r"neither responses\.jsonl nor samples\.jsonl"):
        read(str(tmp_path), (Prompt,))


def test_a_half_written_file_in_a_folder_is_not_read(tmp_path):
    write([Q], tmp_path / "x.jsonl")
    (tmp_path / ".12.x.jsonl").write_text("{")
    assert read(str(tmp_path), (Prompt,), strict=True) == [Q]


def test_the_nearest_column_is_named_among_others(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"a": 1, "promt": "x"}\n{"prompt": "x"}')
    told = []
    read(str(tmp_path / "x.jsonl"), (Prompt,), report=told.append)
    assert 'unknown columns a, promt; did you mean "prompt"?' in told[0]
