"""Reading of ``report.json`` field by field, whatever an older version or a hand left out or filled with something else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Fields:
    """JSON data that never fails to answer: what is missing or of another type reads as nothing.

    Args:
        data: Anything; all but a mapping counts as empty.
    """

    def __init__(self, data: object) -> None:
        self.data: Mapping[str, Any] = data if isinstance(data, Mapping) else {}

    def value(self, *path: str) -> object:
        """Return what stands under nested names, or None."""
        found: object = self.data
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def number(self, *path: str) -> float | None:
        """Return a finite number that is not negative, or None."""
        found = _number(self.value(*path))
        return None if found is None else float(found)

    def count(self, *path: str) -> int:
        """Return a whole number, 0 where there is none."""
        found = _number(self.value(*path))
        return 0 if found is None else int(found)

    def text(self, *path: str) -> str:
        """Return a string, empty where there is none."""
        found = self.value(*path)
        return found if isinstance(found, str) else ""

    def part(self, *path: str) -> Fields:
        """Return a mapping inside."""
        return Fields(self.value(*path))

    def parts(self, *path: str) -> list[Fields]:
        """Return the mappings of a list inside."""
        found = self.value(*path)
        return [Fields(item) for item in found if isinstance(item, Mapping)] if isinstance(found, list | tuple) else []

    def numbers(self, *path: str) -> dict[str, float]:
        """Return the numbers of a mapping inside by name, the largest first, equals by name."""
        found = ((str(name), _number(value)) for name, value in self.part(*path).data.items())
        pairs = [(name, float(value)) for name, value in found if value is not None]
        return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))

    def counts(self, *path: str) -> dict[str, int]:
        """Return the counts above 0 of a mapping inside by name, the largest first, equals by name."""
        return {name: int(number) for name, number in self.numbers(*path).items() if number >= 1}

    def languages(self) -> tuple[int | None, dict[str, float]]:
        """Return how many documents' language was measured, if that is written, and the share of each language."""
        if isinstance(self.value("languages", "shares"), Mapping):
            return self.count("languages", "measured"), self.numbers("languages", "shares")
        return None, {name: share for name, share in self.numbers("languages").items() if name != "measured"}


def share(part: float, whole: float) -> float:
    """Return a part's share of the whole; nothing has a share of 0 in nothing."""
    return part / whole if whole else 0.0


def percent(part: float) -> str:
    """Write a share with digits that say something and no more."""
    if part == 0:
        return "0%"
    if part < 1e-5:
        return "<0.001%"
    digits = 1 if part >= 0.0995 else 2 if part >= 0.001 else 3
    return f"{part:.{digits}%}"


def _number(value: object) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < 1e18 else None
