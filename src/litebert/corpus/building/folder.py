"""The folder of a corpus while it is built: what is asked for is written first, and only the same build goes on with it.

The intermediate files lie in ``OUT/.build`` and vanish when the manifest has been written. One process at a time works in a folder.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from litebert import files
from litebert.corpus.shards import MANIFEST, TOKENIZER
from litebert.errors import ConfigError, UsageError
from litebert.resume import check_same, locked

BUILD = ".build"
PLAN = "plan.json"
REPORT = "report.json"
PAGE = "report.html"
OURS = (MANIFEST, REPORT, PAGE, TOKENIZER, BUILD)
"""What a build writes, apart from the shards."""


class BuildFolder:
    """Opens a folder for a build.

    Args:
        out: The corpus folder.
        plan: JSON data that decides what comes out: settings, inputs, tokenizer, versions.

    Attributes:
        out: The corpus folder.
        work: Where the intermediate files lie.
        finished: Whether the corpus is complete already.
    """

    def __init__(self, out: str | Path, plan: Mapping[str, Any]) -> None:
        self.out = Path(out)
        self.work = self.out / BUILD
        self.finished = False
        self._plan = json.loads(json.dumps(plan))
        self._lock: IO[bytes] | None = None

    @contextlib.contextmanager
    def opened(self, *, resume: bool = False, force: bool = False) -> Iterator[BuildFolder]:
        """Make the folder ready; nobody else can while the block lasts.

        Args:
            resume: Go on with the build that is there; one that is not there simply starts.
            force: Remove what an earlier build left, and only that.

        Raises:
            UsageError: Something is there and neither was asked for, or another process works there.
            ConfigError: The build to go on with is another one; names the field that differs.
            RunError: The folder cannot be written.
        """
        try:
            self._open(resume=resume, force=force)
            yield self
        finally:
            if self._lock is not None:
                self._lock.close()

    def _open(self, *, resume: bool, force: bool) -> None:
        if self.out.exists() and not self.out.is_dir():
            raise UsageError(f"{self.out} is a file, not a folder", hint="Choose another --out.", path=self.out)
        if self.work.is_dir():
            self._lock_now()
        occupied = self.out.is_dir() and any(entry.name != BUILD or self._begun for entry in self.out.iterdir())
        if occupied and resume and self._resumed():
            return
        if occupied and not force:
            state = (
                "a corpus"
                if (self.out / MANIFEST).is_file()
                else "an unfinished build"
                if self._begun
                else "other files"
            )
            raise UsageError(
                f"{self.out} is not empty: it holds {state}",
                hint="Add --resume to go on with a build, --force to replace it, or choose another --out.", path=self.out,
            )  # fmt: skip
        if occupied:
            self._remove_ours()
        with files.explained(self.work):
            self.work.mkdir(parents=True, exist_ok=True)
        self._lock_now()
        files.write_json(self.work / PLAN, self._plan)

    @property
    def _begun(self) -> bool:
        return (self.work / PLAN).is_file()

    def _resumed(self) -> bool:
        """Whether there is something to go on with; it must be the same build."""
        path = self.work / PLAN if self._begun else self.out / MANIFEST
        if not path.is_file():
            return False
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            before = before if self._begun else before["build"]
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"{path.name} cannot be read, so the build cannot be resumed", path=path,
                              hint="Start again with --force.") from error  # fmt: skip
        hint = "Resume with what the build began with, or start again with --force or another --out."
        check_same(before, self._plan, path, hint)
        self.finished = (self.out / MANIFEST).is_file()
        self._remove_halves()
        return True

    def _remove_halves(self) -> None:
        """Remove what a killed process was writing."""
        ours = [f".{name}.*.tmp" for name in (MANIFEST, REPORT, PAGE, TOKENIZER, "shard-*")]
        for stale in [*self.work.rglob(".*.tmp"), *(path for name in ours for path in self.out.glob(name))]:
            remove(stale)

    def _remove_ours(self) -> None:
        shards = list(self.out.glob("shard-*.npy"))
        if not (self._begun or (self.out / MANIFEST).is_file()):
            foreign = [name for name in OURS if name != BUILD and (self.out / name).exists()] + [s.name for s in shards]
            if not set(foreign) <= {REPORT, PAGE}:
                raise UsageError(
                    f"{self.out} holds no corpus, but files a build would replace: {', '.join(sorted(foreign)[:5])}",
                    hint="They are not removed, not even with --force. Choose another --out, or move them away.",
                    path=self.out,
                )
        with files.explained(self.out):
            # The manifest goes first: a folder without one is no corpus.
            for target in [*(self.out / name for name in OURS), *shards]:
                remove(target)
            self._remove_halves()

    def _lock_now(self) -> None:
        if self._lock is not None:
            self._lock.close()
        busy = UsageError(
            f"another process is building in {self.out}", hint="Wait for it, or choose another --out.", path=self.out
        )
        self._lock = locked(self.work / "lock", busy)

    def clean_up(self) -> None:
        """Remove the intermediate files."""
        self._remove_halves()
        shutil.rmtree(self.work, ignore_errors=True)

    def abandon(self) -> None:
        """Remove everything but the report of a build that comes to nothing."""
        self.clean_up()
        for target in (self.out / TOKENIZER, *self.out.glob("shard-*.npy")):
            remove(target)
        with contextlib.suppress(OSError):  # there is a report, or somebody else's file
            self.out.rmdir()


def remove(target: Path) -> None:
    """Remove a file or folder if it is there."""
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
