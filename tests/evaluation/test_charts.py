"""Charts: they take the page's colours, and name nothing outside the page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from truing.evaluation.charts import (
    LINES,
    MOST_POINTS,
    Chart,
    Line,
    best_of_n,
    charts_of,
    curves,
    number,
    reliability,
    words,
)


def line(name: str, values: list[float]) -> Line:
    return Line(name, np.arange(1.0, len(values) + 1), np.array(values))


def curve(line: Line) -> Chart:
    (chart,) = charts_of([line])
    return chart


@pytest.mark.parametrize(
    "value, name, said",
    [
        (0.9134, "win_rate", "91.3%"),
        (0.5, "reward_model_accuracy", "50.0%"),
        (0.02, "unfinished", "2.0%"),
        (1.5, "unfinished", "1.5"),
        (1234567, "parameters", "1,234,567"),
        (123456.7, "", "123,457"),
        (-0.41234, "reward", "−0.4123"),
        (28.0, "length", "28"),
        (1e-5, "lr", "1.00e−05"),
        (0.0, "kl", "0"),
        (None, "reward", "not finite"),
        (True, "strict", "True"),
        ("text", "note", "text"),
    ],
)
def test_number(value: object, name: str, said: str) -> None:
    assert number(value, name) == said


def test_words() -> None:
    assert words("reward_model_accuracy") == "reward model accuracy"


@pytest.mark.parametrize(
    "values", [[1.0], [1.0, 2.0], [3.0] * 20, list(np.sin(np.arange(2000))), [1e-9, 1e9], [-5.0, -5.0]]
)
def test_a_curve_is_well_formed_whatever_it_shows(values: list[float]) -> None:
    chart = curve(line("loss/nll", values))
    ET.fromstring(str(chart.svg).replace("xlink:href", "href"))
    assert not re.search(r"https?:|<script|<image|#0[a1]0|DejaVu", str(chart.svg))
    assert "var(--c0)" in chart.svg
    assert "viewBox" in chart.svg and " width=" not in str(chart.svg)[: str(chart.svg).index(">")]


def test_steps_are_whole_however_few() -> None:
    assert re.findall(r"text-anchor: middle[^>]*>([^<]+)<", str(curve(line("loss/nll", [2.0])).svg)) == ["1"]


def test_a_curve_tells_its_ends() -> None:
    assert curve(line("loss/nll", [2.0, 5.0, 1.25])).said == "2 → 1.25"
    assert curve(line("loss/nll", [2.0])).said == "2"


def test_a_long_run_is_no_longer_on_the_page() -> None:
    long, short = (
        len(curve(line("x", list(np.sin(np.arange(float(n)))))).svg) for n in (50 * MOST_POINTS, MOST_POINTS)
    )
    assert long < 1.5 * short


def test_a_name_from_a_file_is_escaped() -> None:
    assert "<script>" not in curve(line('"><script>alert(1)</script>', [1.0, 2.0])).svg


def test_the_same_figures_draw_the_same_bytes_whatever_was_drawn_before() -> None:
    """Broken on purpose: the line before left on the axes -> red."""
    lines = [line("a", [1e-7, 9e-7, 3e-7]), line("b", [-5e6] * 20), line("x", [1.0, 2.0])]
    assert [c.svg for c in charts_of(lines)] == [curve(x).svg for x in lines]


@pytest.mark.parametrize("values", [[100_000.001, 100_000.009], [-1e-7, 2e-7], [5e9] * 3])
def test_labels_have_room_however_many_digits_they_have(values: list[float]) -> None:
    """Red with one margin for all: digits were cut off on the left; and with steps in powers of ten, written below."""
    svg = str(curve(Line("x", np.arange(1.0, len(values) + 1) * 1e6, np.array(values))).svg)
    labels = re.findall(r'text-anchor: (\w+)[^>]* x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]+)</text>', svg)
    assert all(float(x) >= 6.4 * len(text) for anchor, x, _, text in labels if anchor == "end")
    assert all(0 < float(y) < 144 for _, _, y, _ in labels) and len(labels) >= 6
    assert ">1000000<" in svg


def test_curves_have_a_legend_with_last_values() -> None:
    chart = curves("norms", "how hard", [line("a", [1.0, 2.0]), line("b_c", [3.0, 4.0])], LINES[:2])
    assert chart.legend == (("var(--c0)", "a", "2"), ("var(--c1)", "b c", "4"))
    assert "var(--c1)" in chart.svg


def test_cosines_are_drawn_from_minus_one_to_one() -> None:
    svg = curves("cosines", "", [line("a", [0.1, 0.2])], LINES[:1], are_cosines=True).svg
    assert "−1.0" in svg and "1.0" in svg


def test_reliability_draws_every_bin() -> None:
    rows = [{"low": 0.0, "high": 0.5, "count": 3, "predicted": 0.3, "observed": 0.2}]
    assert "predicted" in reliability(rows).svg


def test_best_of_n_marks_each_n() -> None:
    chart = best_of_n([("policy", [{"n": 1, "kl": 0.0, "reward": 0.5}, {"n": 16, "kl": 1.8, "reward": 0.9}])])
    assert ">16<" in chart.svg
    assert chart.legend[0][2] == "best of 16: 0.9"
