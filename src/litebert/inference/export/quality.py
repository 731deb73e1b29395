"""What an export loses: the drift of the states in int8, the task metric before and after, the parity of what was written.

Legend: B sequences, T positions, C choices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from litebert.errors import GateError, RunError
from litebert.inference.backends.sessions import Session
from litebert.inference.engine.accelerate import accelerate
from litebert.inference.engine.calibration import TokenBatch
from litebert.inference.export.subject import Subject
from litebert.inference.graph.network import INPUTS, STATE, body_of, output_names
from litebert.tasks.base import Passes
from litebert.tasks.evaluate import Evaluated, evaluate

FLOAT_TOLERANCE = 1e-4
"""Largest difference of a float32 output from PyTorch's, relative to the largest output where that exceeds 1."""
INT8_TOLERANCE = 0.5
"""Relative error of an int8 output from which the file is taken for broken; what is good enough is for ``--max-drop`` to say."""
_HOPELESS = -1e29
"""Logits below this are of what cannot be an answer; their size would hide every other difference."""
_CHECKED = 4
"""Rows of each batch in the parity check; few, and of every length."""


def arrays_of(batch: Sequence[Tensor]) -> dict[str, np.ndarray]:
    """Return a batch as a session takes it."""
    return {name: part.to(torch.int64).contiguous().numpy() for name, part in zip(INPUTS, batch, strict=True)}


# --- Drift ----------------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def drift(subject: Subject, session: Session, batches: Sequence[TokenBatch]) -> list[float]:
    """Return the relative error of the states against float32: of the embedding, then after each application of a block.

    Args:
        subject: The float32 model.
        session: A graph of it that shows every state.
        batches: To run.
    """
    body = body_of(subject.model)
    errors: np.ndarray | None = None
    for ids, mask, types in batches:
        expected = body(ids, mask, types, output_hidden_states=True).hidden_states
        found = session(arrays_of(_shaped(subject, (ids, mask, types))))
        sums = np.zeros((len(expected), 2))
        for number, state in enumerate(expected):
            own = torch.from_numpy(found[STATE.format(number)])
            real = mask[:, : own.shape[1]]  # the last may be the first token alone
            right = state[:, : own.shape[1]][real]
            sums[number] = float((own[real] - right).square().sum()), float(right.square().sum())
        errors = sums if errors is None else errors + sums
    assert errors is not None
    return [float(v) for v in np.sqrt(errors[:, 0] / np.maximum(errors[:, 1], 1e-30))]


def _shaped(subject: Subject, batch: TokenBatch) -> TokenBatch:
    """Give a batch a dimension of choices where the head has one."""
    if subject.head != "choice":
        return batch
    ids, mask, types = (part[:, None] for part in batch)
    return ids, mask, types


# --- The task's metric ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """One data set's figures before and after.

    Attributes:
        name: Of the data.
        metric: The main one.
        before: In PyTorch's float32.
        after: Of the exported graph.
        drop: Points lost, hundredths of the metric.
    """

    name: str
    metric: str
    before: float
    after: float
    drop: float

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {k: getattr(self, k) for k in ("name", "metric", "before", "after", "drop")}


class SessionModel(nn.Module):
    """A graph, called as the network it was made from."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, **given: None
    ) -> SimpleNamespace:
        """Return the outputs by name; what else the network takes is not given."""
        assert not any(value is not None for value in given.values())
        found = self.session(arrays_of((input_ids, attention_mask, token_type_ids)))
        return SimpleNamespace(**{name: torch.from_numpy(value) for name, value in found.items()})


def compare(
    subject: Subject, session: Session, data: str, *, benchmark: str | None = None, columns: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[Comparison], list[str]]:  # fmt: skip
    """Score a model and its graph on labelled data.

    Args:
        subject: Fine-tuned.
        session: Its graph.
        data: File of records; with ``benchmark`` the folder of its official files.
        benchmark: Such as ``glue/mrpc``.
        columns: As on the command line.
        progress: Called with the number of records done.

    Returns:
        The figures, and warnings of the reader.

    Raises:
        DataError: The data are wrong, or have no labels.
        UsageError: The model was not fine-tuned, or for something else.
    """
    loaded = subject.task_model()
    body_of(loaded.model).encoder.depth = body_of(subject.model).encoder.depth
    accelerate(loaded.model)

    def scored(model: Any) -> Evaluated:
        passes = Passes(progress=progress)
        return evaluate(replace(loaded, model=model), data, benchmark=benchmark, columns=columns, passes=passes)

    before, after = scored(loaded.model), scored(SessionModel(session))
    found = []
    for name, score in before.scores.items():
        metric, new = str(score.evaluation.main_metric), after.scores[name]
        found.append(
            Comparison(
                name, metric, score.evaluation.metrics[metric], new.evaluation.metrics[metric],
                100 * (score.main - new.main),
            )
        )  # fmt: skip
    return found, before.warnings


def check_drop(comparisons: Sequence[Comparison], max_drop: float) -> None:
    """Refuse a model that loses too much.

    Raises:
        GateError: It does.
    """
    for one in comparisons:
        if not one.drop <= max_drop:
            raise GateError(
                f"the exported model loses {one.drop:.2f} points on {one.name} ({one.metric} {one.before:.4f} before, "
                f"{one.after:.4f} after), more than {max_drop:g}; nothing was written",
                hint="Calibrate with such texts (--calibration FILE), keep a matrix in float (--keep narrow), or raise --max-drop.",
            )


# --- Parity ---------------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def check_parity(subject: Subject, session: Session, batches: Sequence[TokenBatch], *, int8: bool) -> float:
    """Compare the outputs of a graph with PyTorch's; in float32 those on padding too.

    Args:
        subject: The float32 model.
        session: A graph of it.
        batches: To run; a few rows of the first and the last.
        int8: Whether the graph is in int8, and only has to be near.

    Returns:
        The largest absolute difference; for int8 the largest relative error of an output.

    Raises:
        RunError: It exceeds the tolerance.
    """
    worst = 0.0
    for whole in (batches[0], batches[-1]):
        ids, mask, types = _shaped(subject, tuple(part[:_CHECKED] for part in whole))  # type: ignore[arg-type]
        expected = subject.model(ids, mask, types)
        found = session(arrays_of((ids, mask, types)))
        for name in output_names(subject.model):
            ours, theirs = _comparable(name, expected, found)
            if int8 and ours.shape[:2] == tuple(mask.shape):  # ranges were learnt on real tokens
                ours, theirs = ours[mask.numpy()], theirs[mask.numpy()] if theirs.shape == ours.shape else theirs
            error, allowed = _error(theirs, ours, int8=int8)
            if not error <= allowed:
                raise RunError(
                    f"the written file does not compute what the model does: {name} differs by {error:.2g}, allowed is {allowed:.2g}",
                    hint="Report this with the versions that litebert doctor prints; nothing was written.",
                )
            worst = max(worst, error)
    return worst


def _comparable(name: str, expected: Any, found: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return an output of both so that differences mean something; which of two equal starts comes first means nothing."""
    ours, theirs = getattr(expected, name).numpy(), found[name]
    if ours.shape != theirs.shape:
        return ours, theirs
    if name == "starts":
        logits = expected.start_logits.numpy()
        ours, theirs = (np.take_along_axis(logits, places.astype(np.int64), axis=1) for places in (ours, theirs))
    elif name == "end_logits" and "starts" in found:
        same = expected.starts.numpy() == found["starts"]
        ours, theirs = ours[same], theirs[same]
    hopeless = (ours < _HOPELESS) & (theirs < _HOPELESS)
    return np.where(hopeless, 0.0, ours.astype(np.float64)), np.where(hopeless, 0.0, theirs.astype(np.float64))


def _error(found: np.ndarray, expected: np.ndarray, *, int8: bool) -> tuple[float, float]:
    if found.shape != expected.shape:
        return float("inf"), 0.0
    if not expected.size:
        return 0.0, 0.0
    if int8:
        size = max(float(np.linalg.norm(expected)), 1e-12)
        return float(np.linalg.norm(found - expected)) / size, INT8_TOLERANCE
    return float(np.abs(found - expected).max()), FLOAT_TOLERANCE * max(1.0, float(np.abs(expected).max()))


def drift_rows(figures: Sequence[float]) -> list[tuple[str, str]]:
    """Return the drift as rows of a table."""
    names = ["embedding", *(f"application {number}" for number in range(1, len(figures)))]
    return [(name, f"{value:.4f}") for name, value in zip(names, figures, strict=True)]
