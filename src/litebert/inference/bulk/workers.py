"""Who answers the parts: this process, or workers of a Ray cluster that each hold a loaded model.

The parts that a lost worker had in hand go to the others, and a new worker is started where there is room. Ray could repeat them
itself, but would hold them back for the new worker: with a machine gone for good there may never be room for one.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Protocol, Self

from litebert.cluster import attempt, import_ray, join, outcome
from litebert.errors import LitebertError, MachineError, RunError
from litebert.inference.bulk.job import Answerer, Ask
from litebert.inference.bulk.parts import Part
from litebert.resume import differences, shown
from litebert.tasks.datasets import in_file

logger = logging.getLogger("litebert")

TRIES = 3
"""Workers that one part may lose, and that may end in a row while they load the model."""
IN_HAND = 2
"""Parts that a worker has: the one it answers and the next."""
PATIENCE = 60.0
"""Seconds after which the user is told what is waited for."""

_KEPT = "What is finished is kept: run the same command again to go on."


class Workers(Protocol):
    """Answer parts; used as a context manager."""

    def __enter__(self) -> Self:
        """Return itself."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the workers go."""
        ...

    def computed(self) -> dict[str, Any]:
        """Return how the answers are computed; see ``Answerer.computed``."""
        ...

    def run(self, parts: Iterable[Part]) -> Iterator[tuple[Part, list[str]]]:
        """Yield parts with their answers as JSON, as they are finished.

        Raises:
            LitebertError: Of the first part that has one; those before it are finished first.
        """
        ...


class LocalWorker:
    """This process.

    Args:
        answerer: With the model.
    """

    def __init__(self, answerer: Answerer) -> None:
        self._answerer = answerer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def computed(self) -> dict[str, Any]:
        """Return how the answers are computed; see ``Answerer.computed``."""
        return self._answerer.computed()

    def run(self, parts: Iterable[Part]) -> Iterator[tuple[Part, list[str]]]:
        """Yield parts with their answers, in order; see ``Workers.run``."""
        for part in parts:
            with in_file(part.file):
                lines = self._answerer.lines(part.records)
            yield part, lines


class RemoteAnswerer:
    """What runs in a worker of the cluster.

    Args:
        ask: What is asked.
        threads: Of the computation.
    """

    def __init__(self, ask: Ask, threads: int) -> None:
        os.environ.setdefault("RAYON_NUM_THREADS", str(threads))  # of the tokenizer
        self._answerer = Answerer(ask)
        self._heard: list[str] = []
        handler = _Keeping(self._heard)
        handler.setLevel(logging.WARNING)
        logging.getLogger("litebert").addHandler(handler)

    def load(self) -> tuple[bool, Any]:
        """Load the model; return how it computes and what it is, or what is wrong."""
        return attempt(lambda: (self._answerer.computed(), self._answerer.ask.to_dict(), self._where()))

    def answer(self, part: Part) -> tuple[bool, Any]:
        """Return the answers of a part and what was warned of, or what is wrong."""
        found = attempt(self._answerer.lines, part.records)
        if not found[0]:
            return found
        heard = list(self._heard)
        self._heard.clear()
        return True, (found[1], heard)

    def _where(self) -> str:
        return f"process {os.getpid()} on {import_ray().util.get_node_ip_address()}"


class _Keeping(logging.Handler):
    """Keeps messages, to be told where the user sees them."""

    def __init__(self, kept: list[str]) -> None:
        super().__init__()
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        self._kept.append(record.getMessage())


@dataclass
class _Job:
    part: Part
    lost: int = 0


@dataclass(eq=False)
class _Hand:
    """A worker and what it has in hand, the oldest first."""

    actor: Any
    loading: Any
    jobs: dict[Any, _Job] = field(default_factory=dict)


class RayWorkers:
    """Workers of a Ray cluster; every machine must have this version of LiteBERT, and the model under the same path.

    Args:
        ask: What is asked, with absolute paths.
        workers: How many; None for as many as the cluster has room for.
        address: Of the cluster; None for what the environment says, else a new one on this machine.
    """

    def __init__(self, ask: Ask, workers: int | None = None, address: str | None = None) -> None:
        self._ask, self._count, self._address = ask, workers, address
        self._expected: dict[str, Any] = {}
        self._joined = False
        self._hands: list[_Hand] = []
        self._again: deque[_Job] = deque()
        self._computed: dict[str, Any] | None = None
        self._stillborn = 0
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        self._joined = join(self._address, "--ray-address")
        self._ray = import_ray()
        try:
            self._place()
            for _ in range(self._count or 1):
                self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hand in self._hands:
            with contextlib.suppress(Exception):
                self._ray.kill(hand.actor)
        self._hands.clear()
        if self._joined:
            self._ray.shutdown()
            self._joined = False

    def _place(self) -> None:
        """Find out what a worker takes, and how many there is room for."""
        threads = int(self._ask.engine.get("threads") or 1)
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        device = self._ask.device
        if device == "auto":
            device = "cuda" if any(machine.get("GPU", 0) >= 1 for machine in machines) else "cpu"
        graphics = 0 if device == "cpu" else 1
        room = sum(
            int(min(machine.get("CPU", 0) // threads, machine.get("GPU", 0) if graphics else float("inf")))
            for machine in machines
        )
        if not room:
            wanted = f"{threads} {'core' if threads == 1 else 'cores'}" + (" and a GPU" if graphics else "")
            raise MachineError(
                f"no machine of the Ray cluster has {wanted}", hint="Ask for fewer --threads, or for --device cpu."
            )
        self._count = self._count or room
        self._ask = replace(self._ask, device=device, engine={**self._ask.engine, "threads": threads})
        self._remote: Any = self._ray.remote(RemoteAnswerer).options(
            num_cpus=threads, num_gpus=graphics, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
        )
        self._threads = threads

    def _start(self) -> None:
        actor = self._remote.remote(self._ask, self._threads)
        self._hands.append(_Hand(actor, actor.load.remote()))

    def computed(self) -> dict[str, Any]:
        """Wait for the first worker; return how it computes."""
        while self._computed is None:
            for reference in self._wait():
                self._collect(reference)
        return self._computed

    def run(self, parts: Iterable[Part]) -> Iterator[tuple[Part, list[str]]]:
        """Yield parts with their answers, in any order; see ``Workers.run``."""
        try:
            yield from self._run(iter(parts))
        except self._ray.exceptions.RayTaskError:  # a fault of ours
            raise
        except self._ray.exceptions.RayError as error:
            raise RunError(f"the Ray cluster failed: {_said(error)}", hint=_KEPT) from error

    def _run(self, source: Iterator[Part]) -> Iterator[tuple[Part, list[str]]]:
        first: tuple[float, LitebertError] | None = None  # error, and the number of its part
        while True:
            try:
                all_out = self._feed(source if first is None else iter(()))
            except LitebertError as error:  # of the input; what is in hand comes before it
                first, all_out = (float("inf"), error), True
            if all_out and not self._again and not any(hand.jobs for hand in self._hands):
                break
            for reference in self._wait():
                collected = self._collect(reference)
                if collected is None:
                    continue
                part, answer = collected
                try:
                    with in_file(part.file):
                        lines, warned = outcome(answer)
                except LitebertError as error:
                    first = min(first or (float("inf"), error), (part.number, error), key=lambda found: found[0])
                    continue
                self._tell(warned)
                yield part, lines
        if first is not None:
            raise first[1]

    def _feed(self, source: Iterator[Part]) -> bool:
        """Give parts to those who have room; return whether the source has no more."""
        while free := [hand for hand in self._hands if hand.loading is None and len(hand.jobs) < IN_HAND]:
            job = self._again.popleft() if self._again else next((_Job(part) for part in source), None)
            if job is None:
                return True
            hand = min(free, key=lambda hand: len(hand.jobs))
            hand.jobs[hand.actor.answer.remote(job.part)] = job
        return False

    def _wait(self) -> list[Any]:
        """Return what a worker has sent, if any did within a while."""
        pending = [one for hand in self._hands for one in (hand.loading, *hand.jobs) if one is not None]
        found: list[Any] = self._ray.wait(pending, num_returns=1, timeout=PATIENCE)[0]
        if not found and all(hand.loading is not None for hand in self._hands):
            self._tell(["no worker is ready yet: the Ray cluster has no room, or its machines start slowly"])
        return found

    def _collect(self, reference: Any) -> tuple[Part, tuple[bool, Any]] | None:
        """Take what a worker has sent; None where it was no answer."""
        hand = next(hand for hand in self._hands if reference == hand.loading or reference in hand.jobs)
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(reference)
        except (errors.RayActorError, errors.WorkerCrashedError, errors.NodeDiedError, errors.ObjectLostError) as error:
            self._lose(hand, error)
            return None
        if reference == hand.loading:
            self._welcome(outcome(answer))
            hand.loading = None
            return None
        return hand.jobs.pop(reference).part, answer

    def _welcome(self, facts: tuple[dict[str, Any], dict[str, Any], str]) -> None:
        """Take in a worker that has loaded its model, which has to be the model that the others have."""
        computed, asked, where = facts
        expected = self._ask.to_dict() if self._computed is None else self._expected
        for field_, here, there in differences({**expected, **(self._computed or computed)}, {**asked, **computed}):
            raise RunError(
                f"workers would answer differently: {field_} is {shown(there)} in {where} and {shown(here)} elsewhere",
                hint="Every machine needs the same LiteBERT and model; --precision fp32 is what all processors have.",
            )
        self._computed, self._expected, self._stillborn = computed, expected, 0
        self._ask = self._ask.using(computed)  # workers to come need not find it out
        logger.info("a worker is ready: %s", where)

    def _lose(self, hand: _Hand, error: Exception) -> None:
        """Give the parts of a lost worker to others, and start a new one."""
        logger.info("a worker was lost: %s", _said(error))
        with contextlib.suppress(Exception):
            self._ray.kill(hand.actor)  # it may only be out of reach
        self._hands.remove(hand)
        jobs = list(hand.jobs.values())
        if jobs:
            jobs[0].lost += 1
            if jobs[0].lost == TRIES:
                raise RunError(
                    f"{TRIES} workers were lost at {jobs[0].part.rows()}: {_said(error)}",
                    hint=f"If memory is short take fewer --workers. {_KEPT}",
                ) from error
        self._again.extendleft(reversed(jobs))
        self._stillborn += hand.loading is not None
        if self._stillborn < TRIES:
            self._start()
        elif not self._hands:
            raise RunError(f"workers end while they load the model: {_said(error)}", hint=_KEPT) from error

    def _tell(self, warned: Iterable[str]) -> None:
        for message in warned:
            if message not in self._told:
                self._told.add(message)
                logger.warning("%s", message)


def _said(error: Exception) -> str:
    """Return the end of what Ray says about an error, which may be pages long."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
