"""The texts that an export is calibrated with and judged on."""

from __future__ import annotations

from litebert.inference.engine.calibration import TokenBatch
from litebert.inference.export.subject import Subject
from litebert.inference.texts import bundled_text, text_of_file


def calibration_batches(
    subject: Subject, path: str | None = None, columns: str | None = None, *, texts: int | None = None
) -> list[TokenBatch]:
    """Return batches of token ids of the kind of text a model will read.

    Args:
        subject: The model.
        path: File of records, see ``text_of_file``; None for bundled prose.
        columns: As on the command line.
        texts: Of the bundled prose; None for all.

    Raises:
        DataError: The file is wrong.
    """
    if path is None:
        return bundled_text(subject.tokenizer, subject.config, texts=texts)
    return text_of_file(path, subject.tokenizer, columns=columns, max_length=subject.max_length)
