"""Charts for the report: inline SVG that takes the page's own colours and font."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

SHARES = ("win_rate", "accuracy", "unfinished", "repeated", "fraction")
MOST_POINTS, SMOOTH_FROM = 240, 60
DIGIT_IN = 0.09  # inches; in DejaVu Sans, a wide font, a digit at 10 points takes 0.088

# matplotlib knows only fixed colours: these stand for the page's own, so that a chart follows light and dark.
INK, GRID, LINES = "#010101", "#020202", ("#0a0001", "#0a0002", "#0a0003", "#0a0004", "#0a0005", "#0a0006")
COLOURS = {INK: "var(--muted)", GRID: "var(--line)"} | {c: f"var(--c{i})" for i, c in enumerate(LINES)}
STYLE: Any = {  # matplotlib types the keys as literals, which a plain dict is not
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-3, 5),
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
}


@dataclass(frozen=True)
class Line:
    """One curve: values at steps."""

    name: str
    step: np.ndarray
    value: np.ndarray


@dataclass(frozen=True)
class Chart:
    """A drawing with what is said above it."""

    title: str
    said: str
    svg: Markup
    legend: tuple[tuple[str, str, str], ...] = ()  # colour, name, last value


def number(value: Any, name: str = "", digits: int = 4) -> str:
    """A figure as people read it: shares in percent, counts in full, so many digits of the rest."""
    if value is None:
        return "not finite"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if name.endswith(SHARES) and 0 <= value <= 1:
        return f"{100 * value:.1f}%"
    if isinstance(value, int) or abs(value) >= 10_000:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.{digits}g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.{digits - 2}e}"
    return text.replace("-", "−")


def words(name: str) -> str:
    """A figure's name without its underscores."""
    return name.replace("_", " ")


def _svg(figure: Figure, label: str) -> Markup:
    """The drawing as an inline SVG that takes the page's colours and font, and names nothing outside the page."""
    out = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": label}):
        figure.savefig(out, format="svg", transparent=True)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)  # as matplotlib before 3.10 writes it
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)  # and as it does since
    head = re.sub(r' (width|height|xmlns|xmlns:xlink|version)="[^"]*"', "", text[: text.index(">")])
    text = f'{head} role="img" aria-label="{Markup.escape(label)}"{text[text.index(">") :]}'
    for fixed, own in COLOURS.items():
        text = text.replace(fixed, own)
    return Markup(re.sub(r"\n\s*", "\n", text))  # every text in it is ours or escaped above


def _axes(width: float = 4.2, height: float = 2.0, layout: Any = "constrained") -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout=layout)
    axes = figure.add_subplot()
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))  # of one step there is no half
    axes.ticklabel_format(axis="x", style="plain")  # steps in full
    return figure, axes


def _thinned(line: Line) -> Line:
    """At most so many points, each the mean of its neighbours: a page stays small however long the run."""
    if len(line.step) <= MOST_POINTS:
        return line
    parts = np.array_split(np.arange(len(line.step)), MOST_POINTS)
    step, value = (np.array([x[part].mean() for part in parts]) for x in (line.step, line.value))
    return Line(line.name, step, value)


def _smooth(value: np.ndarray) -> np.ndarray:
    """A mean over the neighbours on both sides: unlike one over the past it does not lag behind."""
    half = max(1, len(value) // 24)
    sums, place = np.concatenate([[0.0], np.cumsum(value)]), np.arange(len(value))
    low, high = np.maximum(place - half, 0), np.minimum(place + half + 1, len(value))
    return (sums[high] - sums[low]) / (high - low)


def _plot(axes: Axes, line: Line, colour: str) -> None:
    line = _thinned(line)
    if len(line.step) > SMOOTH_FROM:
        axes.plot(line.step, line.value, color=colour, linewidth=1.0, alpha=0.3)
        axes.plot(line.step, _smooth(line.value), color=colour, linewidth=1.9)
    else:
        marker = "o" if len(line.step) <= 12 else ""
        axes.plot(line.step, line.value, color=colour, linewidth=1.8, marker=marker, markersize=3.5)


def charts_of(lines: Sequence[Line]) -> list[Chart]:
    """A chart for each metric over the steps. They are drawn on the same axes in turn: to make those and to find their
    place anew takes three quarters of a chart's time."""
    drawn = []
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(layout=None)
        for line in lines:
            for before in [*axes.lines]:
                before.remove()
            axes.relim()
            axes.autoscale()
            _plot(axes, line, LINES[0])
            _make_room(figure, axes)
            first, last = (number(float(value), digits=3) for value in (line.value[0], line.value[-1]))
            said = f"{first} → {last}" if len(line.value) > 1 else last
            drawn.append(Chart(line.name, said, _svg(figure, f"{line.name}, {said}")))
    return drawn


def _make_room(figure: Figure, axes: Axes) -> None:
    """Margins for the labels: on the left for as many digits as the longest has."""
    labels = axes.yaxis.get_major_formatter().format_ticks(axes.get_yticks().tolist())
    width = (1 + max(map(len, labels))) * DIGIT_IN / figure.get_figwidth()
    figure.subplots_adjust(left=width, right=0.97, bottom=0.13, top=0.9)


def curves(title: str, said: str, lines: Sequence[Line], colours: Sequence[str], are_cosines: bool = False) -> Chart:
    """Several metrics in one drawing, with a legend."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(4.8, 2.3)
        for line, colour in zip(lines, colours, strict=True):
            _plot(axes, line, colour)
        largest = max(float(np.abs(line.value).max()) for line in lines)
        positive = [float(x) for line in lines for x in line.value if x > 0]
        if are_cosines:
            axes.set_ylim(-1.05, 1.05)
            axes.yaxis.set_major_locator(FixedLocator([-1, -0.5, 0, 0.5, 1]))
            axes.axhline(0, color=INK, linewidth=0.9, zorder=1)
        elif positive and largest > 50 * min(positive):
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        legend = tuple(
            (COLOURS[c], words(x.name), number(float(x.value[-1]), digits=3))
            for x, c in zip(lines, colours, strict=True)
        )
        return Chart(title, said, _svg(figure, title), legend)


def reliability(rows: Sequence[dict[str, Any]]) -> Chart:
    """Predicted against observed probability; a point's area is the number of judgements in it."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(4.6, 3.4)
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (4, 4)))
        x, y = [row["predicted"] for row in rows], [row["observed"] for row in rows]
        most = max(row["count"] for row in rows) or 1
        axes.plot(x, y, color=LINES[0], linewidth=1.2, alpha=0.5)
        axes.scatter(x, y, s=[20 + 130 * row["count"] / most for row in rows], color=LINES[0], alpha=0.85, linewidths=0)
        axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), xlabel="predicted", ylabel="observed")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        return Chart("Reliability", "on the dashed line a probability means what it says", _svg(figure, "reliability"))


def best_of_n(curves: Sequence[tuple[str, Sequence[dict[str, Any]]]]) -> Chart:
    """Reward of the best of n answers against its drift, log n − (n − 1) / n; each point bears its n."""
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(4.8, 2.7)
        legend = []
        for (name, rows), colour in zip(curves, LINES, strict=False):
            x, y = [row["kl"] for row in rows], [row["reward"] for row in rows]
            axes.plot(x, y, color=colour, marker="o", markersize=4, linewidth=1.8)
            above: Any = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center", "color": INK}
            for row, place in zip(rows, zip(x, y, strict=True), strict=True):
                axes.annotate(str(row["n"]), place, **above)
            legend.append((COLOURS[colour], name, f"best of {rows[-1]['n']}: {number(rows[-1]['reward'], digits=3)}"))
        axes.margins(y=0.2)
        axes.set(xlabel="drift, nats a response", ylabel="reward")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        said = "what choosing among n answers would reach"
        return Chart("Best of n", said, _svg(figure, "best of n"), tuple(legend))
