"""What is asked of servers under load, and what is counted of the outcomes.

Half of the requests hold one sentence, a quarter a pair of sentences, a quarter a passage: 5 to 512 tokens each, drawn with a fixed seed
from a text, whole words in a row.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from http_client import NO_ANSWER, Outcome, Run

import litebert
from litebert.text import AlbertTokenizer

RESOURCES = Path(litebert.__file__).parent / "resources"
KINDS = {"sentence": (1, 5, 40), "pair": (2, 5, 40), "passage": (1, 64, 510)}
"""Texts of a request, and from how many to how many tokens each has."""
TURNS = ("sentence", "pair", "sentence", "passage")
SPECIALS = 2


@dataclass(frozen=True)
class Asked:
    """What one request asks.

    Attributes:
        kind: One of ``KINDS``.
        texts: One or two.
        tokens: Of all texts, special ones included.
    """

    kind: str
    texts: tuple[str, ...]
    tokens: int


def mix(tokenizer: AlbertTokenizer, count: int, *, file: str | None = None, seed: int = 0) -> list[Asked]:
    """Return what requests ask, in an order without pattern.

    Args:
        tokenizer: That tells how long texts are.
        count: Requests.
        file: Text to draw from; None: bundled prose.
        seed: Of what is drawn.
    """
    words = Path(file or RESOURCES / "calibration.txt").read_text("utf-8").split()
    lengths = [len(ids) for ids in tokenizer.ids_batch(words)]
    draw = random.Random(seed)
    found = []
    for number in range(count):
        kind = TURNS[number % len(TURNS)]
        texts, least, most = KINDS[kind]
        parts = [_words(words, lengths, draw, least, most) for _ in range(texts)]
        found.append(Asked(kind, tuple(text for text, _ in parts), sum(tokens + SPECIALS for _, tokens in parts)))
    draw.shuffle(found)
    return found


def _words(words: Sequence[str], lengths: Sequence[int], draw: random.Random, least: int, most: int) -> tuple[str, int]:
    """Return words in a row that have about as many tokens as are drawn, short ones being as likely as long ones by their logarithm."""
    wanted = math.exp(draw.uniform(math.log(least), math.log(most))) - SPECIALS
    start = end = draw.randrange(max(len(words) - most, 1))
    tokens = 0
    while end < len(words) and (tokens < least - SPECIALS or tokens + lengths[end] <= wanted):
        tokens += lengths[end]
        end += 1
    return " ".join(words[start:end]), tokens


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value that so many of all are not above; None where there are none."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)] if values else None


def milliseconds(values: Sequence[float], share: float) -> float | None:
    found = percentile(values, share)
    return None if found is None else round(1000 * found, 1)


def summary(runs: Sequence[Run], asked: Sequence[Asked], *, settle: float = 0.0) -> dict[str, Any]:
    """Return what became of the requests of equal runs, taken together.

    Args:
        runs: Requests and what became of them.
        asked: By number of the outcome.
        settle: Seconds at the beginning of each that throughput is not counted in; at its end nothing is counted that was answered after the
            last request was due, or a queue that is worked off would count as throughput.
    """
    outcomes = [outcome for run in runs for outcome in run.outcomes]
    accepted = [o for o in outcomes if o.status == 200]
    refused = [o for o in outcomes if o.status == 429]
    counted = [_counted(run, settle) for run in runs]
    spans = [run.seconds - settle for run in runs]
    tokens = [sum(asked[o.number].tokens for o in some) for some in counted]
    lag = [o.sent - o.due for o in outcomes]
    kinds = {
        kind: share(sum(asked[o.number].kind == kind for o in accepted), of)
        for kind in KINDS
        if (of := sum(asked[o.number].kind == kind for o in outcomes))
    }
    return {
        "requests": len(outcomes), "offered_per_second": round(len(outcomes) / sum(run.seconds for run in runs), 1),
        "answered": len(accepted), "refused": len(refused), "errors": _errors(outcomes),
        "goodput_per_second": round(sum(map(len, counted)) / sum(spans), 1),
        "goodput_tokens_per_second": round(sum(tokens) / sum(spans)),
        "each_per_second": [round(len(some) / span, 1) for some, span in zip(counted, spans, strict=True)],
        "answered_share": kinds,
        **{f"p{round(100 * p)}_ms": milliseconds([o.seconds for o in accepted], p) for p in (0.5, 0.95, 0.99)},
        "refused_p99_ms": milliseconds([o.seconds for o in refused], 0.99),
        "client": {
            "lag_p99_ms": milliseconds(lag, 0.99), "lag_most_ms": milliseconds(lag, 1.0),
            "share_of_a_core": round(sum(run.client_share for run in runs) / len(runs), 3),
        },
    }  # fmt: skip


def _counted(run: Run, settle: float) -> list[Outcome]:
    """Return what was answered while throughput is counted."""
    first, last = run.started + settle, run.started + run.seconds
    return [o for o in run.outcomes if o.status == 200 and first <= o.ended < last]


def share(part: float, whole: float) -> float:
    return round(part / whole, 3)


def _errors(outcomes: Sequence[Outcome]) -> dict[str, int]:
    found: dict[str, int] = {}
    for outcome in outcomes:
        if outcome.status not in (200, 429):
            name = "no answer" if outcome.status == NO_ANSWER else str(outcome.status)
            found[name] = found.get(name, 0) + 1
    return found
