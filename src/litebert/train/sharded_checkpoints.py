"""A training state in a folder to which every process writes its own part (``torch.distributed.checkpoint``).

    step-00000100/
      __0_0.distcp, ...   the sharded tensors, one file a process; .metadata says which rows of which tensor lie where
      state.pt            everything else: counters, guardian, generators, step numbers, and where the tensors belong
      sums.json           CRC-32 of every file

The folder gets its name when all processes have written, so it is complete or absent. It is read by any number of processes, sharded or
not, and by one alone. All processes must see the same folder.
"""

from __future__ import annotations

import json
import shutil
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from litebert import files
from litebert.errors import RunError
from litebert.train.processes import Processes
from litebert.train.sharded_tensors import empty, is_sharded
from litebert.train.state_files import write_state
from litebert.train.state_tensors import join, split

SUMS, STATE = "sums.json", "state.pt"


def write(path: Path, state: Mapping[str, Any], processes: Processes) -> None:
    """Write a state; every process calls this with its own parts.

    Args:
        path: The folder; it must not exist.
        state: Nested dictionaries and lists with tensors, some of them sharded.
        processes: Of the run.

    Raises:
        RunError: A process could not write.
    """
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.state_dict_saver import save

    temporary = path.with_name(f".{path.name}.tmp")
    with files.explained(path):
        if processes.is_main:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        processes.wait()
        tensors: dict[str, Tensor] = {}
        skeleton = split(dict(state), tensors)
        parts = {name: tensor for name, tensor in tensors.items() if is_sharded(tensor)}
        try:
            save(parts, checkpoint_id=temporary, no_dist=processes.size == 1)
        except CheckpointException as error:
            raise RunError(
                f"cannot write {path}: {_first_failure(error)}",
                hint="Is the disk full, and does every machine see this folder? The checkpoints that were there are as before.",
                path=path,
            ) from error
        if processes.is_main:
            shapes = {name: (tuple(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in parts.items()}
            plain = {name: tensor for name, tensor in tensors.items() if name not in parts}
            write_state({"skeleton": skeleton, "plain": plain, "shapes": shapes}, temporary / STATE)
        sums: dict[str, int] = {}
        for part in processes.gather({p.name: _crc(p) for p in sorted(temporary.iterdir()) if _is_own(p, processes)}):
            sums |= part
        if processes.is_main:
            files.write_json(temporary / SUMS, sums)
            temporary.rename(path)
        processes.wait()


def read(path: Path, processes: Processes, mesh: Any = None) -> dict[str, Any] | None:
    """Read a state; every process calls this.

    Args:
        path: The folder.
        processes: Of the run, of any number.
        mesh: How sharded tensors shall lie; None: whole ones, in every process.

    Returns:
        The state; None if the folder is damaged.
    """
    from torch.distributed.checkpoint.state_dict_loader import load

    if not all(processes.gather(_is_intact(path, processes))):
        return None
    held = torch.load(path / STATE, map_location="cpu", weights_only=True)
    parts = {name: empty(tuple(shape), getattr(torch, dtype), mesh) for name, (shape, dtype) in held["shapes"].items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that one process alone is no group is what we want
        load(parts, checkpoint_id=path, no_dist=processes.size == 1)
    state: dict[str, Any] = join(held["skeleton"], {**held["plain"], **parts})
    return state


def _is_own(path: Path, processes: Processes) -> bool:
    """Whether this process wrote a file, as its name tells; process 0 wrote the common ones."""
    if path.name.startswith("__"):
        return path.name.startswith(f"__{processes.rank}_")
    return processes.is_main


def _is_intact(path: Path, processes: Processes) -> bool:
    """Check this process's share of the files."""
    try:
        sums = json.loads((path / SUMS).read_text(encoding="utf-8"))
        mine = sorted(sums)[processes.rank :: processes.size]
        return bool(sums) and all(_crc(path / name) == sums[name] for name in mine)
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def _crc(path: Path) -> int:
    value = 0
    with path.open("rb") as stream:
        while piece := stream.read(2**20):
            value = zlib.crc32(piece, value)
    return value


def _first_failure(error: Any) -> str:
    failures = [failure[0] if isinstance(failure, tuple) else failure for failure in error.failures.values()]
    return str(failures[0] if failures else error).splitlines()[0]
