"""Who runs the jobs of a corpus build: processes of this machine, or a Ray cluster. The results do not depend on it.

An engine runs a function on jobs and gives the results in the order of the jobs. It starts a bounded number of jobs ahead, notices a
worker that dies, and stops all workers at once when the caller stops.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from litebert.cluster import attempt, import_ray, join, outcome
from litebert.errors import RunError

Job = TypeVar("Job")
Result = TypeVar("Result")

AHEAD = 8
"""Jobs in hand for each worker."""


class Engine(Protocol):
    """Runs jobs; used as a context manager."""

    workers: int

    def __enter__(self) -> Self:
        """Return itself."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all workers, at once after an error."""
        ...

    def run(self, function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        """Yield the results of jobs in their order.

        Args:
            function: A function of a module; it and the jobs are sent to other processes.
            jobs: Consumed as there is room.

        Raises:
            RunError: A worker died.
        """
        ...


def available_workers() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalEngine:
    """Processes of this machine.

    Args:
        workers: How many; 1 works in this process.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._before: set[int | None] = set()

    def __enter__(self) -> Self:
        if self.workers > 1:
            methods = multiprocessing.get_all_start_methods()
            context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
            self._before = {child.pid for child in multiprocessing.active_children()}
            self._pool = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_start_worker)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is None:
            return
        if error is not None:
            for child in multiprocessing.active_children():
                if child.pid not in self._before:
                    child.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None

    def run(self, function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        """Yield the results of jobs in their order; see ``Engine.run``."""
        if self._pool is None:
            yield from map(function, jobs)
            return
        started: deque[Future[Result]] = deque()
        try:
            for job in jobs:
                started.append(self._pool.submit(function, job))
                while len(started) >= AHEAD * self.workers or (started and started[0].done()):
                    yield started.popleft().result()
            while started:
                yield started.popleft().result()
        except BrokenProcessPool as error:
            raise RunError(
                "a worker process died: it was killed, or the machine ran out of memory",
                hint="What was finished is kept: run the same command with --resume, if memory is short with fewer --workers "
                "or a smaller --set shards.unit_bytes=...",
            ) from error


def _start_worker() -> None:
    """Prepare a worker: Ctrl-C is the parent's business, libraries use one thread, and nobody works on for a dead parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


class RayEngine:
    """A Ray cluster; every machine of it must see the corpus folder and the inputs under the same paths.

    Args:
        workers: Jobs at a time; None for as many as the cluster has cores.
        address: Of the cluster; None for what the environment says, else a new one on this machine.
    """

    def __init__(self, workers: int | None, address: str | None = None) -> None:
        self.workers = workers or 1
        self._asked, self._address, self._started = workers, address, False

    def __enter__(self) -> Self:
        self._started = join(self._address, "--address")
        ray = import_ray()
        self.workers = self._asked or max(1, int(ray.cluster_resources().get("CPU", 1)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._started:
            import_ray().shutdown()
            self._started = False

    def run(self, function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        """Yield the results of jobs in their order; a job whose machine is lost runs again elsewhere, three times at most."""
        ray = import_ray()
        remote = ray.remote(num_cpus=1, max_retries=3)(attempt).remote
        started: deque[Any] = deque()
        limit = 2 * self.workers
        try:
            for job in jobs:
                running = list(started)
                while len(running) >= limit:
                    _, running = ray.wait(running, num_returns=1)
                started.append(remote(function, job))
                while started and ray.wait([started[0]], timeout=0)[0]:
                    yield outcome(ray.get(started.popleft()))
            while started:
                yield outcome(ray.get(started.popleft()))
        except (
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.ObjectLostError,
        ) as error:
            raise RunError(
                f"a worker of the Ray cluster died repeatedly: {type(error).__name__}",
                hint="What was finished is kept: run the same command with --resume.",
            ) from error
        finally:
            for reference in started:
                with contextlib.suppress(Exception):
                    ray.cancel(reference, force=True)
