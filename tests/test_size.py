"""The rules by which `make size` counts, on sources small enough to count by eye."""

from pathlib import Path

import pytest
from benchmarks import size

from truing.feedback.tasks import kinds


def source(folder: Path, **files: str) -> size.Source:
    """A package of these modules; `feedback__gold` is feedback/gold.py."""
    for name, text in files.items():
        path = folder / "src" / "truing" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return size.Source(folder)


def test_self_and_what_is_starred_are_no_parameters(tmp_path):
    counted = source(
        tmp_path,
        a="def six(a, b, /, c, d, *args, e, f, **more): ...\ndef seven(a, b, c, d, e, f, self): ...\n",
        b="class C:\n    def six(self, a, b, c, d, e, f):\n        def seven(a, b, c, d, e, f, g): ...\n"
        "    @classmethod\n    async def seven(cls, a, b, c, d, e, f, g): ...\n",
        c="class Settings:\n" + "".join(f"    field_{i}: int = 0\n" for i in range(9)),
    )
    assert size.many_parameters(counted) == {"a.py:seven": 7, "b.py:C.six.seven": 7, "b.py:C.seven": 7}


@pytest.mark.parametrize(
    "branch",
    [
        'kind == "pair"',
        '"rank" != row.kind',
        'kind in ("good", "binary")',
        "isinstance(parsed, payloads.Rate)",
        "isinstance(parsed, str | payloads.Rate)",
        'select(t.c.kind == "review")',
        't.c.kind.in_(("pair", "rank"))',
        "kind is pair.KIND",
        "row.kind == tasks.pair.KIND.name",
    ],
)
def test_a_branch_on_a_kind_is_counted_but_for_the_table(branch, tmp_path):
    counted = source(tmp_path, feedback__gold=f"if {branch}: ...\n", feedback__tasks__kinds__pair=f"if {branch}: ...\n")
    assert size.kind_branches(counted) == {"feedback/gold.py": 1}


@pytest.mark.parametrize(
    "innocent",
    [
        "kind == other",
        'kind == "pairs"',
        'what("rank")',
        'word in {"pair": 1}',
        "isinstance(record, Edit)",
        "isinstance(record, records.Edit)",
    ],
)
def test_what_only_looks_like_a_branch_on_a_kind_is_not_counted(innocent, tmp_path):
    assert not size.kind_branches(source(tmp_path, feedback__gold=f"if {innocent}: ...\n"))


def test_a_case_on_a_kind_is_a_branch(tmp_path):
    text = 'match kind:\n    case "pair" | "rank":\n        ...\n    case other:\n        ...\n'
    assert size.kind_branches(source(tmp_path, feedback__gold=text)).total() == 2


def test_the_kinds_are_those_people_are_asked():
    assert tuple(kinds.TABLE) == size.KINDS
    assert tuple(kind.form.__name__ for kind in kinds.TABLE.values()) == size.FORMS


def test_protocols_that_only_hold_data_are_counted(tmp_path):
    data = "class {}(Protocol):\n    seed: int\n    @property\n    def rate(self) -> float: ...\n"
    counted = source(tmp_path, a=data.format("Mirror"), maths__b=data.format("Clipping"),
                     c="class Doing(Protocol):\n    def do(self) -> None: ...\n")  # fmt: skip
    assert size.data_protocols(counted) == {"a.py": 1}


def test_switching_the_formatter_off_is_counted_but_for_tables(tmp_path):
    text = 'ROWS = {\n  "a": 1}  # fmt: skip\nrows = {\n  "a": 1}  # fmt: skip\nx = Table("t",\n  1)  # fmt: skip\n'
    assert size.skips(source(tmp_path, a=text)) == {"a.py": 1}


def test_lengths_are_those_the_formatter_leaves(tmp_path):
    calls = "".join(f"    call(a{'x' * 70}={i}, b{'x' * 70}={i})  # fmt: skip\n" for i in range(3))
    counted = source(tmp_path, a=f"def short():\n{calls}", b="x = 1\n")
    assert size.longest_function(counted) == (13, "a.py:short")
    assert size.longest_file(counted) == (13, "a.py")


BODY = "".join(f"{{0}}[{i}] = {{1}}({{0}}, 'word', {i})\n" for i in range(6))


def test_six_lines_alike_but_for_names_and_numbers_are_a_repeat(tmp_path):
    assert size.repeats(source(tmp_path / "1", a=BODY.format("x", "f"), b=BODY.format("y", "g"))) == {
        ("a.py", "b.py"): 1
    }
    assert size.repeats(source(tmp_path / "2", a=BODY.format("x", "f") * 2)) == {("a.py", "a.py"): 1}
    five = "\n".join(BODY.format("y", "g").splitlines()[:5])
    assert not size.repeats(source(tmp_path / "3", a=BODY.format("x", "f"), b=five))
    thin = "".join(f"x{i} = {i}\n" for i in range(6))
    assert not size.repeats(source(tmp_path / "4", a=thin, b=thin))
    commented = BODY.format("y", "g").replace("\n", "  # why\n\n# a comment\n")
    assert size.repeats(source(tmp_path / "5", a=BODY.format("x", "f"), b=commented))


def test_types_that_two_modules_define(tmp_path):
    counted = source(
        tmp_path,
        a='class Role: ...\nclass Config: ...\nKind = Literal["a"]\nnumbers = Literal["b"]\nROWS = {"a": 1} | more\n',
        b='class Config: ...\nRole = str | int\nKind = list["a"]\nROWS = {"a": 1} | more\nOnce = dict[str, int]\n',
    )
    assert size.doubled_types(counted) == {"Role": 2, "Kind": 2}


def test_lines_of_code_are_neither_blank_nor_comments(tmp_path):
    (tmp_path / "a.py").write_text("# why\n\nx = 1  # one\n    # deeper\ny = '#'\n")
    assert size.code_lines(tmp_path) == 2


def test_the_table_has_a_figure_in_every_cell(tmp_path):
    head, *lines = size.lines_of({"before": source(tmp_path, a="def f(x): ...\n"), "here": size.Source(tmp_path)})
    assert len(lines) == len(size.TABLE) and head.endswith("here")
    for line in lines:
        before, here = line[head.index("before") : head.index("here")], line[head.index("here") :]
        assert before.strip() == here.strip() and (here[0].isdigit() or here == "none")


def test_words_are_counted_by_the_line(tmp_path):
    text = "from typing import Any\n\ndef f(x: Any) -> Any: ...  # type: ignore\nAnything = 1\n"
    *_, ignored, of_any = size.lines_of({"here": source(tmp_path, a=text)})
    assert ignored.endswith(" 1") and of_any.endswith(" 2")


def test_a_commit_that_is_none_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        size.main(["no-such-commit"])
    assert ended.value.code == 2
    assert "no-such-commit: git knows no such commit here" in capsys.readouterr().err
