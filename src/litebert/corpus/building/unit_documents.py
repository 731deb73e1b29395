"""The documents of one unit, read and cleaned, with all that is counted on the way; taken up again where a part of them ended.

A packed file is one unit however large it is, so nothing here grows with the number of documents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from litebert.corpus.building.tally import Samples, Tally
from litebert.corpus.cleaning.clean import Cleaned, Cleaner
from litebert.corpus.reading.documents import Document, Span
from litebert.corpus.reading.readers import read_documents
from litebert.corpus.settings import CorpusSettings

_LENGTHS_AT_ONCE = 4096


class UnitDocuments:
    """Yields text, input file and number of the documents that stay.

    Args:
        unit: Its number.
        spans: Index of the input file and the span of it, in order.
        settings: Of the build.

    Attributes:
        tally: What was counted.
        samples: Of what was dropped.
    """

    def __init__(self, unit: int, spans: Sequence[tuple[int, Span]], settings: CorpusSettings) -> None:
        self._unit, self._spans, self._settings = unit, spans, settings
        self._clean = Cleaner(settings.clean) if settings.cleaning else as_it_is
        self.samples = Samples(settings.report.samples, settings.report.sample_characters, settings.seed)
        self.tally = Tally()
        groups = ("read", "clean", "dropped", "changed")
        self._read, self._cleaned, self._dropped, self._changed = (self.tally.group(name) for name in groups)
        self._histogram = self.tally.histogram("read_characters")
        self._lengths: list[int] = []
        self._number = self._span = self._inside = 0

    def dump(self) -> dict[str, Any]:
        """Return where the last document stood, and all that was counted up to it, as JSON data."""
        self._count_lengths()
        place = {"number": self._number, "span": self._span, "inside": self._inside}
        return {"place": place, "tally": self.tally.dump(), "samples": self.samples.dump()}

    def go_on_from(self, dumped: dict[str, Any]) -> None:
        """Leave out what was yielded before; it is read again, from the start of its span, but not cleaned."""
        place = dumped["place"]
        self._number, self._span, self._inside = place["number"], place["span"], place["inside"]
        self.tally.merge(Tally.load(dumped["tally"]))
        self.samples.merge(dumped["samples"])

    def __iter__(self) -> Iterator[tuple[str, int, int]]:
        while self._span < len(self._spans):
            yield from self._of_span(*self._spans[self._span])
            self._span, self._inside = self._span + 1, 0
        self._count_lengths()

    def _of_span(self, file: int, span: Span) -> Iterator[tuple[str, int, int]]:
        figures, reading = self.tally.file(file), Counter[str]()
        before, documents, characters = self._inside, 0, 0
        for document in read_documents(span, self._settings.read, reading):
            documents += 1
            characters += len(document.text)
            if documents > before:
                self._inside = documents
                text = self._kept(document, file, figures)
                if text is not None:
                    yield text, file, self._number
        reading.update(documents=documents, characters=characters)
        self._read.update(reading)
        figures.update(documents=documents, characters=characters)

    def _kept(self, document: Document, file: int, figures: Counter[str]) -> str | None:
        """Clean a document and count it; return its text, None if it is dropped."""
        self._number += 1
        self._lengths.append(len(document.text))
        if len(self._lengths) >= _LENGTHS_AT_ONCE:
            self._count_lengths()
        cleaned = self._clean(document.text)
        self._changed.update(cleaned.counters)
        if cleaned.text is None:
            reason = cleaned.reason or "empty"
            self._dropped[reason] += 1
            figures[f"dropped: {reason}"] += 1
            self.samples.offer(reason, self._unit, self._number, file, document.text)
            return None
        self._cleaned.update(documents=1, characters=len(cleaned.text))
        figures["clean_documents"] += 1
        figures["clean_characters"] += len(cleaned.text)
        return cleaned.text

    def _count_lengths(self) -> None:
        self._histogram.add(self._lengths)
        self._lengths.clear()


def as_it_is(text: str) -> Cleaned:
    """Leave a document alone."""
    return Cleaned(text, None, {})
