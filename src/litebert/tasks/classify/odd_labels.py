"""Labels that cannot be meant as they stand: one text with two of them, two names that only their spelling tells apart."""

from __future__ import annotations

from collections.abc import Sequence

from litebert.tasks.reading.records import Label, Record

SHOWN = 3
"""Examples that a warning names."""


def odd_labels(records: Sequence[Record]) -> list[str]:
    """Return a warning for texts that are labelled twice and differently, and one for names that differ in case or spaces only.

    Args:
        records: Of one file; their labels are names, or several names each.
    """
    return [said for said in (_contradictions(records), _spellings(records)) if said is not None]


def _contradictions(records: Sequence[Record]) -> str | None:
    first: dict[tuple[str, str | None], Record] = {}
    found: dict[tuple[str, str | None], tuple[Record, Record]] = {}
    for record in records:
        key = (record.text, record.pair)
        before = first.setdefault(key, record)
        if key not in found and record.label is not None and _names(before.label) != _names(record.label):
            found[key] = before, record
    if not found:
        return None
    examples = "; ".join(
        f"line {a.line} {_shown(a)}, line {b.line} {_shown(b)}" for a, b in list(found.values())[:SHOWN]
    )
    what = "text has" if len(found) == 1 else "texts have"
    return f"{len(found)} {what} different labels in different places ({examples}): no model can be right about both"


def _spellings(records: Sequence[Record]) -> str | None:
    spelt: dict[str, set[str]] = {}
    for name in {name for record in records for name in _names(record.label)}:
        spelt.setdefault(" ".join(name.casefold().split()), set()).add(name)
    odd = sorted(tuple(sorted(names)) for names in spelt.values() if len(names) > 1)
    if not odd:
        return None
    examples = "; ".join(" and ".join(map(repr, names)) for names in odd[:SHOWN])
    return f"labels that differ in case or spaces only are different labels: {examples}"


def _names(label: Label | None) -> frozenset[str]:
    if label is None:
        return frozenset()
    return frozenset(map(str, label)) if isinstance(label, tuple) else frozenset({str(label)})


def _shown(record: Record) -> str:
    return "|".join(sorted(_names(record.label))) or "none"
