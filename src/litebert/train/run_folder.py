"""The folder of a run: resolved settings, figures, checkpoints, report. It is never overwritten by accident."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from litebert import files
from litebert.errors import ConfigError, UsageError

OURS = ("run.json", "metrics.jsonl", "report.html", "checkpoints", "tensorboard")
"""What a run writes, apart from the model's own files."""

MODEL_FILES = (
    "config.json", "model.safetensors", "litebert.json", "README.md", "spiece.model", "vocab.txt", "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json",
)  # fmt: skip


class RunFolder:
    """Open a folder for a new run, or for going on with an old one.

    Args:
        path: The folder.
        settings: Resolved settings, as JSON data.
        resume: Go on with the run that is there; a run that is not there simply starts.
        force: Remove what an earlier run left, and only that; the files of somebody else are never removed.
        data: Records and sha256 by split; a run is not resumed on other data. Where there is a fingerprint, it alone is compared.
        machine_fields: Settings that may differ on resume.
        changeable: Settings that may differ, too, and become the run's own with ``take_over``.
        launch: Name of the launch that may go on with the run by itself, see ``was_begun_by``.
        architecture: The fields of the network's configuration, however it was named; compared as ``config.FIELD`` with those the run
            began with, as far as it kept them.
        data_names: What to call a split in messages, where that is not its name.

    Raises:
        UsageError: There is a run or something else, and neither resume nor force was asked for.
        ConfigError: The settings differ from those of the run to resume; names the field.
    """

    def __init__(
        self, path: str | Path, settings: Mapping[str, Any], *, resume: bool = False, force: bool = False,
        data: Mapping[str, Any] | None = None, machine_fields: tuple[str, ...] = ("device",),
        changeable: tuple[str, ...] = (), launch: str | None = None, architecture: Mapping[str, Any] | None = None,
        data_names: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.path = Path(path)
        self.run_file = self.path / "run.json"
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file, not a folder", path=self.path)
        occupied = self.path.is_dir() and any(self.path.iterdir())
        held = {"settings": dict(settings), "data": dict(data or {})}
        held |= {"architecture": dict(architecture)} if architecture is not None else {}
        if occupied and resume and self.run_file.is_file():
            self._check_same(json.loads(json.dumps(held)), (*machine_fields, *changeable), data_names or {})
            return
        if occupied and not force:
            raise UsageError(
                f"{self.path} is not empty" + (": it holds a run" if self.run_file.is_file() else ""),
                hint="Add --resume to go on with it, --force to replace it, or choose another --out.",
                path=self.path,
            )
        if occupied:
            self._remove_ours()
        begun = {"launch": launch} if launch is not None else {}
        files.write_json(self.run_file, {**held, "environment": environment(), "command": sys.argv, **begun})

    @classmethod
    def opened(cls, path: str | Path) -> RunFolder:
        """Return the folder of a run that another process has opened; nothing is checked or written."""
        folder = cls.__new__(cls)
        folder.path = Path(path)
        folder.run_file = folder.path / "run.json"
        return folder

    def take_over(self, settings: Mapping[str, Any]) -> None:
        """Make changed settings the run's own, so that it is resumed with them from now on."""
        run = json.loads(self.run_file.read_text(encoding="utf-8"))
        files.write_json(self.run_file, {**run, "settings": dict(settings)})

    def _remove_ours(self) -> None:
        if not self.run_file.is_file():
            foreign = [name for name in (*OURS, *MODEL_FILES) if (self.path / name).exists()]
            if foreign:
                raise UsageError(
                    f"{self.path} holds no run, but files a run would replace: {', '.join(foreign)}",
                    hint="They are not removed, not even with --force. Choose another --out, or move them away.",
                    path=self.path,
                )
        with files.explained(self.path):
            for name in (*OURS, *MODEL_FILES):
                target = self.path / name
                if target.is_dir():
                    shutil.rmtree(target)
                else:
                    target.unlink(missing_ok=True)

    def _check_same(self, held: Mapping[str, Any], free_fields: tuple[str, ...], data_names: Mapping[str, str]) -> None:
        try:
            run = json.loads(self.run_file.read_text(encoding="utf-8"))
            before, data, architecture = run["settings"], run.get("data"), run.get("architecture")
            if not all(isinstance(part, dict | None) for part in (data, architecture)):
                raise TypeError
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError("run.json cannot be read, so the run cannot be resumed", path=self.run_file) from error
        if other := _other_data(data, held["data"]):
            names = " and ".join(data_names.get(name, name) for name in other)
            raise ConfigError(
                f"cannot resume: the data of {names} are not those the run began with",
                hint="Put them back, or start a new run with another --out.",
                path=self.run_file,
            )
        known = {name: value for name, value in held.get("architecture", {}).items() if name in (architecture or {})}
        found = _differences({name: architecture[name] for name in known} if architecture else {}, known, "config")
        for field, old, new in [*_differences(before, held["settings"]), *found]:
            if field in free_fields or field.split(".")[0] in free_fields or (known and _names_one(field, old, new)):
                continue
            raise ConfigError(
                f"cannot resume: {field} was {old!r} and is now {new!r}",
                hint="Resume with the settings of the run, or start a new one with another --out.",
                path=self.run_file,
            )

    @property
    def metrics(self) -> Path:
        """Path of the figures."""
        return self.path / "metrics.jsonl"

    @property
    def report(self) -> Path:
        """Path of the report."""
        return self.path / "report.html"

    def checkpoints(self, seed: int) -> Path:
        """Return the checkpoint folder of one seed."""
        return self.path / "checkpoints" / f"seed-{seed}"


def was_begun_by(path: str | Path, launch: str | None) -> bool:
    """Whether a folder holds a run that this very launch began, which may go on with it when its processes are started anew.

    Args:
        path: The folder.
        launch: Name of the launch; None is none.
    """
    try:
        run = json.loads((Path(path) / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return launch is not None and isinstance(run, dict) and run.get("launch") == launch


def _other_data(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str]:
    """Return the splits that differ; where the run kept nothing, none does."""
    if before is None:
        return []
    return [
        name for name in sorted(before.keys() | now.keys()) if _identity(before.get(name)) != _identity(now.get(name))
    ]


def _identity(split: Any) -> Any:
    return split["fingerprint"] if isinstance(split, dict) and "fingerprint" in split else split


def _names_one(field: str, old: Any, new: Any) -> bool:
    """Whether two names are of random weights, whose architecture says all there is to know."""
    return field == "model" and all(str(name).startswith("random:") for name in (old, new))


def _differences(before: Any, now: Any, prefix: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted(before.keys() | now.keys())
        return [d for k in keys for d in _differences(before.get(k), now.get(k), f"{prefix}.{k}" if prefix else k)]
    return [] if before == now else [(prefix, before, now)]


def environment() -> dict[str, Any]:
    """Return versions and the kind of machine, for provenance; no names, no paths."""
    packages = {}
    for name in ("litebert", "torch", "numpy", "safetensors", "tokenizers", "sentencepiece", "scikit-learn", "scipy"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(), "cores": os.cpu_count(), "packages": packages,
    }  # fmt: skip


def processor_name() -> str:
    """Return the processor's name as the operating system knows it."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as stream:
            return next((line.split(":", 1)[1].strip() for line in stream if line.startswith("model name")), "")
    except OSError:
        return platform.processor()
