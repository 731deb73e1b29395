"""A training state in one file: a failure to write it is told with its reason, and a damaged one is never taken for sound."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from litebert.errors import CheckpointError


def write_state(state: Mapping[str, Any], path: Path) -> None:
    """Write a state; through a stream of Python's, because torch's own hides why a write failed (a full disk).

    Raises:
        OSError: The file cannot be written.
    """
    try:
        with path.open("wb") as stream:
            torch.save(dict(state), stream)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


def read_state(path: Path) -> dict[str, Any] | None:
    """Read a state onto the CPU.

    ``torch.load`` does not look at the checksums that ``torch.save`` wrote for each part of the file, so this does.

    Returns:
        The state; None if the file is damaged.

    Raises:
        CheckpointError: The file cannot be read at all, which says nothing about what is in it.
    """
    try:
        with path.open("rb") as stream:
            with zipfile.ZipFile(stream) as parts:
                if parts.testzip() is not None:
                    return None
            stream.seek(0)
            state = torch.load(stream, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(
            f"cannot read {path}: {error.strerror or error}",
            hint="Is the storage there, and may you read it? Nothing has been changed; move the file away to go on without it.",
            path=path,
        ) from error
    except (
        zipfile.BadZipFile,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        NotImplementedError,
        pickle.UnpicklingError,
    ):
        return None
    return state if isinstance(state, dict) else None
