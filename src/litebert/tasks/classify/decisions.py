"""From logits to a decision: temperature, thresholds and review band of a classifier, fitted on held-out records, kept in the folder.

Legend: N records, C labels, K labels that have a threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from litebert.errors import ConfigError, nearest
from litebert.tasks import calibration
from litebert.tasks.classify.thresholds import Aim, Band, checked_share, fit_bands, fit_confidence_band, inside

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

OPTIONS = ("thresholds", "positive", "review")
"""Options of the task that are settled here."""


@dataclass(frozen=True)
class Decision:
    """How probabilities become answers.

    Attributes:
        several: Whether a record may have several labels.
        thresholds: For several labels the probability from which each counts; for one label that of the positive one, or none: then
            the most probable label is the answer.
        temperature: What logits are divided by; None if none was ever fitted.
        aim: What the thresholds are fitted for; None where there are none.
        positive: Number of the label that a single threshold is about; None where there is no such label.
        share: Of the held-out records, those that go to a person; None for no review.
        bands: Intervals of probability in which an answer goes to a person: of each label with a threshold; of the positive one; or,
            with more than two labels and no threshold, of the answer itself.
    """

    several: bool = False
    thresholds: tuple[float, ...] = ()
    temperature: float | None = None
    aim: Aim | None = None
    positive: int | None = None
    share: float | None = None
    bands: tuple[Band, ...] = ()

    # --- Making and storing -------------------------------------------------------------------------------------------

    @classmethod
    def from_options(cls, kind: str, labels: Sequence[str], options: Mapping[str, Any]) -> Self:
        """Read ``thresholds``, ``positive`` and ``review``.

        Args:
            kind: ``single``, ``multi`` or ``regression``.
            labels: C names.
            options: Of the task.

        Raises:
            ConfigError: One of them is wrong, or means nothing here.
        """
        given = {name: options[name] for name in OPTIONS if options.get(name) is not None}
        if kind == "regression":
            if given:
                raise ConfigError(f"a value has no {next(iter(given))}", hint="options.kind is regression.")
            return cls()
        share = checked_share(given.get("review"))
        if kind == "multi":
            if "positive" in given:
                raise ConfigError(
                    "options.positive is for one label a record", hint="Here every label has a threshold."
                )
            return cls(True, (0.5,) * len(labels), aim=Aim.parse(given.get("thresholds", "f1")), share=share)
        aim = Aim.parse(given["thresholds"]) if "thresholds" in given else None
        positive = _positive(given.get("positive"), labels, aim)
        return cls(False, (0.5,) if aim else (), aim=aim, positive=positive, share=share)

    @classmethod
    def from_dict(cls, kind: str, labels: Sequence[str], data: Mapping[str, Any]) -> Self:
        """Restore from the task in ``litebert.json``; folders of earlier versions have only ``thresholds``.

        Raises:
            ConfigError: The numbers do not fit the labels.
        """
        several = kind == "multi"
        try:
            thresholds = tuple(float(t) for t in data.get("thresholds", ()))
            temperature = None if data.get("temperature") is None else float(data["temperature"])
            bands = tuple((float(low), float(high)) for low, high in data.get("bands", ()))
            share = None if data.get("review") is None else float(data["review"])
        except (TypeError, ValueError) as error:
            raise ConfigError(f"litebert.json describes no classify task: {error}") from error
        if several and len(thresholds) != len(labels):
            raise ConfigError(f"litebert.json has {len(labels)} labels and {len(thresholds)} thresholds")
        if temperature is not None and not 0 < temperature < np.inf:
            raise ConfigError(f"litebert.json has the temperature {temperature}", hint="It is a positive number.")
        if bands and len(bands) != (len(thresholds) or 1):
            raise ConfigError(f"litebert.json has {len(bands)} review bands and {len(thresholds)} thresholds")
        tuned = data.get("tuned_for") or ("f1" if thresholds else None)
        aim = Aim.parse(tuned) if tuned and kind != "regression" else None
        positive = _positive(data.get("positive"), labels, aim) if kind == "single" else None
        return cls(several, thresholds, temperature, aim, positive, share, bands)

    def to_dict(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return what ``litebert.json`` keeps."""
        return {
            "thresholds": list(self.thresholds), "tuned_for": None if self.aim is None else str(self.aim),
            "positive": None if self.positive is None else labels[self.positive], "temperature": self.temperature,
            "review": self.share, "bands": [list(band) for band in self.bands],
        }  # fmt: skip

    # --- Deciding -----------------------------------------------------------------------------------------------------

    def probabilities(self, logits: Floats) -> Floats:
        """Return (N, C) calibrated probabilities of (N, C) logits."""
        return calibration.scaled(logits, self.temperature, several=self.several)

    def labels_of(self, probabilities: Floats) -> Ints:
        """Return (N,) the label of each record: the positive one from its threshold on, else the most probable of the others."""
        if not self.thresholds or self.positive is None:
            return np.asarray(probabilities.argmax(axis=-1))
        others = probabilities.copy()
        others[:, self.positive] = -1.0
        given = probabilities[:, self.positive] >= self.thresholds[0]
        return np.where(given, self.positive, others.argmax(axis=-1))

    def chosen(self, probabilities: Floats) -> Bools:
        """Return (N, C) which of several labels hold."""
        return np.asarray(probabilities >= np.array(self.thresholds))

    def review(self, probabilities: Floats) -> Bools | None:
        """Return (N,) whether a person should look; None where there is no review."""
        return inside(self._watched(probabilities), self.bands) if self.bands else None

    def agree(self, before: Floats, now: Floats) -> Bools:
        """Return (N,) whether (N, C) logits and other ones mean the same label or labels."""
        a, b = self.probabilities(before), self.probabilities(now)
        if self.several:
            return np.asarray((self.chosen(a) == self.chosen(b)).all(axis=-1))
        return np.asarray(self.labels_of(a) == self.labels_of(b))

    def _watched(self, probabilities: Floats) -> Floats:
        if self.several:
            return probabilities
        if self.positive is not None:
            return probabilities[:, [self.positive]]
        return np.asarray(probabilities.max(axis=1, keepdims=True))

    # --- Fitting ------------------------------------------------------------------------------------------------------

    def fit(self, logits: Floats, gold: calibration.Gold) -> Self:
        """Return the decision fitted on held-out records: first the temperature, then thresholds, then the band.

        Args:
            logits: (N, C).
            gold: Their labels.
        """
        found = replace(self, temperature=calibration.fit_temperature(logits, gold))
        probabilities = found.probabilities(logits)
        if self.aim is not None:
            truth = self.watched_gold(gold)
            watched = self._watched(probabilities)
            limits = tuple(self.aim.threshold(truth[:, i], watched[:, i]) for i in range(watched.shape[1]))
            found = replace(found, thresholds=limits)
        if self.share is None:
            return found
        if not self.several and self.positive is None:
            return replace(found, bands=fit_confidence_band(probabilities.max(axis=1), self.share))
        return replace(found, bands=fit_bands(self._watched(probabilities), found.thresholds or (0.5,), self.share))

    def watched_gold(self, gold: calibration.Gold) -> Bools:
        """Return (N, K) whether each label with a threshold holds."""
        return gold.astype(np.bool_) if self.several else (gold == self.positive)[:, None]

    # --- Figures ------------------------------------------------------------------------------------------------------

    def figures(self, probabilities: Floats, gold: calibration.Gold) -> dict[str, float]:
        """Return what the aim reaches on records (the mean over labels that occur), and how review would share the work."""
        found: dict[str, float] = {}
        if self.aim is not None and self.aim.figure is not None:
            truth, watched = self.watched_gold(gold), self._watched(probabilities)
            values = [self.aim.reached(truth[:, i], watched[:, i]) for i in range(watched.shape[1])]
            found[self.aim.figure] = float(np.mean([v for v in values if v is not None] or [0.0]))
        marked = self.review(probabilities)
        if marked is not None:
            right = (
                (self.chosen(probabilities) == gold).all(axis=1)
                if self.several
                else self.labels_of(probabilities) == gold
            )
            found["review_share"] = float(marked.mean())
            found["accuracy_outside_review"] = float(right[~marked].mean()) if not marked.all() else 0.0
            found["accuracy_in_review"] = float(right[marked].mean()) if marked.any() else 0.0
        return found

    def missed(self, probabilities: Floats, gold: calibration.Gold, labels: Sequence[str]) -> str | None:
        """Return a sentence that names the labels whose thresholds do not reach what they were fitted for; None if all do."""
        if self.aim is None or self.aim.value is None:
            return None
        truth, given = self.watched_gold(gold), self._watched(probabilities) >= np.array(self.thresholds)
        names = list(labels) if self.several else [labels[self.positive or 0]]
        parts = given if self.aim.kept == "precision" else truth
        short = []
        for name, there, hits, whole in zip(names, truth.T, (truth & given).T, parts.T, strict=True):
            share = hits.sum() / max(whole.sum(), 1)
            if not there.any():
                short.append(f"{name} (never in these data)")
            elif share < self.aim.value - 1e-9:
                short.append(f"{name} {share:.3f}")
        return f"{self.aim.kept} {self.aim.value:g} is not reached by: {', '.join(short)}" if short else None


def _positive(name: Any, labels: Sequence[str], aim: Aim | None) -> int | None:
    if name is not None and str(name) not in labels:
        raise ConfigError(f"options.positive={name!r} is none of the labels", hint=nearest(str(name), labels))
    if name is not None and aim is None and len(labels) > 2:
        raise ConfigError("options.positive is the label of a threshold", hint='Add options.thresholds="recall=0.9".')
    if name is None and aim is not None and len(labels) != 2:
        raise ConfigError(
            f"one of {len(labels)} labels has a threshold: which?", hint="Name it: --set options.positive=LABEL"
        )
    return labels.index(str(name)) if name is not None else 1 if len(labels) == 2 else None
