"""LiteBERT's commands as processes of their own, with their answers as data; for the benchmarks that go through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


class CommandFailed(RuntimeError):  # noqa: N818 - what happened
    """A command ended with another status than 0; what it said is the message."""


def answered(arguments: Sequence[str], *, threads: int | None = None) -> dict[str, Any]:
    """Run ``litebert ARGUMENTS --json`` and return the envelope that it printed.

    Raises:
        CommandFailed: It did not end well.
    """
    environ = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    command = [sys.executable, "-m", "litebert", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    if done.returncode:
        raise CommandFailed(f"litebert {' '.join(arguments)}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
