"""Running it: the socket, the processes, and an end that loses no request that was taken."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from litebert.errors import LitebertError, RunError
from litebert.processors import usable_processors
from litebert.serve.app import LEAVE, make_app
from litebert.serve.event_loop import ServingLoop
from litebert.serve.keys import VARIABLE, Keys, check_open
from litebert.serve.knowledge import SHARED
from litebert.serve.logs import Lines, attach
from litebert.serve.memory import collect_rarely, share_arenas, uncollected
from litebert.serve.protocol import PatientProtocol
from litebert.serve.settings import ServeSettings
from litebert.serve.worker import RESTARTS, WITHIN

SETTINGS = "LITEBERT_SERVE_SETTINGS"
"""Environment variable by which processes of one server get its settings."""

QUEUE = 2048
"""Connections that may wait to be taken."""

SILENCE = 300.0
"""Seconds after which a process that does not answer counts as hanging; one that starts on a busy machine is silent for long."""

logger = logging.getLogger("litebert.serve")


def run(settings: ServeSettings, tell: Callable[[str], None]) -> None:
    """Serve until told to stop.

    Args:
        settings: What and how.
        tell: Called with the address when requests are taken.

    Raises:
        LitebertError: A model cannot be loaded, the port is taken, or the address is open to the world without a key.
    """
    check_open(settings, Keys((*settings.api_keys, os.environ.get(VARIABLE, "")), settings.api_key_file))
    prepare_process(settings)
    sock = listening(settings)
    host, port = sock.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    try:
        if settings.workers == 1:
            with uncollected():
                app = make_app(settings)
            collect_rarely()
            tell(address)
            with _signals_end_it():
                uvicorn.Server(uvicorn_config(settings, app)).run(sockets=[sock])
            if app.state.engine.worker.broken:
                raise RunError(
                    "the worker failed again and again", hint="The log says why; a supervisor may start it anew."
                )
        else:
            tell(address)
            _run_many(settings, sock)
    finally:
        sock.close()


def application() -> FastAPI:
    """Return the application of a process that another one started; settings are in the environment."""
    settings = ServeSettings(**json.loads(os.environ[SETTINGS]))
    prepare_process(settings)
    try:
        with uncollected():
            app = make_app(settings)
    except LitebertError as error:
        logger.error("%s%s", error.message, f" ({error.hint})" if error.hint else "")
        sys.exit(STARTUP_FAILURE)  # the other processes would fail in the same way
    collect_rarely()
    parent = multiprocessing.parent_process()
    app.state.parent = None if parent is None else parent.pid
    return app


class Processes(Multiprocess):
    """Several processes on one socket. One that ends is replaced, but not again and again; keys are read again without any ending.

    Args:
        settings: Theirs.
        sock: They listen on it.
        folder: Of their figures.
    """

    def __init__(self, settings: ServeSettings, sock: socket.socket, folder: str) -> None:
        config = uvicorn_config(settings, "litebert.serve.server:application")
        config.factory, config.workers = True, settings.workers
        super().__init__(config, sockets=[sock])
        self.folder = folder
        self.problem: str | None = None
        self._told: int = signal.SIGTERM
        self._ended: deque[float] = deque()
        self._asked: dict[int | None, float] = {}
        self._started: set[int | None] = set()
        self._owed: set[int | None] = set()

    def init_processes(self) -> None:
        """Start them all."""
        self.processes = [self._started_one() for _ in range(self.processes_num)]

    def _started_one(self) -> Process:
        """Start a process that Ctrl-C does not reach: a terminal sends it to all of them, and they would hear of it twice."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # what a new process begins with
        try:
            process = Process(self.config, self.sockets)
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return process

    def keep_subprocess_alive(self) -> None:
        """Replace those that have ended or are silent; give up if one could not even start, or if too many end."""
        for place, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if process.process.is_alive() and self._heard(process):
                continue
            process.kill()
            process.join()
            mark_process_dead(process.pid, self.folder)  # type: ignore[no-untyped-call]
            for known in (self._started, self._owed):
                known.discard(process.pid)
            self._asked.pop(process.pid, None)
            self._judge(process.exitcode)
            if not self.should_exit.is_set():
                logger.error("process %s has ended (%s); a new one takes over", process.pid, process.exitcode)
                self.processes[place] = self._started_one()

    def _heard(self, process: Process) -> bool:
        """Return whether a process has answered lately; waiting for an answer would keep us from hearing signals."""
        now = time.monotonic()
        try:
            if process.pid not in self._asked:
                process.parent_conn.send(b"ping")
                self._asked[process.pid] = now
            elif process.parent_conn.poll():
                self._note_answer(process, started=process.parent_conn.recv())
        except (OSError, EOFError):
            return False
        return now - self._asked.get(process.pid, now) < SILENCE

    def _note_answer(self, process: Process, *, started: bool) -> None:
        """Note what a process says; what it was not there to hear is said again once it has started."""
        del self._asked[process.pid]
        if started:
            self._started.add(process.pid)
            if process.pid in self._owed:
                self._owed.discard(process.pid)
                self._tell(signal.SIGHUP, [process])

    def _judge(self, code: int | None) -> None:
        """Note that a process has ended, and whether there is any use in another."""
        now = time.monotonic()
        self._ended.append(now)
        while self._ended[0] < now - WITHIN:
            self._ended.popleft()
        if code == STARTUP_FAILURE:
            self.problem = "a process could not start"
        elif len(self._ended) > RESTARTS * self.config.workers:
            self.problem = "the processes end again and again"
        if self.problem is not None:
            self.should_exit.set()

    def handle_hup(self) -> None:
        """Let every process read its keys again; one that starts has no ear for it yet, and would end."""
        self._owed |= {process.pid for process in self.processes if process.pid not in self._started}
        self._tell(signal.SIGHUP, [process for process in self.processes if process.pid in self._started])

    def handle_int(self) -> None:
        """End without waiting for a load balancer to notice."""
        self._told = LEAVE
        super().handle_int()

    def terminate_all(self) -> None:
        """Let all of them end when they have answered what they took."""
        self._tell(self._told, self.processes)

    def join_all(self) -> None:
        """Wait until all have ended; a further signal is passed on, which ends them at once."""
        while any(process.exitcode is None for process in self.processes):
            again = [number for number in self.signal_queue if number in (signal.SIGINT, signal.SIGTERM)]
            self.signal_queue.clear()
            if again:
                self._tell(signal.SIGTERM, self.processes)
            time.sleep(0.05)
        super().join_all()

    def _tell(self, number: int, processes: Iterable[Process]) -> None:
        for process in processes:
            if process.pid is not None and process.exitcode is None:
                os.kill(process.pid, number)


def uvicorn_config(settings: ServeSettings, app: Any) -> uvicorn.Config:
    """Return how uvicorn serves an application, or the one that a name leads to."""
    return uvicorn.Config(
        app, http=PatientProtocol, loop=f"{ServingLoop.__module__}:{ServingLoop.__name__}", ws="none",
        log_config=None, access_log=False, server_header=False, timeout_keep_alive=30,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_timeout)), lifespan="on", h11_max_incomplete_event_size=65536,
        backlog=QUEUE,
    )  # fmt: skip


def listening(settings: ServeSettings) -> socket.socket:
    """Return a socket that listens.

    Raises:
        RunError: The address is taken, or not of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol has to be named: asyncio looks for it before it sends small packets at once, and an answer is two of them.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((settings.host, settings.port))
    except OSError as error:
        sock.close()
        raise RunError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}",
            hint="Choose another --port; --port 0 takes a free one.",
        ) from error
    sock.listen(QUEUE)  # who comes while the models are loaded waits
    sock.set_inheritable(True)
    return sock


def _run_many(settings: ServeSettings, sock: socket.socket) -> None:
    """Run several processes, which add their figures up in one folder, and have an index of ``--faq`` there.

    Raises:
        RunError: They could not start, or ended again and again.
    """
    with tempfile.TemporaryDirectory(prefix="litebert-processes-") as folder:
        os.environ[SETTINGS] = shared_out(settings).model_dump_json()
        os.environ[SHARED] = os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        processes = Processes(settings, sock, folder)
        processes.run()
        if processes.problem is not None:
            raise RunError(processes.problem, hint="The log says why.")


def shared_out(settings: ServeSettings) -> ServeSettings:
    """Return the settings of each of several processes: its part of the processors, unless a number of threads was named."""
    if settings.engine.threads is not None or "OMP_NUM_THREADS" in os.environ:
        return settings
    threads = max(usable_processors() // settings.workers, 1)
    return settings.model_copy(update={"engine": settings.engine.model_copy(update={"threads": threads})})


@contextmanager
def _signals_end_it() -> Iterator[None]:
    """Let the signals that end the server end it without killing the process, which uvicorn would do once it is done."""
    kept = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def prepare_process(settings: ServeSettings) -> None:
    """Set what belongs to the process: how long it waits for headers, where it logs to, and how its memory is parted."""
    PatientProtocol.patience = settings.read_timeout
    share_arenas()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(as_json=settings.log == "json"))
    attach(handler, "litebert", logging.INFO if settings.log != "off" else logging.WARNING)
    attach(handler, "uvicorn", logging.WARNING)
    attach(handler, "opentelemetry", logging.WARNING)
