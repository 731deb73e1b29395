"""The page of a corpus (``report.html``), from the ``report.json`` that its build leaves; the fields are those of ``data.py``.

It is for looking at data before training on them: what stands out first, then the way from what was read to what was written, the
sources, what was dropped with samples, duplicates, languages, lengths, pieces, and samples of what stays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from litebert.corpus.building.folder import PAGE, REPORT
from litebert.corpus.report import sections
from litebert.corpus.report.fields import Fields, percent, share
from litebert.corpus.report.findings import check_report, findings_of
from litebert.errors import DataError
from litebert.report.page import (
    Block,
    Cell,
    Report,
    Section,
    fold,
    key_values,
    note,
    score_tiles,
    subheading,
    table,
)

TITLE = "Data report"
"""The page says nothing that differs between two folders of the same build, so not the folder's name either."""
_AGAIN = "Build the corpus again: litebert corpus build ... --force"


def read_report(folder: str | Path) -> dict[str, Any]:
    """Read the ``report.json`` of a corpus.

    Args:
        folder: The corpus folder.

    Raises:
        DataError: There is none, or it is damaged.
    """
    path = Path(folder) / REPORT
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = f"litebert corpus build writes {REPORT}; name the folder given to it as --out."
        raise DataError(f"there is no {REPORT} in {folder}", hint=hint, path=path) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{REPORT} cannot be read: {error}", hint=_AGAIN, path=path) from error
    if not isinstance(report, dict):
        raise DataError(f"{REPORT} is not a JSON object", hint=_AGAIN, path=path)
    return report


def write_data_report(folder: str | Path) -> Path:
    """Write ``report.html`` beside the ``report.json`` of a corpus.

    Args:
        folder: The corpus folder.

    Returns:
        The page.

    Raises:
        DataError: There is no ``report.json``, or it is damaged.
        RunError: The page cannot be written.
    """
    return build_data_report(read_report(folder), title=TITLE).write(Path(folder) / PAGE)


def build_data_report(report: Mapping[str, Any], *, title: str) -> Report:
    """Compose the page of a corpus.

    Args:
        report: The contents of ``report.json``; whatever it lacks, the page leaves out.
        title: Title of the page.

    Returns:
        The report, to be rendered or written.
    """
    fields = Fields(report)
    page = Report(title, _subtitle(fields))
    page.add(Section("Summary", *_summary(fields)))
    page.add(Section("From read to written", *_funnel(fields)))
    page.add(Section("Sources", *sections.sources_section(fields)))
    page.add(Section("Dropped", *sections.dropped_section(fields)))
    page.add(Section("Duplicates", *sections.duplicates_section(fields)))
    page.add(Section("Languages", *sections.languages_section(fields)))
    page.add(Section("Lengths", *sections.lengths_section(fields)))
    page.add(Section("Vocabulary", *sections.vocabulary_section(fields)))
    page.add(Section("Samples of what stays", *sections.kept_section(fields)))
    return page.add(Section("Settings and versions", *_settings(fields)))


def _subtitle(fields: Fields) -> str:
    sources, others = fields.parts("sources"), fields.part("other_sources")
    count = len(sources) + others.count("files")
    folder = sections.common_folder([source.text("source") for source in sources])
    size = sum(source.count("bytes") for source in sources) + others.count("bytes")
    shards = fields.number("corpus", "shards")
    parts = [
        (_plural(count, "source") + (f" in {folder}" if folder else "")) if count else "",
        f"{_bytes(size)} read" if size else "",
        f"{_plural(int(shards), 'shard')} written" if shards is not None else "",
    ]
    return " · ".join(part for part in parts if part)


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def _compact(number: float) -> str:
    """Write a large number in few digits: 99.8M, 3.25B."""
    for limit, unit in ((1e9, "B"), (1e6, "M")):
        if number >= limit:
            return f"{number / limit:,.{1 if number >= 10 * limit else 2}f}{unit}"
    return f"{number:,.0f}"


# Summary --------------------------------------------------------------------------------------------------------------


def _summary(fields: Fields) -> list[Block]:
    """Show the headline numbers, then what stands out, then what was looked at."""
    checks = check_report(fields.data)
    findings = findings_of(checks)
    tiles = _tiles(fields)
    blocks: list[Block] = [score_tiles(tiles)] if tiles else []
    blocks += [note(finding.text, finding.severity) for finding in findings]
    known = [check for check in checks if check.measured]
    if known and not findings:
        blocks.append(note("Nothing stands out: every figure is within its threshold."))
    rows = [(c.name, c.measured, c.limit, "beyond" if c.findings else "") for c in known]
    return [*blocks, fold("What was checked", table(("figure", "here", "threshold", ""), rows))] if rows else blocks


def _tiles(fields: Fields) -> list[tuple[str, str, str]]:
    corpus, duplicates = fields.part("corpus"), fields.part("duplicates")
    tiles = []
    if (tokens := corpus.number("tokens")) is not None:
        tiles.append(("tokens", _compact(tokens), f"in {_plural(corpus.count('sentences'), 'sentence')}"))
    if (documents := corpus.number("documents")) is not None:
        read = fields.number("read", "documents")
        detail = "written" if read is None else f"of {read:,.0f} read, {share(documents, read):.1%}"
        tiles.append(("documents", f"{documents:,.0f}", detail))
    if (density := corpus.number("characters_per_token")) is not None and tokens:
        tiles.append(("characters per token", f"{density:.2f}", f"{_compact(corpus.count('characters'))} characters"))
    if (unknown := fields.number("tokens", "unknown_share")) is not None:
        tiles.append(("unknown pieces", percent(unknown), f"{fields.count('tokens', 'unknown'):,} pieces"))
    if duplicates.data:
        exact, near = duplicates.count("exact"), duplicates.count("near")
        tiles.append(("duplicates dropped", f"{exact + near:,}", f"{exact:,} exact, {near:,} near"))
    return tiles


# From read to written -------------------------------------------------------------------------------------------------


def _funnel(fields: Fields) -> list[Block]:
    stages = [stage for stage in fields.parts("funnel") if stage.text("stage")]
    if not stages:
        return []
    rows: list[list[Cell]] = []
    documents, characters = stages[0].count("documents"), stages[0].count("characters")
    before = documents
    for stage in stages:
        left, size = stage.count("documents"), stage.number("characters")
        part = None if size is None else f"{share(size, characters):.1%}"
        lost = None if stage is stages[0] else before - left
        whole = None if size is None else int(size)
        rows.append([stage.text("stage"), left, f"{share(left, documents):.1%}", lost, whole, part])
        before = left
    header = ("stage", "documents", "of those read", "lost", "characters", "of those read")
    blocks = [table(header, rows)]
    left_out = {name: n for name, n in fields.counts("read").items() if name not in ("documents", "characters")}
    blocks += _counted("Left out or changed while reading", left_out, "times")
    return blocks + _counted("Changed inside documents", fields.counts("changed"), "times")


def _counted(title: str, counts: Mapping[str, int], header: str) -> list[Block]:
    return [subheading(title), table(("what", header), list(counts.items()))] if counts else []


# Settings -------------------------------------------------------------------------------------------------------------


def _settings(fields: Fields) -> list[Block]:
    facts = {name: fields.text("versions", name) for name in fields.part("versions").data}
    if sha256 := fields.text("tokenizer", "sha256"):
        facts["tokenizer"] = f"{fields.count('tokenizer', 'vocab_size'):,} pieces, SHA-256 {sha256}"
    if schema := fields.text("schema"):
        facts["schema"] = schema
    settings = _flat("", fields.part("settings").data)
    blocks = [key_values(facts)] if facts else []
    return [*blocks, fold("All settings of the build", key_values(settings))] if settings else blocks


def _flat(prefix: str, data: Mapping[str, Any]) -> dict[str, str]:
    """Return nested settings as ``group.name`` and their values as JSON."""
    flat: dict[str, str] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            flat |= _flat(f"{prefix}{name}.", value)
        else:
            flat[f"{prefix}{name}"] = (
                value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            )
    return flat
