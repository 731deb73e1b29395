"""The processes of one run: joined as ``torchrun`` started them, talking, and failing with one voice.

What PyTorch's ``torchrun`` sets (``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR``, ``MASTER_PORT``) says which process this
is; without it there is one. Tensors on a GPU travel by NCCL, everything else by Gloo. A process that fails writes so into the store
that all share, and only it tells the user; the others, whose connections break, see that it has been told and end quietly.
"""

from __future__ import annotations

import atexit
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from litebert.errors import Interrupted, LitebertError, MachineError, RunError, UsageError

T = TypeVar("T")

JOIN, TOLD, LEFT = "litebert/join", "litebert/told", "litebert/left"
"""Keys of the store: how the processes find each other, who tells the user what went wrong, and that it has been told."""

PATIENCE = timedelta(seconds=10)
"""How long a quiet process waits for the one that tells."""

SAVING = timedelta(minutes=10)
"""How long it waits after an interruption, when the one that tells may still be writing the state: ``torchrun`` or the scheduler would
end that one as soon as this one has ended."""

REST = 0.2
"""Seconds between the last message and the end. FSDP2's caches keep the group's threads; one that still drops a tensor when the
interpreter ends would abort it."""

_BROKEN = ("gloo", "NCCL", "Connection closed by peer", "Connection reset", "Broken pipe", "Socket closed")
"""How PyTorch says that another process is gone; it has no class of its own for Gloo's errors."""


@dataclass(frozen=True)
class Processes:
    """Which process this is, and how it talks to the others. The default is a process alone.

    Attributes:
        rank: Number of this process in the run; 0 writes the files and talks to the user.
        size: How many there are, on all machines.
        local_rank: Number of this process on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files and talks to the user."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """Return what every process said, in the order of their numbers; all wait until all have spoken.

        Args:
            value: Anything that can be pickled; the same kind everywhere.
        """
        if self.size == 1:
            return [value]
        said: list[Any] = [None] * self.size
        dist.all_gather_object(said, value)
        return said

    def first(self, value: T) -> T:
        """Return what process 0 said.

        Args:
            value: Anything that can be pickled; ignored in the others.
        """
        if self.size == 1:
            return value
        held: list[Any] = [value if self.is_main else None]
        dist.broadcast_object_list(held, src=0)
        said: T = held[0]
        return said

    def wait(self) -> None:
        """Wait until all processes have come here."""
        self.gather(None)

    def added(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Return figures added up over the processes, in the order of their numbers; a name that one lacks counts as 0 there.

        Args:
            figures: By name.
        """
        said = self.gather(dict(figures))
        names = sorted({name for one in said for name in one}) if len(said) > 1 else list(figures)
        return {name: sum(one.get(name, 0.0) for one in said) for name in names}

    def same(self, what: str, value: Any) -> None:
        """Make sure that every process was started alike.

        Args:
            what: Named in the message.
            value: Compared.

        Raises:
            UsageError: One differs.
        """
        said = self.gather(value)
        for number, other in enumerate(said):
            if other != said[0]:
                raise UsageError(
                    f"process {number} was started with other {what} than process 0",
                    hint="Start every process with the same command, and put the same files on every machine.",
                )

    def device(self, device: torch.device) -> torch.device:
        """Return this process's own device among those of its kind.

        Args:
            device: As chosen for the run.

        Raises:
            MachineError: There are more processes than GPUs.
        """
        if self.size == 1 or device.type != "cuda":
            return device
        found = torch.cuda.device_count()
        if self.local_rank >= found:
            raise MachineError(
                f"process {self.local_rank} of this machine has no GPU: there are {found}",
                hint=f"Start torchrun with --nproc-per-node {found}, or train with --device cpu.",
            )
        own = torch.device("cuda", self.local_rank)
        torch.cuda.set_device(own)
        return own


# --- How torchrun started us ----------------------------------------------------------------------------------------------


def started() -> Processes:
    """Return which process this is, from the environment, without joining the others.

    Raises:
        UsageError: The environment is incomplete.
    """
    size = _number("WORLD_SIZE", 1)
    if size == 1:
        return Processes()
    return Processes(_number("RANK"), size, _number("LOCAL_RANK", 0))


def _number(name: str, default: int | None = None) -> int:
    text = os.environ.get(name, "" if default is None else str(default))
    if not text.isdecimal():
        raise UsageError(
            f"the environment variable {name} is {text!r}, not a number",
            hint="Start many processes with torchrun: torchrun --nproc-per-node 2 -m litebert pretrain ...",
        )
    return int(text)


def launch_name() -> str | None:
    """Return a name that the processes of one ``torchrun`` keep when it starts them anew; None without it."""
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    return f"agent {os.getppid()}" if name == "none" else name


def starts_anew() -> bool:
    """Whether ``torchrun`` has started its processes anew because one had ended."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0) > 0


def refuse_many(what: str) -> None:
    """Refuse to run in many processes.

    Args:
        what: The command.

    Raises:
        UsageError: There are several; the others end quietly.
    """
    here = started()
    if here.size == 1:
        return
    if not here.is_main:
        raise SystemExit(UsageError.exit_code)
    raise UsageError(
        f"{what} runs in one process, and torchrun started {here.size}",
        hint="Start it without torchrun; only litebert pretrain shares its work among processes.",
    )


# --- Joining --------------------------------------------------------------------------------------------------------------

_joined: Processes | None = None


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the other processes of the run for the length of a block; a block within another joins nothing new.

    Raises:
        SystemExit: Another process has told the user what went wrong.
        RunError: Another process ended without a word.
        UsageError: The environment is incomplete.
    """
    global _joined  # noqa: PLW0603 - a process belongs to one group
    if _joined is not None:
        yield _joined
        return
    here = started()
    if here.size == 1:
        yield here
        return
    store = _join(here)
    _joined = here
    try:
        yield here
    except (Exception, KeyboardInterrupt) as error:
        _end_with_one_voice(error, here, store)
        raise
    else:
        here.wait()
        time.sleep(REST)
        dist.destroy_process_group()
    finally:
        _joined = None


def _join(here: Processes) -> Store:
    import torch.distributed.nn

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    try:
        store: Store = next(rendezvous("env://"))[0]
        store = fresh(store, here)
        dist.init_process_group(backend, store=store, rank=here.rank, world_size=here.size)
    except (ValueError, RuntimeError, TimeoutError) as error:
        raise UsageError(
            f"process {here.rank} of {here.size} cannot join the others: {str(error).splitlines()[0]}",
            hint="Start many processes with torchrun: torchrun --nproc-per-node 2 -m litebert pretrain ...",
        ) from error
    return store


def fresh(store: Store, here: Processes, *, patience: float = 600.0) -> Store:
    """Return a part of the store that no earlier start of the run has written to, the same one in every process.

    ``torchrun`` keeps one store while it starts processes anew, so it may hold the addresses of those that are gone. Every process
    leaves a word that was never used before; the first one lists the words it finds until all have answered with the same list.

    Args:
        store: Shared by all.
        here: Which process this is.
        patience: Seconds to wait for the others.

    Raises:
        TimeoutError: Some process did not come.
    """
    own = uuid.uuid4().hex
    store.set(f"{JOIN}/word/{here.rank}", own)
    end = time.monotonic() + patience
    while time.monotonic() < end:
        words = [_read(store, f"{JOIN}/word/{rank}") for rank in range(here.size)] if here.is_main else []
        if words:
            store.set(f"{JOIN}/list", ",".join(words))
        listed = _read(store, f"{JOIN}/list")
        if listed.split(",")[here.rank : here.rank + 1] == [own]:
            store.set(f"{JOIN}/answer/{here.rank}", listed)
            if here.is_main and all(_read(store, f"{JOIN}/answer/{rank}") == listed for rank in range(here.size)):
                store.set(f"{JOIN}/agreed", listed)
            if _read(store, f"{JOIN}/agreed") == listed:
                return PrefixStore(f"{JOIN}/{listed[:32]}", store)
        time.sleep(0.02)
    raise TimeoutError(f"not all of the {here.size} processes have come within {patience:g} seconds")


def _read(store: Store, key: str) -> str:
    return str(store.get(key).decode()) if store.check([key]) else ""


def _end_with_one_voice(error: BaseException, here: Processes, store: Store) -> None:
    """Return in the one process that tells the user, or raise what it tells; the others end quietly, after it."""
    code = error.exit_code if isinstance(error, LitebertError) else Interrupted.exit_code
    code = 1 if isinstance(error, Exception) and not isinstance(error, LitebertError) else code
    quiet = isinstance(error, Interrupted) and not here.is_main  # all stop alike: the first one says so
    try:
        store.set_timeout(PATIENCE)
        tells = not quiet and store.compare_set(TOLD, "", str(here.rank)) == str(here.rank).encode()
        if not tells:
            store.wait([LEFT], SAVING if quiet else PATIENCE)  # torchrun ends the rest as soon as one has ended
    except RuntimeError:
        tells = False  # the store went with the process that held it
    if not tells:
        raise SystemExit(code) from error
    atexit.register(_set, store)
    if isinstance(error, RuntimeError) and is_lost(error):
        raise RunError(
            "another process of the run has ended without a word (killed, or out of memory?)",
            hint="Add --resume to the same command to go on from the last checkpoint; torchrun --max-restarts 3 does it by itself.",
        ) from error


def _set(store: Store) -> None:
    try:
        store.set(LEFT, "1")
    except RuntimeError:
        return


def is_lost(error: RuntimeError) -> bool:
    """Whether an error means that another process is gone."""
    return isinstance(error, dist.DistError) or any(mark in str(error) for mark in _BROKEN)
