"""Resumable training state on disk: complete or absent, and the one before it when the last is damaged."""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from litebert import files
from litebert.errors import CheckpointError
from litebert.train import sharded_checkpoints
from litebert.train.processes import Processes
from litebert.train.sharded_tensors import is_sharded
from litebert.train.state_files import read_state, write_state
from litebert.train.state_tensors import state_of_first

logger = logging.getLogger("litebert")

KEPT = 2
"""Resumable checkpoints kept: the last, and one to fall back to."""

DROPOUT = 201
"""Purpose of the random draws of dropout."""


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


def seed_dropout(seed: int, step: int, number: int) -> None:
    """Seed torch's generator for one micro-batch, so that what is dropped depends on nothing that ran before, or elsewhere.

    Args:
        seed: Of the run.
        step: Counted from 0.
        number: Of the micro-batch within the step.
    """
    drawn = np.random.SeedSequence([DROPOUT, seed, step, number]).generate_state(1, np.uint64)
    torch.manual_seed(int(drawn[0]) % 2**63)


class CheckpointFolder:
    """The resumable states of one run and its best weights.

    One process writes and reads a file, and tells the others; a state in parts lies in a folder instead, which all write and read
    (``sharded_checkpoints.py``). Either can be resumed from either way. Every process of a run calls every method alike.

    Args:
        folder: Holds ``step-NNNNNNNN.pt`` files or ``step-NNNNNNNN`` folders, and ``best.pt``.
        processes: Of the run.
        mesh: How the tensors of a state in parts lie, see ``parallel.py``; None where every process holds all.
    """

    def __init__(self, folder: Path, processes: Processes | None = None, mesh: Any = None) -> None:
        self.folder, self.processes, self.mesh = folder, processes or Processes(), mesh

    def save(self, step: int, state: Mapping[str, Any]) -> Path:
        """Write a state in one step and remove those older than the last ``KEPT``.

        Args:
            step: Optimiser steps done.
            state: Tensors, numbers, strings, and containers of them.
        """
        path = self._save(f"step-{step:08d}", state)
        if self.processes.is_main:
            for old in self._states()[:-KEPT]:
                _remove(old)
        return path

    def load_last(self) -> dict[str, Any] | None:
        """Return the newest state that can be read, the one from before the decay if no other can; None if there is none.

        A damaged one is passed over with a warning.

        Raises:
            CheckpointError: There are states, and all of them are damaged, or one cannot be read at all.
        """
        found = self.processes.first(self._states())
        for path in reversed(found):
            state = self._read(path)
            if state is not None:
                return state
            if self.processes.is_main:
                logger.warning("%s is damaged; going back to the checkpoint before it", path)
        stable = self.load_stable()
        if found and stable is None:
            names = ", ".join(path.name for path in found)
            raise CheckpointError(
                f"no checkpoint in {self.folder} is whole",
                hint=f"Damaged: {names}. Nothing has been removed. To begin anew, choose another folder.",
                path=self.folder,
            )
        return stable

    def go_back(self, good: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any] | None:
        """Return the newest state that is good, and give up those that are newer; None if none is good, and all stay.

        Args:
            good: Whether a state is one to go back to.
        """
        found = self.processes.first(self._states())
        for path in reversed(found):
            state = self._read(path)
            if state is None or not good(state):
                continue
            if self.processes.is_main:
                for newer in found[found.index(path) + 1 :]:
                    _remove(newer)
            return state
        stable = self.load_stable()
        return stable if stable is not None and good(stable) else None

    def save_stable(self, state: Mapping[str, Any]) -> None:
        """Write the state before the learning rate decays, from which a longer run can go on."""
        self._save("stable", state)

    def load_stable(self) -> dict[str, Any] | None:
        """Return the state before the decay, None if there is none."""
        return self._read_if_there("stable", "stable.pt")

    def go_back_to_stable(self) -> None:
        """Leave the state before the decay only, as the newest one; there is one."""
        state = self.load_stable()
        assert state is not None
        if self.processes.is_main:
            for other in (*self.folder.glob("step-*"), self.folder / "best.pt"):
                _remove(other)
            for path in (self.folder / "stable", self.folder / "stable.pt"):
                if path.exists():
                    path.replace(self.folder / f"step-{state['progress']['step']:08d}{path.suffix}")
        self.processes.wait()

    def save_best(self, weights: Mapping[str, Any]) -> None:
        """Write the weights of the best evaluation, which are whole."""
        self._save("best", weights)

    def load_best(self) -> dict[str, Any] | None:
        """Return the weights of the best evaluation, None if there are none, or with a warning if they are damaged."""
        best = self._read_if_there("best.pt")
        if best is None and self.processes.is_main and (self.folder / "best.pt").exists():
            logger.warning("%s is damaged; the last weights are kept instead", self.folder / "best.pt")
        return best

    def clear(self) -> None:
        """Remove all states and best weights, and leftovers of writes that were killed."""
        if self.processes.is_main:
            for pattern in ("step-*", "best.pt", "stable", "stable.pt", ".*.tmp"):
                for path in self.folder.glob(pattern):
                    _remove(path)

    def keep_only(self, path: Path) -> None:
        """Remove everything but one state, when a run is finished."""
        if self.processes.is_main:
            for other in (*self._states(), self.folder / "best.pt"):
                if other != path:
                    _remove(other)

    def _states(self) -> list[Path]:
        return sorted((*self.folder.glob("step-*.pt"), *self.folder.glob("step-????????")), key=lambda path: path.stem)

    def _save(self, name: str, state: Mapping[str, Any]) -> Path:
        """Write a state as a folder, if its weights are in parts, or as a file, and remove the other of that name."""
        file, folder = self.folder / f"{name}.pt", self.folder / name
        parts = any(is_sharded(tensor) for tensor in state.get("model", {}).values())
        if parts:
            if self.processes.is_main:
                _remove(folder)
            sharded_checkpoints.write(folder, state, self.processes)
        elif self.processes.is_main:
            files.write_with(file, lambda temporary: write_state(state, temporary))
        if self.processes.is_main:
            _remove(file if parts else folder)
        return folder if parts else file

    def _read_if_there(self, *names: str) -> dict[str, Any] | None:
        found = self.processes.first([self.folder / name for name in names if (self.folder / name).exists()])
        return self._read(found[0]) if found else None

    def _read(self, path: Path) -> dict[str, Any] | None:
        if self.processes.first(path.is_dir()):
            return sharded_checkpoints.read(path, self.processes, self.mesh)
        state = read_state(path) if self.processes.is_main else None
        found: dict[str, Any] | None = state_of_first(self.processes, state)
        return found


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there; a folder first loses its name, so that it is never seen half removed."""
    if path.is_dir():
        gone = path.with_name(f".{path.name}.old.tmp")
        shutil.rmtree(gone, ignore_errors=True)
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
