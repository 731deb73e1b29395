"""``litebert pretrain`` as a user meets it: a corpus, a run, a model that answers; killed, resumed, made longer, misused."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.torch import load_file

import litebert
from litebert.cli.main import cli
from litebert.corpus.shards import ShardWriter, token_dtype, write_manifest
from litebert.text import AlbertTokenizer

SOURCE = Path(__file__).parents[2] / "src"
TINY = {
    "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "embedding_size": 16,
    "max_position_embeddings": 64, "hidden_dropout_prob": 0.1,
}  # fmt: skip


def make_corpus(folder, *, documents=40, seed=0, tokenizer=None):
    """Documents of sentences with some order in them: each sentence counts on from the one before."""
    tokenizer = tokenizer or AlbertTokenizer.bundled()
    draw = random.Random(seed)
    writers = [ShardWriter(folder, f"shard-{i:05d}", token_dtype(tokenizer.vocab_size)) for i in range(2)]
    for number in range(documents):
        first = draw.randrange(100, 20000)
        sentences = [
            [first + (i * 7 + j) % 50 for j in range(draw.randrange(4, 12))] for i in range(draw.randrange(3, 30))
        ]
        writers[number % 2].add(sentences)
    folder.mkdir(exist_ok=True)
    write_manifest(folder, [record for w in writers if (record := w.close())], tokenizer, {})
    return folder


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    base = tmp_path_factory.mktemp("corpora")
    config = base / "tiny.json"
    config.write_text(json.dumps(TINY))
    return make_corpus(base / "train"), make_corpus(base / "held", documents=8, seed=1), config


def arguments(corpora, out, *more):
    train, held, config = corpora
    return [
        "pretrain", "--corpus", str(train), "--held-out", str(held), "--config", str(config), "--out", str(out),
        "--length", "32", "--batch-size", "8", "--set", "training.micro_batch_size=4", "--set", "evaluation_rows=16",
        "--set", "training.evaluate_every=8", "--set", "training.log_every=1", "--set", "training.optimizer=muon",
        "--set", "training.schedule=trapezoid", "--set", "training.learning_rate=0.002", "--set", "compile=false",
        "--set", "curriculum.depths=[[0.4,1]]", "--set", "curriculum.first_batch_size=4", *more,
    ]  # fmt: skip


def run(*args, expect=0):
    result = CliRunner().invoke(cli, list(args))
    code = result.exit_code if result.exception is None or isinstance(result.exception, SystemExit) else 1
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        code = getattr(result.exception, "exit_code", 1)
    assert code == expect, (result.output, result.exception)
    return result


def weights(folder):
    return load_file(Path(folder) / "model.safetensors")


def same(a, b):
    a, b = weights(a), weights(b)
    return a.keys() == b.keys() and all((a[k] == b[k]).all() for k in a)


@pytest.fixture(scope="module")
def finished(corpora, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    run(*arguments(corpora, out, "--steps", "24"))
    return out


def test_a_run_leaves_a_model_that_answers(finished):
    info = json.loads((finished / "litebert.json").read_text())
    assert info["provenance"]["training"]["steps"] == 24
    assert set(info["provenance"]["metrics"]) == {"mlm_loss", "mlm_accuracy", "sop_accuracy"}
    assert (finished / "report.html").read_text().startswith("<!DOCTYPE html>")
    model = litebert.AlbertForPreTraining.from_pretrained(finished)
    assert model.load_report.loaded and not model.load_report.missing
    from transformers import AlbertForPreTraining as Theirs

    Theirs.from_pretrained(finished)


def test_the_figures_are_logged(finished):
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    train = [r for r in rows if r["event"] == "train"]
    assert [r["step"] for r in train] == list(range(1, 25))
    assert {
        "loss",
        "loss/mlm",
        "loss/sop",
        "gradient_norm",
        "learning_rate",
        "tokens",
        "tokens_per_second",
        "mfu",
        "masked_rate",
    } <= set(train[-1])
    assert "loss/sop" not in train[0]  # sentence order comes later under the preset litebert
    assert [r["examples"] for r in train][:2] == [4, 4] and train[-1]["examples"] == 8
    assert [r["step"] for r in rows if r["event"] == "eval"] == [8, 16, 24]


def test_the_rows_of_each_window_are_kept_beside_the_checkpoints(finished):
    """A resumed run reads there how many rows it has passed."""
    kept = json.loads((finished / "checkpoints" / "seed-0" / "rows.json").read_text())["rows"]
    assert [place for *place, _ in kept][:2] == [[0, 0], [1, 0]] and all(rows > 0 for *_, rows in kept)


def test_killed_anywhere_and_resumed_is_bit_for_bit_the_same(corpora, finished, tmp_path):
    out = tmp_path / "killed"
    command = [
        sys.executable,
        "-m",
        "litebert",
        *arguments(corpora, out, "--steps", "24"),
        "--set",
        "training.checkpoint_minutes=0",
    ]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    draw = random.Random(5)
    for attempt in range(3):
        process = subprocess.Popen(
            [*command, "--resume"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        target = 6 + 6 * attempt + draw.randrange(4)
        wait_for_step(out, target, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    done = subprocess.run([*command, "--resume"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert same(out, finished)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows if r["event"] == "train"] == list(range(1, 25))


def wait_for_step(out, step, process):
    end = time.monotonic() + 90
    while time.monotonic() < end and process.poll() is None:
        try:
            last = (out / "metrics.jsonl").read_text().splitlines()[-1]
            if json.loads(last)["step"] >= step:
                return
        except (OSError, IndexError, ValueError):
            pass
        time.sleep(0.02)
    assert process.poll() is None, process.stderr.read()


def test_a_damaged_last_checkpoint_falls_back(corpora, finished, tmp_path):
    out = tmp_path / "damaged"
    command = [
        sys.executable,
        "-m",
        "litebert",
        *arguments(corpora, out, "--steps", "24"),
        "--set",
        "training.checkpoint_minutes=0",
    ]
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(SOURCE)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_for_step(out, 6, process)
    process.kill()
    process.communicate()
    last = sorted((out / "checkpoints" / "seed-0").glob("step-*.pt"))[-1]
    data = bytearray(last.read_bytes())
    last.write_bytes(data[: len(data) // 2])
    run(*arguments(corpora, out, "--steps", "24", "--resume", "--set", "training.checkpoint_minutes=0"))
    assert same(out, finished)


def test_a_finished_trapezoid_is_made_longer(corpora, finished, tmp_path):
    """The longer run passes through the short one's stable state; before its decay both are the same."""
    out = tmp_path / "longer"
    run(*arguments(corpora, out, "--steps", "24"))
    run(*arguments(corpora, out, "--steps", "32", "--extend"))
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines() if '"train"' in line]
    assert [r["step"] for r in rows] == list(range(1, 33))
    before = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines() if '"train"' in line]
    assert [r["loss"] for r in rows[:18]] == [r["loss"] for r in before[:18]]
    assert rows[20]["learning_rate"] == 0.002 > before[20]["learning_rate"]
    run(*arguments(corpora, out, "--steps", "32", "--resume"))
    assert json.loads((out / "run.json").read_text())["settings"]["training"]["steps"] == 32


def test_continued_pretraining_starts_from_the_model(corpora, finished, tmp_path):
    train, held, _ = corpora
    out = tmp_path / "more"
    run(
        "pretrain", "--corpus", str(train), "--held-out", str(held), "--model", str(finished), "--out", str(out), "--length", "32",
        "--batch-size", "8", "--steps", "1", "--learning-rate", "1e-9", "--set", "compile=false", "--set", "config.num_hidden_layers=3",
        "--set", "training.precision=fp32",
    )  # fmt: skip
    old, new = weights(finished), weights(out)
    assert all(np.allclose(old[k], new[k], atol=1e-6) for k in old)
    assert json.loads((out / "config.json").read_text())["num_hidden_layers"] == 3
    told, first = (json.loads((folder / "litebert.json").read_text())["provenance"] for folder in (out, finished))
    assert told["continues"] == first and told["training"]["steps"] == 1 and "continues" not in first
    total = first["training"]["tokens"] + told["training"]["tokens"]
    card = (out / "README.md").read_text()
    assert f"{total:,} tokens in 25 steps" in card and "| 2 | " in card


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--steps", "30"], 2, "training.steps"),
        (["--steps", "24", "--seed", "3"], 2, "training.seed"),
        (["--steps", "24", "--set", "examples.ngrams=2"], 2, "examples.ngrams"),
    ],
)
def test_resume_with_other_settings_names_the_field(corpora, finished, more, code, said):
    result = run(*arguments(corpora, finished, *more, "--resume"), expect=code)
    assert said in str(result.exception)


@pytest.mark.parametrize(("option", "named"), [("--corpus", "corpus"), ("--held-out", "held_out")])
def test_resume_with_another_corpus_is_refused(corpora, finished, tmp_path, option, named):
    other = make_corpus(tmp_path / "other", seed=9)
    args = arguments(corpora, finished, "--steps", "24", "--resume")
    args[args.index(option) + 1] = str(other)
    assert f"the data of {named} are not" in str(run(*args, expect=2).exception)


def test_resume_finds_the_corpus_at_another_place(corpora, finished, tmp_path):
    """A path is of the machine; the fingerprint says what lies there."""
    args = arguments(corpora, finished, "--steps", "24", "--resume")
    for option, name in (("--corpus", "a"), ("--held-out", "b"), ("--config", "c.json")):
        place = args.index(option) + 1
        (tmp_path / name).symlink_to(args[place])
        args[place] = str(tmp_path / name)
    run(*args)


@pytest.mark.parametrize(
    ("field", "value"), [("hidden_dropout_prob", 0.2), ("hidden_act", "relu"), ("hidden_size", 64)]
)
def test_resume_with_an_edited_config_file_names_the_field(corpora, finished, tmp_path, field, value):
    """The run remembers the architecture, not only the file it was in."""
    (tmp_path / "tiny.json").write_text(json.dumps({**TINY, field: value}))
    args = arguments(corpora, finished, "--steps", "24", "--resume")
    args[args.index("--config") + 1] = str(tmp_path / "tiny.json")
    assert f"config.{field} was" in str(run(*args, expect=2).exception)


def test_a_run_folder_from_before_the_architecture_was_kept_is_resumed(corpora, finished, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(finished, old)
    held = json.loads((old / "run.json").read_text())
    del held["architecture"]
    for name in ("reference_batch_size", "scaled_from"):
        del held["settings"]["training"][name]
    (old / "run.json").write_text(json.dumps(held))
    run(*arguments(corpora, old, "--steps", "24", "--resume"))
    assert same(old, finished)


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--corpus", "nowhere"], 3, "not a corpus"),
        (["--preset", "paper", "--set", "examples.lenght=4"], 2, "length"),
        (["--set", "examples.preset=papr"], 2, "paper"),
        (["--length", "4096"], 2, "positions"),
        (["--batch-size", "6"], 2, "micro_batch_size"),
        (["--model", "random:nano"], 2, "exclude"),
        (["--config", "smal"], 2, "small"),
        (["--device", "cuda:9"], 5, "cuda"),
    ],
)
def test_mistakes_are_told(corpora, tmp_path, more, code, said):
    result = run(*arguments(corpora, tmp_path / "out", "--steps", "2", *more), expect=code)
    told = f"{result.exception} {getattr(result.exception, 'hint', '')} {result.output}"
    assert said in told
    assert not (tmp_path / "out").exists()


def test_a_flipped_bit_in_a_shard_is_found(corpora, tmp_path):
    """Token files are verified before a run begins, so no wrong id is trained on."""
    train = make_corpus(tmp_path / "train")
    file = train / "shard-00001.tokens.npy"
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    args = arguments(corpora, tmp_path / "out", "--steps", "2")
    args[args.index("--corpus") + 1] = str(train)
    result = run(*args, expect=3)
    assert "shard-00001.tokens.npy" in str(result.exception)


def test_a_held_out_corpus_of_another_vocabulary_is_refused(corpora, tmp_path, wordpiece_tokenizer):
    held = make_corpus(tmp_path / "held", tokenizer=wordpiece_tokenizer, documents=4)
    args = arguments(corpora, tmp_path / "out", "--steps", "2")
    args[args.index("--held-out") + 1] = str(held)
    result = run(*args, expect=3)
    assert "vocabulary" in str(result.exception)


@pytest.fixture
def wordpiece_tokenizer(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(30000))]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    return AlbertTokenizer.from_file(tmp_path / "vocab.txt")


def test_dry_run_writes_nothing(corpora, tmp_path):
    result = run(*arguments(corpora, tmp_path / "out", "--steps", "24", "--dry-run", "--json"))
    plan = json.loads(result.stdout)["data"]
    assert plan["steps"] == 24 and plan["parameters"] > 0 and plan["tokens_per_second"] > 0
    assert not (tmp_path / "out").exists()


def test_minutes_end_a_run_with_the_rate_at_zero(corpora, tmp_path):
    out = tmp_path / "short"
    run(*arguments(corpora, out, "--minutes", "0.2", "--set", "training.log_every=1"))
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines() if '"train"' in line]
    # The rate of a step is that of its beginning, so a machine that makes few steps in the time ends a step above zero.
    assert rows[-1]["learning_rate"] < max(0.2, 8 / len(rows)) * max(r["learning_rate"] for r in rows) and len(rows) > 8
    assert json.loads((out / "run.json").read_text())["settings"]["curriculum"]["planned_steps"] > 0


class Clock:
    """Every look at it is a second later."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 1.0
        return self.now


def test_minutes_that_end_before_the_curriculum_are_told_everywhere(corpora, tmp_path, monkeypatch):
    """A machine that turns slow: a step was to take a tenth of a second, and takes one."""
    monkeypatch.setattr("litebert.pretrain.run_length.seconds_per_block", lambda *_, **__: 0.05)
    monkeypatch.setattr("litebert.train.loop.time", Clock())
    out = tmp_path / "slow"
    args = arguments(corpora, out, "--minutes", "0.1", "--json")
    answer = json.loads(run(*args).stdout)
    planned = json.loads((out / "run.json").read_text())["settings"]["curriculum"]["planned_steps"]
    (said,) = [text for text in answer["warnings"] if "never came to" in text]
    assert answer["data"]["steps"] == 6 and planned == 60 and "after 6 of the 60 steps" in said
    assert (
        "2 applications of the block (trained with 1 at last, whole from 40% on)" in said and "sentence order" in said
    )
    assert said in (out / "README.md").read_text()
    page = (out / "report.html").read_text()
    assert page.count("never came to") == 1 and "2 times" not in page
    again = json.loads(run(*args, "--resume").stdout)
    assert said in again["warnings"]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [r["message"] for r in rows if r["event"] == "warning"] == [said], "logged once"


def test_a_batch_ramp_with_a_reference_scales_the_rate(corpora, tmp_path):
    out = tmp_path / "scaled"
    more = [
        "--set", "training.reference_batch_size=32", "--set", "training.schedule=constant", "--set", "training.warmup_fraction=0",
    ]  # fmt: skip
    plan = run(*arguments(corpora, out, "--steps", "2", *more, "--dry-run", "--json"))
    figures = json.loads(plan.stdout)["data"]
    assert (figures["steps"], figures["learning_rate"], figures["scaled_from"]) == (8, 0.001, 32)
    assert "from 32 to 8 rows" in run(*arguments(corpora, out, "--steps", "2", *more, "--dry-run")).stdout
    run(*arguments(corpora, out, "--steps", "2", *more))
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines() if '"train"' in line]
    assert [(r["examples"], round(r["learning_rate"] / 0.001, 4)) for r in rows] == [(4, 0.7071)] * 2 + [(8, 1.0)] * 6
