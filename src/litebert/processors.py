"""How many processors this process may use: those it is bound to, and the share of their time that its control group allows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
"""Where ``proc`` and ``sys`` are."""


def usable_processors() -> int:
    """Return the processors this process may use, at least 1."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([bound, *_shares()])))


def _shares() -> Iterator[float]:
    """Yield the processors' worth of time that each control group above this process allows, in version 1 or 2 of Linux."""
    lines = _read(ROOT / "proc/self/cgroup").splitlines()
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = ROOT / "sys/fs/cgroup" / ("cpu" if controllers else "")
        own = top / path.strip("/")
        for folder in [own, *own.parents]:  # a container sees its own group as the top, under whatever path
            if folder.is_relative_to(top):
                yield from _share(folder)


def _share(folder: Path) -> Iterator[float]:
    words = _read(folder / "cpu.max").split()
    if not words:
        words = [_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]) > 0:  # else "max", or -1: no limit
        yield int(words[0]) / int(words[1])


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
