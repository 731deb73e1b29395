"""Joining a Ray cluster, which corpus building and bulk prediction share.

A user's errors travel through Ray as values: raised in a worker they would arrive wrapped in Ray's own exception and its traceback.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from litebert.errors import LitebertError, MachineError

Result = TypeVar("Result")


def import_ray() -> Any:
    """Return the module ``ray``.

    Raises:
        MachineError: It is not installed.
    """
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise MachineError(
            "--engine ray needs the package ray, which is not installed",
            hint='Install it with: pip install "litebert[ray]"',
        ) from error
    return ray


def join(address: str | None, flag: str) -> bool:
    """Join a cluster, unless this process has joined one.

    Args:
        address: Of the cluster; None for what ``RAY_ADDRESS`` says, else a new one on this machine.
        flag: The command's flag for the address, for the message.

    Returns:
        Whether it was joined just now, and is to be left again with ``ray.shutdown()``.

    Raises:
        MachineError: Ray is not installed, or no cluster answers.
    """
    ray = import_ray()
    if ray.is_initialized():
        return False
    heeded = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, include_dashboard=False, configure_logging=False)
        with suppress(TypeError, ValueError):  # Ray takes SIGTERM for itself, but the command has to save its state
            signal.signal(signal.SIGTERM, heeded)
    except Exception as error:  # of any kind: a machine that starts too slowly gives a bare one
        raise MachineError(
            f"no Ray cluster answers: {error}", hint=f"Start one with: ray start --head; or check {flag}."
        ) from error
    return True


def attempt(function: Callable[..., Result], *arguments: Any) -> tuple[bool, Any]:
    """Return whether a call succeeded and its result, or the error that the user should see as it is."""
    try:
        return True, function(*arguments)
    except LitebertError as error:
        return False, error


def outcome(answer: tuple[bool, Any]) -> Any:
    """Return the result that ``attempt`` gave, or raise the error."""
    done, value = answer
    if not done:
        raise value
    return value
