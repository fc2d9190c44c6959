"""Write the generated parts of the docs: the table of algorithms and every setting of every stage.

python docs/generate.py            writes them
python docs/generate.py --check    exits 1 where they are out of date
"""

from __future__ import annotations

import ast
import inspect
import sys
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType

from truing.demo import pipeline
from truing.evaluation import chat, drift, export, winrate
from truing.training import algorithms, policy, pretrain, reward_model, sample, supervised

DOCS = Path(__file__).parent
STAGES: dict[str, ModuleType] = {
    "pretrain": pretrain,
    "sft": supervised,
    "sample": sample,
    "reward": reward_model,
    "rl": policy,
    "evaluate": drift,
    "compare": winrate,
    "chat": chat,
    "export": export,
    "demo": pipeline,
}


def table() -> str:
    """The rows of the table side by side; a choice left at its default is a dot."""
    names = [f.name for f in fields(algorithms.Algorithm)]
    lines = [
        "| | " + " | ".join(f"`{name}`" for name in algorithms.TABLE) + " |",
        "|---" * (1 + len(algorithms.TABLE)) + "|",
    ]
    for name in names:
        values = [getattr(row, name) for row in algorithms.TABLE.values()]
        shown = [f"`{v.__name__}`" if callable(v) else f"{v:g}" for v in values]
        lines.append(f"| `{name}` | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def settings(config: type) -> list[str]:
    """A table row for each field, nested ones with the name of their table in front."""
    body = ast.parse(inspect.getsource(config)).body[0].body  # type: ignore[attr-defined]
    notes = {
        f.target.id: n.value.value
        for f, n in pairwise(body)
        if isinstance(f, ast.AnnAssign) and isinstance(n, ast.Expr)
    }
    lines = []
    for field in fields(config):
        default = field.default_factory() if callable(field.default_factory) else field.default  # type: ignore[misc]
        if is_dataclass(default):
            nested = settings(type(default))
            values = {f.name: getattr(default, f.name) for f in fields(default)}
            lines += [_with_default(line, field.name, values) for line in nested]
            continue
        shown = "required" if "MISSING" in repr(default) else f"`{default!r}`"
        lines.append(f"| `{field.name}` | {shown} | {notes[field.name]} |")
    return lines


def _with_default(line: str, table_name: str, values: dict[str, object]) -> str:
    """A nested field's row, under its table's name and with the default that this stage gives it."""
    name, _, note = line.strip("| ").split(" | ", 2)
    key = name.strip("`")
    return f"| `{table_name}.{key}` | `{values[key]!r}` | {note} |"


def reference() -> str:
    """All of docs/reference.md."""
    parts = [
        "# Every setting of every stage",
        "",
        "Generated from the code by `make docs`. In a TOML file a name with a dot is a key of that table; on the command",
        "line the table's name may be left out: `sampling.top_p` is `--sampling.top-p` or `--top-p`.",
    ]
    for name, module in STAGES.items():
        parts += ["", f"## truing {name}", "", "| setting | default | |", "|---|---|---|", *settings(module.Config)]
    return "\n".join(parts) + "\n"


def main() -> None:
    """Write, or with --check compare."""
    page = (DOCS / "algorithms.md").read_text(encoding="utf-8")
    before, _, rest = page.partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- end of table -->\n")
    wanted = {
        "algorithms.md": f"{before}<!-- table -->\n{table()}\n<!-- end of table -->\n{after}",
        "reference.md": reference(),
    }
    stale = []
    for name, text in wanted.items():
        path = DOCS / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    if "--check" in sys.argv and stale:
        raise SystemExit(f"out of date: {', '.join(stale)}; run make docs")


if __name__ == "__main__":
    main()
