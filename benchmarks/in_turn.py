"""Programs that are compared run in processes of their own and work one at a time, round after round, so that none disturbs another.

A benchmark starts itself again as each program (``--child NAME``). The child reads one JSON line per job from standard input and answers
with one JSON line; the parent hands the same job to one child after the other.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any


class Program:
    """A child process that does jobs when told to."""

    def __init__(self, script: str, name: str, *arguments: str) -> None:
        self.name = name
        command = [sys.executable, script, "--child", name, *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = self._answer()

    def do(self, job: dict[str, Any]) -> dict[str, Any]:
        """Let it do a job and wait."""
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} has ended: exit status {self._process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        """Let it end."""
        self._process.stdin.close()
        self._process.wait()


def serve(ready: dict[str, Any], do: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Be a child: say that all is ready, then answer jobs with their figures, the seconds they took and the peak memory."""
    print(json.dumps(ready), flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        found = do(json.loads(line))
        seconds = time.perf_counter() - started
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(json.dumps({"seconds": seconds, "peak_mb": round(resident), **found}), flush=True)
