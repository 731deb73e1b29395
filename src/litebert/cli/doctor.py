"""``litebert doctor``: what this machine offers."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import click

from litebert.cli.output import common_options, counted, print_result, table

_SHAPE = "1024 x 768 x 3072"


@click.command("doctor")
@common_options
def command(as_json: bool, debug: bool) -> None:  # noqa: ARG001
    """Show versions, optional packages, processor features, threads, memory, disk, and one measured matrix-product figure.

    \b
    Example:
      litebert doctor --json
    """  # noqa: D301
    import torch

    from litebert.train.precision import has_bfloat16_cpu
    from litebert.train.run_folder import environment

    env = environment()
    data: dict[str, Any] = {
        **env, "threads": torch.get_num_threads(), "memory_bytes": _memory(), "disk_free_bytes": shutil.disk_usage(".").free,
        "bfloat16": has_bfloat16_cpu(), "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "extras": _extras(), "gflops": {"float32": _gflops(torch.float32), "bfloat16": _gflops(torch.bfloat16)},
    }  # fmt: skip
    rows = [
        ("processor", f"{env['processor']}, {counted(env['cores'] or 0, 'core')}, {counted(data['threads'], 'thread')}"),
        ("bfloat16", "native" if data["bfloat16"] else "emulated: use fp32"),
        ("GPUs", ", ".join(data["gpus"]) or "none"),
        ("memory", f"{data['memory_bytes'] / 1e9:.1f} GB"),
        ("free disk here", f"{data['disk_free_bytes'] / 1e9:.1f} GB"),
        ("matrix product", f"{data['gflops']['float32']:.0f} GFLOP/s float32, {data['gflops']['bfloat16']:.0f} bfloat16 ({_SHAPE})"),
        ("Python", f"{env['python']} on {env['system']}"),
        *sorted(env["packages"].items()),
        *((f"litebert[{extra}]", _told(packages)) for extra, packages in data["extras"].items()),
    ]  # fmt: skip
    print_result("doctor", data, table(rows), as_json=as_json)


def _extras() -> dict[str, dict[str, str | None]]:
    """Return the packages of each extra with their versions, None for those that are missing."""
    try:
        required = metadata.requires("litebert") or []
    except metadata.PackageNotFoundError:  # run from its sources
        return {}
    found: dict[str, dict[str, str | None]] = {}
    for requirement in required:
        parts = re.match(r"""([\w.-]+)[^;]*;.*\bextra == ["']([\w-]+)["']""", requirement)
        if parts is not None and parts[1] != "litebert" and parts[2] != "dev":
            found.setdefault(parts[2], {})[parts[1]] = _version(parts[1])
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _told(packages: Mapping[str, str | None]) -> str:
    missing = [name for name, version in packages.items() if version is None]
    return f"missing {', '.join(missing)}" if missing else "installed"


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def _gflops(dtype: Any) -> float:
    import torch

    a, b = torch.randn(1024, 768).to(dtype), torch.randn(768, 3072).to(dtype)
    best = float("inf")
    for _ in range(6):
        started = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - started)
    return 2 * 1024 * 768 * 3072 / best / 1e9
