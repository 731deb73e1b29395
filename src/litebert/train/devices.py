"""Which device a run takes."""

from __future__ import annotations

import torch

from litebert.errors import MachineError, UsageError, nearest

_DEVICES = ("auto", "cpu", "cuda", "cuda:1", "mps", "xpu")


def choose_device(name: str) -> torch.device:
    """Return the device for a name; ``auto`` is a GPU when there is one.

    Raises:
        UsageError: No such device.
        MachineError: It is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}", hint=nearest(name, _DEVICES)) from None
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        raise MachineError(
            f"device {name!r} cannot be used: {str(error).splitlines()[0]}", hint="Try --device cpu."
        ) from error
    return device
