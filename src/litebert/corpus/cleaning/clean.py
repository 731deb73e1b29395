"""Documents to clean documents: characters repaired, lines that are no prose dropped, then whole documents judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from litebert.corpus.cleaning.document_rules import fault
from litebert.corpus.cleaning.languages import check_languages
from litebert.corpus.cleaning.line_rules import prose_lines
from litebert.corpus.cleaning.settings import CleanSettings
from litebert.corpus.cleaning.unicode_repair import repaired, spaced, unwrapped

__all__ = ["CleanSettings", "Cleaned", "Cleaner"]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What became of a document.

    Attributes:
        text: The clean text, or None if the document was dropped.
        reason: Why it was dropped, else None.
        counters: What was repaired or dropped inside it, by name; characters and lines.
    """

    text: str | None
    reason: str | None
    counters: Mapping[str, int]


class Cleaner:
    """Cleans one document after another.

    Args:
        settings: The rules.

    Raises:
        ConfigError: A language is not known.
        MachineError: Languages are given, but py3langid is not installed.
    """

    def __init__(self, settings: CleanSettings) -> None:
        self.settings = settings
        if settings.languages:
            check_languages(settings.languages)

    def __call__(self, text: str) -> Cleaned:
        r"""Clean a document.

        Args:
            text: Paragraphs separated by ``\n``.
        """
        counters: Counter[str] = Counter()
        if self.settings.repair_characters:
            text = repaired(text, counters)
        if self.settings.unwrap_markup:
            text = unwrapped(text, counters)
        text = spaced(text)
        size = len(text)
        if size < self.settings.min_characters:
            return Cleaned(None, "too short", counters)
        lines = prose_lines(text.split("\n"), self.settings, counters)
        text = "\n".join(lines)
        reason = fault(text, lines, size, self.settings)
        return Cleaned(None if reason else text, reason, counters)
