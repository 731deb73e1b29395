"""Charts: well-formed, escaped, finite, bounded in size, and truthful about what they draw."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from litebert.report.charts import (
    CalibrationBin,
    Series,
    bar_chart,
    confusion_matrix,
    histogram,
    line_chart,
    reliability_diagram,
    scatter,
)
from litebert.report.svg import CHART_CSS, escape_text, nice_ticks, shorten, tick_label

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '<script>alert("x")</script>&\'\x00\ud800\u202e日本語'


def parse(svg: str) -> ET.Element:
    root = ET.fromstring(svg.encode("utf-8"))
    assert root.tag == f"{SVG}svg" and root.get("role") == "img" and root.get("aria-label")
    assert not re.search(r"\b(nan|inf)\b", svg.replace("not drawn", ""), re.IGNORECASE)
    return root


def texts(root: ET.Element) -> list[str]:
    return [node.text or "" for node in root.iter(f"{SVG}text")]


def tips(root: ET.Element) -> list[str]:
    return [node.text or "" for node in root.iter(f"{SVG}title")]


def lines(root: ET.Element) -> list[str]:
    return [str(node.get("d")) for node in root.iter(f"{SVG}path") if node.find(f"{SVG}title") is not None]


def chart(*series: Series, **more: object) -> ET.Element:
    return parse(line_chart(series, title="t", x_label="step", y_label="loss", **more))  # type: ignore[arg-type]


def test_escape_replaces_what_html_and_utf8_cannot_hold() -> None:
    escaped = escape_text(HOSTILE)
    assert "<" not in escaped and '"' not in escaped and "'" not in escaped
    assert escaped.count("\ufffd") == 2 and "日本語" in escaped
    assert escape_text("a\n\tb") == "a\n\tb"
    escaped.encode("utf-8")


def test_every_chart_escapes_every_text() -> None:
    labels = [HOSTILE, HOSTILE + "2"]
    drawn = [
        line_chart(
            [Series(HOSTILE, [1, 2], [1, 2]), Series(HOSTILE, [1, 2], [2, 1])],
            title=HOSTILE,
            x_label=HOSTILE,
            y_label=HOSTILE,
            markers=[(1.5, HOSTILE)],
        ),
        confusion_matrix([[1, 2], [3, 4]], labels, title=HOSTILE),
        confusion_matrix(np.eye(30, dtype=int).tolist(), [HOSTILE] * 30, title=HOSTILE),
        bar_chart(labels, [0.1, 0.2], title=HOSTILE, x_label=HOSTILE),
        histogram([1, 2, 3], title=HOSTILE, x_label=HOSTILE),
        scatter([1, 2], [1, 2], title=HOSTILE),
        reliability_diagram([CalibrationBin(lower=0, upper=1, count=1, confidence=0.5, accuracy=1)], title=HOSTILE),
    ]
    for svg in drawn:
        parse(svg)
        assert "<script" not in svg and "alert(" in svg


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1)),
        (0, 2e-5, (0, 5e-6, 1e-5, 1.5e-5, 2e-5)),
        (-3, 12, (0, 5, 10)),
        (0, 1234, (0, 250, 500, 750, 1000)),
    ],
)
def test_nice_ticks(low: float, high: float, expected: tuple[float, ...]) -> None:
    assert nice_ticks(low, high) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (0, "0"),
        (0.25, "0.25"),
        (1500, "1500"),
        (20000, "20k"),
        (12500, "12.5k"),
        (1.5e6, "1.5M"),
        (2e-5, "2e-5"),
        (-2.5e-10, "-2.5e-10"),
        (3e12, "3e12"),
    ],
)
def test_tick_label(value: float, label: str) -> None:
    assert tick_label(value) == label


def test_shorten_keeps_to_the_limit_and_to_one_line() -> None:
    assert shorten("a\n b", 10) == "a b"
    assert shorten("abcdefgh", 5) == "abcd…"


def test_a_value_that_is_not_finite_leaves_a_gap_and_is_counted() -> None:
    root = chart(Series("s", [1, 2, 3, 4, 5], [1, 2, math.nan, 3, math.inf]))
    assert lines(root)[0].count("M") == 2
    assert "not drawn because not finite: 2" in texts(root)
    whole = chart(Series("s", [1, 2, 3], [1, 2, 3]))
    assert lines(whole)[0].count("M") == 1 and not any("not drawn" in text for text in texts(whole))


def test_a_point_alone_between_gaps_is_a_dot() -> None:
    assert "h0" in lines(chart(Series("s", [1, 2, 3, 4], [1, math.nan, 2, math.nan])))[0]


def test_many_points_are_thinned_but_keep_their_extremes() -> None:
    n = 50_000
    y = np.sin(np.arange(n) / 3000)
    y[31_007], y[12_345] = 9.0, -9.0
    svg = line_chart([Series("s", list(range(n)), y.tolist())], title="t", x_label="x", y_label="y")
    assert len(svg) < 60_000
    rows = [float(row) for row in re.findall(r"[ML][\d.]+ ([\d.]+)", lines(parse(svg))[0])]
    smooth = [
        float(row)
        for row in re.findall(
            r"[ML][\d.]+ ([\d.]+)", lines(chart(Series("s", list(range(n)), np.clip(y, -1, 1).tolist())))[0]
        )
    ]
    assert rows.count(min(rows)) == 1 and rows.count(max(rows)) == 1
    assert len(rows) <= 4 * 520 and len(smooth) <= 4 * 520


def test_a_gap_wider_than_a_pixel_survives_thinning() -> None:
    y = np.ones(20_000)
    y[8_000:9_000] = math.nan
    assert lines(chart(Series("s", list(range(20_000)), y.tolist())))[0].count("M") == 2


def test_points_out_of_order_are_sorted_and_bounded() -> None:
    order = np.random.default_rng(0).permutation(20_000)
    svg = line_chart([Series("s", order.tolist(), order.tolist())], title="t", x_label="x", y_label="y")
    columns = [float(column) for column in re.findall(r"[ML]([\d.]+) ", lines(parse(svg))[0])]
    assert columns == sorted(columns) and len(columns) <= 4 * 520


@pytest.mark.parametrize("values", [[5.0], [0.0, 0.0], [1e-320, 2e-320], [1e99, -1e99], [1e308, 1.0, -1e308]])
def test_degenerate_ranges_are_drawn(values: list[float]) -> None:
    root = chart(Series("s", list(range(len(values))), values))
    assert len(lines(root)) == 1


@pytest.mark.parametrize("values", [[], [math.nan], [math.inf, -math.inf]])
def test_nothing_to_draw_is_said(values: list[float]) -> None:
    expected = "There are no finite values to draw."
    assert expected in texts(chart(Series("s", list(range(len(values))), values)))
    assert expected in texts(parse(histogram(values, title="t", x_label="x")))
    assert expected in texts(parse(scatter(values, values)))
    assert expected in texts(parse(bar_chart(["a"] * len(values), values, title="t", x_label="x")))
    assert expected in texts(parse(reliability_diagram([])))


def test_log_axis_has_powers_of_ten_and_drops_what_is_not_positive() -> None:
    root = chart(Series("s", [1, 2, 3, 4], [1e-3, 0.0, -1.0, 1e3]), log_y=True)
    assert {"0.001", "1", "1000"} <= set(texts(root))
    assert "not drawn because not positive and finite: 2" in texts(root)


def test_legend_only_for_several_lines_and_never_for_faint_ones() -> None:
    one = chart(Series("only", [1, 2], [1, 2]), Series("raw", [1, 2], [1, 3], faint=True))
    assert "only" not in texts(one)
    two = chart(
        Series("first", [1, 2], [1, 2]), Series("second", [1, 2], [2, 1]), Series("raw", [1, 2], [1, 3], faint=True)
    )
    assert {"first", "second"} <= set(texts(two)) and "raw" not in texts(two)
    assert 'style="fill:none;stroke:var(--series-1' in ET.tostring(two, encoding="unicode")


def test_twenty_lines_differ_in_colour_or_dash() -> None:
    root = chart(*(Series(str(i), [1, 2], [i, i + 1]) for i in range(20)))
    styles = {node.get("style") for node in root.iter(f"{SVG}path") if node.find(f"{SVG}title") is not None}
    assert len(styles) == 20


def test_markers_inside_the_axis_are_drawn() -> None:
    root = chart(Series("s", [0, 10], [1, 2]), markers=[(5, "restart"), (50, "outside"), (math.nan, "nowhere")])
    assert "restart" in tips(root) and not {"outside", "nowhere"} & set(tips(root))


def test_points_have_tooltips() -> None:
    assert "s: 0.5 at 20" in tips(chart(Series("s", [10, 20], [0.25, 0.5])))


def test_small_confusion_matrix_writes_counts_and_row_percentages() -> None:
    root = parse(confusion_matrix([[90, 10], [0, 0]], ["no", "yes"]))
    assert {"90", "90.0%", "10", "10.0%", "0", "no", "yes"} <= set(texts(root))
    assert "gold no, predicted yes: 10 (10.0% of the gold label)" in tips(root)
    assert root.get("aria-label", "").endswith("2 labels, 90 of 100 right")


def test_large_confusion_matrix_has_tooltips_instead_of_numbers() -> None:
    counts = np.eye(77, dtype=int) * 7
    counts[3, 4] = 5
    root = parse(confusion_matrix(counts.tolist(), [f"label{i}" for i in range(77)]))
    assert "7" not in texts(root) and {"1", "10", "70"} <= set(texts(root))
    assert "gold label3, predicted label4: 5 (41.7% of the gold label)" in tips(root)
    assert len(tips(root)) == 78


@pytest.mark.parametrize(("matrix", "labels"), [([[1, 2]], ["a"]), ([[1, 0], [0, 1]], ["a"]), ([], [])])
def test_confusion_matrix_refuses_a_wrong_shape(matrix: list[list[int]], labels: list[str]) -> None:
    with pytest.raises(ValueError, match="confusion matrix of"):
        confusion_matrix(matrix, labels)


def test_reliability_diagram_shows_bins_and_ece() -> None:
    bins = [
        CalibrationBin(lower=0.0, upper=0.5, count=0, confidence=math.nan, accuracy=math.nan),
        CalibrationBin(lower=0.5, upper=1.0, count=40, confidence=0.9, accuracy=0.7),
    ]
    root = parse(reliability_diagram(bins, ece=0.2))
    assert "ECE 0.2000" in texts(root) and "ECE 0.2000" in str(root.get("aria-label"))
    heights = [float(str(node.get("height"))) for node in root.iter(f"{SVG}rect")]
    assert len(heights) == 3  # accuracy, distance to the confidence, count
    assert heights[1] / heights[0] == pytest.approx(0.2 / 0.7, rel=1e-3)


def test_bar_lengths_are_proportional_and_a_missing_value_has_no_bar() -> None:
    root = parse(bar_chart(["a", "b", "c"], [0.25, math.nan, 0.5], title="t", x_label="F1", high=1.0))
    widths = [float(str(node.get("width"))) for node in root.iter(f"{SVG}rect")]
    assert len(widths) == 2 and widths[1] == pytest.approx(2 * widths[0], rel=1e-3)


def test_negative_bars_reach_left_of_zero() -> None:
    root = parse(bar_chart(["a", "b"], [-1.0, 1.0], title="t", x_label="x"))
    left, right = (float(str(node.get("x"))) for node in root.iter(f"{SVG}rect"))
    assert left < right


def test_histogram_counts_every_finite_value_once() -> None:
    values = [*np.random.default_rng(1).normal(size=500).tolist(), math.nan, math.inf]
    counts = [int(tip.rsplit(": ", 1)[1]) for tip in tips(parse(histogram(values, title="t", x_label="x")))]
    assert sum(counts) == 500


def test_scatter_leaves_out_missing_pairs_and_draws_at_most_two_thousand() -> None:
    few = parse(scatter([1, 2, math.nan], [1, math.inf, 3]))
    assert len(list(few.iter(f"{SVG}circle"))) == 1
    many = parse(scatter(list(range(9000)), list(range(9000))))
    assert len(list(many.iter(f"{SVG}circle"))) == 2000 and "9,000 pairs, 2,000 drawn" in str(many.get("aria-label"))


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("palette", "background"), [(0, "#ffffff"), (1, "#171c23")])
def test_series_colours_stand_out_from_the_page(palette: int, background: str) -> None:
    blocks = CHART_CSS.split("prefers-color-scheme")
    colours = re.findall(r"--series-\d+:(#\w{6})", blocks[palette])
    assert len(colours) == 8
    for colour in colours:
        bright, dark = sorted((luminance(colour), luminance(background)), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 3, colour  # WCAG 2.1, 1.4.11: graphical objects
