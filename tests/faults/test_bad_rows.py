"""The corpus of bad rows: each is named by file and row and left out; a file of nothing else ends with exit code 2."""

import gzip
import json
import subprocess
import sys
import zlib

import pytest

from truing.data import formats
from truing.data.formats import files
from truing.data.records import Comparison, Demonstration, Prompt
from truing.errors import UserError

GOOD = json.dumps({"prompt": "p", "chosen": "a", "rejected": "b"})
BAD = {
    "broken JSON": b'{"prompt": "p", "chosen": ',
    "a number for a text": b'{"prompt": 7, "chosen": "a", "rejected": "b"}',
    "null": b'{"prompt": null, "chosen": "a", "rejected": "b"}',
    "a list for an object": b'["p", "a", "b"]',
    "no text": b'{"prompt": "", "chosen": "a", "rejected": "b"}',
    "not UTF-8": b'{"prompt": "\xff\xfe", "chosen": "a", "rejected": "b"}',
    "nothing but a word": b"prompt",
    "half a character": rb'{"prompt": "\ud800", "chosen": "a", "rejected": "b"}',
    "deeply nested": b"[" * 100_000,
    "a missing column": b'{"prompt": "p", "chosen": "a"}',
    "an empty answer": b'{"prompt": "p", "chosen": "  ", "rejected": "b"}',
    "a number that is none": b'{"prompt": "p", "chosen": NaN, "rejected": "b"}',
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_each_bad_row_is_named_and_the_others_are_read(what, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD.encode() + b"\n" + BAD[what] + b"\n" + GOOD.encode() + b"\n")
    told = []
    assert len(formats.read(str(path), (Comparison,), report=told.append)) == 2
    assert any("row 2" in line and str(path) in line and len(line) < 600 for line in told), told
    with pytest.raises(UserError, match="row 2"):
        formats.read(str(path), (Comparison,), strict=True)


@pytest.mark.parametrize("wrap", [lambda b: b, lambda b: b"\xef\xbb\xbf" + b, lambda b: b.replace(b"\n", b"\r\n")])
def test_byte_order_marks_and_windows_line_ends_are_no_fault(wrap, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(wrap((GOOD + "\n" + GOOD + "\n").encode()))
    told = []
    assert len(formats.read(str(path), (Comparison,), report=told.append)) == 2 and told == []


def test_a_line_of_50_megabytes_is_one_bad_row_and_its_text_is_cut(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD.encode() + b"\n" + b'{"prompt": "' + b"x" * 50_000_000 + b"\n" + GOOD.encode() + b"\n")
    told = []
    assert len(formats.read(str(path), (Comparison,), report=told.append)) == 2
    assert "row 2" in told[0] and max(map(len, told)) < 600


def peak_of(code):
    """What a child that runs this says, and the most memory it held, in MiB."""
    code += "\nfrom truing.models.memory import peak_bytes; print(peak_bytes() // 2**20)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *said, peak = told.stdout.splitlines()
    return "\n".join(said), int(peak)


READ = """
from truing.data import formats
from truing.data.records import Comparison
from truing.errors import UserError
try:
    print(len(formats.read({path!r}, (Comparison,))))
except UserError as error:
    print(error)
"""


def packed(piece, times):
    """A gzip file of the same piece again and again, cut off: each after the first is the same bytes of it too."""
    packer = zlib.compressobj(wbits=31)
    first, again = (packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * (times - 1)


@pytest.mark.parametrize("kind", ["one line without end", "one value without end", "rows without end"])
def test_a_small_file_that_unpacks_to_gigabytes_is_refused_in_bounded_memory(kind, tmp_path):
    """2 GB in 2 MB or less. Broken on purpose: the unpacked bytes not counted -> red (memory, or minutes)."""
    path = tmp_path / ("bomb.json.gz" if "value" in kind else "bomb.jsonl.gz")
    piece = b" " * 2**20 if "rows" not in kind else (json.dumps({"a": "b" * 2**16}) + "\n").encode() * 16
    path.write_bytes(packed(piece, 2000))
    assert path.stat().st_size < 8_000_000
    said, peak = peak_of(READ.format(path=str(path)))
    assert "unpacks to more than 100 times its size" in said and str(path) in said and "\n" not in said
    assert peak < 1200


def test_text_that_packs_well_is_no_bomb(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress((GOOD + "\n").encode() * 20_000))
    assert len(formats.read(str(path), (Comparison,))) == 20_000


def test_a_parquet_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "bomb.parquet"
    table = pyarrow.table({name: ["x" * 2**20] * 100 for name in ("prompt", "chosen", "rejected")})
    parquet.write_table(table, path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(UserError, match="unpacks to more than 100 times"):
        formats.read(str(path), (Comparison,))


def test_json_in_one_piece_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "WHOLE", 1000)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([json.loads(GOOD)] * 100))
    with pytest.raises(UserError, match=r"name it \.jsonl"):
        formats.read(str(path), (Comparison,))


def test_an_id_given_to_two_prompts_is_a_bad_row_and_the_same_prompt_twice_is_none(tmp_path):
    """Broken on purpose: ids not compared -> red, one of the prompts is silently gone."""

    def row(identity, text):
        return json.dumps({"record": "Prompt", "id": identity, "messages": [{"role": "user", "content": text}]})

    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([row("a", "one"), row("b", "two"), row("a", "three"), row("a", "one")]))
    told = []
    found = formats.read(str(path), (Prompt,), report=told.append)
    assert [p.text for p in found] == ["one", "two", "one"]
    assert len(told) == 1 and "row 3: the id a belongs to another prompt" in told[0] and "row 1" in told[0]


def test_twenty_are_told_and_all_are_counted(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(GOOD + "\n" + "nonsense\n" * 57)
    told = []
    formats.read(str(path), (Comparison,), report=told.append)
    assert len(told) == 21 and "57" in told[-1]


def test_a_damaged_gzip_is_one_line(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress((GOOD + "\n").encode() * 1000)[:-20])
    with pytest.raises(UserError, match=str(path)):
        formats.read(str(path), (Comparison,), strict=True)


@pytest.mark.parametrize("record", [Demonstration, Prompt])
def test_a_file_without_one_good_row_is_refused(record, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("nonsense\n" * 3)
    with pytest.raises(UserError, match=str(path)):
        formats.read(str(path), (record,))


def test_the_command_says_it_in_one_line_and_writes_nothing(truing, tiny_model, tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(BAD.values()))
    told = truing("reward", "--model", tiny_model, "--data", "rows.jsonl", "--out", "run", code=2)
    assert "Traceback" not in told.stderr and "rows.jsonl" in told.stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()
    told = truing("sft", "--model", tiny_model, "--data", "rows.jsonl", "--ephocs", "2", code=2)
    assert "epochs" in told.stderr and "Traceback" not in told.stderr
