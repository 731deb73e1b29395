"""A pretraining step against transformers' AlbertForPreTraining: tokens a second and peak memory, both programs in turn.

    python benchmarks/pretraining.py [--shapes 4x312,6x384,base] [--batch 32x128] [--rounds 5] [--device cpu|cuda]

Each program runs in a process of its own, so that its peak memory is its own; the parent lets them work one at a time, round after
round, on equal batches of one vocabulary of 30,000 pieces with 15% of the positions predicted. A step is forward, backward, clipping and
a fused AdamW update, in bfloat16 autocast on both sides. Peers: SDPA as it comes, and the same under torch.compile. Ours a second time
with ``training.gradient_checkpointing``, which gives time for memory. The loader is measured alone: how long it takes to make a batch,
as a share of our step. Prints ratios and writes benchmarks/results/pretraining.json (pretraining_cuda.json on a GPU).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from in_turn import Program, serve
from results_folder import RESULTS

from litebert.files import write_json
from litebert.train.run_folder import environment

SHAPES = {
    "4x312": {"num_hidden_layers": 4, "hidden_size": 312, "num_attention_heads": 12, "intermediate_size": 1248},
    "6x384": {"num_hidden_layers": 6, "hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536},
    "base": {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
}
PROGRAMS = ("litebert", "litebert recomputing", "transformers", "transformers compiled")
VOCABULARY = 30_000


def config(shape: str) -> dict[str, Any]:
    return {
        **SHAPES[shape], "vocab_size": VOCABULARY, "embedding_size": 128, "max_position_embeddings": 512,
        "hidden_act": "gelu_new", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    }  # fmt: skip


def batch(rows: int, length: int, device: str) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    ids = torch.randint(5, VOCABULARY, (rows, length), generator=g)
    chosen = torch.rand(rows, length, generator=g).argsort(1) < round(0.15 * length)
    made = {
        "input_ids": ids.masked_fill(chosen, 4), "token_type_ids": (torch.arange(length) >= length // 2).long().expand(rows, -1),
        "labels": torch.where(chosen, ids, -100), "sentence_order_label": torch.randint(0, 2, (rows,), generator=g),
    }  # fmt: skip
    return {name: tensor.contiguous().to(device) for name, tensor in made.items()}


def program(name: str, shape: str, device: str):
    """Return the model and a function of a batch that gives its loss."""
    torch.manual_seed(0)
    if name.startswith("transformers"):
        import transformers

        model = transformers.AlbertForPreTraining._from_config(
            transformers.AlbertConfig(**config(shape)), attn_implementation="sdpa"
        ).to(device)
        model.train()
        runner = torch.compile(model) if name.endswith("compiled") else model
        return model, lambda b: runner(**b, attention_mask=torch.ones_like(b["input_ids"])).loss
    from litebert.config import AlbertConfig
    from litebert.model.heads import AlbertForPreTraining
    from litebert.pretrain.examples import ExampleSettings
    from litebert.pretrain.objective import PretrainingObjective
    from litebert.pretrain.settings import CurriculumSettings

    model = (
        AlbertForPreTraining(AlbertConfig(**config(shape)), attention="eager" if device == "cpu" else "sdpa")
        .to(device)
        .train()
    )
    for group in model.albert.encoder.groups:
        for block in group:
            block.compile(dynamic=False)
    model.albert.encoder.gradient_checkpointing = name.endswith("recomputing")
    objective = PretrainingObjective(ExampleSettings(), CurriculumSettings(), lambda _step: 1.0, compiled=True)

    def loss(b: dict[str, torch.Tensor]) -> torch.Tensor:
        rows, length = b["input_ids"].shape
        whole = {
            "position_ids": torch.arange(length, device=device).expand(rows, -1),
            "sequence_ids": torch.ones_like(b["input_ids"]),
        }
        weights = objective.weights(b)
        return sum(part / weights[part_name] for part_name, part in objective.losses(model, {**b, **whole}).items())

    return model, loss


def child(name: str, shape: str, rows: int, length: int, device: str) -> None:
    """Warm up, then run as many steps as each job says."""
    model, loss_of = program(name, shape, device)
    data = batch(rows, length, device)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = loss_of(data)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return float(loss.detach())

    losses = [step() for _ in range(3)]

    def do(job: dict[str, Any]) -> dict[str, Any]:
        for _ in range(job["steps"]):
            step()
        return {"peak_mb": round(torch.cuda.max_memory_allocated() / 1e6)} if device == "cuda" else {}

    serve({"loss": losses[0]}, do)


def compare(shape: str, rows: int, length: int, device: str, rounds: int, steps: int) -> dict[str, Any]:
    """Run all programs in turn; returns medians and ratios."""
    rest = ("--shapes", shape, "--batch", f"{rows}x{length}", "--device", device)
    programs = {}
    for name in PROGRAMS:  # one warms up after the other
        programs[name] = Program(__file__, name, *rest)
        print(f"  {name}: first loss {programs[name].ready['loss']:.3f}", flush=True)
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    memory = {}
    for _ in range(rounds):
        for name, each in programs.items():
            answer = each.do({"steps": steps})
            seconds[name].append(answer["seconds"] / steps)
            memory[name] = answer["peak_mb"]
    for each in programs.values():
        each.close()
    median = {name: statistics.median(values) for name, values in seconds.items()}
    peer = "transformers"
    return {
        "shape": shape, "batch": f"{rows}x{length}", "tokens_per_second": {n: round(rows * length / s) for n, s in median.items()},
        "peak_mb": memory, "times_faster": round(median[peer] / median["litebert"], 2),
        "times_faster_pairwise": [round(t / o, 2) for t, o in zip(seconds[peer], seconds["litebert"], strict=True)],
        "times_faster_than_compiled": round(median["transformers compiled"] / median["litebert"], 2),
        "times_faster_recomputing": round(median[peer] / median["litebert recomputing"], 2),
        "memory_ratio": round(memory["litebert"] / memory[peer], 2),
        "memory_ratio_recomputing": round(memory["litebert recomputing"] / memory[peer], 2),
        "mfu": utilisation(shape, rows, length, device, median["litebert"]),
    }  # fmt: skip


def utilisation(shape: str, rows: int, length: int, device: str, seconds: float) -> float:
    """Return our model FLOP utilisation against the measured peak of one bfloat16 product."""
    from litebert.config import AlbertConfig
    from litebert.train.throughput import measured_peak, training_flops

    flops = training_flops(AlbertConfig(**config(shape)), length, predicted=0.15) * rows * length
    return round(flops / seconds / measured_peak(torch.device(device), torch.bfloat16), 3)


def loader_share(rows: int, length: int, step_seconds: float) -> dict[str, float]:
    """Measure how long a batch of real examples takes to make, masks and packing included, in one process without look-ahead."""
    from litebert.corpus.shards import Corpus, ShardWriter, token_dtype, write_manifest
    from litebert.pretrain.examples import ExampleSettings, with_preset
    from litebert.pretrain.stream import RowStream
    from litebert.text import AlbertTokenizer

    tokenizer = AlbertTokenizer.bundled()
    g = torch.Generator().manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writer = ShardWriter(folder, "shard-00000", token_dtype(VOCABULARY))
        for _ in range(500):
            lengths = torch.randint(5, 50, (60,), generator=g).tolist()
            writer.add([torch.randint(5, VOCABULARY, (n,), generator=g).tolist() for n in lengths])
        write_manifest(folder, [writer.close()], tokenizer, {})
        stream = RowStream(Corpus(folder), ExampleSettings(**with_preset({"length": length})), seed=0)
        stream.block(0, 0, rows)
        times = []
        for step in range(1, 21):
            started = time.perf_counter()
            stream.block(step, step * rows, rows)
            times.append(time.perf_counter() - started)
    made = statistics.median(times)
    return {"milliseconds_a_batch": round(1000 * made, 2), "share_of_the_step": round(made / step_seconds, 4)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shapes", default="4x312,6x384,base")
    parser.add_argument("--batch", default="32x128", help="comma-separated ROWSxLENGTH")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="steps a round")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--child")
    arguments = parser.parse_args()
    sizes = [tuple(int(n) for n in text.split("x")) for text in arguments.batch.split(",")]
    if arguments.child:
        child(arguments.child, arguments.shapes, *sizes[0], arguments.device)
        return
    rows: list[dict[str, Any]] = []
    for shape in arguments.shapes.split(","):
        for size in sizes:
            print(f"{shape}, {size[0]} x {size[1]}", flush=True)
            row = compare(shape, *size, arguments.device, arguments.rounds, arguments.steps)
            step = size[0] * size[1] / row["tokens_per_second"]["litebert"]
            rows.append({**row, "loader": loader_share(*size, step)})
            print(f"  {rows[-1]}", flush=True)
            write(rows, arguments)


def write(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """Write what has been measured so far."""
    import transformers

    data = {
        "command": " ".join(["python", "benchmarks/pretraining.py", *sys.argv[1:]]), "rows": rows, "vocabulary": VOCABULARY,
        "dtype": "bfloat16 autocast", "statistic": f"median of {arguments.rounds} rounds of {arguments.steps} steps, in turn",
        "transformers": transformers.__version__, "device": arguments.device, "environment": environment(),
    }  # fmt: skip
    if arguments.device != "cpu":
        data["gpu"] = torch.cuda.get_device_name()
    write_json(
        RESULTS / ("pretraining.json" if arguments.device == "cpu" else f"pretraining_{arguments.device}.json"), data
    )


if __name__ == "__main__":
    main()
