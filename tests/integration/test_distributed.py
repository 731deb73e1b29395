"""Many processes: they compute what one computes, whatever is shared out and however weights lie; killed, stopped, failing, resumed."""

import atexit
import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from litebert.corpus.shards import Corpus, ShardWriter, token_dtype, write_manifest
from litebert.errors import Interrupted, RunError, UsageError
from litebert.pretrain.batches import BatchPlan, PretrainingBatches
from litebert.pretrain.run import pretrain
from litebert.pretrain.settings import PretrainSettings, with_defaults
from litebert.pretrain.stream import RowStream
from litebert.settings import merge
from litebert.text import AlbertTokenizer
from litebert.train import processes as processes_module
from litebert.train.processes import Processes, fresh, joined, refuse_many
from litebert.train.run_folder import was_begun_by

SOURCE = Path(__file__).parents[2] / "src"
STEPS = 12
TINY = {
    "num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "embedding_size": 16,
    "max_position_embeddings": 64, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
}  # fmt: skip

OPTIMIZERS = {
    "adamw": {"training": {"optimizer": "adamw"}},
    "lamb": {"training": {"optimizer": "lamb", "learning_rate": 0.01, "ema": 0.9}},
    "muon": {"training": {"optimizer": "muon"}},
}
"""What one process computes. Dropout is on; the batch grows; n-grams follow single words; rows are packed; sentence order late."""

SHARED = {
    "ddp": ("adamw", {"training": {"parallel": "ddp"}}),
    "ddp-checkpointed": ("lamb", {"training": {"parallel": "ddp", "gradient_checkpointing": True}}),
    "fsdp2": ("adamw", {"training": {"parallel": "fsdp2"}}),
    "fsdp2-checkpointed": ("lamb", {"training": {"parallel": "fsdp2", "gradient_checkpointing": True}}),
    "fsdp2-muon": ("muon", {"training": {"parallel": "fsdp2"}}),
}
"""What two processes compute: the same, shared out."""


def make_corpus(folder, *, documents=40, seed=0):
    tokenizer = AlbertTokenizer.bundled()
    draw = random.Random(seed)
    writer = ShardWriter(folder, "shard-00000", token_dtype(tokenizer.vocab_size))
    for _ in range(documents):
        first = draw.randrange(100, 20000)
        sentences = range(draw.randrange(1, 20))
        writer.add([[first + (i * 7 + j) % 50 for j in range(draw.randrange(4, 12))] for i in sentences])
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, [writer.close()], tokenizer, {})


def make_settings(base, *changes):
    """Six micro-batches at most, one at first, so that the second process begins with nothing to do."""
    data = {
        "corpus": str(base / "train"), "held_out": str(base / "held"), "model": f"random:{base / 'tiny.json'}",
        "examples": {"length": 32}, "curriculum": {"first_batch_size": 2, "depths": [[0.4, 1]]}, "evaluation_rows": 16,
        "compile": False,
        "training": {
            "batch_size": 12, "micro_batch_size": 2, "steps": STEPS, "learning_rate": 0.002, "evaluate_every": 5, "log_every": 1,
            "precision": "fp32", "checkpoint_minutes": 0, "schedule": "trapezoid",
        },
    }  # fmt: skip
    for change in changes:
        data = merge(data, change)
    return PretrainSettings(**with_defaults(data))


# --- Processes ------------------------------------------------------------------------------------------------------------


def start(target, *arguments, ranks=2):
    """Start processes as torchrun would, but with everything imported beforehand."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.integration.test_distributed"])
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    processes = [context.Process(target=begin, args=(target, rank, ranks, port, *arguments)) for rank in range(ranks)]
    for process in processes:
        process.start()
    return processes


def begin(target, rank, ranks, port, *arguments):
    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
        GLOO_SOCKET_IFNAME="lo",
    )  # fmt: skip
    target(*arguments)


def finish(processes):
    for process in processes:
        process.join(120)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return codes


def stop_in(monkey_rank, step):
    """Let a process send itself SIGTERM while it makes the batch of a step."""
    made = PretrainingBatches.micro_batches

    def micro_batches(self, number):
        if number == step and int(os.environ.get("RANK", "0")) == monkey_rank:
            os.kill(os.getpid(), signal.SIGTERM)
        return made(self, number)

    PretrainingBatches.micro_batches = micro_batches
    return made


def stopped(settings, out, *, rank, step):
    made = stop_in(rank, step)
    try:
        pretrain(settings, out, progress=False)
    except Interrupted:
        return
    finally:
        PretrainingBatches.micro_batches = made
    raise AssertionError("the run was not interrupted")


def everything(base):
    """What two processes do, joined once."""
    try:
        with joined() as processes:
            for name, (optimizer, change) in SHARED.items():
                pretrain(make_settings(base, OPTIMIZERS[optimizer], change), base / name, progress=False)
            lamb, parts = OPTIMIZERS["lamb"], {"training": {"parallel": "fsdp2"}}
            stopped(make_settings(base, lamb, parts), base / "two-then-one", rank=1, step=7)
            if processes.is_main:
                shutil.copytree(base / "two-then-one", base / "damaged")
            processes.wait()
            pretrain(make_settings(base, lamb, parts), base / "one-then-two", resume=True, progress=False)
            pretrain(make_settings(base, OPTIMIZERS["adamw"]), base / "two-again", progress=False)
            try:
                processes.same("settings", processes.rank)
            except UsageError as error:
                (base / f"told-{processes.rank}").write_text(str(error))
    except BaseException:
        (base / f"failed-{os.environ['RANK']}").write_text(traceback.format_exc())
        raise


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """All runs, of one process and of two."""
    base = tmp_path_factory.mktemp("distributed")
    make_corpus(base / "train")
    make_corpus(base / "held", documents=8, seed=1)
    (base / "tiny.json").write_text(json.dumps(TINY))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    stopped(make_settings(base, OPTIMIZERS["lamb"]), base / "one-then-two", rank=0, step=7)
    shared = start(everything, base)
    for name, change in OPTIMIZERS.items():
        pretrain(make_settings(base, change), base / name, progress=False)
    codes = finish(shared)
    torch.set_num_threads(threads)
    assert codes == [0, 0], "\n".join(file.read_text() for file in base.glob("failed-*"))
    return base


def rows(folder, event="train"):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [row for line in lines if (row := json.loads(line))["event"] == event]


def largest_difference(a, b):
    a, b = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def relative_difference(a, b):
    a, b = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    return float(sum((a[n] - b[n]).square().sum() for n in a).sqrt() / sum(a[n].square().sum() for n in a).sqrt())


def assert_same_run(a, b, tolerance=1e-5, *, weights=1e-5):
    """Same figures at every step, same evaluations, same weights."""
    for event, count in (("train", STEPS), ("eval", 3)):
        first, second = rows(a, event), rows(b, event)
        assert [r["step"] for r in first] == [r["step"] for r in second]
        assert len(first) == count
        for x, y in zip(first, second, strict=True):
            figures = [n for n in x if n.startswith(("loss", "dev/")) or n in ("gradient_norm", "learning_rate")]
            for name in figures:
                near = (
                    10 * tolerance if name == "gradient_norm" else tolerance
                )  # itself a float32 sum, in another order
                assert y[name] == pytest.approx(x[name], abs=near, rel=near), (event, x["step"], name)
            assert [x.get("examples"), x.get("tokens")] == [y.get("examples"), y.get("tokens")]
    assert relative_difference(a, b) < weights


# --- The same, shared out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHARED)
def test_two_processes_compute_what_one_computes(base, name):
    """Muon rounds to bfloat16 on its way, which turns a difference in the last bit into one in the third digit of a weight."""
    optimizer, _ = SHARED[name]
    rounds = optimizer == "muon"
    assert_same_run(base / optimizer, base / name, 1e-4 if rounds else 1e-5, weights=1e-2 if rounds else 1e-5)
    losses = [row["loss"] for row in rows(base / name)]
    assert len(set(losses)) == STEPS


def test_the_processes_have_unequal_numbers_of_masked_tokens(base):
    """Otherwise a mean of means would pass for the mean (checklist E6)."""
    settings = make_settings(base)
    stream = RowStream(Corpus(base / "train"), settings.examples, seed=0)

    counts = []
    for rank in range(2):
        batches = PretrainingBatches(stream, BatchPlan(12, 2, 6, 2), rank=rank, ranks=2)
        counts.append([sum(int((b["labels"] >= 0).sum()) for b in batches.micro_batches(step)) for step in range(8)])
    assert counts[1][0] == 0  # nothing to do at first
    assert sum(a != b for a, b in zip(*counts, strict=True)) >= 6


def test_a_run_of_two_processes_is_a_run_like_any_other(base):
    """The model is written once, by one; nothing of the other process is left over, and figures are not doubled."""
    folder = base / "fsdp2"
    assert {"run.json", "metrics.jsonl", "report.html", "model.safetensors", "litebert.json"} <= {
        p.name for p in folder.iterdir()
    }
    assert [p.name for p in (folder / "checkpoints" / "seed-0").iterdir() if p.name.startswith("step")] == [
        f"step-{STEPS:08d}.pt"
    ]
    assert not list(folder.rglob("*.tmp"))
    assert all(tensor.dtype == torch.float32 for tensor in load_file(folder / "model.safetensors").values())


def test_two_runs_of_two_processes_are_the_same_bit_for_bit(base):
    assert largest_difference(base / "ddp", base / "two-again") == 0


def test_a_group_of_one_is_no_group(base, monkeypatch, tmp_path):
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    settings = make_settings(base, OPTIMIZERS["adamw"], {"training": {"parallel": "fsdp2"}})
    torch.set_num_threads(1)
    pretrain(settings, tmp_path / "one", progress=False)
    torch.set_num_threads(threads)
    assert largest_difference(base / "adamw", tmp_path / "one") == 0


# --- Resume ---------------------------------------------------------------------------------------------------------------


def test_one_process_begins_and_two_finish_in_parts(base):
    assert_same_run(base / "lamb", base / "one-then-two")


def test_two_processes_begin_in_parts_and_one_finishes(base):
    out = base / "two-then-one"
    states = sorted(p.name for p in (out / "checkpoints" / "seed-0").glob("step-*"))
    assert states == ["step-00000007", "step-00000008"]  # the step in which one was told is the last of both
    assert len(list((out / "checkpoints" / "seed-0" / "step-00000008").glob("*.distcp"))) == 2
    pretrain(make_settings(base, OPTIMIZERS["lamb"]), out, resume=True, progress=False)
    assert_same_run(base / "lamb", out)


@pytest.mark.parametrize("harm", ["flip", "cut", "lose"])
def test_a_damaged_sharded_checkpoint_falls_back(base, harm, tmp_path, caplog):
    out = tmp_path / "damaged"
    shutil.copytree(base / "damaged", out)
    part = max((out / "checkpoints" / "seed-0" / "step-00000008").glob("*.distcp"), key=lambda p: p.stat().st_size)
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    if harm == "lose":
        part.unlink()
    else:
        part.write_bytes(data[: len(data) // 2] if harm == "cut" else data)
    pretrain(make_settings(base, OPTIMIZERS["lamb"]), out, resume=True, progress=False)
    assert "step-00000008 is damaged" in caplog.text
    assert_same_run(base / "lamb", out)


# --- Ends of all kinds ----------------------------------------------------------------------------------------------------


def command_line(arguments, err, fail, stop):
    """Run the command line in one of two processes, its stderr in a file."""
    from litebert.cli.main import run

    rank = os.environ["RANK"]
    os.dup2(os.open(f"{err}-{rank}", os.O_WRONLY | os.O_CREAT), 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    if stop is not None:
        stop_in(1, stop)
    if fail is not None and rank == "1":
        made = PretrainingBatches.micro_batches

        def micro_batches(self, number):
            if number == fail:
                raise RunError("the disk of this machine has failed", hint="Buy another.")
            return made(self, number)

        PretrainingBatches.micro_batches = micro_batches
    code = 0
    try:
        code = run(arguments)
    except SystemExit as error:
        code = error.code
    finally:
        atexit._run_exitfuncs()
        os._exit(code)


def both(base, out, tmp_path, *more, fail=None, stop=None):
    arguments = [
        "pretrain", "--corpus", str(base / "train"), "--config", str(base / "tiny.json"), "--out", str(out), "--length", "32",
        "--batch-size", "4", "--steps", "40", "--set", "compile=false", "--set", "training.precision=fp32", *more,
    ]  # fmt: skip
    codes = finish(start(command_line, arguments, tmp_path / "err", fail, stop))
    return codes, [(tmp_path / f"err-{rank}").read_text() for rank in range(2)]


def test_sigterm_in_one_process_stops_both_after_the_same_step(base, tmp_path):
    codes, told = both(base, tmp_path / "out", tmp_path, stop=5)
    assert codes == [130, 130]
    assert "interrupted at step 6 of 40" in told[0]
    assert "error" not in told[1]
    assert [p.name for p in (tmp_path / "out" / "checkpoints" / "seed-0").glob("step-*")] == ["step-00000006.pt"]
    settings = json.loads((tmp_path / "out" / "run.json").read_text())["settings"]["training"]
    assert settings["micro_batch_size"] == 2  # left open, and enough for both


def test_a_failure_in_one_process_ends_both_with_one_message(base, tmp_path):
    codes, told = both(base, tmp_path / "out", tmp_path, fail=5)
    assert codes == [1, 1]
    assert "".join(told).count("error[") == 1
    assert "the disk of this machine has failed" in told[1]
    assert "Buy another" in told[1]


def test_a_mistake_in_the_command_is_told_once(base, tmp_path):
    codes, told = both(base, tmp_path / "out", tmp_path, "--set", "training.optimizer=lam")
    assert codes == [2, 2]
    assert "".join(told).count("error[config]") == 1


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the worker through /proc")
def test_torchrun_starts_anew_after_kill_9_and_ends_as_if_nothing_had_been(base, tmp_path):
    out = tmp_path / "killed"
    arguments = [
        "pretrain", "--corpus", str(base / "train"), "--held-out", str(base / "held"), "--config", str(base / "tiny.json"),
        "--out", str(out), "--steps", str(STEPS), "--length", "32", "--batch-size", "12", "--learning-rate", "0.002",
    ]  # fmt: skip
    sets = [
        "training.micro_batch_size=2", "training.evaluate_every=5", "training.log_every=1", "training.precision=fp32", "compile=false",
        "training.checkpoint_minutes=0", "training.schedule=trapezoid", "training.optimizer=adamw", "evaluation_rows=16",
        "curriculum.first_batch_size=2", "curriculum.depths=[[0.4,1]]", "training.parallel=ddp",
    ]  # fmt: skip
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "--max-restarts",
        "1",
    ]
    command = [*torchrun, "-m", "litebert", *arguments, *(part for s in sets for part in ("--set", s))]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    log = tmp_path / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
        try:
            kill_a_worker(process, out)
            assert process.wait(200) == 0, log.read_text()
        finally:
            process.terminate()
    begun = json.loads((out / "run.json").read_text())["launch"]
    assert (
        was_begun_by(out, begun) and not was_begun_by(out, "another") and not was_begun_by(tmp_path / "nowhere", begun)
    )
    assert [row["step"] for row in rows(out)] == list(range(1, STEPS + 1))
    assert largest_difference(base / "ddp", out) == 0


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the workers through /proc")
def test_everybody_told_twice_to_stop_saves(base, tmp_path):
    """A scheduler tells every process of a job, and torchrun its own and their loaders once more."""
    out, log = tmp_path / "told", tmp_path / "log"
    arguments = [
        "pretrain", "--corpus", str(base / "train"), "--config", str(base / "tiny.json"), "--out", str(out), "--steps", "100000",
        "--length", "32", "--batch-size", "4", "--set", "compile=false", "--set", "training.precision=fp32", "--set", "workers=1",
        "--set", "training.log_every=1", "--set", "training.evaluate_every=100000",
    ]  # fmt: skip
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*torchrun, "-m", "litebert", *arguments], env=environment, stdout=stream, stderr=stream
        )
        try:
            end = time.monotonic() + 120
            while time.monotonic() < end and not ((out / "metrics.jsonl").exists() and len(rows(out)) > 3):
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
            for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                os.killpg(int(child), signal.SIGTERM)
            process.terminate()
            process.wait(60)
        finally:
            process.kill()
    (state,) = (out / "checkpoints" / "seed-0").glob("step-*.pt")
    assert f"interrupted at step {int(state.stem.partition('-')[2])} of" in log.read_text()


def kill_a_worker(process, out):
    """Stop the second worker once a checkpoint is there, and kill it."""
    end = time.monotonic() + 90
    while time.monotonic() < end and process.poll() is None:
        if list((out / "checkpoints" / "seed-0").glob("step-0000000[4-9].pt")):
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.kill(max(int(child) for child in children), signal.SIGKILL)
            return
        time.sleep(0.005)
    raise AssertionError("the run did not come far enough to be killed")


def test_processes_started_anew_do_not_meet_the_dead():
    """The store outlives them, with all they had written; fewer may come back than there were."""
    store = torch.distributed.HashStore()
    met = []
    for size in (3, 3, 2):
        with ThreadPoolExecutor(size) as pool:
            futures = [pool.submit(fresh, store, Processes(rank, size), patience=30) for rank in range(size)]
            parts = [future.result() for future in futures]
        parts[0].set("address", f"of start {len(met)}")
        assert all(part.get("address") == parts[0].get("address") for part in parts)
        met.append(parts[0])
    assert [part.get("address") for part in met] == [b"of start 0", b"of start 1", b"of start 2"]


def test_a_process_waits_for_the_one_that_still_writes_the_state(monkeypatch):
    """Ended before it, it would take it along: torchrun and srun end the rest as soon as one has ended."""
    monkeypatch.setattr(processes_module, "PATIENCE", timedelta(milliseconds=10))
    store = torch.distributed.HashStore()
    with ThreadPoolExecutor(1) as pool:
        quiet = pool.submit(processes_module._end_with_one_voice, Interrupted("told"), Processes(1, 2), store)
        time.sleep(0.3)
        assert not quiet.done()
        store.set(processes_module.LEFT, "1")
        with pytest.raises(SystemExit):
            quiet.result(30)


def test_a_process_that_never_comes_is_waited_for_only_so_long():
    with pytest.raises(TimeoutError, match="2 processes"):
        fresh(torch.distributed.HashStore(), Processes(0, 2), patience=0.1)


def test_fine_tuning_in_many_processes_is_refused_by_one_of_them(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UsageError, match="one process"):
        refuse_many("fine-tuning")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as ended:
        refuse_many("fine-tuning")
    assert ended.value.code == 2


def test_a_process_that_was_started_wrongly_is_told_how(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(UsageError, match="RANK"), joined():
        pass


def test_processes_started_differently_are_named(base):
    assert all("process 1 was started with other settings" in (base / f"told-{rank}").read_text() for rank in range(2))


def test_a_process_alone_talks_to_itself():
    alone = Processes()
    assert (
        alone.is_main
        and alone.gather(3) == [3]
        and alone.first("a") == "a"
        and alone.added({"b": 1.5, "a": 2}) == {"b": 1.5, "a": 2}
    )
