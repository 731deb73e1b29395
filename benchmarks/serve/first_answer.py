"""From starting the server in a fresh process to its first answer.

    litebert bench serve_first_answer [--model litebert-small-en] [--times 5]

``litebert serve MODEL --port 0`` is started, says its address, and is asked once: for a word in place of ``[MASK]``, or for what else the
model answers. Median of the times; the first is thrown away, since it reads the files from the disk. Compiled modules are kept, as
in an installed package, whatever ``PYTHONDONTWRITEBYTECODE`` says. Writes benchmarks/results/serve_first_answer.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from results_folder import RESULTS
from servers import asked, folder_of

from litebert.files import write_json
from litebert.train.run_folder import environment

RESULT = RESULTS / "serve_first_answer.json"
MOST_SECONDS = 3.0


def one(model: str, compiled: str) -> dict[str, float]:
    """Return the seconds until the server listens, until its first answer, and its memory in MB then.

    Args:
        model: Reference.
        compiled: Folder of compiled modules, filled by whoever comes first.
    """
    command = [
        sys.executable,
        "-m",
        "litebert",
        "serve",
        model,
        "--port",
        "0",
        "--log",
        "off",
        "--json",
        "--set",
        "drain_delay=0",
    ]
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as process:
        try:
            line = process.stdout.readline()
            if not line:
                raise SystemExit(process.stderr.read())
            ready = time.perf_counter() - started
            port = int(json.loads(line)["data"]["address"].rpartition(":")[2])
            status, answer = asked(port, "/litebert/v1/ask", {"inputs": ["Paris is the [MASK] of France."]})
            seconds = time.perf_counter() - started
            if status != 200:
                raise SystemExit(f"the first answer was {status}: {answer[:300]!r}")
            peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
            return {
                "listens": round(ready, 3),
                "answers": round(seconds, 3),
                "peak_mb": round(int(peak[1]) / 1024) if peak else 0,
            }
        finally:
            process.terminate()


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="litebert-small-en")
    parser.add_argument("--times", type=int, default=5)
    arguments = parser.parse_args(given)
    folder_of(arguments.model)
    with tempfile.TemporaryDirectory() as compiled:
        runs = [one(arguments.model, compiled) for _ in range(arguments.times + 1)]
    median = round(statistics.median(run["answers"] for run in runs[1:]), 2)
    print(f"first answer after {median} s (at most {MOST_SECONDS} s): {runs}", flush=True)
    write_json(RESULT, {
        "command": " ".join(["litebert bench serve_first_answer", *(sys.argv[1:] if given is None else given)]),
        "model": Path(arguments.model).name, "seconds": median, "at_most": MOST_SECONDS, "kept": median < MOST_SECONDS,
        "runs": runs[1:], "thrown_away": runs[0], "environment": environment(),
    })  # fmt: skip


if __name__ == "__main__":
    main()
