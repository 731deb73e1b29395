"""Speed of our tokenizer against the Rust one of ``transformers``, in turn.

    python benchmarks/tokenizer.py [--rounds 5] [--repeat 20] [--out benchmarks/results/tokenizer.json]

Texts: the golden cases (32 hard ones and 200 Wikipedia paragraphs) repeated, and one generated long text. ``theirs`` is
``AutoTokenizer`` called on the list, as its users do; ``theirs raw`` is its Rust object without the Python layer. Every measured
call ends with Python lists of ids (and offsets), which is what both sides hand to a model.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from results_folder import RESULTS

from litebert.text import AlbertTokenizer
from litebert.text.segmenter import available_threads

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "fixtures" / "golden" / "tokenization.json"


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def transformers_tokenizer(ours: AlbertTokenizer):
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        ours.save_pretrained(folder)
        (Path(folder) / "config.json").write_text(json.dumps({"model_type": "albert"}))
        theirs = AutoTokenizer.from_pretrained(folder)
    theirs.model_max_length = 10**30  # no warning about length
    return theirs


def programs(
    ours: AlbertTokenizer, theirs, texts: list[str], threads: int, offsets: bool
) -> dict[str, Callable[[], list]]:
    raw = theirs.backend_tokenizer

    def call_ours() -> list:
        return [e.ids for e in ours.encode_batch(texts, offsets=offsets, threads=threads)]

    def call_theirs() -> list:
        result = theirs(texts, return_offsets_mapping=offsets, return_attention_mask=False)
        return result["input_ids"]

    def call_raw() -> list:
        if not offsets:
            return [e.ids for e in raw.encode_batch_fast(texts)]
        return [ids for ids, _ in [(e.ids, e.offsets) for e in raw.encode_batch(texts)]]

    return {"ours": call_ours, "theirs": call_theirs, "theirs raw": call_raw}


def measure(calls: dict[str, Callable[[], list]], rounds: int) -> dict[str, tuple[float, float]]:
    """Return the median seconds of each program, and how many cores it kept busy."""
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            wall, busy = time.perf_counter(), time.process_time()
            call()
            seen[name].append((time.perf_counter() - wall, time.process_time() - busy))
    middle = {name: sorted(times)[len(times) // 2] for name, times in seen.items()}
    return {name: (wall, busy / wall) for name, (wall, busy) in middle.items()}


def rows_for(threads: int, repeat: int, rounds: int) -> list[dict]:
    golden = [case["text"] for case in json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]]
    # Their side reads "<unk>" in a text as the special token, ours does not; without it both do the same work.
    for special in ("<unk>", "<pad>", "[MASK]", "[CLS]", "[SEP]"):
        golden = [text.replace(special, special.strip("<>[]").lower()) for text in golden]
    inputs = {"golden texts": golden * repeat, "one long text": [" ".join(golden) * repeat]}
    ours = AlbertTokenizer.bundled(style="hf")
    theirs = transformers_tokenizer(ours)
    rows = []
    for name, texts in inputs.items():
        tokens = sum(len(e) for e in ours.encode_batch(texts, threads=threads))
        for offsets in (False, True):
            calls = programs(ours, theirs, texts, threads, offsets)
            same = calls["ours"]() == calls["theirs"]()
            found = measure(calls, rounds)
            rate = {k: tokens / seconds / 1e6 for k, (seconds, _) in found.items()}
            rows.append(
                {
                    "input": name,
                    "texts": len(texts),
                    "characters": sum(map(len, texts)),
                    "tokens": tokens,
                    "threads": threads,
                    "offsets": offsets,
                    "same_ids": same,
                    "million_tokens_per_second": {k: round(r, 3) for k, r in rate.items()},
                    "cores_busy": {k: round(cores, 2) for k, (_, cores) in found.items()},
                    "ratio_to_theirs": round(rate["ours"] / rate["theirs"], 2),
                    "ratio_to_theirs_raw": round(rate["ours"] / rate["theirs raw"], 2),
                }
            )
    return rows


def rows_in_own_process(threads: int, repeat: int, rounds: int) -> list[dict]:
    # Each number of threads in a process of its own, with the Rust library told the number before it is loaded.
    setting = {"TOKENIZERS_PARALLELISM": "false" if threads == 1 else "true", "RAYON_NUM_THREADS": str(threads)}
    command = [
        sys.executable,
        __file__,
        "--rounds",
        str(rounds),
        "--repeat",
        str(repeat),
        "--only-threads",
        str(threads),
    ]
    done = subprocess.run(command, env={**os.environ, **setting}, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS / "tokenizer.json")
    parser.add_argument("--only-threads", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only_threads:
        print(json.dumps(rows_for(arguments.only_threads, arguments.repeat, arguments.rounds)))
        return
    load = round(os.getloadavg()[0], 2)
    counts = sorted({1, available_threads()})
    rows = [row for n in counts for row in rows_in_own_process(n, arguments.repeat, arguments.rounds)]
    print(
        f"{'input':<15}{'threads':>8}{'offsets':>8}{'Mtok/s':>8}{'theirs':>8}{'raw':>7}{'ratio':>7}{'to raw':>8}  cores busy"
    )
    for row in rows:
        speeds = "{ours:>8.2f}{theirs:>8.2f}{theirs raw:>7.2f}".format(**row["million_tokens_per_second"])
        ratios = f"{row['ratio_to_theirs']:>7.2f}{row['ratio_to_theirs_raw']:>8.2f}"
        busy = " / ".join(str(cores) for cores in row["cores_busy"].values())
        print(f"{row['input']:<15}{row['threads']:>8}{row['offsets']!s:>8}{speeds}{ratios}  {busy}")
    # Judged by the peer alone, so that our own speed has no say in which runs count.
    peer = [row for row in rows if row["texts"] > 1 and not row["offsets"]]
    starved = any(row["cores_busy"]["theirs raw"] < 0.8 * row["threads"] for row in peer)
    if starved:
        print(
            "The machine did not give this run its cores: the rows with several threads do not count.", file=sys.stderr
        )
    packages = ("sentencepiece", "tokenizers", "transformers")
    result = {
        "command": " ".join(["python", "benchmarks/tokenizer.py", *sys.argv[1:]]),
        "machine": {
            "cpu": cpu_model(),
            "cores": available_threads(),
            "system": platform.system(),
            "load_before": load,
            "starved": starved,
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "rounds": arguments.rounds,
        "statistic": "median of rounds, programs in turn, one process per number of threads",
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
