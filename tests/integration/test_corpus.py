"""``litebert corpus`` as users run it: workers, kills, Ray, memory, errors."""

import hashlib
import importlib.util
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time

import pytest

from litebert.corpus.shards import Corpus

WORDS = [
    f"{a}{b}"
    for a in ("ba", "ko", "li", "mu", "ne", "ro", "si", "ta", "vu", "we")
    for b in ("lan", "mir", "nok", "pel", "rus")
]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "the", *WORDS]) + "\n")
    return path


def texts(count, seed=0):
    draw = random.Random(seed)
    result = []
    for _ in range(count):
        sentences = [" ".join(["The", *draw.choices(WORDS, k=12)]) + "." for _ in range(6)]
        result.append(" ".join(sentences[:3]) + "\n" + " ".join(sentences[3:]))
    return result


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Three files of some 200 kB, in three formats, with duplicates across them."""
    folder = tmp_path_factory.mktemp("source")
    documents = texts(500)
    (folder / "a.txt").write_text("\n\n".join(documents[:300]))
    (folder / "b.jsonl").write_text(
        "".join(json.dumps({"text": t}) + "\n" for t in [*documents[300:], *documents[20:40]])
    )
    (folder / "c.txt").write_text("\n\n".join([documents[310].upper(), *texts(100, seed=1)]))
    return folder


@pytest.fixture(scope="module")
def arguments(source, vocabulary):
    def make(out, *more):
        settings = ["--layout", "paragraphs", "--set", "shards.unit_bytes=8192", "--set", "report.language_samples=0"]
        return ["corpus", "build", str(source), "--tokenizer", str(vocabulary), "--out", str(out), *settings, *more]

    return make


def contents(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory, arguments):
    from litebert.cli.main import run

    out = tmp_path_factory.mktemp("whole") / "out"
    assert run(arguments(out, "--workers", "1")) == 0
    return contents(out)


def test_build_verify_info(call, arguments, tmp_path, source):
    out = tmp_path / "out"
    data = call(*arguments(out, "--workers", 1, "--json")).envelope["data"]
    assert (data["documents"], data["sentences"], data["dropped"]["exact duplicate"]) == (600, 3600, 21)
    assert data["tokens"] == 3600 * 14
    shown = call("corpus", "info", out)
    assert "600" in shown.out
    assert "b.jsonl" in shown.out
    verified = call("corpus", "verify", out, "--json").envelope["data"]
    assert verified["files"] == 3 * data["shards"]
    path = sorted(out.glob("shard-*.tokens.npy"))[3]
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 4
    path.write_bytes(damaged)
    refused = call("corpus", "verify", out, "--json")
    assert refused.code == 3
    assert refused.envelope["error"]["path"] == str(path)


@pytest.mark.parametrize("workers", [2, 3])
def test_the_number_of_workers_changes_no_byte(call, arguments, whole, tmp_path, workers):
    assert call(*arguments(tmp_path / "out", "--workers", workers)).code == 0
    assert contents(tmp_path / "out") == whole


def records(out):
    return len(list(out.glob(".build/units/*.json"))) + len(list(out.glob(".build/tokens/*.json")))


def wait_for(condition, child, seconds=120):
    end = time.monotonic() + seconds
    while not condition() and child.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


def test_killed_at_random_points_and_resumed(process, arguments, whole, tmp_path):
    """kill -9 of the whole process, workers left to notice by themselves."""
    out, draw, kills = tmp_path / "out", random.Random(5), 0
    while not (out / "manifest.json").exists():
        child = process(arguments(out, "--workers", "2", "--resume"))
        target = records(out) + draw.randint(8, 30)
        wait_for(lambda goal=target: records(out) >= goal, child)
        if child.poll() is None:
            child.kill()
            child.wait()
            kills += 1
        else:
            assert child.returncode == 0, child.stderr.read()
    assert kills >= 2
    process(arguments(out, "--workers", "2", "--resume")).communicate()
    assert contents(out) == whole


def descendants(pid):
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    return [int(p) for p in found] + [d for p in found for d in descendants(int(p))]


def alive(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as stream:  # noqa: PTH123
            return stream.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs /proc")  # noqa: PTH112


@needs_proc
def test_ctrl_c_stops_all_workers_and_says_how_to_go_on(process, arguments, whole, tmp_path):
    out = tmp_path / "out"
    child = process(arguments(out, "--workers", "2"), start_new_session=True)
    wait_for(lambda: records(out) >= 5, child)
    workers = descendants(child.pid)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert b"Traceback" not in err
    end = time.monotonic() + 20
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(alive, workers))
    hint = err.decode().split("Go on with: ")[1].splitlines()[0]
    assert hint.endswith("--resume")
    again = shlex.split(hint)
    process(again[again.index("corpus") :]).communicate(timeout=120)
    assert contents(out) == whole


def test_resume_with_a_changed_flag_names_the_field(call, process, arguments, tmp_path):
    out = tmp_path / "out"
    child = process(arguments(out, "--workers", "2"))
    wait_for(lambda: records(out) >= 3, child)
    child.kill()
    child.wait()
    refused = call(*arguments(out, "--resume", "--min-words", "7", "--json"))
    assert refused.code == 2
    assert "settings.clean.min_words was 20 and is now 7" in refused.envelope["error"]["message"]
    unasked = call(*arguments(out))
    assert unasked.code == 2
    assert "--resume" in unasked.err


def test_dry_run_writes_nothing(call, arguments, tmp_path):
    data = call(*arguments(tmp_path / "out", "--dry-run", "--json")).envelope["data"]
    assert data["settings"]["read"]["layout"] == "paragraphs"
    assert data["units"] > 10
    assert data["tokens"] == pytest.approx(3600 * 14, rel=0.15)
    assert data["seconds"] > 0
    assert not (tmp_path / "out").exists()
    assert "about" in call(*arguments(tmp_path / "out", "--dry-run")).out


def test_recipe_and_overrides_and_flags(call, arguments, tmp_path):
    recipe = tmp_path / "corpus.toml"
    recipe.write_text("seed = 4\n[dedup]\nthreshold = 0.7\n[clean]\nmin_words = 5\n")
    shown = call(
        *arguments(tmp_path / "out", "--recipe", recipe, "--set", "clean.min_words=6", "--min-words", "9"),
        "--no-near-duplicates", "--dry-run", "--json",
    ).envelope["data"]["settings"]  # fmt: skip
    assert (shown["seed"], shown["dedup"]["threshold"], shown["clean"]["min_words"]) == (4, 0.7, 9)
    assert (shown["dedup"]["near"], shown["dedup"]["exact"]) == (False, True)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        (["--tokenizer", "missing-folder"], 2, "missing-folder"),
        (["--set", "dedup.treshold=0.7"], 2, "Did you mean 'threshold'"),
        (["--set", "dedup.bands=7"], 2, "must divide"),
        (["--layout", "pages"], 2, "pages"),
        (["--address", "127.0.0.1:1"], 2, "--engine ray"),
        (["--min-characters", "1000000"], 3, "nothing is left of 621 documents"),
    ],
)
def test_what_is_wrong_is_said(call, arguments, tmp_path, changes, code, words):
    result = call(*arguments(tmp_path / "out", "--workers", 1), *changes)
    assert result.code == code
    assert words in result.err


def test_inputs_that_hold_nothing(call, vocabulary, tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 50)
    for name in ("empty.txt", "binary.txt", "missing.txt"):
        out = tmp_path / f"out-{name}"
        result = call("corpus", "build", tmp_path / name, "--tokenizer", vocabulary, "--out", out, "--workers", 1)
        assert result.code == 3, result.err
        assert name in result.err
        assert not list(out.glob("shard-*"))


MEASURE = """
import sys
from litebert.cli.main import run
assert run(sys.argv[1:]) == 0
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
"""Not getrusage: what it tells survives exec, and so begins at the peak of the process that runs the tests."""


@needs_proc
def test_memory_does_not_grow_with_the_input(vocabulary, tmp_path):
    """Ten times the input, the same peak: neither texts, hashes, signatures, keys nor tokens are held for all of it."""
    peaks = {}
    for count in (1_200, 12_000):
        path = tmp_path / f"{count}.txt"
        path.write_text("\n\n".join(texts(count)))
        command = [
            "corpus", "build", str(path), "--tokenizer", str(vocabulary), "--out", str(tmp_path / str(count)), "--workers", "1",
            "--layout", "paragraphs", "--set", "shards.unit_bytes=131072", "--set", "report.language_samples=0",
        ]  # fmt: skip
        done = subprocess.run([sys.executable, "-c", MEASURE, *command], capture_output=True, text=True, check=True)
        peaks[count] = int(done.stdout.splitlines()[-1]) / 1024
        assert Corpus(tmp_path / str(count)).documents == count
    assert peaks[12_000] - peaks[1_200] < 4, peaks  # megabytes; the text alone has 5.7, the signatures 6.1
    assert peaks[12_000] < 400


def where(number):
    import ray

    time.sleep(0.5)
    return number, ray.get_runtime_context().get_node_id()


def fail(number):
    from litebert.errors import DataError

    raise DataError(f"{number} is refused", hint="Take another.")


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray")
def test_two_machines_of_a_ray_cluster_make_the_same_bytes(call, arguments, whole, tmp_path):
    from ray.cluster_utils import Cluster

    from litebert.corpus.building.engines import RayEngine
    from litebert.errors import DataError

    node = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        cluster.add_node(**node)
        with RayEngine(None, cluster.address) as engine:
            assert engine.workers == 2
            answers = list(engine.run(where, range(8)))
            assert [number for number, _ in answers] == list(range(8))
            assert len({node for _, node in answers}) == 2  # both machines worked
            with pytest.raises(DataError, match="0 is refused") as caught:
                list(engine.run(fail, range(3)))
            assert caught.value.hint == "Take another."
        built = call(*arguments(tmp_path / "out", "--engine", "ray", "--address", cluster.address))
        assert built.code == 0, built.err
        assert contents(tmp_path / "out") == whole
    finally:
        cluster.shutdown()


def test_without_ray_the_extra_is_named(call, arguments, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = call(*arguments(tmp_path / "out", "--engine", "ray"))
    assert result.code == 5
    assert "litebert[ray]" in result.err
