"""Where a run's figures go: ``metrics.jsonl``, TensorBoard, and a progress line with rate and time left on the terminal.

Away from a terminal, in a log or a pipe, a line is printed about once a minute instead.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from litebert import files


class MetricsFile:
    """Append rows to a JSON Lines file; numbers that JSON cannot hold are written as null.

    Args:
        path: Made if missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: dict[str, Any]) -> None:
        """Write one row."""
        with files.explained(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(_json_safe(row), ensure_ascii=False) + "\n")

    def rewind(self, seed: int, step: int, restarts: int = 0) -> None:
        """Drop what a run that was killed wrote after the checkpoint it resumes from.

        Args:
            seed: Of the run; rows of other seeds stay.
            step: Last step to keep; -1 keeps none.
            restarts: How often the guardian had started the run again by then.
        """
        point = (restarts, step)
        kept = [r for r in self.rows() if r.get("seed") != seed or (r.get("restarts", 0), r.get("step", 0)) <= point]
        files.write_text(self.path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept))

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows; a last line cut off by a kill is left out."""
        if not self.path.is_file():
            return []
        rows = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(row, dict):
                rows.append(row)
        return rows


def _json_safe(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _json_safe(v) for k, v in value.items()}
    return value


class Tracker:
    """Send the figures of one seed's run everywhere.

    Args:
        folder: Run folder.
        seed: Written into every row.
        tensorboard: Write TensorBoard files into ``tensorboard/`` where the package is installed.
        progress: Show how far the run is.
        label: Text before the bar.
    """

    def __init__(
        self, folder: Path, *, seed: int, tensorboard: bool = True, progress: bool = True, label: str = "training"
    ) -> None:
        self.metrics = MetricsFile(folder / "metrics.jsonl")
        self.seed = seed
        self._writer = _tensorboard_writer(folder / "tensorboard" / f"seed-{seed}") if tensorboard else None
        bar = _ProgressBar if sys.stderr.isatty() else _ProgressLog
        self._bar = bar(label) if progress else None

    def log(self, event: str, step: int, **figures: Any) -> None:
        """Record figures of one step: a row, and a TensorBoard point for each number."""
        self.metrics.append({"event": event, "seed": self.seed, "step": step, "time": round(time.time(), 3), **figures})
        if self._writer is not None:
            for name, value in figures.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    tag = name if "/" in name else f"train/{name}"
                    self._write("add_scalar", tag, value, step)

    def _write(self, what: str, *arguments: Any) -> None:
        """Write for TensorBoard; a disk that is full must not end a run whose own files are sound, nor hide why it ended."""
        if self._writer is None:
            return
        try:
            getattr(self._writer, what)(*arguments)
        except OSError as error:
            self._writer = None
            self.say(f"warning: TensorBoard's files end here: {error.strerror or error}")

    def progress(self, step: int, total: int, text: str) -> None:
        """Tell how far the run is."""
        if self._bar is not None:
            self._bar.update(step, total, text)

    def say(self, message: str) -> None:
        """Tell the user something worth a line of its own, on stderr."""
        if self._bar is not None:
            self._bar.say(message)
        else:
            print(message, file=sys.stderr)  # noqa: T201 - chatter goes to stderr

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write("close")
        if self._bar is not None:
            self._bar.close()


class MuteTracker(Tracker):
    """Records and says nothing: for the processes of a run other than the first.

    Args:
        folder: Run folder.
        seed: Of the run.
    """

    def __init__(self, folder: Path, *, seed: int) -> None:
        super().__init__(folder, seed=seed, tensorboard=False, progress=False)

    def log(self, event: str, step: int, **figures: Any) -> None:
        """Do nothing."""

    def say(self, message: str) -> None:
        """Do nothing."""


def _tensorboard_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    with files.explained(folder):
        return SummaryWriter(str(folder))


class _ProgressBar:
    """A line of rich: bar, steps, rate, time left, latest figures."""

    def __init__(self, label: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._label = label
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"), console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task(label, total=None, figures="")
        self._progress.start()

    def update(self, step: int, total: int, text: str) -> None:
        self._progress.update(self._task, completed=step, total=total, figures=text)

    def say(self, message: str) -> None:
        self._progress.console.print(message, highlight=False, markup=False)

    def close(self) -> None:
        self._progress.stop()


class _ProgressLog:
    """What the bar shows, as a line of its own about once a minute."""

    SECONDS = 60

    def __init__(self, label: str) -> None:
        self._label = label
        self._told = self._begun = time.monotonic()
        self._first: int | None = None

    def update(self, step: int, total: int, text: str) -> None:
        now = time.monotonic()
        if self._first is None or step <= self._first:  # of a run that is resumed, or begun again
            self._first, self._begun = step, now
        if now - self._told < self.SECONDS:
            return
        self._told = now
        seconds = (now - self._begun) / max(step - self._first, 1) * (total - step)
        left = f", about {seconds / 60:.0f} minutes left" if step > self._first else ""
        self.say(f"{self._label}: step {step} of {total}, {text}{left}")

    def say(self, message: str) -> None:
        print(message, file=sys.stderr, flush=True)  # noqa: T201 - chatter goes to stderr

    def close(self) -> None:
        pass
