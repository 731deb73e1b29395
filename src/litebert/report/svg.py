"""The elements charts are made of, as strings of SVG: escaped text, scales, ticks, axes, colours.

Colours are CSS variables with a light-mode fallback: a page that includes ``CHART_CSS`` gets the dark palette as well. The series
colours are those of Okabe and Ito (2008), darkened or lightened for contrast, which colour-blind readers tell apart.
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

Array = npt.NDArray[np.float64]

LIGHT = ("#0072b2", "#d55e00", "#009e73", "#b5508c", "#b98300", "#3a9bd1", "#5b5bb5", "#6b6b6b")
DARK = ("#56b4f0", "#ff9050", "#2fcb9c", "#e59bc4", "#f0b93a", "#a3d8f8", "#a9a9f5", "#b5b5b5")
DASHES = ("none", "7 4", "2 4")
CHART_CSS = (
    ":root{--on-fill:#fff;"
    + "".join(f"--series-{i}:{colour};" for i, colour in enumerate(LIGHT))
    + "}@media screen and (prefers-color-scheme:dark){:root{--on-fill:#10151c;"
    + "".join(f"--series-{i}:{colour};" for i, colour in enumerate(DARK))
    + "}}"
    "svg.chart{display:block;max-width:100%;height:auto;font-family:inherit;font-variant-numeric:tabular-nums}"
    "svg.chart .hit:hover{stroke:currentColor;stroke-width:1.5}svg.chart .quiet{pointer-events:none}"
)

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
LARGEST = 1e100  # beyond it differences overflow, and no axis is of use


@dataclass(frozen=True)
class Scale:
    """A mapping from values in [low, high] to pixels in [start, stop], with its ticks."""

    low: float
    high: float
    start: float
    stop: float
    ticks: tuple[float, ...]
    log: bool = False

    def __call__(self, values: Array | float) -> Array:
        """Return where values lie, in pixels."""
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


def scale_for(values: Array, start: float, stop: float, *, log: bool = False, snap: bool = False) -> Scale:
    """Span ``values`` (finite, not empty); ``snap`` widens the span to the next ticks."""
    low, high = float(values.min()), float(values.max())
    if log:
        low, high = (low / 2, high * 2) if high / low < 1.1 else (low, high)
        return Scale(low, high, start, stop, _log_ticks(low, high), log=True)
    if high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-100):
        margin = abs(low) * 0.1 or 1.0
        low, high = low - margin, high + margin
    if snap:
        step = float(np.diff(nice_ticks(low, high)[:2])[0])
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        return Scale(
            first * step, last * step, start, stop, tuple(float(f"{i * step:.12g}") for i in range(first, last + 1))
        )
    return Scale(low, high, start, stop, nice_ticks(low, high))


def tag(name: str, content: str | None = None, /, **attributes: object) -> str:
    """Build one element; ``content`` is markup, attribute values are escaped, ``_`` in names stands for ``-``."""
    written = ""
    for key, value in attributes.items():
        text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else escape_text(value)
        written += "" if value is None else f' {key.rstrip("_").replace("_", "-")}="{text}"'
    return f"<{name}{written}/>" if content is None else f"<{name}{written}>{content}</{name}>"


def text_element(x: float, y: float, text: str, size: int = 11, anchor: str = "start", **more: object) -> str:
    """Return escaped text at a point."""
    return tag("text", escape_text(text), x=float(x), y=float(y), font_size=size, text_anchor=anchor, **more)


def series_colour(index: int) -> str:
    """Return the colour of a series, which follows light and dark mode."""
    return f"var(--series-{index % len(LIGHT)},{LIGHT[index % len(LIGHT)]})"


def rule(x1: float, y1: float, x2: float, y2: float, opacity: float = 0.15, dash: str | None = None) -> str:
    """Return a thin line in the colour of the text."""
    path = f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"
    return tag("path", d=path, stroke="currentColor", stroke_opacity=opacity, stroke_dasharray=dash)


def rectangle(
    x: float, y: float, width: float, height: float, colour: int, opacity: float = 0.85, tip: str = "", rx: int = 0
) -> str:
    """Return a filled rectangle, with a tooltip if there is one."""
    box = {"x": float(x), "y": float(y), "width": max(float(width), 0.5), "height": float(height), "rx": rx or None}
    return tag("rect", tooltip(tip), class_="hit", style=f"fill:{series_colour(colour)}", fill_opacity=opacity, **box)


def tooltip(text: str) -> str:
    """Return what a browser shows when the pointer rests on an element."""
    return tag("title", escape_text(text))


def drawing(width: float, height: float, title: str, body: Sequence[str], detail: str) -> str:
    """Return a whole figure with its heading and a description for screen readers."""
    content = text_element(0, 15, title, size=13, font_weight=600) + "".join(body)
    about = {"role": "img", "aria_label": f"{title}. {detail}", "fill": "currentColor"}
    size = {"width": round(width), "height": round(height), "viewBox": f"0 0 {width:.0f} {height:.0f}"}
    about["style"] = f"min-width:{min(width, 420):.0f}px"  # keeps text readable on a phone; the page scrolls the figure
    return tag("svg", content, xmlns="http://www.w3.org/2000/svg", class_="chart", **about, **size)


def empty_drawing(width: float, title: str) -> str:
    """Return the figure of a chart without finite values."""
    note = "There are no finite values to draw."
    return drawing(width, 90, title, [text_element(width / 2, 56, note, anchor="middle", opacity=0.65)], note)


def text_width(text: str, size: float = 11) -> float:
    """Estimate the width of ``text`` in pixels, enough to lay out a legend."""
    return sum(size * (1.0 if unicodedata.east_asian_width(c) in "WF" else 0.56) for c in text)


def axes(x: Scale, y: Scale, x_label: str, y_label: str) -> list[str]:
    """Draw grid lines, tick labels and axis labels."""
    parts = [rule(x.start, y.start, x.stop, y.start, 0.5)]
    for tick, row in zip(y.ticks, y(np.array(y.ticks)), strict=True):
        parts += [
            rule(x.start, row, x.stop, row, 0.12),
            text_element(x.start - 7, row + 4, tick_label(tick), anchor="end"),
        ]
    for tick, column in zip(x.ticks, x(np.array(x.ticks)), strict=True):
        parts += [rule(column, y.start, column, y.start + 4, 0.5)]
        parts += [text_element(column, y.start + 17, tick_label(tick), anchor="middle")]
    parts.append(text_element((x.start + x.stop) / 2, y.start + 34, x_label, anchor="middle", opacity=0.7))
    return [*parts, text_element(0, y.stop - 11, y_label, opacity=0.7)]
