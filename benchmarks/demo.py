"""Time the demo as a whole process: wall time, peak memory, accuracy.

python benchmarks/demo.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

from results_folder import RESULTS

from litebert.files import write_json
from litebert.train.run_folder import environment

RESULT = RESULTS / "demo.json"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        command = [sys.executable, "-m", "litebert", "demo", "--out", f"{folder}/demo", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            output = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    if status:
        raise SystemExit(output)
    data = json.loads(output.splitlines()[-1])["data"]
    result = {
        "command": "litebert demo", "wall_seconds": round(seconds, 1), "peak_memory_mb": round(usage.ru_maxrss / 1024, 1),
        "metrics": data["metrics"], "environment": environment(),
    }  # fmt: skip
    write_json(RESULT, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
