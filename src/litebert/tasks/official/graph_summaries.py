"""Summaries without training, judged: the graph of a model's vectors beside TextRank and the first sentences, at one length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from litebert.tasks.base import Passes
from litebert.tasks.reading.records import Record
from litebert.tasks.summarize.choice import Summarization
from litebert.tasks.summarize.task import rouge_means
from litebert.tasks.zero_shot import ZeroShotModel

METHODS: Mapping[str, str] = {"graph": "graph", "textrank": "words", "lead": "lead"}
"""``method`` of the options, by what the field calls it."""


def compare(
    loaded: ZeroShotModel, records: Sequence[Record], passes: Passes, *, lengths: Mapping[str, object]
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Return the mean F of every kind of ROUGE by method.

    Args:
        loaded: For ``summarize``, not trained for it.
        records: With a ``Summary`` each.
        passes: How to run the model.
        lengths: Length of the summaries, fields of ``Budget``.
    """
    found = {}
    for name, method in METHODS.items():
        answers = loaded.answer(records, passes, {"method": method, **lengths})
        found[name], _ = rouge_means([cast(Summarization, answer) for answer in answers], records)
    return found
