"""A page as one HTML file that needs nothing else, neither network nor scripts.

``Report``, ``Section`` and the blocks turn plain data into a page. A content security policy in it forbids every outside request.
All text is escaped; only figures are taken as they are, from ``charts.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from litebert import files
from litebert.report.svg import CHART_CSS, escape_text, shorten, tick_label

_CSS = """
:root{--page:#f4f5f7;--card:#fff;--ink:#1b2128;--soft:#5a6572;--rule:#dfe3e8;--shade:#f0f2f5;--accent:#0a62a8;
--error:#b3261e;--warning:#9a5b00;--info:#0a62a8;--good:#1a7340;color-scheme:light dark}
@media screen and (prefers-color-scheme:dark){:root{--page:#0f1318;--card:#171c23;--ink:#e4e8ed;--soft:#9aa6b3;--rule:#2c343e;
--shade:#1f262f;--accent:#6cb6f5;--error:#ff8a80;--warning:#f0b54a;--info:#6cb6f5;--good:#62cf8f}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans","Liberation Sans",Arial,sans-serif}
main,header,footer{max-width:1140px;margin:0 auto;padding:0 20px}
header{padding-top:36px}h1{font-size:27px;line-height:1.25;margin:0;letter-spacing:-.01em;overflow-wrap:anywhere}
.subtitle{color:var(--soft);margin:6px 0 0;max-width:none;overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin:16px 0 0;font-size:14px}a{color:var(--accent);text-decoration:none}
a:hover{text-decoration:underline}
section{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:20px 24px 24px;margin:20px 0}
h2{font-size:18px;margin:0 0 14px}h3{font-size:15px;margin:22px 0 8px}p{margin:8px 0;max-width:78ch}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px}
.tile{background:var(--shade);border-radius:8px;padding:13px 16px 12px;border-top:3px solid transparent}
.tile.main{border-top-color:var(--accent)}.tile .label,.tile .detail{font-size:13px;color:var(--soft);overflow-wrap:anywhere}
.tile .value{font-size:27px;font-weight:650;line-height:1.3;font-variant-numeric:tabular-nums;letter-spacing:-.01em}
.note{border-left:4px solid var(--tone);background:var(--shade);border-radius:0 6px 6px 0;padding:9px 14px;margin:12px 0 0;
overflow-wrap:anywhere}.note b{color:var(--tone)}
.error{--tone:var(--error)}.warning{--tone:var(--warning)}.info{--tone:var(--info)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr));gap:26px 24px;margin:14px 0 6px}
figure{margin:0;min-width:0;overflow-x:auto}figure.wide{grid-column:1/-1}
figcaption,caption{font-size:13px;color:var(--soft);margin-top:6px;max-width:78ch}
caption{text-align:left;padding-bottom:6px;margin:0}
.scroll{overflow:auto;max-height:480px;margin:12px 0 0}
table{border-collapse:collapse;font-size:14px;min-width:min(100%,420px)}
th,td{text-align:left;vertical-align:top;padding:5px 22px 5px 0;border-bottom:1px solid var(--rule)}
th{position:sticky;top:0;background:var(--card);font-weight:600;white-space:nowrap;box-shadow:inset 0 -1px var(--rule)}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.text{min-width:270px;overflow-wrap:anywhere}
.pair{margin-top:5px;padding-top:5px;border-top:1px dashed var(--rule)}
dl{display:grid;grid-template-columns:minmax(120px,max-content) 1fr;gap:4px 24px;margin:12px 0 0;font-size:14px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
pre{background:var(--shade);border-radius:8px;padding:13px 16px;margin:12px 0 0;overflow-x:auto;
font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
summary{cursor:pointer}.fold{margin-top:10px}.fold>summary{color:var(--accent)}.clip>summary{list-style:none}
.clip>summary::-webkit-details-marker{display:none}.clip>summary::after{content:" more";color:var(--accent);font-size:13px}
.clip[open]>summary::after{content:"less"}.clip[open]>summary>bdi{display:none}.clip>bdi{white-space:pre-wrap}
footer{color:var(--soft);font-size:13px;padding-bottom:36px}
@media(max-width:600px){section{padding:16px 14px;border-radius:8px}main,header,footer{padding-left:10px;padding-right:10px}
dl{grid-template-columns:1fr}dd{margin-bottom:6px}.tiles{grid-template-columns:repeat(auto-fit,minmax(135px,1fr))}}
@media print{:root{--page:#fff}body{font-size:11pt}nav{display:none}section{border:0;padding:0;break-inside:auto}
figure,.tile,tr{break-inside:avoid}.scroll{max-height:none;overflow:visible}th{position:static}}
"""

_HEAD = (
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';style-src 'unsafe-inline';img-src data:\">"
    '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
)


@dataclass(frozen=True)
class Block:
    """A piece of a section as finished markup; the functions below make them and escape what they are given."""

    html: str
    is_figure: bool = False


def paragraph(text: str) -> Block:
    """Return a paragraph."""
    return Block(f"<p>{escape_text(text)}</p>")


def subheading(text: str) -> Block:
    """Return a heading inside a section."""
    return Block(f"<h3>{escape_text(text)}</h3>")


def figure(svg: str, caption: str = "", *, wide: bool = False) -> Block:
    """Return a chart with a caption; ``svg`` is trusted markup, ``wide`` gives it the full width of the page."""
    below = f"<figcaption>{escape_text(caption)}</figcaption>" if caption else ""
    return Block(f"<figure{wide * ' class=wide'}>{svg}{below}</figure>", is_figure=True)


@dataclass(frozen=True)
class LongText:
    """A table cell of one or more texts, each cut to ``limit`` characters with the whole text behind a click."""

    texts: Sequence[str]
    limit: int = 220

    def html(self) -> str:
        """Return the texts, one below the other, each isolated from the writing direction of its surroundings."""
        parts = []
        for position, text in enumerate(self.texts):
            short, whole = shorten(text, self.limit), escape_text(text)
            shown = f"<bdi>{escape_text(short)}</bdi>"
            if len(" ".join(text.split())) > self.limit:
                tip = escape_text(shorten(text, 1000))
                shown = f'<details class="clip"><summary title="{tip}">{shown}</summary><bdi>{whole}</bdi></details>'
            parts.append(f'<div class="pair">{shown}</div>' if position else shown)
        return "".join(parts)


Cell = str | int | float | None | LongText


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Block:
    """Return a table that scrolls in its box; columns that hold only numbers are aligned to the right."""
    columns = zip(*rows, strict=True) if rows else ([] for _ in header)
    marks = [' class="n"' if all(map(_is_number, column)) else "" for column in columns]
    head = "".join(f"<th{mark}>{escape_text(name)}</th>" for mark, name in zip(marks, header, strict=True))
    body = "".join(f"<tr>{''.join(map(_cell, row, marks))}</tr>" for row in rows)
    return Block(
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _is_number(cell: Cell) -> bool:
    return cell is None or isinstance(cell, int | float) or (isinstance(cell, str) and cell.endswith("%"))


def _cell(cell: Cell, mark: str) -> str:
    if isinstance(cell, LongText):
        return f'<td class="text">{cell.html()}</td>'
    return f"<td{mark}>{escape_text(cell) if isinstance(cell, str) else format_number(cell)}</td>"


def key_values(facts: Mapping[str, str]) -> Block:
    """Return names and values, one per line."""
    return Block(f"<dl>{''.join(f'<dt>{escape_text(k)}</dt><dd>{escape_text(v)}</dd>' for k, v in facts.items())}</dl>")


def note(text: str, severity: Literal["info", "warning", "error"] = "info") -> Block:
    """Return a remark in the colour of its severity, which is also written."""
    word = {"info": "Note", "warning": "Warning", "error": "Error"}[severity]
    return Block(f'<div class="note {severity}" role="note"><b>{word}.</b> {escape_text(text)}</div>')


def code(text: str) -> Block:
    """Return preformatted text, for example a command to copy."""
    return Block(f'<pre tabindex="0"><code>{escape_text(text.strip(chr(10)))}</code></pre>')


def fold(summary: str, *blocks: Block) -> Block:
    """Return blocks that are hidden until the summary is clicked."""
    return Block(f'<details class="fold"><summary>{escape_text(summary)}</summary>{_blocks(blocks)}</details>')


def score_tiles(tiles: Sequence[tuple[str, str, str]]) -> Block:
    """Return headline numbers side by side, each a label, a value and a detail; the first one is set off."""
    parts = []
    for position, texts in enumerate(tiles):
        named = zip(("label", "value", "detail"), texts, strict=True)
        inner = "".join(f'<div class="{name}">{escape_text(text)}</div>' for name, text in named)
        parts.append(f'<div class="tile{"" if position else " main"}">{inner}</div>')
    return Block(f'<div class="tiles">{"".join(parts)}</div>')


def _blocks(blocks: Iterable[Block]) -> str:
    """Write blocks one after the other, neighbouring figures in one grid."""
    parts, in_grid = [], False
    for block in blocks:
        if block.is_figure is not in_grid:
            in_grid = not in_grid
            parts.append('<div class="figures">' if in_grid else "</div>")
        parts.append(block.html)
    return "".join(parts) + ("</div>" if in_grid else "")


class Section:
    """A part of the page: a heading and blocks."""

    def __init__(self, heading: str, *blocks: Block) -> None:
        self.heading = heading
        self.blocks = blocks


@dataclass
class Report:
    """A page of sections.

    Args:
        title: Title of the page.
        subtitle: One line below it.
    """

    title: str
    subtitle: str = ""
    sections: list[Section] = field(default_factory=list)

    def add(self, section: Section) -> Report:
        """Append a section and return the report; a section without blocks is left out."""
        if section.blocks:
            self.sections.append(section)
        return self

    def render(self) -> str:
        """Return the page as one HTML document."""
        title = escape_text(self.title)
        links = "".join(f'<a href="#s{i}">{escape_text(s.heading)}</a>' for i, s in enumerate(self.sections))
        body = "".join(
            f'<section id="s{i}"><h2>{escape_text(s.heading)}</h2>{_blocks(s.blocks)}</section>'
            for i, s in enumerate(self.sections)
        )
        subtitle = f'<p class="subtitle">{escape_text(self.subtitle)}</p>' if self.subtitle else ""
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head>{_HEAD}<title>{title}</title>'
            f"<style>{CHART_CSS}{_CSS}</style></head><body><header><h1>{title}</h1>{subtitle}"
            f'<nav aria-label="Sections">{links}</nav></header><main>{body}</main>'
            "<footer>Written by LiteBERT. This file needs no network.</footer></body></html>\n"
        )

    def write(self, path: str | Path) -> Path:
        """Write the page so that a reader sees the old file or the new one, never a part.

        Args:
            path: Where to; its folder is created.

        Returns:
            The path.

        Raises:
            RunError: The file cannot be written.
        """
        path = Path(path)
        files.write_text(path, self.render())
        return path


def format_number(value: float | int | None) -> str:
    """Write a number for a reader: four decimals below 10, fewer above, thousands separated, a dash for none."""
    if value is None or math.isnan(value):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    size = abs(value)
    if isinstance(value, int) or math.isinf(size):
        return f"{value:,}"
    if 0 < size < 1e-3 or size >= 1e9:
        return tick_label(value)
    return f"{value:,.{4 if size < 10 else 2 if size < 1000 else 0}f}"
