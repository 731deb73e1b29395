"""Search: how well it finds on Cranfield, and what an index of many vectors costs.

    litebert bench search [--data CRANFIELD] [--faq] [--model NAME ...] [--taught TEACHER] [--vectors 1000000] [--queries 200]

Cranfield (1,400 abstracts, 225 questions, graded judgements; 1 is best there, so that the gain is 5 less the grade, and -1 is 0):
nDCG@10, average precision and recall at 100 by ir-measures, a document by its best chunk. Vectors: 384 numbers from clusters, a text of
40 words drawn by Zipf's law beside each, written by the store of ``litebert index``; build and questions each in a process of their
own, whose largest memory is told. A model of the library sentence-transformers is named sentence-transformers:NAME, and NAME=FOLDER
gives any model a name. With --taught the bundled model for vectors first learns the words of the abstracts, not of the questions, from
TEACHER, by the recipe embed-field. With --faq, 57 of Banking77's intents are answers, ten questions each, and 20 are unknown. Exact neighbours for
recall@10 are computed by NumPy. Writes benchmarks/results/search.json.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from command_line import answered
from results_folder import RESULTS

from litebert.inference.embedding_files import SentenceTransformerModel
from litebert.search import Index, build_index
from litebert.search.build import APPROXIMATE_FROM
from litebert.search.lance_store import LanceStore
from litebert.search.models import load_embedder, token_offsets
from litebert.search.store import Chunk, StoredDocument
from litebert.settings import shipped_folder
from litebert.tasks.reading.records import read_records
from litebert.text import AlbertTokenizer
from litebert.train.run_folder import environment

RESULT = RESULTS / "search.json"
SIZE, CLUSTERS, BATCH, WORDS = 384, 2000, 5000, 40
PEER = "sentence-transformers:"
LEARNS, TEACHER = "litebert-small-en-embed", "all-MiniLM-L6-v2"
MODES = ("bm25", "dense", "hybrid")
LESS = 0.25
LESS_DENSE = f"hybrid, dense_weight={LESS:g}"


# --- Cranfield ----------------------------------------------------------------------------------------------------------


def fields_of(path: Path) -> list[dict[str, str]]:
    """The entries of a file in SMART's format."""
    entries: list[dict[str, str]] = []
    field = ""
    for line in path.read_text(encoding="latin-1").splitlines():
        if line.startswith(".I"):
            entries.append({"I": line[2:].strip()})
        elif re.fullmatch(r"\.[TABW]", line):
            field = line[1]
        elif entries:
            entries[-1][field] = f"{entries[-1].get(field, '')}\n{line}".strip()
    return entries


class Peer:
    """A model of sentence-transformers where ours is expected."""

    def __init__(self, name: str) -> None:
        self.model = SentenceTransformerModel(name, device="cpu")
        self.size, self.fingerprint = self.model.embed(["a"]).shape[1], name

    def embed(self, texts):
        return self.model.embed(list(texts))


def peer(model: str):
    return Peer(model), token_offsets(AlbertTokenizer.bundled())


def cranfield(folder: Path, model: str) -> dict:
    import ir_measures
    from ir_measures import AP, Qrel, R, ScoredDoc, nDCG

    rows = (line.split() for line in (folder / "cranqrel").read_text().splitlines())
    judged = [Qrel(query, document, max(0, 5 - int(grade)) if int(grade) > 0 else 0) for query, document, grade in rows]
    # The judgements count the questions from 1 in the order of the file, whatever numbers stand there.
    questions = {
        str(n): " ".join(entry["W"].split()) for n, entry in enumerate(fields_of(folder / "cran.qry"), start=1)
    }
    model, _, place = model.partition("=")
    embedder, offsets = (
        peer(place or model.removeprefix(PEER)) if model.startswith(PEER) else load_embedder(place or model)
    )
    result: dict = {"model": model, "numbers": embedder.size, "questions": len(questions)}
    with tempfile.TemporaryDirectory() as temporary:
        source, out = Path(temporary) / "cranfield.jsonl", str(Path(temporary) / "index")
        write_abstracts(folder, source)
        begun = time.perf_counter()
        built = build_index([str(source)], out, embedder, offsets, model=model)
        result |= {
            "documents": built.documents,
            "chunks": built.chunks,
            "build_seconds": round(time.perf_counter() - begun, 1),
        }
        index = Index.open(out, embedder=embedder)
        for mode in (*MODES, LESS_DENSE):
            how = {"mode": "hybrid", "dense_weight": LESS} if mode == LESS_DENSE else {"mode": mode}
            found = index.search(list(questions.values()), top=100, per_document=True, candidates=300, **how)
            run = [ScoredDoc(q, hit.id, hit.score) for q, hits in zip(questions, found, strict=True) for hit in hits]
            scores = ir_measures.calc_aggregate([nDCG @ 10, AP, R @ 100], judged, run)
            result[mode] = {str(name): round(value, 4) for name, value in scores.items()}
            print(
                f"{model:<28} {mode:<7} " + "  ".join(f"{name} {value:.4f}" for name, value in result[mode].items()),
                flush=True,
            )
    return result


def write_abstracts(folder: Path, path: Path) -> None:
    documents = fields_of(folder / "cran.all.1400")
    path.write_text("".join(json.dumps({"id": d["I"], "text": d.get("W", "")}) + "\n" for d in documents))


def taught(folder: Path, teacher: str) -> dict:
    """The figures of the bundled model once it has learnt the words of the abstracts."""
    with tempfile.TemporaryDirectory() as temporary:
        source, vectors, out = (str(Path(temporary) / name) for name in ("abstracts.jsonl", "taught.parquet", "model"))
        write_abstracts(folder, Path(source))
        begun = time.perf_counter()
        teach = ["embed", teacher, "--teacher", source, "--fragments", "--precision", "bf16", "--output", vectors]
        count = answered(teach)["data"]["records"]
        learnt = time.perf_counter()
        answered(["finetune", "embed", "--model", LEARNS, "--train", vectors, "--out", out, "--recipe", "embed-field"])
        minutes = {
            "teacher": round((learnt - begun) / 60, 1),
            "learning": round((time.perf_counter() - learnt) / 60, 1),
        }
        return {**cranfield(folder, f"{LEARNS}, taught the abstracts={out}"), "fragments": count, "minutes": minutes}


# --- Questions and answers ----------------------------------------------------------------------------------------------


def banking77(model: str, examples: int = 10, unknown: int = 20) -> dict:
    """Intents as answers: some are left out of the index, and their questions are those without an answer."""
    model, _, place = model.partition("=")
    embedder, offsets = (
        peer(place or model.removeprefix(PEER)) if model.startswith(PEER) else load_embedder(place or model)
    )
    folder = shipped_folder("banking77")
    train, test = (
        [(r.text, str(r.label)) for r in read_records(folder / f"{part}.csv.xz")] for part in ("train", "test")
    )
    known = sorted({label for _, label in train})[unknown:]
    with tempfile.TemporaryDirectory() as temporary:
        source, out = Path(temporary) / "faq.jsonl", str(Path(temporary) / "index")
        rows = [row for label in known for row in [row for row in train if row[1] == label][:examples]]
        source.write_text("".join(json.dumps({"question": text, "answer": label}) + "\n" for text, label in rows))
        built = build_index([str(source)], out, embedder, offsets, model=model, questions=True)
        index = Index.open(out, embedder=embedder)
        replies = [(index.answer(text), label) for text, label in test]
    with_answer = [(reply, label) for reply, label in replies if label in known]
    without = [reply for reply, label in replies if label not in known]
    answered = [(reply, label) for reply, label in with_answer if reply.answer is not None]
    result = {
        "model": model, "answers": len(known), "questions": len(rows), "threshold": round(built.faq.threshold, 4),
        "with_an_answer": len(with_answer), "answered": round(len(answered) / len(with_answer), 4),
        "of_these_right": round(statistics.mean(reply.answer == label for reply, label in answered), 4),
        "right_if_always_answered": round(statistics.mean(reply.best == label for reply, label in with_answer), 4),
        "without_an_answer": len(without), "answered_all_the_same": round(statistics.mean(r.answer is not None for r in without), 4),
        "mean_confidence_right": round(statistics.mean(r.confidence for r, label in with_answer if r.best == label), 4),
        "mean_confidence_wrong": round(statistics.mean(r.confidence for r, label in replies if r.best != label), 4),
    }  # fmt: skip
    print(f"{model}: {result}", flush=True)
    return result


# --- Many vectors -------------------------------------------------------------------------------------------------------


def centres() -> np.ndarray:
    return unit(np.random.default_rng(0).standard_normal((CLUSTERS, SIZE), dtype=np.float32))


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def batch_of(number: int, count: int, middle: np.ndarray) -> np.ndarray:
    """The same vectors every time, so that none have to be kept."""
    rng = np.random.default_rng([1, number])
    noise = rng.standard_normal((count, SIZE), dtype=np.float32) * np.float32(0.8 / np.sqrt(SIZE))
    return unit(middle[rng.integers(0, CLUSTERS, count)] + noise)


def batches(total: int):
    middle = centres()
    for number, start in enumerate(range(0, total, BATCH)):
        yield start, batch_of(number, min(BATCH, total - start), middle)


def asked(count: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    near = centres()[rng.integers(0, CLUSTERS, count)]
    return unit(near + rng.standard_normal((count, SIZE), dtype=np.float32) * np.float32(0.8 / np.sqrt(SIZE)))


def vocabulary() -> tuple[np.ndarray, np.ndarray]:
    weights = 1 / np.arange(1, 30_001)
    return np.array([f"word{n}" for n in range(30_000)]), weights / weights.sum()


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def build_vectors(folder: str, total: int) -> dict:
    from datetime import timedelta

    words, weights = vocabulary()
    store = LanceStore(folder)
    rng = np.random.default_rng(3)
    begun = time.perf_counter()
    generating = 0.0
    with store.writing():
        store.create(SIZE, "English")
        for start, vectors in batches(total):
            before = time.perf_counter()
            texts = [" ".join(row) for row in words[rng.choice(len(words), (len(vectors), WORDS), p=weights)]]
            rows = [
                StoredDocument(
                    str(start + i), "", [Chunk(str(start + i), 0, text, 0, len(text), "made")], vectors[i : i + 1], {}
                )
                for i, text in enumerate(texts)
            ]
            generating += time.perf_counter() - before
            store.put(rows, [])
        written = time.perf_counter() - begun
        store.publish({"made": total}, approximate_from=APPROXIMATE_FROM)
        store._table.optimize(
            cleanup_older_than=timedelta(seconds=1)
        )  # what is kept for readers under way is not what an index weighs
    seconds = time.perf_counter() - begun
    size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return {
        "seconds": round(seconds, 1), "seconds_making_texts": round(generating, 1), "seconds_writing": round(written, 1),
        "largest_memory_mb": peak_mb(), "folder_mb": size >> 20,
        "approximate": total >= APPROXIMATE_FROM,
    }  # fmt: skip


def nearest(total: int, queries: np.ndarray, top: int) -> list[set[str]]:
    scores, names = np.full((len(queries), top), -2, dtype=np.float32), np.zeros((len(queries), top), dtype=np.int64)
    for start, vectors in batches(total):
        both = np.concatenate([scores, queries @ vectors.T], axis=1)
        labels = np.concatenate(
            [names, np.broadcast_to(np.arange(start, start + len(vectors)), (len(queries), len(vectors)))], axis=1
        )
        best = np.argpartition(-both, top, axis=1)[:, :top]
        scores, names = np.take_along_axis(both, best, 1), np.take_along_axis(labels, best, 1)
    return [set(map(str, row)) for row in names]


def ask_vectors(folder: str, total: int, count: int) -> dict:
    store = LanceStore(folder)
    begun = time.perf_counter()
    store.open(store.read_description() or {})
    opened = time.perf_counter() - begun
    queries, (words, weights) = asked(count), vocabulary()
    rng = np.random.default_rng(4)
    texts = [" ".join(words[rng.choice(len(words), 5, p=weights)]) for _ in range(count)]
    ways = {
        "dense": lambda i: store.by_vector(queries[i], 10, None),
        "exact": lambda i: store.by_vector(queries[i], 10, None, exact=True),
        "bm25": lambda i: store.by_words(texts[i], 10, None),
    }
    result: dict = {"open_seconds": round(opened, 3)}
    found: dict[str, list[set[str]]] = {}
    for way, ask in ways.items():
        times, found[way] = [], []
        for i in range(count if way != "exact" else min(count, 50)):
            begun = time.perf_counter()
            found[way].append({hit.chunk.document for hit in ask(i)})
            times.append(1000 * (time.perf_counter() - begun))
        result[way] = {"first_ms": round(times[0], 1), "median_ms": round(statistics.median(times[1:]), 1)}
    result["largest_memory_mb"] = peak_mb()
    truth = nearest(total, queries, 10)
    for way in ("dense", "exact"):
        result[way]["recall_at_10"] = round(
            statistics.mean(len(a & b) / 10 for a, b in zip(found[way], truth, strict=False)), 4
        )
    return result


def in_own_process(stage: str, folder: str, total: int, count: int) -> dict:
    command = [
        sys.executable,
        __file__,
        "--stage",
        stage,
        "--folder",
        folder,
        "--vectors",
        str(total),
        "--queries",
        str(count),
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def vectors(total: int, count: int) -> dict:
    with tempfile.TemporaryDirectory() as temporary:
        folder = str(Path(temporary) / "index")
        built = in_own_process("build", folder, total, count)
        print(f"{total:,} vectors: {built}", flush=True)
        answers = in_own_process("ask", folder, total, count)
        print(f"{total:,} vectors: {answers}", flush=True)
    return {"vectors": total, "numbers": SIZE, "words_each": WORDS, "queries": count, "build": built, "ask": answers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with cran.all.1400, cran.qry and cranqrel")
    parser.add_argument("--model", action="append", help="for Cranfield; may be repeated; default: litebert-small-en")
    parser.add_argument("--taught", metavar="TEACHER", help="for Cranfield: a model of sentence-transformers")
    parser.add_argument("--faq", action="store_true", help="questions and answers, from the bundled Banking77")
    parser.add_argument("--vectors", type=int, help="how many vectors")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--stage", choices=["build", "ask"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage == "build":
        print(json.dumps(build_vectors(arguments.folder, arguments.vectors)))
        return
    if arguments.stage == "ask":
        print(json.dumps(ask_vectors(arguments.folder, arguments.vectors, arguments.queries)))
        return
    if arguments.data is None and arguments.vectors is None and not arguments.faq:
        parser.error("name --data, --faq or --vectors")
    result = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    known = {"environment": environment(), "versions": {name: version(name) for name in ("lancedb", "ir-measures")}}
    if arguments.data is not None:
        named = arguments.model or ([] if arguments.taught else ["litebert-small-en"])
        rows = [cranfield(arguments.data, model) for model in named]
        rows += [taught(arguments.data, arguments.taught)] if arguments.taught else []
        kept = {**result.get("cranfield", {}).get("rows", {}), **{row["model"]: row for row in rows}}
        models = " ".join(
            f"--model {name}" if "fragments" not in row else f"--taught {TEACHER}" for name, row in kept.items()
        )
        result["cranfield"] = {"command": f"litebert bench search --data CRANFIELD {models}", **known, "rows": kept}
    if arguments.faq:
        rows = [banking77(model) for model in arguments.model or ["litebert-small-en"]]
        kept = {**result.get("faq", {}).get("rows", {}), **{row["model"]: row for row in rows}}
        models = " ".join(f"--model {name}" for name in kept)
        result["faq"] = {"command": f"litebert bench search --faq {models}", **known, "rows": kept}
    if arguments.vectors is not None:
        command = f"litebert bench search --vectors {arguments.vectors} --queries {arguments.queries}"
        result["vectors"] = {"command": command, **known, **vectors(arguments.vectors, arguments.queries)}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
