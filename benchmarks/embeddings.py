"""Sentence vectors beside a teacher's: how well they follow human similarities, how short they can be, and how fast they come.

    LITEBERT_DATA=DIR litebert bench embeddings [--model litebert-small-en-embed] [--peer MODEL] [--sizes 192,96] [--rounds 3]

Spearman's correlation on STS-B (dev and test) and on all pairs of SICK-R, of ours and of a model of the library sentence-transformers,
each in float32; ours cut to the sizes, in int8 and in bits as well. Then both embed the same texts in turn, each in a process of its
own: the sentences of STS-B's dev split as they come, texts a second, medians of the rounds; ours in the precision it chooses by itself and
in float32, and the same folder in sentence-transformers. The teacher's Cranfield figures are in search.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
from in_turn import Program, serve
from results_folder import RESULTS

from litebert.files import write_json
from litebert.tasks.official.table import OFFICIAL
from litebert.train.run_folder import environment

RESULT = RESULTS / "embeddings.json"
SETS = {
    "STS-B dev": ("sts/stsb", "glue-stsb", "dev"),
    "STS-B test": ("sts/stsb", "glue-stsb", "test"),
    "SICK-R": ("sts/sick", "sick", "test"),
}


def embedder(name: str, precision: str) -> Any:
    """Return what has ``embed``."""
    from litebert.inference.embedding import Embedder
    from litebert.inference.embedding_files import SentenceTransformerModel
    from litebert.inference.loading import load

    if name.startswith("sentence-transformers:"):
        return SentenceTransformerModel(name.partition(":")[2], "cpu", precision)
    return Embedder(load(name, "embed", precision=precision))


def pairs(data: Path, name: str) -> tuple[list[str], list[str], list[float]]:
    benchmark, folder, split = SETS[name]
    records = OFFICIAL[benchmark].read(data / folder, split, warnings=[])
    return [r.text for r in records], [r.pair or "" for r in records], [float(r.label) for r in records]  # type: ignore[arg-type]


def spearman(cosines: np.ndarray, gold: list[float]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(cosines, gold).statistic)


def quality(name: str, data: Path, sizes: list[int]) -> dict[str, dict[str, float]]:
    """Return Spearman's correlations by form of the vectors and data set."""
    model, found = embedder(name, "fp32"), {}
    for one in SETS:
        first, second, gold = pairs(data, one)
        a, b = model.embed(first), model.embed(second)
        forms = {"whole": (a, b)}
        for size in sizes:
            forms[f"first {size}"] = tuple(
                x[:, :size] / np.linalg.norm(x[:, :size], axis=1, keepdims=True) for x in (a, b)
            )
        forms["int8"] = tuple(np.rint(x * 127) for x in (a, b))
        forms["bits"] = tuple(np.where(x > 0, 1.0, -1.0) for x in (a, b))
        for form, (x, y) in forms.items():
            lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
            found.setdefault(form, {})[one] = spearman((x * y).sum(axis=1) / lengths, gold)
    return found


def child(label: str, name: str, precision: str) -> None:
    model = embedder(name, precision)
    model.embed(["Get ready."] * 64)

    def do(job: dict[str, Any]) -> dict[str, Any]:
        model.embed(job["texts"])
        return {}

    serve({"label": label}, do)


def speed(programs: dict[str, tuple[str, str]], texts: list[str], rounds: int) -> dict[str, float]:
    running = [Program(__file__, label, *settings) for label, settings in programs.items()]
    taken: dict[str, list[float]] = {label: [] for label in programs}
    for _ in range(rounds):
        for program in running:
            taken[program.name].append(program.do({"texts": texts})["seconds"])
    for program in running:
        program.close()
    return {label: len(texts) / statistics.median(times) for label, times in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="litebert-small-en-embed")
    parser.add_argument("--peer", help="a model of sentence-transformers: its name or folder")
    parser.add_argument("--sizes", default="192,96")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="the folder of --model, for sentence-transformers; default: as it is")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return child(*arguments.child)
    if not os.environ.get("LITEBERT_DATA"):
        raise SystemExit("set LITEBERT_DATA to the folder that holds the public data sets")
    data = Path(os.environ["LITEBERT_DATA"])
    sizes = [int(size) for size in arguments.sizes.split(",") if size]
    own = Path(arguments.model).name
    rows = {own: quality(arguments.model, data, sizes)}
    programs = {f"{own}, auto": (arguments.model, "auto"), f"{own}, fp32": (arguments.model, "fp32")}
    if arguments.folder:
        programs[f"{own} in sentence-transformers"] = (f"sentence-transformers:{arguments.folder}", "fp32")
    if arguments.peer:
        peer = f"sentence-transformers:{arguments.peer}"
        rows[teacher_name(arguments.peer)] = quality(peer, data, [])
        programs[teacher_name(arguments.peer)] = (peer, "fp32")
        programs[f"{teacher_name(arguments.peer)}, bf16"] = (peer, "bf16")
    first, second, _ = pairs(data, "STS-B dev")
    texts_a_second = speed(programs, [*first, *second], arguments.rounds)
    command = f"litebert bench embeddings --model {own} --sizes {arguments.sizes} --rounds {arguments.rounds}"
    result = {"command": command, "rows": rows, "texts_a_second": texts_a_second, "environment": environment()}
    write_json(RESULT, result)
    for name, forms in rows.items():
        for form, scores in forms.items():
            print(name, form, " ".join(f"{k} {v:.4f}" for k, v in scores.items()))
    for label, value in texts_a_second.items():
        print(f"{label}: {value:.0f} texts a second")
    return None


def teacher_name(name: str) -> str:
    """Return what the model is called, if only its folder is named."""
    return "all-MiniLM-L6-v2" if "minilm" in name.lower() else Path(name).name


if __name__ == "__main__":
    sys.exit(main())
