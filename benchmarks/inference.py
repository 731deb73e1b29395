"""The encoder against everything a user would pick instead: equal weights, equal inputs, one program at a time, in turn.

    litebert bench inference [--preset base-v2] [--shapes 1x16,1x128,8x128,4x512] [--mix 300] [--rounds 5] [--programs NAME,...]
        [--device cpu|cuda]

Shapes are full rectangles of token ids; the mix is real text (sentences, pairs, passages; LITEBERT_DATA) of 5 to 512 tokens. On the mix
the peers run as their users do, batches of 8 in the order of arrival padded to the longest, and once more with batches sorted by length;
ours is given the same list. Prints medians and ratios, how far each is from the machine's matrix-product ceiling, how far the results are
from transformers in float32, and how long a fresh process takes to its first answer; writes benchmarks/results/inference.json. On a GPU
(inference_cuda.json) the programs are ours and transformers, each as it comes and compiled; times include the way there and back.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import on_gpu
from in_turn import Program, serve
from on_gpu import PRECISION
from results_folder import RESULTS

RESULT = RESULTS / "inference.json"
OURS = (
    "litebert fp32", "litebert bf16", "litebert int8", "litebert+openvino fp32", "litebert+openvino bf16", "litebert+openvino int8",
    "litebert+onnxruntime fp32",
)  # fmt: skip
PEERS = (
    "transformers fp32", "transformers bf16", "transformers compiled", "onnxruntime fp32", "onnxruntime int8", "openvino fp32",
    "openvino bf16", "openvino int8",
)  # fmt: skip
PRECISIONS = ("fp32", "bf16", "fp16", "int8")
PEER_BATCH = 8
SORTED_BATCH = 16

Encode = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Token ids, mask and segment types (B, T) int64 -> pooled first tokens (B, H)."""


# --- Programs -----------------------------------------------------------------------------------------------------------


def program(name: str, folder: Path, device: str) -> Encode:
    """Load a program with the weights of a folder."""
    kind, precision = name.split()
    ours, _, backend = kind.partition("+")
    if ours == "litebert" and device != "cpu":
        return on_gpu.litebert(precision, folder, device)
    if ours == "litebert":
        return _litebert(precision, folder, backend)
    if kind == "transformers":
        return _transformers(precision, folder, device)
    return {"onnxruntime": _onnxruntime, "openvino": _openvino}[kind](precision, folder)


def _litebert(precision: str, folder: Path, backend: str) -> Encode:
    import torch

    from litebert.checkpoint.pretrained import AlbertForSequenceClassification, AlbertTokenizer
    from litebert.inference.backends.encoder import runtime_encoder
    from litebert.inference.engine.accelerate import accelerate
    from litebert.inference.engine.calibration import calibrate
    from litebert.inference.texts import bundled_text

    model = AlbertForSequenceClassification.from_pretrained(folder, strict=False)
    text = bundled_text(AlbertTokenizer.bundled(), model.config) if precision == "int8" else []
    if backend:
        ranges = calibrate(model.albert, text, firsts_only=True) if precision == "int8" else None
        model.albert = runtime_encoder(model.albert, backend, precision, ranges=ranges, firsts_only=True)
    else:
        accelerate(model, precision, calibration=text)

    def encode(ids: np.ndarray, mask: np.ndarray, types: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model.albert(*(torch.from_numpy(x) for x in (ids, mask, types))).pooler_output.numpy()

    return encode


def _transformers(precision: str, folder: Path, device: str) -> Encode:
    import torch
    import transformers

    types = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    dtype = types[PRECISION.get(precision, precision)]
    model = transformers.AlbertModel.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").eval().to(device)
    runner = torch.compile(model, dynamic=True) if precision.startswith("compiled") else model

    def encode(ids: np.ndarray, mask: np.ndarray, types: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            out = runner(*(torch.from_numpy(x).to(device) for x in (ids, mask, types)))
        return out.pooler_output.float().cpu().numpy()

    return encode


def _onnxruntime(precision: str, folder: Path) -> Encode:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    path = folder / f"{precision}.onnx"
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]

    def encode(*inputs: np.ndarray) -> np.ndarray:
        return session.run(None, dict(zip(names, inputs, strict=True)))[1]

    return encode


def _openvino(precision: str, folder: Path) -> Encode:
    import openvino

    path = folder / ("int8.xml" if precision == "int8" else "fp32.xml")
    hint = "f32" if precision == "fp32" else "bf16"
    compiled = openvino.Core().compile_model(
        path, "CPU", {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": os.cpu_count()}
    )
    request = compiled.create_infer_request()

    def encode(*inputs: np.ndarray) -> np.ndarray:
        return request.infer(list(inputs))[1].copy()

    return encode


def prepare(folder: Path, preset: str, peers: Sequence[str]) -> None:
    """Write random weights once for all, and the files that runtimes load: traced from transformers, as their users do."""
    import torch
    import transformers

    from litebert.checkpoint.pretrained import AlbertModel, AlbertTokenizer
    from litebert.config import AlbertConfig
    from litebert.inference.texts import bundled_text

    torch.manual_seed(0)
    AlbertModel(AlbertConfig.preset(preset)).save_pretrained(folder)
    model = transformers.AlbertModel.from_pretrained(folder, attn_implementation="eager").eval()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    example = tuple(torch.ones(2, 16, dtype=torch.int64) for _ in names)
    if any(p.startswith("onnxruntime") for p in peers):
        axes = {name: {0: "batch", 1: "length"} for name in names}
        torch.onnx.export(
            model, example, str(folder / "fp32.onnx"), input_names=names, output_names=["states", "pooled"], dynamic_axes=axes,
            opset_version=18, dynamo=False,
        )  # fmt: skip
    if "onnxruntime int8" in peers:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(folder / "fp32.onnx", folder / "int8.onnx", weight_type=QuantType.QInt8)
    if any(p.startswith("openvino") for p in peers):
        import openvino

        traced = openvino.convert_model(model, example_input=dict(zip(names, example, strict=True)))
        openvino.save_model(traced, folder / "fp32.xml", compress_to_fp16=False)
        if "openvino int8" in peers:
            import nncf

            texts = [
                dict(zip(names, (part.numpy() for part in batch), strict=True))
                for batch in bundled_text(
                    AlbertTokenizer.bundled(), AlbertConfig.preset(preset)
                )  # ours is calibrated with them, too
            ]
            quantised = nncf.quantize(
                traced, nncf.Dataset(texts), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(texts)
            )
            openvino.save_model(quantised, folder / "int8.xml", compress_to_fp16=False)


def child(name: str, folder: Path, device: str) -> None:
    """Do jobs: {"shape": [B, T]} or {"mix": FILE, "batch": N, "sorted": bool}."""
    encode = program(name, folder, device)
    encode(*rectangle(1, 16))

    def do(job: dict[str, Any]) -> dict[str, Any]:
        if "shape" in job:
            inputs = rectangle(*job["shape"])
            first = encode(*inputs)  # the program before has had the caches
            times = []
            for _ in range(job["times"]):
                started = time.perf_counter()
                encode(*inputs)
                times.append(1000 * (time.perf_counter() - started))
            found = {"ms": times}
            return found | {"pooled": first[:2].tolist()}
        sequences = json.loads(Path(job["mix"]).read_text())
        started = time.perf_counter()
        answers = mixed(encode, sequences, job)
        return {"ms": [1000 * (time.perf_counter() - started)], "pooled": answers[:64].tolist()}

    serve({"ready": True}, do)


def rectangle(rows: int, length: int) -> tuple[np.ndarray, ...]:
    ids = np.random.default_rng(rows * length).integers(5, 30000, (rows, length))
    return ids, np.ones_like(ids), np.zeros_like(ids)


def mixed(encode: Encode, sequences: Sequence[Sequence[int]], job: dict[str, Any]) -> np.ndarray:
    """Encode token id lists in batches; returns pooled vectors in their order."""
    order = list(range(len(sequences)))
    if job["ours"]:
        batches = _by_tokens(sequences, job["batch"])
    else:
        if job["sorted"]:
            order.sort(key=lambda i: -len(sequences[i]))
        batches = [order[i : i + job["batch"]] for i in range(0, len(order), job["batch"])]
    out: np.ndarray | None = None
    for chosen in batches:
        ids, mask = padded([sequences[i] for i in chosen])
        pooled = encode(ids, mask, np.zeros_like(ids))
        out = np.zeros((len(sequences), pooled.shape[1]), dtype=np.float32) if out is None else out
        out[chosen] = pooled
    assert out is not None
    return out


def _by_tokens(sequences: Sequence[Sequence[int]], tokens: int) -> list[list[int]]:
    """Cut batches as ``litebert.load`` does, by tokens from a list sorted by length."""
    from litebert.tasks.examples import Example, inference_batches

    examples = [Example(windows=((list(ids), [0] * len(ids)),), target=None) for ids in sequences]
    return [indices for indices, _ in inference_batches(examples, pad_id=0, tokens=tokens)]


def padded(chosen: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    ids = np.zeros((len(chosen), max(map(len, chosen))), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(chosen):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return ids, mask


# --- Inputs and ceilings ------------------------------------------------------------------------------------------------


def real_mix(count: int) -> list[list[int]]:
    """Return token ids of real texts: half sentences, a quarter pairs, a quarter passages, shuffled."""
    from litebert.text import AlbertTokenizer

    data = Path(os.environ["LITEBERT_DATA"])
    tokenizer = AlbertTokenizer.bundled()
    with (data / "glue-sst2" / "dev.tsv").open(encoding="utf-8") as stream:
        sentences = [(row[0], None) for row in list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]]
    with (data / "glue-mrpc" / "dev.tsv").open(encoding="utf-8-sig") as stream:
        rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    pairs = [(row[-2], row[-1]) for row in rows]
    squad = json.loads(next((data / "squad-v1.1").glob("*.json")).read_text(encoding="utf-8"))
    passages = [
        (p["qas"][0]["question"], p["context"]) for article in squad["data"] for p in article["paragraphs"] if p["qas"]
    ]
    generator = np.random.default_rng(0)
    chosen = []
    for source, share in ((sentences, count // 2), (pairs, count // 4), (passages, count - count // 2 - count // 4)):
        chosen += [source[i] for i in generator.permutation(len(source))[:share]]
    encoded = [tokenizer.encode(text, pair, max_length=512).ids for text, pair in chosen]
    return [[int(i) for i in encoded[j]] for j in generator.permutation(len(encoded))]


def ceilings() -> dict[str, float]:
    """Return the matrix-product ceilings in GFLOP/s by precision: 1024 x 768 by 768 x 3072, best of several kernels."""
    import torch

    from litebert.inference.engine.int8 import Int8Linear, has_int8
    from litebert.inference.engine.linear import PackedLinear
    from litebert.inference.engine.ranges import Range

    weight, bias, x = torch.randn(3072, 768), torch.zeros(3072), torch.randn(1024, 768)

    def best(call: Callable[[], Any]) -> float:
        times = []
        for _ in range(20):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
        return 2 * 1024 * 768 * 3072 / min(times) / 1e9

    found = {}
    with torch.inference_mode():
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            packed, inputs = PackedLinear(weight, bias, dtype), x.to(dtype)
            plain = partial(torch.nn.functional.linear, inputs, weight.to(dtype), bias.to(dtype))
            found[name] = max(best(partial(packed, inputs)), best(plain))
        if has_int8():
            one = Int8Linear(weight, bias, (Range.covering(-4.0, 4.0),), None)
            quantised = one.quantised(x, 0)
            found["int8"] = best(lambda: one(quantised, 0, Range.covering(-4.0, 4.0)))
    return {name: round(value) for name, value in found.items()}


def gflop(preset: str, lengths: Sequence[int]) -> float:
    """Return the arithmetic of the encoder on sequences of these lengths."""
    from litebert.config import AlbertConfig

    c = AlbertConfig.preset(preset)
    h, blocks = c.hidden_size, c.num_hidden_layers * c.inner_group_num
    tokens = sum(lengths)
    products = tokens * (blocks * (8 * h * h + 4 * h * c.intermediate_size) + 2 * c.embedding_size * h)
    return (products + blocks * 4 * h * sum(n * n for n in lengths)) / 1e9


def first_answer(folder: Path) -> dict[str, float]:
    """Time a fresh process from its start to its first answer, and its peak memory: import, load, one sentence."""
    code = (
        "import litebert\n"
        f"pipe = litebert.load({str(folder)!r}, task='classify', precision='fp32')\n"
        "pipe('a sentence of some words, to be answered at once')\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    times, memory = [], []
    for _ in range(5):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        times.append(time.perf_counter() - started)
        memory.append(int(done.stdout) / 1e3)
    return {"seconds": round(statistics.median(times), 2), "peak_mb": round(max(memory))}


def classifier(folder: Path, source: Path) -> Path:
    """Write a classifier with the weights of the benchmark."""
    from litebert.checkpoint.pretrained import AlbertForSequenceClassification, AlbertTokenizer
    from litebert.config import AlbertConfig

    config = AlbertConfig.from_json_file(source / "config.json").replace(id2label={0: "no", 1: "yes"})
    out = folder / "classifier"
    AlbertForSequenceClassification(config).save_pretrained(out)
    AlbertTokenizer.bundled().save_pretrained(out)
    return out


# --- Comparing ----------------------------------------------------------------------------------------------------------


def compare(programs: dict[str, Program], job: dict[str, Any], rounds: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Give the same job to all in turn; returns median milliseconds and pooled vectors."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    pooled = {}
    for turn in range(rounds + 1):
        for name, each in programs.items():
            ours = name.startswith("litebert")
            size = {"ours": ours, "batch": job["tokens"] if ours else job["batch"]} if "mix" in job else {}
            answer = each.do({**job, **size})
            pooled.setdefault(name, answer.get("pooled"))
            times[name] += answer["ms"] if turn else []
    return {name: round(statistics.median(values), 2) for name, values in times.items()}, pooled


def distances(pooled: dict[str, Any]) -> dict[str, float]:
    reference = np.array(pooled["transformers fp32"])
    return {n: float(f"{np.abs(np.array(v) - reference).max():.2g}") for n, v in pooled.items()}


def row_of(times: dict[str, float], pooled: dict[str, Any], work: float, ceiling: dict[str, float]) -> dict[str, Any]:
    precision = {n: PRECISION.get(n.split()[1], n.split()[1]) for n in times}
    best = {}
    for p in PRECISIONS:
        mine, rivals = (
            {n: t for n, t in times.items() if n.startswith("litebert") is own and precision[n] == p} for own in (True, False)
        )  # fmt: skip
        if rivals and mine:
            rival, own = min(rivals, key=rivals.__getitem__), min(mine, key=mine.__getitem__)
            best[p] = {"peer": rival, "ours": own, "times_faster": round(rivals[rival] / mine[own], 2)}
    reference = times.get("transformers fp32")
    return {
        "ms": times, "against_the_best_peer": best,
        "against_transformers_fp32": {n: round(reference / t, 2) for n, t in times.items()} if reference else {},
        "of_the_ceiling": {n: round(work / t * 1000 / ceiling[p], 2) for n, t in times.items() if (p := precision[n]) in ceiling},
        "largest_difference": distances(pooled) if "transformers fp32" in pooled else {}, "gflop": round(work, 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="base-v2")
    parser.add_argument("--shapes", default="1x16,1x128,8x128,4x512")
    parser.add_argument("--mix", type=int, default=300, help="texts of the real mix; 0: none")
    parser.add_argument("--tokens", type=int, default=2048, help="tokens of one of our passes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--programs", help="default: all of the device")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.folder, arguments.device)
        return
    on_cpu = arguments.device == "cpu"
    arguments.out = arguments.out or (RESULT if on_cpu else RESULT.with_stem("inference_cuda"))
    if not on_cpu and not on_gpu.there():
        parser.error("--device cuda: PyTorch sees no GPU here")
    every = (*OURS, *PEERS) if on_cpu else on_gpu.PROGRAMS
    names = [n.strip() for n in arguments.programs.split(",")] if arguments.programs else list(every)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, arguments.preset, names)
        programs = {n: Program(__file__, n, "--folder", str(folder), "--device", arguments.device) for n in names}
        found = ceilings() if on_cpu else on_gpu.ceilings(arguments.device)
        results = {"ceilings_gflops": found, "shapes": {}, "mix": {}}
        print(f"ceilings, GFLOP/s: {results['ceilings_gflops']}", flush=True)
        for shape in arguments.shapes.split(","):
            rows, length = (int(n) for n in shape.split("x"))
            work = gflop(arguments.preset, [length] * rows)
            job = {"shape": [rows, length], "times": min(20, max(3, round(200 / work)))}
            report(
                results["shapes"],
                shape,
                row_of(*compare(programs, job, arguments.rounds), work, results["ceilings_gflops"]),
            )
        if arguments.mix and os.environ.get("LITEBERT_DATA"):
            sequences = real_mix(arguments.mix)
            path = folder / "mix.json"
            path.write_text(json.dumps(sequences))
            work = gflop(arguments.preset, [len(s) for s in sequences])
            for title, batch, by_length in (("as they come", PEER_BATCH, False), ("sorted", SORTED_BATCH, True)):
                job = {"mix": str(path), "batch": batch, "sorted": by_length, "tokens": arguments.tokens}
                found = compare(programs, job, max(1, arguments.rounds // 2))
                report(results["mix"], title, row_of(*found, work, results["ceilings_gflops"]))
        for each in programs.values():
            each.close()
        if on_cpu:
            results["first_answer"] = first_answer(classifier(folder, folder))
            print(f"first answer: {results['first_answer']}", flush=True)
    write(results, arguments)


def report(into: dict[str, Any], title: str, row: dict[str, Any]) -> None:
    into[title] = row
    print(f"\n{title} ({row['gflop']} GFLOP)", flush=True)
    for name, ms in sorted(row["ms"].items(), key=lambda item: item[1]):
        share = row["of_the_ceiling"].get(name)
        print(
            f"  {name:<22} {ms:9.1f} ms  {row['against_transformers_fp32'].get(name, 0):5.2f}x transformers fp32"
            f"  {'' if share is None else f'{share:.0%} of the ceiling'}  differs by {row['largest_difference'].get(name, 0)}",
            flush=True,
        )
    print(f"  {row['against_the_best_peer']}", flush=True)


def write(results: dict[str, Any], arguments: argparse.Namespace) -> None:
    from importlib.metadata import PackageNotFoundError, version

    from litebert.files import write_json
    from litebert.train.run_folder import environment

    versions = {}
    for package in ("transformers", "onnxruntime", "openvino", "nncf"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    data = {
        "command": " ".join(["litebert bench inference", *sys.argv[1:]]), "preset": arguments.preset, **results, "int8_calibration": "bundled prose", "peers": versions,
        "peer_batches": {"as they come": PEER_BATCH, "sorted": SORTED_BATCH}, "statistic": f"median of {arguments.rounds} rounds in turn",
        "environment": environment(),
    }  # fmt: skip
    write_json(arguments.out, data | ({} if arguments.device == "cpu" else on_gpu.described()))


if __name__ == "__main__":
    main()
