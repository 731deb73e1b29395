"""Charts as inline SVG: lines, bars, histogram, confusion matrix, calibration, scatter.

Every chart is a pure function from plain data to one ``<svg>`` string without scripts or outside references, so a page
that holds it stays a single file. Colours are CSS variables with a light-mode fallback: a page that includes
``CHART_CSS`` gets the dark palette as well. The series colours are those of Okabe and Ito (2008), darkened or lightened
for contrast, which colour-blind readers tell apart; beyond their number lines are also dashed. Calibration is drawn as
in Guo et al. (arXiv:1706.04599, figure 1). All text is escaped here.
"""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from litebert.train.evaluation import CalibrationBin

_Array = npt.NDArray[np.float64]

_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#b5508c", "#b98300", "#3a9bd1", "#5b5bb5", "#6b6b6b")
_DARK = ("#56b4f0", "#ff9050", "#2fcb9c", "#e59bc4", "#f0b93a", "#a3d8f8", "#a9a9f5", "#b5b5b5")
_DASHES = ("none", "7 4", "2 4")
CHART_CSS = (
    ":root{--on-fill:#fff;"
    + "".join(f"--series-{i}:{colour};" for i, colour in enumerate(_LIGHT))
    + "}@media screen and (prefers-color-scheme:dark){:root{--on-fill:#10151c;"
    + "".join(f"--series-{i}:{colour};" for i, colour in enumerate(_DARK))
    + "}}"
    "svg.chart{display:block;max-width:100%;height:auto;font-family:inherit;font-variant-numeric:tabular-nums}"
    "svg.chart .hit:hover{stroke:currentColor;stroke-width:1.5}svg.chart .quiet{pointer-events:none}"
)

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_LARGEST = 1e100  # beyond it differences overflow, and no axis is of use


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


@dataclass(frozen=True)
class _Scale:
    """A mapping from values in [low, high] to pixels in [start, stop], with its ticks."""

    low: float
    high: float
    start: float
    stop: float
    ticks: tuple[float, ...]
    log: bool = False

    def __call__(self, values: _Array | float) -> _Array:
        array = np.asarray(values, dtype=np.float64)
        low, high = self.low, self.high
        if self.log:
            array, low, high = np.log10(array), math.log10(low), math.log10(high)
        return self.start + (array - low) / (high - low) * (self.stop - self.start)


def escape_text(text: object) -> str:
    """Make any text safe inside HTML and SVG, in content and in quoted attributes.

    Args:
        text: Anything; control characters and lone surrogates become U+FFFD.

    Returns:
        Escaped text that can be encoded as UTF-8.
    """
    return html.escape(_UNPRINTABLE.sub("\ufffd", str(text)), quote=True)


def shorten(text: str, limit: int) -> str:
    """Return ``text`` on one line in at most ``limit`` characters, the last one an ellipsis if something was cut."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def nice_ticks(low: float, high: float, target: int = 5) -> tuple[float, ...]:
    """Choose round values (1, 2, 2.5 or 5 times a power of ten apart) in [low, high].

    Args:
        low: Lower end.
        high: Upper end, above ``low``.
        target: At most about how many values.

    Returns:
        Ascending values.
    """
    rough = (high - low) / target
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(i * step, 12 - math.floor(math.log10(step))) for i in range(first, last + 1))


def tick_label(value: float) -> str:
    """Write a tick's value in few characters: ``0``, ``0.25``, ``20k``, ``1.5M``, ``2e-5``."""
    size = abs(value)
    if size >= 1e9 or 0 < size < 1e-3:
        return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    scale, unit = (1e6, "M") if size >= 1e6 else (1e3, "k") if size >= 1e4 else (1, "")
    return f"{value / scale:.10g}{unit}"


def _log_ticks(low: float, high: float) -> tuple[float, ...]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(1, (last - first + 5) // 6)
    ticks = (
        factor * 10.0**power
        for power in range(first, last + 1, stride)
        for factor in ((1, 2, 5) if last - first <= 2 else (1,))
    )
    return tuple(tick for tick in ticks if low * 0.999 <= tick <= high * 1.001)


def _scale(values: _Array, start: float, stop: float, *, log: bool = False, snap: bool = False) -> _Scale:
    """Span ``values`` (finite, not empty); ``snap`` widens the span to the next ticks."""
    low, high = float(values.min()), float(values.max())
    if log:
        low, high = (low / 2, high * 2) if high / low < 1.1 else (low, high)
        return _Scale(low, high, start, stop, _log_ticks(low, high), log=True)
    if high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-100):
        margin = abs(low) * 0.1 or 1.0
        low, high = low - margin, high + margin
    if snap:
        step = float(np.diff(nice_ticks(low, high)[:2])[0])
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        return _Scale(
            first * step, last * step, start, stop, tuple(float(f"{i * step:.12g}") for i in range(first, last + 1))
        )
    return _Scale(low, high, start, stop, nice_ticks(low, high))


def _tag(name: str, content: str | None = None, /, **attributes: object) -> str:
    """Build one element; ``content`` is markup, attribute values are escaped, ``_`` in names stands for ``-``."""
    written = ""
    for key, value in attributes.items():
        text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else escape_text(value)
        written += "" if value is None else f' {key.rstrip("_").replace("_", "-")}="{text}"'
    return f"<{name}{written}/>" if content is None else f"<{name}{written}>{content}</{name}>"


def _text(x: float, y: float, text: str, size: int = 11, anchor: str = "start", **more: object) -> str:
    return _tag("text", escape_text(text), x=float(x), y=float(y), font_size=size, text_anchor=anchor, **more)


def _colour(index: int) -> str:
    return f"var(--series-{index % len(_LIGHT)},{_LIGHT[index % len(_LIGHT)]})"


def _line(x1: float, y1: float, x2: float, y2: float, opacity: float = 0.15, dash: str | None = None) -> str:
    path = f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"
    return _tag("path", d=path, stroke="currentColor", stroke_opacity=opacity, stroke_dasharray=dash)


def _rect(
    x: float, y: float, width: float, height: float, colour: int, opacity: float = 0.85, tip: str = "", rx: int = 0
) -> str:
    box = {"x": float(x), "y": float(y), "width": max(float(width), 0.5), "height": float(height), "rx": rx or None}
    return _tag("rect", _tip(tip), class_="hit", style=f"fill:{_colour(colour)}", fill_opacity=opacity, **box)


def _tip(text: str) -> str:
    return _tag("title", escape_text(text))


def _svg(width: float, height: float, title: str, body: Sequence[str], detail: str) -> str:
    content = _text(0, 15, title, size=13, font_weight=600) + "".join(body)
    about = {"role": "img", "aria_label": f"{title}. {detail}", "fill": "currentColor"}
    size = {"width": round(width), "height": round(height), "viewBox": f"0 0 {width:.0f} {height:.0f}"}
    about["style"] = f"min-width:{min(width, 420):.0f}px"  # keeps text readable on a phone; the page scrolls the figure
    return _tag("svg", content, xmlns="http://www.w3.org/2000/svg", class_="chart", **about, **size)


def _empty(width: float, title: str) -> str:
    note = "There are no finite values to draw."
    return _svg(width, 90, title, [_text(width / 2, 56, note, anchor="middle", opacity=0.65)], note)


def _text_width(text: str, size: float = 11) -> float:
    """Estimate the width of ``text`` in pixels, enough to lay out a legend."""
    return sum(size * (1.0 if unicodedata.east_asian_width(c) in "WF" else 0.56) for c in text)


def _axes(x: _Scale, y: _Scale, x_label: str, y_label: str) -> list[str]:
    """Draw grid lines, tick labels and axis labels."""
    parts = [_line(x.start, y.start, x.stop, y.start, 0.5)]
    for tick, row in zip(y.ticks, y(np.array(y.ticks)), strict=True):
        parts += [_line(x.start, row, x.stop, row, 0.12), _text(x.start - 7, row + 4, tick_label(tick), anchor="end")]
    for tick, column in zip(x.ticks, x(np.array(x.ticks)), strict=True):
        parts += [_line(column, y.start, column, y.start + 4, 0.5)]
        parts += [_text(column, y.start + 17, tick_label(tick), anchor="middle")]
    parts.append(_text((x.start + x.stop) / 2, y.start + 34, x_label, anchor="middle", opacity=0.7))
    return [*parts, _text(0, y.stop - 11, y_label, opacity=0.7)]


def _drawable(values: Sequence[float], *, log: bool = False) -> _Array:
    """Return ``values`` with NaN for all that no axis can show."""
    array = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(array) < _LARGEST) | ((array <= 1e-100) if log else False)
    return np.where(bad, math.nan, array)


def _thin(x: _Array, y: _Array, columns: _Array) -> tuple[_Array, _Array]:
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


def _path(x: _Array, y: _Array, x_scale: _Scale, y_scale: _Scale) -> str:
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
        needed = _text_width(name) + 38
        if left > 0 and left + needed > width:
            left, top = 0.0, top + 17
        parts += [_tag("path", d=f"M{left:.1f} {top - 4}h17", **_stroke(colour, 2.5)), _text(left + 23, top, name)]
        left += needed
    return parts, (top - 33) // 17 + 1


def _stroke(colour: int, width: float, opacity: float = 1.0) -> dict[str, str]:
    dash = _DASHES[colour // len(_LIGHT) % len(_DASHES)]
    style = f"fill:none;stroke:{_colour(colour)};stroke-width:{width};stroke-opacity:{opacity};stroke-dasharray:{dash}"
    return {"style": style, "stroke_linecap": "round", "stroke_linejoin": "round"}


def _hover_points(item: Series, colour: int, x: _Array, y: _Array, scales: tuple[_Scale, _Scale]) -> list[str]:
    """Draw dots with tooltips: every point of a short series, invisible ones at regular distances of a long one."""
    finite = np.flatnonzero(np.isfinite(y))
    chosen = finite[np.unique(np.linspace(0, len(finite) - 1, min(len(finite), 40)).astype(int))]
    style, r = (f"fill:{_colour(colour)}", 2.6) if len(finite) <= 25 else ("fill:transparent", 6.0)
    places = zip(x[chosen], y[chosen], scales[0](x[chosen]), scales[1](y[chosen]), strict=True)
    return [_dot(cx, cy, style, f"{item.name}: {value:.6g} at {at:.10g}", r) for at, value, cx, cy in places]


def _dot(x: float, y: float, style: str, tip: str, r: float) -> str:
    return _tag("circle", _tip(tip), class_="hit", cx=float(x), cy=float(y), r=r, style=style)


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
    lines: list[tuple[Series, int, _Array, _Array]] = []
    bold, lost, has_raw = 0, 0, any(item.faint for item in series)
    for item in series:
        x, y = _drawable(item.x), _drawable(item.y, log=log_y)
        lost += 0 if has_raw and not item.faint else int((~np.isfinite(y)).sum())
        order = np.argsort(x, kind="stable")[: int(np.isfinite(x).sum())]  # NaN sorts last
        lines.append((item, bold if item.colour is None else item.colour, x[order], y[order]))
        bold += not item.faint
    all_x, all_y = (np.concatenate([np.empty(0), *(line[i] for line in lines)]) for i in (2, 3))
    if not np.isfinite(all_y).any():
        return _empty(width, title)
    legend, rows = _legend([(item, colour) for item, colour, _, _ in lines if not item.faint], width)
    x_scale = _scale(all_x[np.isfinite(all_y)], 50, width - 12)
    y_scale = _scale(all_y[np.isfinite(all_y)], height - 40, 46 + 17 * rows, log=log_y, snap=not log_y)
    body = [*legend, *_axes(x_scale, y_scale, x_label, y_label)]
    for at, label in markers:
        if x_scale.low <= at <= x_scale.high:
            column = float(x_scale(at))
            body.append(_tag("g", _tip(label) + _line(column, y_scale.start, column, y_scale.stop, 0.6, dash="3 3")))
    for item, colour, x, y in sorted(lines, key=lambda line: not line[0].faint):
        stroke = _stroke(colour, 1, 0.35) if item.faint else _stroke(colour, 2)
        body.append(_tag("path", _tip(item.name), d=_path(x, y, x_scale, y_scale), **stroke))
        body += [] if item.faint else _hover_points(item, colour, x, y, (x_scale, y_scale))
    note = f"not drawn because not {'positive and ' if log_y else ''}finite: {lost:,}" if lost else ""
    body.append(_text(width - 12, y_scale.stop - 11, note, anchor="end", opacity=0.7) if lost else "")
    return _svg(width, height, title, body, f"{y_label} over {x_label}, {bold or len(series)} lines. {note}".strip())


def _count_scale(high: float, start: float, stop: float, target: int = 5) -> _Scale:
    return _Scale(0.0, high, start, stop, tuple(t for t in nice_ticks(0.0, high, target) if t == int(t)))


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
        return _empty(width, title)
    ticks = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    x, y = _Scale(0.0, 1.0, 50, width - 12, ticks), _Scale(0.0, 1.0, width - 90, 46, ticks)
    counts = _count_scale(max(item.count for item in used), width + 24, width - 46, target=2)
    body = [*_axes(x, y, "", "accuracy"), *_axes(x, counts, "confidence", "predictions")]
    for item in used:
        left, right = float(x(item.lower)) + 0.5, float(x(item.upper)) - 0.5
        top, expected = float(y(item.accuracy)), float(y(item.confidence))
        tip = f"confidence {item.confidence:.3f}, accuracy {item.accuracy:.3f}, {item.count:,} predictions"
        body.append(_rect(left, top, right - left, y.start - top, 0, 0.75, tip))
        body.append(_rect(left, min(top, expected), right - left, abs(top - expected), 1, 0.4, tip))
        many = float(counts(item.count))
        body.append(_rect(left, many, right - left, counts.start - many, 7, 0.75, tip))
    body.append(_line(x.start, y.start, x.stop, y.stop, 0.55, dash="5 4"))
    note = "" if ece is None else f"ECE {ece:.4f}"
    body.append(_text(width - 12, 15, note, anchor="end", size=12))
    return _svg(width, width + 64, title, body, f"Accuracy against confidence in {len(used)} bins. {note}".strip())


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
        return _empty(width, title)
    x = _scale(finite, 50, width - 12, snap=True)
    counts, edges = np.histogram(finite, bins=bins, range=(x.low, x.high))
    y = _count_scale(int(counts.max()), 230, 46)
    body, ends, tops = _axes(x, y, x_label, "count"), x(edges), y(counts.astype(np.float64))
    for i in np.flatnonzero(counts).tolist():
        tip = f"{edges[i]:.4g} to {edges[i + 1]:.4g}: {counts[i]:,}"
        body.append(_rect(ends[i] + 0.5, tops[i], ends[i + 1] - ends[i] - 1, y.start - tops[i], 0, 0.85, tip))
    return _svg(width, 270, title, body, f"{len(finite):,} values of {x_label}")


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
        return _empty(width, title)
    shown = [shorten(name, 28) for name in names]
    left = min(max(_text_width(name) for name in shown) + 12, 200)
    ends = np.append(drawable[np.isfinite(drawable)], [0.0] if high is None else [0.0, high])
    x, bottom = _scale(ends, left, width - 60), 32.0 + 22 * len(shown)
    zero = float(x(0.0))
    body = _axes(x, _Scale(0, 1, bottom, 32, ()), x_label, "")
    for row, (name, value, end) in enumerate(zip(names, drawable, x(drawable), strict=True)):
        top = 32 + 22 * row
        body.append(_text(left - 8, top + 15, shown[row], anchor="end"))
        if math.isfinite(value):
            tip, span = f"{name}: {value:.6g}", abs(float(end) - zero)
            body.append(_rect(min(zero, float(end)), top + 4, span, 14, 0, 0.85, tip, rx=2))
            body.append(_text(max(zero, float(end)) + 6, top + 15, f"{value:.4g}", opacity=0.8))
    return _svg(width, bottom + 42, title, body, f"{x_label} of {len(shown)} items")


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
        return _empty(width, title)
    both = both[:, np.unique(np.linspace(0, total - 1, min(total, 2000)).astype(int))]
    x, y = _scale(both, 50, width - 12, snap=True), _scale(both, width - 40, 46, snap=True)
    body = _axes(x, y, "gold", "predicted")
    style = f"fill:{_colour(0)};fill-opacity:.45"
    for a, b, column, row in zip(*both, x(both[0]), y(both[1]), strict=True):
        body.append(_dot(column, row, style, f"gold {a:.4g}, predicted {b:.4g}", r=3.0))
    body.append(_line(x.start, y.start, x.stop, y.stop, 0.9, dash="5 4"))
    return _svg(width, width, title, body, f"{total:,} pairs, {both.shape[1]:,} drawn")


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
    longest = max(map(_text_width, names))
    wide = max(700 / n, 3) if not full else min(max(560 / n, 38), 110) if n > 5 else max(100, longest + 12)
    high, small = min(wide, 64), wide < 50
    left, top = longest + 30, (40 + longest * 0.75 if 5 < n <= 25 else 62.0)
    body = [_text(left, 36, "predicted", opacity=0.7), _text(0, top - 8, "gold", opacity=0.7)]
    for i, j in np.argwhere((counts > 0) | full).tolist():
        x, y = left + j * wide, top + i * high
        share = counts[i, j] / totals[i] if totals[i] else 0.0
        tip = f"gold {labels[i]}, predicted {labels[j]}: {counts[i, j]:,} ({share:.1%} of the gold label)"
        body.append(_rect(x, y, wide - full, high - full, int(i != j), 0.05 + 0.9 * math.sqrt(share), tip))
        if full:
            known, column, row = counts[i, j] > 0, x + wide / 2, y + high / 2
            style = f"fill:{'var(--on-fill,#fff)' if share > 0.4 else 'currentColor'};opacity:{1 if known else 0.45}"
            ink = {"anchor": "middle", "class_": "quiet", "style": style}
            body.append(_text(column, row + 4 - 5 * known, f"{counts[i, j]:,}", 10 if small else 13, **ink))
            percent = f"{share:.{0 if small else 1}%}" if known else ""
            body.append(_text(column, row + (11 if small else 15), percent, 9 if small else 11, **ink))
    for i, name in enumerate(names):
        column, row = left + (i + 0.5) * wide, top + (i + 0.5) * high + 4
        turn = f"rotate(-45 {column:.1f} {top - 8:.1f})" if 5 < n <= 25 else None
        body.append(_text(left - 8, row, name, anchor="end"))
        body.append(_text(column, top - 8, name, anchor="start" if turn else "middle", transform=turn))
    width, height = max(left + n * wide + (longest * 0.6 if 5 < n <= 25 else 2), 180), top + n * high + 2
    return _svg(width, height, title, body, f"{n} labels, {np.trace(counts):,} of {totals.sum():,} right")


def _position(i: int, n: int) -> str:
    """Name the first and each tenth (of many: fiftieth) row of a matrix too dense for labels."""
    return str(i + 1) if i == 0 or (i + 1) % (10 if n <= 200 else 50) == 0 else ""
