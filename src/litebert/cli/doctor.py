"""``litebert doctor``: what this machine offers."""

from __future__ import annotations

import os
import shutil
import time
from typing import Any

import click

from litebert.cli.output import common_options, print_result, table

_SHAPE = "1024 x 768 x 3072"


@click.command("doctor")
@common_options
def command(as_json: bool, debug: bool) -> None:  # noqa: ARG001
    """Show versions, processor features, threads, memory, disk, and one measured matrix-product figure.

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
        "gflops": {"float32": _gflops(torch.float32), "bfloat16": _gflops(torch.bfloat16)},
    }  # fmt: skip
    rows = [
        ("processor", f"{env['processor']}, {env['cores']} cores, {data['threads']} threads"),
        ("bfloat16", "native" if data["bfloat16"] else "emulated: use fp32"),
        ("GPUs", ", ".join(data["gpus"]) or "none"),
        ("memory", f"{data['memory_bytes'] / 1e9:.1f} GB"),
        ("free disk here", f"{data['disk_free_bytes'] / 1e9:.1f} GB"),
        ("matrix product", f"{data['gflops']['float32']:.0f} GFLOP/s float32, {data['gflops']['bfloat16']:.0f} bfloat16 ({_SHAPE})"),
        ("Python", f"{env['python']} on {env['system']}"),
        *sorted(env["packages"].items()),
    ]  # fmt: skip
    print_result("doctor", data, table(rows), as_json=as_json)


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
