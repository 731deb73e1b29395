"""The rows of the table of all tasks: which benchmark, from which folder, by which recipe (``tasks.py`` runs them)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A benchmark and how it is run.

    Attributes:
        name: As in the table.
        benchmark: As on the command line.
        folder: Of the data.
        recipe: Name of a shipped recipe.
        flags: Further arguments of ``litebert finetune``.
        split: The figures are of; None for the one that is chosen by.
        embedder: Training starts from the model for sentence vectors, not from the pretrained one.
        limit: Training records when nothing else is said: what two cores read in half an hour or so.
        scored: Most records that a model is chosen by, and most that it is scored on.
    """

    name: str
    benchmark: str
    folder: str
    recipe: str = "glue-small/base"
    flags: tuple[str, ...] = ("--learning-rate", "2e-4")
    split: str | None = "test"
    embedder: bool = False
    limit: int | None = None
    scored: int | None = None

    def arguments(self) -> tuple[str, ...]:
        """Return what a user would write after the benchmark's name."""
        return ("--recipe", self.recipe, *self.flags)


_RATE = ("--learning-rate", "2e-4")
_FAST = ("--learning-rate", "5e-4")
_LONG = ("--max-length", "256", "--set", "text.long_text=truncate", "--batch-size", "16")
FINETUNED = (
    Row("banking77", "banking77", "banking77", flags=("--learning-rate", "5e-4", "--epochs", "8"), embedder=True),
    Row("sms-spam", "sms-spam", "sms-spam", flags=(*_RATE, "--epochs", "3")),
    Row("davidson-hate", "davidson-hate", "davidson-hate", flags=(*_FAST, "--epochs", "3"), embedder=True),
    Row(
        "moderation",
        "davidson-hate/votes",
        "davidson-hate",
        "moderation-small",
        (*_FAST, "--set", "options.thresholds=f1"),
        embedder=True,
    ),
    Row("conll2003", "conll2003", "conll2003", flags=(*_FAST, "--epochs", "4")),
    Row("wnut17", "wnut17", "wnut17", flags=(*_FAST, "--epochs", "15")),
    Row("squad/v1", "squad/v1", "squad-v1.1", "squad-small/v1", _FAST, split=None, scored=2000),
    Row("squad/v2", "squad/v2", "squad-v2.0", "squad-small/v2", _FAST, split=None, scored=2000),
    Row("race", "race", "race", flags=(*_FAST, *_LONG, "--epochs", "2"), limit=4000, scored=1000),
    Row("dream", "dream", "dream", flags=(*_RATE, *_LONG, "--epochs", "3"), scored=1000),
    Row("wikiqa", "wikiqa", "wikiqa", "rerank-small", embedder=True),
    Row("bbc-news-summary", "bbc-news-summary", "bbc-news-summary", "summarize-small", flags=_FAST),
)
EMBEDDED = (
    Row("sts-b-vectors", "sts/stsb", "glue-stsb/original", recipe="", flags=()),
    Row("sick-r-vectors", "sts/sick", "sick", recipe="", flags=()),
)
FEW_SHOT = Row("few-shot", "banking77", "banking77", "few-shot", flags=())
ZERO_SHOT = Row("zero-shot", "banking77", "banking77", recipe="", flags=())
"""On the vectors of the embedding model: a few examples of each label, and none."""
GLUE = ("sst2", "mrpc", "stsb", "rte", "cola")


@dataclass(frozen=True)
class Pretrained:
    """A row of what the pretrained checkpoint does by itself, from a saved answer of ``litebert evaluate``.

    Attributes:
        task: That the head answers.
        benchmark: As on the command line.
        part: Of the answer; "" for the only one.
        metric: That is shown.
        count: Name of how many were scored; "" for all records.
        chance: What guessing gets; None where that is not simple.
    """

    task: str
    benchmark: str
    part: str
    metric: str
    count: str = ""
    chance: float | None = None


PRETRAINED = {
    "fill-mask": Pretrained("fill-mask", "pretraining", "", "mlm_accuracy", "positions"),
    "coherence": Pretrained("coherence", "pretraining", "", "sop_accuracy", "pairs", 0.5),
    "blimp": Pretrained("fill-mask", "blimp", "blimp/original", "accuracy", "", 0.5),
}
NAMES = (*GLUE, *(row.name for row in (*FINETUNED, FEW_SHOT, ZERO_SHOT, *EMBEDDED)), *PRETRAINED)

WHY = {
    "cola": "what is grammatical was learnt least from 96 million tokens, and seeds differ much",
    "squad/v2": "after an hour it still cannot tell questions without an answer, and answers few",
    "race": "at most 4,000 of 87,866 questions, read for minutes: the loss is that of equal options",
    "dream": "little is learnt in the minutes there were, less than an epoch; equal options would be 0.333",
    "bbc-news-summary": "words chose these summaries; the graph of words is a part of the scorer",
}
"""Why a figure is not above those beside it, as far as is known; docs/log.md has more."""
