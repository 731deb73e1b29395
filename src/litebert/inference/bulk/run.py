"""A bulk run: files in, one file of answers out, in parts that are kept until all are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from litebert.errors import Interrupted
from litebert.inference.bulk.job import ROWS, Answerer, Ask, part_size
from litebert.inference.bulk.parts import Part, PartFolder, parts_of
from litebert.inference.bulk.workers import LocalWorker, RayWorkers, Workers
from litebert.inference.predict import check_top, read_file
from litebert.inference.settings import EngineSettings
from litebert.settings import build_settings
from litebert.tasks.base import Task
from litebert.tasks.datasets import in_file
from litebert.tasks.model_folder import load_model
from litebert.tasks.reading.records import STDIN, Record
from litebert.tasks.zero_shot import ZeroShotTask


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster.

    Attributes:
        workers: Each with a loaded model; None for as many as there is room for.
        address: None for what ``RAY_ADDRESS`` says, else a new one on this machine.
    """

    workers: int | None = None
    address: str | None = None


@dataclass(frozen=True)
class Answered:
    """What a run did.

    Attributes:
        records: Answers in the file.
        kept: Of these, answers that an earlier run had left.
    """

    records: int
    kept: int


def parts_folder(output: str | Path) -> Path:
    """Return where the finished parts of an output are until all of them are there."""
    path = Path(output)
    return path.with_name(path.name + ".parts")


def answer_in_parts(
    ask: Ask, inputs: Sequence[str], output: str | Path, *, cluster: Cluster | None = None, rows: int = ROWS, force: bool = False,
    warnings: list[str] | None = None, progress: Callable[[int], None] | None = None,
) -> Answered:  # fmt: skip
    """Answer every record of files, in order, and go on where an earlier run stopped.

    Args:
        ask: What is asked.
        inputs: Files, or ``-`` for standard input.
        output: File for the answers, JSON Lines.
        cluster: Whose workers answer; None for this process.
        rows: Of a part; rounded up to whole windows.
        force: Forget what an earlier run left.
        warnings: Receives what is worth telling of the files, when all of them are read.
        progress: Called with the number of records done.

    Returns:
        How many answers there are.

    Raises:
        ConfigError: An earlier run left parts of something else: of another model, input or option.
        DataError: A file is wrong.
        Interrupted: Ctrl-C; what is finished is kept.
        RunError: Workers were lost again and again.
    """
    ask = ask.anywhere()
    size = part_size(rows, build_settings(EngineSettings, ask.engine).window)
    folder = PartFolder(parts_folder(output))
    done = 0
    try:
        with folder.opened({**ask.to_dict(), "part_rows": size}, force=force):
            ask = ask.using(folder.computed)
            workers, task = _workers(ask, cluster)
            check_top(task.name, ask.top)
            reading = _Reading(folder)

            def read(name: str) -> Iterator[Record]:
                with in_file("<stdin>" if name == STDIN else name):
                    yield from read_file(task, name, columns=ask.columns, kind=ask.kind, warnings=warnings)

            with workers:
                folder.settle(workers.computed())
                for part, lines in workers.run(reading.unfinished(parts_of(inputs, read, size))):
                    folder.write(part, lines)
                    done += len(lines)
                    if progress is not None:
                        progress(reading.kept + done)
            return Answered(folder.join(output, reading.parts), reading.kept)
    except KeyboardInterrupt as error:
        kept = f"finished parts are kept in {folder.path}" if folder.path.is_dir() else "no part was finished"
        raise Interrupted(f"interrupted; {kept}") from error


class _Reading:
    """What has been read of the input.

    Attributes:
        parts: Parts so far.
        kept: Rows of those that were finished before.
    """

    def __init__(self, folder: PartFolder) -> None:
        self.parts = self.kept = 0
        self._folder = folder

    def unfinished(self, parts: Iterator[Part]) -> Iterator[Part]:
        """Yield the parts that have no answers yet."""
        for part in parts:
            self.parts += 1
            if self._folder.holds(part):
                self.kept += len(part.records)
            else:
                yield part


def _workers(ask: Ask, cluster: Cluster | None) -> tuple[Workers, Task | ZeroShotTask]:
    """Return who answers, and the task, which knows how its files are read."""
    if cluster is None:
        answerer = Answerer(ask)
        return LocalWorker(answerer), answerer.pipeline.loaded.task
    workers = RayWorkers(ask, cluster.workers, cluster.address)
    return workers, load_model(ask.model, task=ask.task).task
