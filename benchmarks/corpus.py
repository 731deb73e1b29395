"""Speed of `litebert corpus build`, against what Google's `create_pretraining_data.py` was measured at on a machine of two cores.

    LITEBERT_DATA=DIR python benchmarks/corpus.py [--input FILE...] [--tokenizer MODEL] [--workers 2] [--megabytes 1.1,24] [--rounds 3]

Text: WikiText-2 (valid and test) in Google's layout, a sentence a line and an empty line between documents; for more megabytes than there
are, the sentences are dealt into new documents again and again. Each figure is the time of whole processes, start-up and all.

same work       sentences as they are, no filters, no search for duplicates: what Google's program reads and tokenises
with examples   the same, and then one epoch of masked examples of length 512 is made from the shards (preset `released`), which is what
                Google's program writes to disk
everything on   filters, exact and near duplicates, languages, sentence splitting off documents of paragraphs

The peer, measured on a machine of two cores: 1.1 MB of WikiText, dupe_factor 1, length 512, 5.6 s, of which about 2 s is TensorFlow's
start. Beside the wall time stands the processor time of one process doing it all; where that is well below the wall time of the same
run, the machine was busy with something else (`starved`), and only the figures per processor second count.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results_folder import RESULTS

from litebert.files import write_json
from litebert.text.sentences import split_sentences
from litebert.train.run_folder import environment

PEER = {"program": "create_pretraining_data.py", "megabytes": 1.1, "seconds": 5.6, "start_up_seconds": 2.0}
SAME = [
    "--layout",
    "sentences",
    "--no-clean",
    "--no-exact-duplicates",
    "--no-near-duplicates",
    "--set",
    "report.language_samples=0",
]
EXAMPLES = """
import sys
from litebert.corpus.shards import Corpus
from litebert.pretrain.examples import ExampleSettings, with_preset
from litebert.pretrain.stream import RowStream
stream = RowStream(Corpus(sys.argv[1]), ExampleSettings(**with_preset({"preset": "released", "length": 512})), seed=0)
rows, worker, workers = stream.rows_in_epoch(0), int(sys.argv[2]), int(sys.argv[3])
for step, first in list(enumerate(range(0, rows, 32)))[worker::workers]:
    stream.block(step, first, min(32, rows - first))
"""


def documents(paths: list[Path]) -> list[list[list[str]]]:
    """Return documents as paragraphs of sentences; WikiText's headings begin a document."""
    found: list[list[list[str]]] = []
    for path in paths:
        for line in path.read_text(encoding="utf-8").split("\n"):
            text = (
                line.strip()
                .replace(" @-@ ", "-")
                .replace(" @,@ ", ",")
                .replace(" @.@ ", ".")
                .replace("<unk>", "unknown")
            )
            if not text or not found or (text.startswith("= ") and not text.startswith("= =")):
                found.append([])
            if text and not text.startswith("="):
                found[-1].append(split_sentences(text))
    return [document for document in found if document]


def write_input(paths: list[Path], size: float, sentences: Path, paragraphs: Path) -> None:
    """Write the same text twice: a sentence a line, and a paragraph a line."""
    every, draw, written = documents(paths), random.Random(0), 0
    flat = [s for d in every for p in d for s in p]
    with sentences.open("w", encoding="utf-8") as one, paragraphs.open("w", encoding="utf-8") as other:
        while True:
            rest = iter(flat)
            for document in every:
                again = [[next(rest) for _ in paragraph] for paragraph in document]
                one.write("\n".join(s for p in again for s in p) + "\n\n")
                other.write("\n".join(" ".join(p) for p in again) + "\n\n")
                written += sum(len(s.encode()) + 1 for p in again for s in p) + 1
                if written >= size * 1e6:
                    return
            draw.shuffle(flat)


def measure(commands: list[list[str]], workers: int, rounds: int) -> dict[str, float]:
    """Return the median wall time of running the commands in turn, and the processor time that one process takes for them."""
    wall = [_run(commands, workers)[0] for _ in range(rounds)]
    # The processes of a pool are not children of ours: what the work costs is taken from a run in a single process.
    alone, processor = _run(commands, 1)
    return {
        "seconds": round(statistics.median(wall), 2), "seconds_one_worker": round(alone, 2),
        "processor_seconds_one_worker": round(processor, 2),
    }  # fmt: skip


def _run(commands: list[list[str]], workers: int) -> tuple[float, float]:
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    for command in commands:
        if command[0] == "-c":  # one process for each part of the steps, as the training loader has
            together = [[*command, str(worker), str(workers)] for worker in range(workers)]
        else:
            together = [[*command, "--workers", str(workers)]]
        running = [
            subprocess.Popen([sys.executable, *c], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for c in together
        ]
        for child in running:
            _, err = child.communicate()
            if child.returncode:
                raise SystemExit(err.decode())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - wall, busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, nargs="*", default=[])
    parser.add_argument("--tokenizer", help="default: the bundled English vocabulary of 30,000 pieces")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--megabytes", default="1.1,24")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "corpus.json")
    arguments = parser.parse_args()
    paths = arguments.input
    if not paths:
        if not os.environ.get("LITEBERT_DATA"):
            raise SystemExit("set LITEBERT_DATA to the folder that holds wikitext-2, or name files with --input")
        paths = [Path(os.environ["LITEBERT_DATA"]) / "wikitext-2" / name for name in ("valid.txt", "test.txt")]
    load, rows = round(os.getloadavg()[0], 2), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vocabulary = arguments.tokenizer
        if vocabulary is None:
            from litebert.text import AlbertTokenizer

            vocabulary = str(folder / "vocabulary")
            AlbertTokenizer.bundled().save_pretrained(vocabulary)
        for size in map(float, arguments.megabytes.split(",")):
            sentences, paragraphs = folder / "sentences.txt", folder / "paragraphs.txt"
            write_input(paths, size, sentences, paragraphs)
            common = [
                "--tokenizer",
                vocabulary,
                "--out",
                str(folder / "out"),
                "--workers",
                str(arguments.workers),
                "--force",
            ]
            half = [
                "--set",
                f"shards.unit_bytes={max(1 << 16, min(32 << 20, int(size * 1e6 / arguments.workers) + 1))}",
            ]
            build = ["-m", "litebert", "corpus", "build"]
            programs = {
                "same work": [[*build, str(sentences), *common, *SAME, *half]],
                "with examples": [
                    [*build, str(sentences), *common, *SAME, *half],
                    ["-c", EXAMPLES, str(folder / "out")],
                ],
                "everything on": [[*build, str(paragraphs), *common, "--layout", "paragraphs", *half]],
            }
            megabytes = sentences.stat().st_size / 1e6
            for program, commands in programs.items():
                row = {"program": program, "megabytes": round(megabytes, 2)}
                row.update(measure(commands, arguments.workers, arguments.rounds))
                row["megabytes_per_second"] = round(megabytes / row["seconds"], 2)
                row["megabytes_per_processor_second"] = round(megabytes / row["processor_seconds_one_worker"], 2)
                row["times_peer"] = round(row["megabytes_per_second"] / (PEER["megabytes"] / PEER["seconds"]), 1)
                after_start = PEER["megabytes"] / (PEER["seconds"] - PEER["start_up_seconds"])
                row["times_peer_without_its_start_up"] = round(row["megabytes_per_second"] / after_start, 1)
                rows.append(row)
                print(row, flush=True)
    starved = any(row["processor_seconds_one_worker"] < 0.8 * row["seconds_one_worker"] for row in rows)
    if starved:
        print(
            "The machine did not give this run its cores: only the figures per processor second count.", file=sys.stderr
        )
    data = {
        "command": " ".join(["python", "benchmarks/corpus.py", *sys.argv[1:]]), "workers": arguments.workers, "rows": rows,
        "peer": PEER, "statistic": f"median of {arguments.rounds} rounds, whole processes", "load_before": load, "starved": starved,
        "environment": environment(),
    }  # fmt: skip
    write_json(arguments.out, data)


if __name__ == "__main__":
    main()
