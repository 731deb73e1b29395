"""The histogram of counts that were taken in bins: areas are shares, every count in a tooltip."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence

import pytest

from litebert.report.charts import binned_histogram

SVG = "{http://www.w3.org/2000/svg}"
Bin = tuple[float, float | None, float]


def bars(bins: Sequence[Bin], **more: object) -> list[tuple[float, float, float, float, str]]:
    """Return left, top, width, height and tooltip of each bar."""
    root = ET.fromstring(binned_histogram(bins, title="t", x_label="tokens", **more))  # type: ignore[arg-type]
    return [
        (*(float(node.get(name, "")) for name in ("x", "y", "width", "height")), str(node[0].text))  # type: ignore[misc]
        for node in root.iter(f"{SVG}rect")
    ]


def test_areas_are_shares_whatever_the_widths() -> None:
    found = bars([(4, 5, 10), (5, 8, 20), (8, 16, 40)])
    areas = [(width + 1) * height for _, _, width, height, _ in found]
    assert areas[1] == pytest.approx(2 * areas[0], rel=0.01) and areas[2] == pytest.approx(4 * areas[0], rel=0.01)
    widths = [width + 1 for _, _, width, _, _ in found]
    assert widths[0] / widths[2] == pytest.approx(math.log2(5 / 4), rel=0.02)
    assert [tip for *_, tip in found] == ["4: 10 (14.29%)", "5 to 7: 20 (28.57%)", "8 to 15: 40 (57.14%)"]


def test_zeros_and_an_open_bin_have_a_place() -> None:
    found = bars([(0, 1, 5), (1, 2, 5), (1024, None, 5)])
    assert [tip.split(":")[0] for *_, tip in found] == ["0", "1", "1,024 to 2,047"]
    assert found[0][0] < found[1][0] < found[2][0]
    assert all(math.isfinite(number) and number >= 0 for *numbers, _ in found for number in numbers)


@pytest.mark.parametrize("bins", [[], [(1, 2, 0)]])
def test_nothing_to_draw_is_said(bins: list[Bin]) -> None:
    assert "no finite values" in binned_histogram(bins, title="t", x_label="tokens")


def test_a_single_bin_and_markers_inside_and_outside() -> None:
    svg = binned_histogram([(8, 16, 1)], title="t", x_label="<b>", markers=[(9, "inside <i>"), (99, "outside")])
    assert "inside &lt;i&gt;" in svg and "outside" not in svg and "<b>" not in svg
    ET.fromstring(svg)
