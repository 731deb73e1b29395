"""Resumable training state on disk: complete or absent, and the one before it when the last is damaged."""

from __future__ import annotations

import logging
import pickle
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from litebert import files

logger = logging.getLogger("litebert")

KEPT = 2
"""Resumable checkpoints kept: the last, and one to fall back to."""


def random_state() -> dict[str, Any]:
    """Return the state of the generators that training draws from."""
    state: dict[str, Any] = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put the generators back to a state of ``random_state``."""
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the legacy generator is what libraries draw from
    torch.manual_seed(seed % 2**63)


def _save(state: dict[str, Any], path: Path) -> None:
    """Write a state; through a stream of Python's, because torch's own hides why a write failed (a full disk)."""
    try:
        with path.open("wb") as stream:
            torch.save(state, stream)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


class CheckpointFolder:
    """The resumable states of one run and its best weights.

    Args:
        folder: Holds ``step-NNNNNNNN.pt`` files and ``best.pt``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, step: int, state: Mapping[str, Any]) -> Path:
        """Write a state in one step and remove those older than the last ``KEPT``.

        Args:
            step: Optimiser steps done.
            state: Tensors, numbers, strings, and containers of them.
        """
        path = self.folder / f"step-{step:08d}.pt"
        self._write(path, state)
        for old in self._states()[:-KEPT]:
            old.unlink(missing_ok=True)
        return path

    def load_last(self) -> dict[str, Any] | None:
        """Return the newest state that can be read; a damaged one is passed over with a warning. None if there is none."""
        for path in reversed(self._states()):
            state = self._read(path)
            if state is not None:
                return state
            logger.warning("%s is damaged; going back to the checkpoint before it", path)
        return None

    def save_stable(self, state: Mapping[str, Any]) -> None:
        """Write the state before the learning rate decays, from which a longer run can go on."""
        self._write(self.folder / "stable.pt", state)

    def load_stable(self) -> dict[str, Any] | None:
        """Return the state before the decay, None if there is none."""
        path = self.folder / "stable.pt"
        return self._read(path) if path.is_file() else None

    def save_best(self, weights: Mapping[str, Any]) -> None:
        """Write the weights of the best evaluation."""
        self._write(self.folder / "best.pt", weights)

    def load_best(self) -> dict[str, Any] | None:
        """Return the weights of the best evaluation, None if there are none."""
        path = self.folder / "best.pt"
        return self._read(path) if path.is_file() else None

    def clear(self) -> None:
        """Remove all states and best weights, and leftovers of writes that were killed."""
        for pattern in ("step-*.pt", "best.pt", "stable.pt", ".*.tmp"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)

    def keep_only(self, path: Path) -> None:
        """Remove everything but one state, when a run is finished."""
        for other in (*self._states(), self.folder / "best.pt"):
            if other != path:
                other.unlink(missing_ok=True)

    def _states(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"))

    @staticmethod
    def _write(path: Path, state: Mapping[str, Any]) -> None:
        files.write_with(path, lambda temporary: _save(dict(state), temporary))

    @staticmethod
    def _read(path: Path) -> dict[str, Any] | None:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError):
            return None
        return state if isinstance(state, dict) else None
