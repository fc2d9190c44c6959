"""How the source reads, counted: `make size`, or `make size REV=<commit>` with that commit beside the working tree.

The rule of each row, over `src/truing` where it names nothing else:

* parameters: arguments of a function or method as written; `self`, `cls`, `*args`, `**kwargs` and the fields of a
  dataclass are none. `step` is the one of `training/`.
* branches on a task kind: comparisons with a kind's name or row (in SQL and by `match`, too), and each `isinstance`
  that names the form of a kind's judgement, outside `feedback/tasks/kinds/`.
* Protocols of data alone: no method but properties, outside `maths/`: they mirror a class to dodge an import.
* fmt: skip: lines that switch the formatter off, and those of them outside tables (of SQL, or constants in CAPITALS).
* longest function and file: lines, as the formatter leaves them with every switch taken out.
* modules in one folder: the two largest folders, `__init__.py` left out.
* mentions of budget_tokens, type: ignore, Any: lines with the word, anywhere in the source.
* repeats: pairs of files, a file with itself too, that share six lines of code in a row by shape: names, numbers and
  strings are alike as such. Blank lines, comments, imports and docstrings are left out, and so are runs that stand in
  more than 8 places, or of which half the lines hold four tokens or fewer.
* type names defined twice: classes and aliases that two modules define; `Config`, which every stage has, is left out.
* test : code: lines of Python of `tests/` for one of `src/truing`, without blank lines and comments.
"""

from __future__ import annotations

import argparse
import ast
import io
import itertools
import keyword
import re
import subprocess
import sys
import tempfile
import tokenize
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.revision import ROOT, commit_of, worktree

MOST_PARAMETERS, MOST_MODULES = 6, 12
REPEATED_LINES, MOST_PLACES, THIN_TOKENS = 6, 8, 4
KINDS = ("pair", "rank", "rate", "binary", "demo", "edit", "chat", "review")
FORMS = ("Pair", "Rank", "Rate", "Binary", "Demo", "Edit", "Ended", "Review")
BUILT_IN = ("dict", "list", "set", "tuple")
KIND_TABLE, EARLIER_TABLE = "feedback/tasks/kinds/", "feedback/tasks/"  # of a commit between the two
SWITCH, OFF = re.compile(r"# fmt: *(?:skip|off|on)"), re.compile(r"# fmt: *(?:skip|off)")
Function = ast.FunctionDef | ast.AsyncFunctionDef
Named = ast.ClassDef | Function


@dataclass(frozen=True)
class Source:
    """The Python files of a tree, read once."""

    root: Path

    @cached_property
    def texts(self) -> dict[str, str]:
        """Text by path below `src/truing`."""
        package = self.root / "src" / "truing"
        return {p.relative_to(package).as_posix(): p.read_text("utf-8") for p in sorted(package.rglob("*.py"))}

    @cached_property
    def trees(self) -> dict[str, ast.Module]:
        return {name: ast.parse(text) for name, text in self.texts.items()}

    @cached_property
    def formatted(self) -> dict[str, str]:
        """The texts as the formatter leaves them where nothing switches it off."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in self.texts.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(SWITCH.sub("", text), "utf-8")
            words = ["ruff", "format", "--quiet", "--config", ROOT / "pyproject.toml", folder]
            subprocess.run([sys.executable, "-m", *words], check=True)
            return {name: Path(folder, name).read_text("utf-8") for name in self.texts}

    def nodes(self) -> Iterator[tuple[str, ast.AST]]:
        for name, tree in self.trees.items():
            for node in ast.walk(tree):
                yield name, node


def parameters(function: Function) -> int:
    """How many arguments a function takes, without `self` and `cls`, `*args` and `**kwargs`."""
    arguments = function.args
    named = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len(named) - (named[:1] in (["self"], ["cls"]))


def functions(source: Source) -> Iterator[tuple[str, int]]:
    """Every function as `module.py:Class.name`, with its number of parameters."""

    def inside(node: ast.AST, at: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            name = f"{at}{child.name}" if isinstance(child, Named) else ""
            if isinstance(child, Function):
                yield name, parameters(child)
            yield from inside(child, f"{name}." if name else at)

    for path, tree in source.trees.items():
        yield from inside(tree, f"{path}:")


def many_parameters(source: Source) -> dict[str, int]:
    """The functions that take more than 6."""
    return {name: count for name, count in functions(source) if count > MOST_PARAMETERS}


def _constants(node: ast.AST) -> set[object]:
    if isinstance(node, ast.Constant):
        return {node.value}
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return set().union(*map(_constants, node.elts))
    return set()


def _asks_kind(node: ast.AST, in_forms: bool) -> bool:
    """Whether a node is a branch on a task's kind; `in_forms`: this is the module in which the forms are defined."""
    if isinstance(node, ast.Compare):
        sides = (node.left, *node.comparators)
        rows = (n for side in sides for n in ast.walk(side) if isinstance(n, ast.Attribute) and n.attr == "KIND")
        return any(_constants(side) & set(KINDS) for side in sides) or any(rows)
    if isinstance(node, ast.MatchValue):
        return bool(_constants(node.value) & set(KINDS))
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute) and node.func.attr == "in_":
        return any(_constants(argument) & set(KINDS) for argument in node.args)
    # The records have names like the forms': in other modules a form is named with its module.
    return ast.unparse(node.func) == "isinstance" and any(
        (isinstance(n, ast.Name) and in_forms and n.id in FORMS)
        or (isinstance(n, ast.Attribute) and n.attr in FORMS and ast.unparse(n.value) != "records")
        for n in ast.walk(node.args[1])
    )


def kind_branches(source: Source) -> Counter[str]:
    """Branches on the kind of a task outside its table, by file."""
    found: Counter[str] = Counter()
    table = KIND_TABLE if any(path.startswith(KIND_TABLE) for path in source.texts) else EARLIER_TABLE
    for path, node in source.nodes():
        if not path.startswith(table) and _asks_kind(node, path == "feedback/payloads.py"):
            found[path] += 1
    return found


def data_protocols(source: Source) -> dict[str, int]:
    """Protocols that have no method but properties, outside `maths/`, by file."""
    return Counter(
        path
        for path, node in source.nodes()
        if isinstance(node, ast.ClassDef)
        and not path.startswith("maths/")
        and any(ast.unparse(base).partition("[")[0] == "Protocol" for base in node.bases)
        and not any(isinstance(x, Function) and "property" not in map(ast.unparse, x.decorator_list) for x in node.body)
    )


def _table_lines(tree: ast.Module) -> set[int]:
    """Lines of the SQL tables and of the constants in CAPITALS."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        called = ast.unparse(node.func).split(".")[-1] if isinstance(node, ast.Call) and node.args else ""
        table = called in ("Table", "create_table")  # rich's has no argument without a name
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if table or any(isinstance(t, ast.Name) and t.id.isupper() for t in targets):
            lines |= set(range(node.lineno, node.end_lineno + 1))  # type: ignore[attr-defined]
    return lines


def skips(source: Source) -> Counter[str]:
    """Lines outside tables that switch the formatter off, by file."""
    found: Counter[str] = Counter()
    for path, text in source.texts.items():
        tables = _table_lines(source.trees[path])
        for number, line in enumerate(text.splitlines(), 1):
            if OFF.search(line) and number not in tables:
                found[path] += 1
    return found


def longest_function(source: Source) -> tuple[int, str]:
    """Lines and place of the longest function, formatted."""
    return max(
        (node.end_lineno - node.lineno + 1, f"{path}:{node.name}")  # type: ignore[operator]
        for path, text in source.formatted.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, Function)
    )


def longest_file(source: Source) -> tuple[int, str]:
    """Lines and path of the longest file, formatted."""
    return max((text.count("\n"), path) for path, text in source.formatted.items())


def modules(source: Source) -> Counter[str]:
    """How many modules each folder shows."""
    return Counter(str(Path(path).parent) for path in source.texts if not path.endswith("__init__.py"))


def crowded(source: Source) -> dict[str, int]:
    """The folders that show more than 12 modules."""
    return {folder: count for folder, count in modules(source).items() if count > MOST_MODULES}


def doubled_types(source: Source) -> dict[str, int]:
    """Names of classes and type aliases that several modules define, with how many do."""
    homes: defaultdict[str, set[str]] = defaultdict(set)
    for path, tree in source.trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                homes[node.name].add(path)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _is_type(node.value):
                homes[node.targets[0].id].add(path)
    return {name: len(paths) for name, paths in homes.items() if len(paths) > 1 and name != "Config"}


def _is_type(value: ast.AST) -> bool:
    """Whether a value is a type: one with parameters, or a union of such and of names."""
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr):
        return all(isinstance(side, ast.Name) or _is_type(side) for side in (value.left, value.right))
    if not isinstance(value, ast.Subscript) or not isinstance(value.value, ast.Name):
        return False
    name = value.value.id
    return name in BUILT_IN or (name[0].isupper() and not name.isupper())


def _shapes(text: str, tree: ast.Module) -> list[str]:
    """The lines of code with names, numbers and strings taken out; thin lines too, docstrings and imports not."""
    left_out: set[int] = set()
    for node in ast.walk(tree):
        is_text = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        if is_text or isinstance(node, ast.Import | ast.ImportFrom):
            left_out |= set(range(node.lineno, node.end_lineno + 1))  # type: ignore[attr-defined]
    lines: defaultdict[int, list[str]] = defaultdict(list)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if (
            token.type in (tokenize.NAME, tokenize.NUMBER, tokenize.STRING, tokenize.OP)
            and token.start[0] not in left_out
        ):
            is_word = token.type == tokenize.OP or keyword.iskeyword(token.string)
            lines[token.start[0]].append(token.string if is_word else "x")
    return [" ".join(lines[number]) for number in sorted(lines)]


def repeats(source: Source) -> Counter[tuple[str, str]]:
    """Pairs of files that share six lines or more by shape, with the number of such places."""
    places: defaultdict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    for path, text in source.texts.items():
        lines = _shapes(text, source.trees[path])
        for at in range(len(lines) - REPEATED_LINES + 1):
            window = tuple(lines[at : at + REPEATED_LINES])
            if sum(len(line.split()) > THIN_TOKENS for line in window) > REPEATED_LINES / 2:
                places[window].append((path, at))
    return Counter(
        (file, other)
        for some in places.values()
        if len(some) <= MOST_PLACES
        for (file, at), (other, there) in itertools.combinations(some, 2)
        if file != other or abs(at - there) >= REPEATED_LINES
    )


def code_lines(folder: Path) -> int:
    """Lines of Python that are neither blank nor a comment."""
    lines = (line.strip() for path in folder.rglob("*.py") for line in path.read_text("utf-8").splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


def _lines_with(source: Source, word: str) -> str:
    return str(
        sum(bool(re.search(rf"\b{word}\b", line)) for text in source.texts.values() for line in text.splitlines())
    )


def _step(source: Source) -> str:
    found = [count for name, count in functions(source) if re.fullmatch(r"training/.*step\.py:step", name)]
    return str(max(found, default="none"))


def _kinds(source: Source) -> str:
    found = kind_branches(source)
    return f"{found.total()} in {len(found)} files"


def _skips(source: Source) -> str:
    everywhere = sum(bool(OFF.search(line)) for text in source.texts.values() for line in text.splitlines())
    return f"{skips(source).total()} of {everywhere}"


def _longest(source: Source) -> str:
    return f"{longest_function(source)[0]}, {longest_file(source)[0]}"


@dataclass(frozen=True)
class Row:
    """A figure: what was found in the first edition by reading (docs/log.md tells the differences), what is wanted."""

    measure: str
    first_edition: str
    wanted: str
    count: Callable[[Source], str]


TABLE = (
    Row("parameters of step", "14", "≤ 6", _step),
    Row("functions over 6 parameters", "21", "0", lambda s: str(len(many_parameters(s)))),
    Row("branches on a task kind outside its table", "47 in 10 files", "0", _kinds),
    Row("Protocols of data alone", "5", "0", lambda s: str(sum(data_protocols(s).values()))),
    Row("fmt: skip outside tables, in all", "126 in all", "0", _skips),
    Row("longest function, file, formatted", "70, 435", "60, 400", _longest),
    Row("modules in one folder", "22, 21", "≤ 10 or so",
        lambda s: ", ".join(str(count) for _, count in modules(s).most_common(2))),
    Row("mentions of budget_tokens", "77", "≤ 30", lambda s: _lines_with(s, "budget_tokens")),
    Row("repeats of six lines by shape", "42", "≤ 20", lambda s: str(len(repeats(s)))),
    Row("type names defined twice", "10", "0", lambda s: str(len(doubled_types(s)))),
    Row("test : code", ".84", "≥ 1.0",
        lambda s: f"{code_lines(s.root / 'tests') / code_lines(s.root / 'src' / 'truing'):.2f}"),
    Row("type: ignore", "40", "≤ 20", lambda s: _lines_with(s, "type: ignore")),
    Row("Any", "284", "≤ 120", lambda s: _lines_with(s, "Any")),
)  # fmt: skip


def lines_of(columns: dict[str, Source]) -> Iterator[str]:
    """The table's lines."""
    heads = ("measure", "first edition, by reading", "wanted", *columns)
    lines = [heads, *((r.measure, r.first_edition, r.wanted, *(r.count(s) for s in columns.values())) for r in TABLE)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="size", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("revision", nargs="?", type=commit_of, help="a commit to count beside the working tree")
    commit = parser.parse_args(argv).revision
    with ExitStack() as stack:
        columns = {"here": Source(ROOT)}
        if commit:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            columns = {commit[:7]: Source(stack.enter_context(worktree(commit, Path(folder, "tree"))))} | columns
        print(*lines_of(columns), sep="\n")


if __name__ == "__main__":
    main()
