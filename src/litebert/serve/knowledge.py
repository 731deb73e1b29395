"""What is searched and answered from: indexes, and questions with known answers.

The indexes share the models that are served: each takes the one it was made with, and is refused if there are models for vectors but
not that one. Where no model for vectors is served, the index's own is loaded, and served beside the others.

A follow-up ("and for a child?") says too little alone. It is read alone, and joined with the last question, or the last two, before it;
the reading whose answer is surest wins. A joined reading resembles the earlier question whatever was added to it, so it counts only if
it leads to another answer than the earlier question led to, or is nearer to it than the earlier question was. Confidence is calibrated
for questions that stand alone: each further reading is a further chance to be wrong, with three readings at most of three times the
index's ``unknown_rate``.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from litebert.errors import DataError, UsageError, nearest
from litebert.search.description import Description, read_description
from litebert.search.faq import Calibration
from litebert.search.index import Hit, Index
from litebert.search.location import how_to_build, open_store
from litebert.serve.models import ServedModel, UnknownModelError, load_model, named
from litebert.serve.settings import ServeSettings

logger = logging.getLogger("litebert.serve")

SHARED = "LITEBERT_SERVE_SHARED"
"""Environment variable with the folder that the processes of one server have together."""
OWN = "litebert-small-en-embed"
"""Embeds the questions of a file where no model is named."""
REMEMBERED = 2
"""Questions before a follow-up that it may be joined with."""


class UnknownIndexError(UnknownModelError):
    """No such index is served."""

    code = "index"


@dataclass(frozen=True)
class Found:
    """A known question with its answer.

    Attributes:
        hit: The question, where it stands, and how near it is.
        answer: Its answer.
        confidence: How sure the answer is, 0 to 1.
        known: Whether it is near enough to be given.
    """

    hit: Hit
    answer: str
    confidence: float
    known: bool

    @property
    def metadata(self) -> dict[str, Any]:
        """The other columns of its row."""
        return {name: value for name, value in self.hit.metadata.items() if name != "answer"}


@dataclass(frozen=True)
class Reading:
    """How a question of a conversation was understood.

    Attributes:
        question: As it was asked of the index.
        joined: How many earlier questions it was joined with.
        found: What it leads to, best first.
    """

    question: str
    joined: int
    found: tuple[Found, ...]

    @property
    def known(self) -> bool:
        """Whether there is an answer."""
        return bool(self.found) and self.found[0].known


@dataclass
class Knowledge:
    """Indexes by name.

    Attributes:
        indexes: In the order they were named, that of ``--faq`` first.
        models: Name of the served model that each shares.
        faq: Name of the one that questions are answered from; None where there is none.
        places: Keeps what was built for this process.
    """

    indexes: Mapping[str, Index] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    faq: str | None = None
    places: list[tempfile.TemporaryDirectory[str]] = field(default_factory=list)

    def close(self) -> None:
        """Remove what was built for this process: one that another process began does not clean up behind itself."""
        for place in self.places:
            place.cleanup()

    def find(self, name: str | None) -> tuple[str, Index]:
        """Return an index with its name; the only one, or the first that is not the FAQ, where none is named.

        Raises:
            UnknownIndexError: There is none.
        """
        if not self.indexes:
            raise UnknownIndexError("no index is served", hint="Start the server with --index NAME=LOCATION.")
        if name:
            if name not in self.indexes:
                raise UnknownIndexError(f"there is no index {name!r}", hint=nearest(name, self.indexes))
            return name, self.indexes[name]
        found = next((one for one in self.indexes if one != self.faq), next(iter(self.indexes)))
        return found, self.indexes[found]

    def answers_from(self, name: str | None) -> tuple[str, Index, Calibration]:
        """Return the index that questions are answered from, with its name and what similarity means in it.

        Raises:
            UnknownIndexError: There is none.
            UsageError: The one named holds texts.
        """
        if not name and self.faq is None:
            raise UnknownIndexError("no questions and answers are served", hint="Start the server with --faq FILE.")
        chosen, index = self.find(name or self.faq)
        calibration = index.description.faq
        if calibration is None:
            raise UsageError(f"the index {chosen} holds texts, not questions with answers", hint="Search it instead.")
        return chosen, index, calibration


def answers(index: Index, questions: Sequence[str], top: int, condition: str | None = None) -> list[tuple[Found, ...]]:
    """Return the nearest known questions of each question, best first, whether or not they are near enough.

    Args:
        index: Of questions and answers.
        questions: Any number.
        top: How many at most.
        condition: On metadata.
    """
    calibration = cast(Calibration, index.description.faq)
    rows = index.search(list(questions), top=top, mode="dense", filter=condition)
    return [
        tuple(
            Found(hit, str(hit.metadata.get("answer", "")), calibration.confidence(hit.score), hit.score >= calibration.threshold)
            for hit in hits
        )
        for hits in rows
    ]  # fmt: skip


def converse(index: Index, questions: Sequence[str], top: int) -> Reading:
    """Answer the last question of a conversation; how is in the module's description.

    Args:
        index: Of questions and answers.
        questions: At least one, the earliest first.
        top: How many at most.
    """
    *before, last = questions
    before = before[-REMEMBERED:]
    joined = [" ".join([*before[-count:], last]) for count in range(1, len(before) + 1)]
    found = answers(index, [last, *joined, *before[-1:]], top)
    alone = Reading(last, 0, found[0])
    earlier = found[-1][0] if before and found[-1] else None
    readings = [alone]
    for count, question in enumerate(joined, start=1):
        reading = Reading(question, count, found[count])
        if reading.known and _adds(reading.found[0], earlier):
            readings.append(reading)
    known = [reading for reading in readings if reading.known]
    return max(known, key=lambda one: (one.found[0].confidence, one.found[0].hit.score)) if known else alone


def _adds(found: Found, earlier: Found | None) -> bool:
    """Return whether a joined reading says more than the earlier question said."""
    return earlier is None or found.hit.id != earlier.hit.id or found.hit.score > earlier.hit.score


# --- Loading --------------------------------------------------------------------------------------------------------------


def open_knowledge(settings: ServeSettings, served: Iterable[ServedModel]) -> tuple[list[ServedModel], Knowledge]:
    """Open what the settings name.

    Args:
        settings: Its indexes and its file of questions.
        served: Models that are loaded.

    Returns:
        The models, with those that an index needs beside them, and the indexes.

    Raises:
        DataError: There is no index, or a file cannot be read.
        MachineError: A package is missing, or no server answers.
        UsageError: An index was made with another model than those that are served, or two have one name.
    """
    opening = _Opening(settings, list(served))
    faq = None
    if settings.faq is not None:
        faq, location = named(settings.faq)
        opening.take(faq, location, questions=True)
    for spec in settings.indexes:
        opening.take(*named(spec))
    knowledge = Knowledge(opening.indexes, opening.shared, faq, opening.places)
    if faq is not None:
        knowledge.answers_from(faq)
    elif len(answering := [name for name, one in opening.indexes.items() if one.description.faq is not None]) == 1:
        knowledge.faq = answering[0]
    return opening.models, knowledge


class _Opening:
    """Opens one index after the other."""

    def __init__(self, settings: ServeSettings, models: list[ServedModel]) -> None:
        self.settings, self.models = settings, models
        self.indexes: dict[str, Index] = {}
        self.shared: dict[str, str] = {}
        self.places: list[tempfile.TemporaryDirectory[str]] = []

    def take(self, name: str, location: str, *, questions: bool = False) -> None:
        if name in self.indexes:
            raise UsageError(f"two indexes are called {name!r}", hint="Name them: --index NAME=LOCATION.")
        if questions and Path(location).is_file():
            model = self._embedding(OWN)[0]
            self.indexes[name] = self._built(location, model)
        else:
            description = read_description(open_store(location))
            if description is None:
                raise _nothing(location, questions=questions)
            model = self._fitting(description)
            self.indexes[name] = Index.open(location, embedder=embedder_of(model))
            calibration = description.faq
            if calibration is not None and (few := calibration.warning()) is not None:
                logger.warning("%s: %s", location, few)
        self.shared[name] = model.name

    def _embedding(self, otherwise: str) -> list[ServedModel]:
        """Return the models for vectors, those trained for it first; the one named is loaded where there is none."""
        found = [model for model in self.models if "embed" in model.pipelines]
        if not found:
            found = [load_model(otherwise, self.settings.engine, self.settings.device)]
            self.models += found
        return sorted(found, key=lambda model: model.own != "embed")

    def _fitting(self, description: Description) -> ServedModel:
        """Return the model an index was made with, or the first, which the index will refuse."""
        models = self._embedding(description.model)
        return next((model for model in models if embedder_of(model).fingerprint == description.fingerprint), models[0])

    def _built(self, path: str, model: ServedModel) -> Index:
        """Make an index of a file of questions and answers for as long as the server lives; of several processes the first one does."""
        shared = os.environ.get(SHARED)
        if shared is None:
            place = tempfile.TemporaryDirectory(prefix="litebert-faq-")
            self.places.append(place)
            out = Path(place.name) / "index"
            _build(path, out, model)
        else:
            out = Path(shared) / "faq"
            with _alone(Path(shared) / "faq.lock"):
                if not out.exists():
                    half = (
                        Path(tempfile.mkdtemp(dir=shared)) / "index"
                    )  # who ends on the way leaves nothing that looks whole
                    _build(path, half, model)
                    half.rename(out)
        return Index.open(str(out), embedder=embedder_of(model))


def _build(path: str, out: Path, model: ServedModel) -> None:
    from litebert.search.build import build_index
    from litebert.search.models import token_offsets

    embedder, offsets = embedder_of(model), token_offsets(model.tokenizer)
    built = build_index([path], str(out), embedder, offsets, model=model.reference, questions=True)
    for warning in built.warnings:  # those of reading name the file themselves
        logger.warning("%s", warning if warning.startswith(f"{path}: ") else f"{path}: {warning}")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process is in here; one that ends lets go by itself."""
    import fcntl

    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _nothing(location: str, *, questions: bool) -> DataError:
    if questions:
        hint = "Give a table of questions and answers, or an index made with: litebert index MODEL FILE --faq --out DIR"
        return DataError(f"there is no file and no index {location}", hint=hint, path=location)
    return DataError(f"there is no index in {location}", hint=how_to_build(location), path=location)


def embedder_of(model: ServedModel) -> Any:
    """Return what makes vectors with a served model."""
    from litebert.inference.embedding import Embedder

    return Embedder(model.pipelines["embed"])
