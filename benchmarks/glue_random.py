"""Train every GLUE task that has its training file, from random weights with a small configuration: they must train.

    LITEBERT_DATA=DIR python benchmarks/glue_random.py [--seeds 3] [--tasks cola,rte]

DIR holds GLUE folders (CoLA, glue-cola, ...). Each task runs as its own process through the command line, with the recipe
glue-small/TASK. Results go to benchmarks/results/glue_random.json as they come.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from results_folder import RESULTS

from litebert.files import write_json
from litebert.train.run_folder import environment

TASKS = ("wnli", "rte", "mrpc", "cola", "stsb", "qqp", "sst2")
RESULT = RESULTS / "glue_random.json"


def run_task(task: str, data: str, seeds: int, model: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-m", "litebert", "finetune", f"glue/{task}", "--model", model, "--data", data,
            "--recipe", f"glue-small/{task}", "--seeds", str(seeds), "--out", f"{folder}/run", "--json",
        ]  # fmt: skip
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            output = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{task} failed: {output}")
        result = json.loads(output.splitlines()[-1])
    result_data = result["data"]
    shown = ["litebert" if part == sys.executable else part for part in command if part not in ("-m",)]
    shown = [part for i, part in enumerate(shown) if not (part == "litebert" and i == 1)]
    text = " ".join(shown).replace(data, "DIR").replace(folder, "OUT")
    return {
        "command": text,
        "median": result_data["median"],
        "seeds": result_data["seeds"],
        "baseline": result_data["baseline"],
        "wall_seconds": round(time.perf_counter() - started, 1),
        "peak_memory_mb": round(usage.ru_maxrss / 1024, 1),
        "warnings": [w.replace(data, "DIR") for w in result["warnings"]],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--model", default="random:nano")
    parser.add_argument("--note", default="", help="What else the machine was doing.")
    arguments = parser.parse_args()
    data = os.environ.get("LITEBERT_DATA")
    if not data:
        raise SystemExit("set LITEBERT_DATA to the folder that holds the GLUE folders")
    found = json.loads(RESULT.read_text()) if RESULT.is_file() else {"tasks": {}}
    for task in arguments.tasks.split(","):
        found["tasks"][task] = run_task(task, data, arguments.seeds, arguments.model) | {"note": arguments.note}
        found |= {"model": arguments.model, "environment": environment()}
        write_json(RESULT, found)
        print(task, found["tasks"][task]["median"], found["tasks"][task]["wall_seconds"])


if __name__ == "__main__":
    main()
