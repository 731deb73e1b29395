"""What was read from a checkpoint, before it becomes a network: a configuration and tensors under our names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from litebert.checkpoint.names import Entry
from litebert.checkpoint.report import POOLER, LoadReport
from litebert.config import AlbertConfig
from litebert.errors import CheckpointError


@dataclass
class Source:
    """A checkpoint read into memory.

    Attributes:
        origin: Format: ``huggingface``, ``google`` or ``random``.
        path: Folder it was read from; None for random weights.
        config: The configuration, ours.
        tensors: By our names, encoder names with the prefix ``albert.``.
        unexpected: Foreign names that have no place in an ALBERT of this configuration.
        ignored: Foreign names that are rightly left.
        info: Contents of ``litebert.json``, empty if there is none.
        notes: What the reader found worth telling.
    """

    origin: str
    path: Path | None
    config: AlbertConfig
    tensors: dict[str, Tensor]
    unexpected: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    info: Mapping[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def into(self, model: nn.Module) -> LoadReport:
        """Copy the tensors into a model and report; the model is an encoder or has one as ``albert``.

        Args:
            model: Changed in place. Tensors of other floating dtypes are converted to the model's.

        Raises:
            CheckpointError: Two names of one shared tensor hold different values.
        """
        report = LoadReport(str(self.path or self.origin), unexpected=list(self.unexpected), ignored=list(self.ignored))
        prefix = "" if hasattr(model, "albert") else "albert."
        targets = {prefix + name: tensor for name, tensor in model.state_dict(keep_vars=True).items()}
        written: dict[int, Tensor] = {}
        with torch.no_grad():
            for name, target in targets.items():
                given = self.tensors.get(name)
                if given is None:
                    needless = name.startswith(POOLER) and not getattr(model, "uses_pooler", True)
                    (report.needless if needless else report.missing).append(name)
                elif given.shape != target.shape:
                    report.mismatched.append((name, tuple(given.shape), tuple(target.shape)))
                else:
                    self._copy(name, given, target, written)
                    report.loaded.append(name)
        report.ignored += [name for name in self.tensors if name not in targets]
        return report

    def _copy(self, name: str, given: Tensor, target: Tensor, written: dict[int, Tensor]) -> None:
        before = written.setdefault(id(target), given)
        if before is not given and not torch.equal(before, given):
            raise CheckpointError(
                f"sharing={self.config.sharing!r} says that {name} is shared, but its copies in the file differ",
                hint="Load it with sharing='none', which keeps every copy.",
                path=self.path,
            )
        target.copy_(given)


def translate(table: Iterable[Entry], foreign: Mapping[str, Tensor], path: Path) -> tuple[dict[str, Tensor], set[str]]:
    """Turn foreign tensors into ours as far as a table goes.

    Args:
        table: Entries of the format.
        foreign: Tensors by foreign name.
        path: For error messages.

    Returns:
        Our tensors, and the foreign names that were used.

    Raises:
        CheckpointError: Only some of the parts of a fused tensor are there, or they do not fit together.
    """
    ours: dict[str, Tensor] = {}
    used: set[str] = set()
    for entry in table:
        there = [name for name in entry.theirs if name in foreign]
        if not there:
            continue
        if len(there) < len(entry.theirs):
            absent = next(name for name in entry.theirs if name not in foreign)
            raise CheckpointError(f"{absent} is missing, though {there[0]} is there", path=path)
        if entry.transposed and any(foreign[name].dim() != 2 for name in there):
            raise CheckpointError(f"{there[0]} is not a matrix", path=path)
        if len({foreign[name].shape for name in there}) > 1:
            raise CheckpointError(f"{', '.join(there)} differ in shape", path=path)
        ours[entry.ours] = entry.to_ours(foreign)
        used.update(there)
    return ours, used
