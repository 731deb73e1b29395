"""Charts as inline SVG: lines, bars, histograms, confusion matrix, calibration, scatter.

Every chart is a pure function from plain data to one ``<svg>`` string without scripts or outside references, so a page that holds
it stays a single file. Beyond the number of colours lines are also dashed. Calibration is drawn as in Guo et al. (arXiv:1706.04599,
figure 1). All text is escaped in ``svg.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from litebert.report.svg import (
    DASHES,
    LARGEST,
    LIGHT,
    Array,
    Scale,
    axes,
    drawing,
    empty_drawing,
    nice_ticks,
    rectangle,
    rule,
    scale_for,
    series_colour,
    shorten,
    tag,
    text_element,
    text_width,
    tooltip,
)


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """One interval of confidence and what happened in it.

    Args:
        lower: Lower edge of the interval, 0 to 1.
        upper: Upper edge of the interval, 0 to 1.
        count: Predictions whose confidence fell into it.
        confidence: Their mean confidence; ignored when ``count`` is 0.
        accuracy: The share of them that were right; ignored when ``count`` is 0.
    """

    lower: float
    upper: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Args:
        name: Its name in the legend and the tooltips.
        x: Positions; points with a position that is not finite are left out.
        y: Values; a value that is not finite leaves a gap.
        faint: Draw it thin and pale, without legend entry (the raw values behind a smoothed line).
        colour: Index into the palette; by default the position among the series that are not faint.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    faint: bool = False
    colour: int | None = None


def _drawable(values: Sequence[float], *, log: bool = False) -> Array:
    """Return ``values`` with NaN for all that no axis can show."""
    array = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(array) < LARGEST) | ((array <= 1e-100) if log else False)
    return np.where(bad, math.nan, array)


def _thin(x: Array, y: Array, columns: Array) -> tuple[Array, Array]:
    """Keep at most first, lowest, highest and last point of each pixel column; a column of NaN only stays a gap."""
    keep: list[int] = []
    edges = np.flatnonzero(np.diff(columns)) + 1
    for block in np.split(np.arange(len(x)), edges):
        finite = block[np.isfinite(y[block])]
        if not len(finite):
            keep.append(int(block[0]))
            continue
        extremes = {finite[0], finite[np.argmin(y[finite])], finite[np.argmax(y[finite])], finite[-1]}
        keep += sorted(int(i) for i in extremes)
    return x[keep], y[keep]


def _path(x: Array, y: Array, x_scale: Scale, y_scale: Scale) -> str:
    """Return path data with a gap at every NaN; a point alone between gaps becomes a dot (round line cap)."""
    width = abs(x_scale.stop - x_scale.start)
    if len(x) > 2 * width:
        x, y = _thin(x, y, np.floor(x_scale(x)))
    pieces, open_ = [], False
    for column, row in zip(x_scale(x), y_scale(y), strict=True):
        if math.isfinite(row):
            pieces.append(f"{'L' if open_ else 'M'}{column:.1f} {row:.1f}" + ("" if open_ else "h0"))
        open_ = math.isfinite(row)
    return "".join(pieces)


def _legend(series: Sequence[tuple[Series, int]], width: float) -> tuple[list[str], int]:
    """Draw the names in rows; return the markup and the number of rows (0 for a single series)."""
    if len(series) < 2:
        return [], 0
    parts, left, top = [], 0.0, 33
    for item, colour in series:
        name = shorten(item.name, 32)
        needed = text_width(name) + 38
        if left > 0 and left + needed > width:
            left, top = 0.0, top + 17
        parts += [
            tag("path", d=f"M{left:.1f} {top - 4}h17", **_stroke(colour, 2.5)),
            text_element(left + 23, top, name),
        ]
        left += needed
    return parts, (top - 33) // 17 + 1


def _stroke(colour: int, width: float, opacity: float = 1.0) -> dict[str, str]:
    dash = DASHES[colour // len(LIGHT) % len(DASHES)]
    style = f"fill:none;stroke:{series_colour(colour)};stroke-width:{width};stroke-opacity:{opacity};stroke-dasharray:{dash}"
    return {"style": style, "stroke_linecap": "round", "stroke_linejoin": "round"}


def _hover_points(item: Series, colour: int, x: Array, y: Array, scales: tuple[Scale, Scale]) -> list[str]:
    """Draw dots with tooltips: every point of a short series, invisible ones at regular distances of a long one."""
    finite = np.flatnonzero(np.isfinite(y))
    chosen = finite[np.unique(np.linspace(0, len(finite) - 1, min(len(finite), 40)).astype(int))]
    style, r = (f"fill:{series_colour(colour)}", 2.6) if len(finite) <= 25 else ("fill:transparent", 6.0)
    places = zip(x[chosen], y[chosen], scales[0](x[chosen]), scales[1](y[chosen]), strict=True)
    return [_dot(cx, cy, style, f"{item.name}: {value:.6g} at {at:.10g}", r) for at, value, cx, cy in places]


def _dot(x: float, y: float, style: str, tip: str, r: float) -> str:
    return tag("circle", tooltip(tip), class_="hit", cx=float(x), cy=float(y), r=r, style=style)


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log_y: bool = False,
    markers: Sequence[tuple[float, str]] = (),
) -> str:
    """Draw lines over a common axis.

    Args:
        series: The lines; each may have many thousand points, of which the extremes per pixel column are drawn.
        title: Title of the chart.
        x_label: What ``x`` is, with its unit.
        y_label: What ``y`` is, with its unit.
        log_y: Use a logarithmic vertical axis; values that are not positive leave gaps.
        markers: Events, each a position and its tooltip, drawn as dashed vertical lines.

    Returns:
        An ``<svg>`` element.
    """
    width, height = 520, 270
    lines: list[tuple[Series, int, Array, Array]] = []
    bold, lost, has_raw = 0, 0, any(item.faint for item in series)
    for item in series:
        x, y = _drawable(item.x), _drawable(item.y, log=log_y)
        lost += 0 if has_raw and not item.faint else int((~np.isfinite(y)).sum())
        order = np.argsort(x, kind="stable")[: int(np.isfinite(x).sum())]  # NaN sorts last
        lines.append((item, bold if item.colour is None else item.colour, x[order], y[order]))
        bold += not item.faint
    all_x, all_y = (np.concatenate([np.empty(0), *(line[i] for line in lines)]) for i in (2, 3))
    if not np.isfinite(all_y).any():
        return empty_drawing(width, title)
    legend, rows = _legend([(item, colour) for item, colour, _, _ in lines if not item.faint], width)
    x_scale = scale_for(all_x[np.isfinite(all_y)], 50, width - 12)
    y_scale = scale_for(all_y[np.isfinite(all_y)], height - 40, 46 + 17 * rows, log=log_y, snap=not log_y)
    body = [*legend, *axes(x_scale, y_scale, x_label, y_label)]
    for at, label in markers:
        if x_scale.low <= at <= x_scale.high:
            column = float(x_scale(at))
            body.append(tag("g", tooltip(label) + rule(column, y_scale.start, column, y_scale.stop, 0.6, dash="3 3")))
    for item, colour, x, y in sorted(lines, key=lambda line: not line[0].faint):
        stroke = _stroke(colour, 1, 0.35) if item.faint else _stroke(colour, 2)
        body.append(tag("path", tooltip(item.name), d=_path(x, y, x_scale, y_scale), **stroke))
        body += [] if item.faint else _hover_points(item, colour, x, y, (x_scale, y_scale))
    note = f"not drawn because not {'positive and ' if log_y else ''}finite: {lost:,}" if lost else ""
    body.append(text_element(width - 12, y_scale.stop - 11, note, anchor="end", opacity=0.7) if lost else "")
    return drawing(width, height, title, body, f"{y_label} over {x_label}, {bold or len(series)} lines. {note}".strip())


def _count_scale(high: float, start: float, stop: float, target: int = 5) -> Scale:
    return Scale(0.0, high, start, stop, tuple(t for t in nice_ticks(0.0, high, target) if t == int(t)))


def reliability_diagram(bins: Sequence[CalibrationBin], *, ece: float | None = None, title: str = "Calibration") -> str:
    """Draw accuracy against confidence, with the number of predictions per bin below.

    Args:
        bins: Bins in ascending order; empty ones are skipped.
        ece: Expected calibration error, written beside the title.
        title: Title of the chart.

    Returns:
        An ``<svg>`` element.
    """
    width, used = 440, [item for item in bins if item.count > 0]
    if not used:
        return empty_drawing(width, title)
    ticks = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    x, y = Scale(0.0, 1.0, 50, width - 12, ticks), Scale(0.0, 1.0, width - 90, 46, ticks)
    counts = _count_scale(max(item.count for item in used), width + 24, width - 46, target=2)
    body = [*axes(x, y, "", "accuracy"), *axes(x, counts, "confidence", "predictions")]
    for item in used:
        left, right = float(x(item.lower)) + 0.5, float(x(item.upper)) - 0.5
        top, expected = float(y(item.accuracy)), float(y(item.confidence))
        tip = f"confidence {item.confidence:.3f}, accuracy {item.accuracy:.3f}, {item.count:,} predictions"
        body.append(rectangle(left, top, right - left, y.start - top, 0, 0.75, tip))
        body.append(rectangle(left, min(top, expected), right - left, abs(top - expected), 1, 0.4, tip))
        many = float(counts(item.count))
        body.append(rectangle(left, many, right - left, counts.start - many, 7, 0.75, tip))
    body.append(rule(x.start, y.start, x.stop, y.stop, 0.55, dash="5 4"))
    note = "" if ece is None else f"ECE {ece:.4f}"
    body.append(text_element(width - 12, 15, note, anchor="end", size=12))
    return drawing(width, width + 64, title, body, f"Accuracy against confidence in {len(used)} bins. {note}".strip())


def histogram(values: Sequence[float], *, title: str, x_label: str, bins: int = 30) -> str:
    """Draw how often values fall into equal intervals.

    Args:
        values: The values; those that are not finite are left out.
        title: Title of the chart.
        x_label: What the values are, with their unit.
        bins: Number of intervals.

    Returns:
        An ``<svg>`` element.
    """
    width, finite = 520, _drawable(values)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return empty_drawing(width, title)
    x = scale_for(finite, 50, width - 12, snap=True)
    counts, edges = np.histogram(finite, bins=bins, range=(x.low, x.high))
    y = _count_scale(int(counts.max()), 230, 46)
    body, ends, tops = axes(x, y, x_label, "count"), x(edges), y(counts.astype(np.float64))
    for i in np.flatnonzero(counts).tolist():
        tip = f"{edges[i]:.4g} to {edges[i + 1]:.4g}: {counts[i]:,}"
        body.append(rectangle(ends[i] + 0.5, tops[i], ends[i + 1] - ends[i] - 1, y.start - tops[i], 0, 0.85, tip))
    return drawing(width, 270, title, body, f"{len(finite):,} values of {x_label}")


def binned_histogram(
    bins: Sequence[tuple[float, float | None, float]],
    *,
    title: str,
    x_label: str,
    markers: Sequence[tuple[float, str]] = (),
) -> str:
    """Draw counts that were taken in bins of growing width, over a logarithmic axis.

    Args:
        bins: Each from (included), to (excluded; None: open) and count, ascending; 0 is drawn left of 1.
        title: Title of the chart.
        x_label: What the values are, with their unit.
        markers: Values to mark, each with its tooltip, as dashed vertical lines.

    Returns:
        An ``<svg>`` element; areas are shares, so heights are shares for each doubling of the value.
    """
    width = 520
    used = [(max(low, 0.5), max(high or 2 * low, low + 0.5, 1.0), n, low) for low, high, n in bins if n > 0]
    total = sum(n for _, _, n, _ in used)
    if not total:
        return empty_drawing(width, title)
    x = scale_for(np.array([[low, high] for low, high, _, _ in used]), 50, width - 12, log=True)
    heights = [100 * n / total / math.log2(high / low) for low, high, n, _ in used]
    y = scale_for(np.array([0.0, *heights]), 230, 46, snap=True)
    body = axes(x, y, x_label, "% for each doubling")
    for (low, high, n, start), height in zip(used, heights, strict=True):
        left, right, top = float(x(low)), float(x(high)), float(y(height))
        last = f" to {high - 1:,.0f}" if high - start > 1 else ""
        tip = f"{start:,.0f}{last}: {n:,.0f} ({n / total:.2%})"
        body.append(rectangle(left + 0.5, top, right - left - 1, y.start - top, 0, 0.85, tip))
    for at, label in markers:
        if x.low <= at <= x.high:
            column = float(x(at))
            body.append(tag("g", tooltip(label) + rule(column, y.start, column, y.stop, 0.6, dash="3 3")))
    return drawing(width, 270, title, body, f"{total:,.0f} values of {x_label} in {len(used)} bins")


def bar_chart(
    names: Sequence[str], values: Sequence[float], *, title: str, x_label: str, high: float | None = None
) -> str:
    """Draw one horizontal bar per name, from zero.

    Args:
        names: Names, from top to bottom.
        values: One value per name; for one that is not finite the bar is missing.
        title: Title of the chart.
        x_label: What the values are, with their unit.
        high: Right end of the axis, for example 1.0; by default the largest value.

    Returns:
        An ``<svg>`` element.
    """
    width, drawable = 520, _drawable(values)
    if not np.isfinite(drawable).any():
        return empty_drawing(width, title)
    shown = [shorten(name, 28) for name in names]
    left = min(max(text_width(name) for name in shown) + 12, 200)
    ends = np.append(drawable[np.isfinite(drawable)], [0.0] if high is None else [0.0, high])
    x, bottom = scale_for(ends, left, width - 60), 32.0 + 22 * len(shown)
    zero = float(x(0.0))
    body = axes(x, Scale(0, 1, bottom, 32, ()), x_label, "")
    for row, (name, value, end) in enumerate(zip(names, drawable, x(drawable), strict=True)):
        top = 32 + 22 * row
        body.append(text_element(left - 8, top + 15, shown[row], anchor="end"))
        if math.isfinite(value):
            tip, span = f"{name}: {value:.6g}", abs(float(end) - zero)
            body.append(rectangle(min(zero, float(end)), top + 4, span, 14, 0, 0.85, tip, rx=2))
            body.append(text_element(max(zero, float(end)) + 6, top + 15, f"{value:.4g}", opacity=0.8))
    return drawing(width, bottom + 42, title, body, f"{x_label} of {len(shown)} items")


def scatter(gold: Sequence[float], predicted: Sequence[float], *, title: str = "Predicted against gold") -> str:
    """Draw predicted values against gold values, with the line on which both are equal.

    Args:
        gold: Values in the data.
        predicted: Values of the model, in the same order; pairs with a value that is not finite are left out.
        title: Title of the chart.

    Returns:
        An ``<svg>`` element with at most 2000 points, taken at equal distances.
    """
    width, both = 440, np.stack([_drawable(gold), _drawable(predicted)])
    both = both[:, np.isfinite(both).all(axis=0)]
    total = both.shape[1]
    if not total:
        return empty_drawing(width, title)
    both = both[:, np.unique(np.linspace(0, total - 1, min(total, 2000)).astype(int))]
    x, y = scale_for(both, 50, width - 12, snap=True), scale_for(both, width - 40, 46, snap=True)
    body = axes(x, y, "gold", "predicted")
    style = f"fill:{series_colour(0)};fill-opacity:.45"
    for a, b, column, row in zip(*both, x(both[0]), y(both[1]), strict=True):
        body.append(_dot(column, row, style, f"gold {a:.4g}, predicted {b:.4g}", r=3.0))
    body.append(rule(x.start, y.start, x.stop, y.stop, 0.9, dash="5 4"))
    return drawing(width, width, title, body, f"{total:,} pairs, {both.shape[1]:,} drawn")


def confusion_matrix(matrix: Sequence[Sequence[int]], labels: Sequence[str], *, title: str = "Confusion matrix") -> str:
    """Draw a confusion matrix as a heat map of row shares: right predictions in one colour, wrong ones in another.

    Args:
        matrix: Counts, rows the gold label, columns the predicted label.
        labels: Label names in the same order. Above 25 labels the cells carry tooltips instead of numbers, and the axes
            the position of the label, counted from 1.
        title: Title of the chart.

    Returns:
        An ``<svg>`` element.

    Raises:
        ValueError: The matrix is not square or does not match ``labels``.
    """
    counts, n = np.asarray(matrix, dtype=np.int64), len(labels)
    if counts.shape != (n, n) or n == 0:
        raise ValueError(f"a confusion matrix of {n} labels must be {n} x {n}, not {counts.shape}")
    full, totals = n <= 25, counts.sum(axis=1)
    names = [shorten(label, 24) if full else _position(i, n) for i, label in enumerate(labels)]
    longest = max(map(text_width, names))
    wide = max(700 / n, 3) if not full else min(max(560 / n, 38), 110) if n > 5 else max(100, longest + 12)
    high, small = min(wide, 64), wide < 50
    left, top = longest + 30, (40 + longest * 0.75 if 5 < n <= 25 else 62.0)
    body = [text_element(left, 36, "predicted", opacity=0.7), text_element(0, top - 8, "gold", opacity=0.7)]
    for i, j in np.argwhere((counts > 0) | full).tolist():
        x, y = left + j * wide, top + i * high
        share = counts[i, j] / totals[i] if totals[i] else 0.0
        tip = f"gold {labels[i]}, predicted {labels[j]}: {counts[i, j]:,} ({share:.1%} of the gold label)"
        body.append(rectangle(x, y, wide - full, high - full, int(i != j), 0.05 + 0.9 * math.sqrt(share), tip))
        if full:
            known, column, row = counts[i, j] > 0, x + wide / 2, y + high / 2
            style = f"fill:{'var(--on-fill,#fff)' if share > 0.4 else 'currentColor'};opacity:{1 if known else 0.45}"
            ink = {"anchor": "middle", "class_": "quiet", "style": style}
            body.append(text_element(column, row + 4 - 5 * known, f"{counts[i, j]:,}", 10 if small else 13, **ink))
            percent = f"{share:.{0 if small else 1}%}" if known else ""
            body.append(text_element(column, row + (11 if small else 15), percent, 9 if small else 11, **ink))
    for i, name in enumerate(names):
        column, row = left + (i + 0.5) * wide, top + (i + 0.5) * high + 4
        turn = f"rotate(-45 {column:.1f} {top - 8:.1f})" if 5 < n <= 25 else None
        body.append(text_element(left - 8, row, name, anchor="end"))
        body.append(text_element(column, top - 8, name, anchor="start" if turn else "middle", transform=turn))
    width, height = max(left + n * wide + (longest * 0.6 if 5 < n <= 25 else 2), 180), top + n * high + 2
    return drawing(width, height, title, body, f"{n} labels, {np.trace(counts):,} of {totals.sum():,} right")


def _position(i: int, n: int) -> str:
    """Name the first and each tenth (of many: fiftieth) row of a matrix too dense for labels."""
    return str(i + 1) if i == 0 or (i + 1) % (10 if n <= 200 else 50) == 0 else ""
