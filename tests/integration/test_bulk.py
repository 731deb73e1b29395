"""``litebert predict`` in parts: the same bytes as in one go, whoever works, whatever is killed, and wherever it was stopped."""

import csv
import importlib.util
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from litebert.inference.bulk.job import Answerer

ROWS = 1000
WINDOW = ("--window", 8)
PARTS = ("--part-rows", 8)


def table(path, rows, broken=None):
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "text"])
        for i in range(rows):
            text = " ".join(["a great film" if i % 3 else "it was awful"] * (1 + i * 7 % 11))
            writer.writerow([i, text] if i != broken else [i])
    return path


def folder_of(answers):
    return answers.with_name(answers.name + ".parts")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, model):
    """The input, and the answers that one process gives in one go."""
    from litebert.cli.main import run

    folder = tmp_path_factory.mktemp("whole")
    answers = folder / "answers.jsonl"
    source = table(folder / "rows.csv", ROWS)
    command = ["predict", model, source, *WINDOW, "--threads", 1, "--output", answers]
    assert run([str(word) for word in command]) == 0
    return source, answers.read_bytes()


def test_an_error_loses_nothing_and_is_told_as_without_parts(call, model, tmp_path):
    source, answers = table(tmp_path / "rows.csv", 60, broken=50), tmp_path / "answers.jsonl"
    command = ("predict", model, source, *WINDOW, "--output", answers)
    plain, parts = call(*command), call(*command, *PARTS, "--resume")
    assert plain.code == parts.code == 3 and plain.err == parts.err and "line 52" in parts.err
    assert not answers.exists() and len(list(folder_of(answers).glob("part-*"))) == 6
    table(source, 60)
    resumed = call(*command, *PARTS, "--resume", "--json")
    assert resumed.envelope["data"] == {"records": 60, "kept": 48, "output": str(answers)}
    found = answers.read_bytes()
    assert not folder_of(answers).exists()
    assert call(*command).code == 0 and answers.read_bytes() == found


def test_stopped_by_the_user(call, model, tmp_path, monkeypatch):
    source, answers = table(tmp_path / "rows.csv", 40), tmp_path / "answers.jsonl"
    command = ("predict", model, source, *WINDOW, *PARTS, "--output", answers, "--resume")
    lines, seen = Answerer.lines, []

    def stop_at_the_third(self, records):
        seen.append(records)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        return lines(self, records)

    monkeypatch.setattr(Answerer, "lines", stop_at_the_third)
    stopped = call(*command)
    assert stopped.code == 130 and "Go on with:" in stopped.err and stopped.err.rstrip().endswith("--resume")
    assert f"finished parts are kept in {folder_of(answers)}" in stopped.err
    resumed = call(*command)
    assert resumed.code == 0 and "wrote 40 answers" in resumed.err and "16 of them by an earlier run" in resumed.err
    assert len(seen) == 3 + 3  # two kept, the third again


def test_stopped_before_the_first_part_is_finished(call, model, tmp_path, monkeypatch):
    def stop(self, records):
        raise KeyboardInterrupt

    monkeypatch.setattr(Answerer, "lines", stop)
    source, answers = table(tmp_path / "rows.csv", 40), tmp_path / "answers.jsonl"
    stopped = call("predict", model, source, *WINDOW, *PARTS, "--output", answers, "--resume")
    assert stopped.code == 130 and "no part was finished" in stopped.err and "kept" not in stopped.err
    assert not folder_of(answers).exists()


@pytest.fixture
def begun(call, model, tmp_path):
    """A command that failed after six parts, its input repaired."""
    source, answers = table(tmp_path / "rows.csv", 60, broken=50), tmp_path / "answers.jsonl"
    command = ["predict", model, source, *WINDOW, *PARTS, "--output", answers, "--resume"]
    assert call(*command).code == 3
    table(source, 60)
    return command


def test_what_changed_is_named(call, begun, multi_model):
    source = Path(begun[2])
    for changes, words in (
        (["--top", 2], "top was 1 and is now 2"),
        (["--depth", 1], "engine.depth was None and is now 1"),
        (["--precision", "bf16"], "precision was 'fp32' and is now 'bf16'"),
        (["--part-rows", 16], "part_rows was 8 and is now 16"),
    ):
        refused = call(*begun, *changes)
        assert refused.code == 2 and words in refused.err and "--force" in refused.err
    other = call(begun[0], multi_model, *begun[2:])
    assert other.code == 2 and "model was" in other.err
    text = source.read_text()
    source.write_text(text.replace("film", "movie"))
    changed = call(*begun)
    assert changed.code == 2 and "rows 1 to 8" in changed.err and str(source) in changed.err
    anew = call(*begun, "--force", "--json")
    assert anew.envelope["data"]["kept"] == 0
    source.rename(source.with_name("other.csv"))  # a name is no content
    source.with_name("other.csv").write_text(text)


def test_a_copy_of_the_input_is_the_same_input(call, begun, tmp_path):
    copy = tmp_path / "copy.csv"
    copy.write_bytes(Path(begun[2]).read_bytes())
    assert call(*begun[:2], copy, *begun[3:], "--json").envelope["data"]["kept"] == 48


def test_many_files_give_one_output(call, model, tmp_path):
    one, two = table(tmp_path / "one.csv", 13), tmp_path / "two.txt"
    two.write_text("a great film\nit was awful\n")
    separate = [call("predict", model, path, *WINDOW).out for path in (one, two)]
    assert call("predict", model, one, two, *WINDOW).out == "".join(separate)
    answers = tmp_path / "answers.jsonl"
    assert call("predict", model, one, two, *WINDOW, *PARTS, "--resume", "--output", answers).code == 0
    assert answers.read_text() == "".join(separate)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--resume"], "Add --output"),
        (["--engine", "ray"], "Add --output"),
        (["--workers", 2], "Add --engine ray"),
        (["--ray-address", "127.0.0.1:1"], "Add --engine ray"),
        (["--force"], "Add --resume"),
        (["--part-rows", 8], "Add --resume"),
        (["--resume", "--output", "a", "--explain"], "--resume goes neither with --explain"),
        (["--resume", "--output", "a", "--budget-ms", 3], "Choose a --depth"),
        (["more.csv", "--explain"], "one file"),
    ],
)
def test_flags_that_do_not_go_together(call, model, tmp_path, monkeypatch, flags, words):
    monkeypatch.chdir(tmp_path)
    refused = call("predict", model, table(tmp_path / "rows.csv", 3), *flags)
    assert refused.code == 2 and words in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_without_ray_the_extra_is_named(call, model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    source = table(tmp_path / "rows.csv", 3)
    refused = call("predict", model, source, "--engine", "ray", "--output", tmp_path / "answers.jsonl")
    assert refused.code == 5 and "litebert[ray]" in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


# --- A Ray cluster --------------------------------------------------------------------------------------------------------

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None or not Path("/proc/self/stat").exists(),
    reason="needs Linux and the extra ray",
)


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    yield cluster
    cluster.shutdown()


def workers_of(cluster):
    """Processes that answer, by what their raylets have started."""
    parents = {str(node.all_processes["raylet"][0].process.pid) for node in cluster.list_all_nodes()}
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
            if parent in parents and b"RemoteAnswerer" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


def once(condition, act, seconds=600):
    """Start a thread that does something as soon as it can."""
    done = []

    def wait():
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            time.sleep(0.005)
        if condition():
            done.append(act())

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread, done


@needs_ray
def test_workers_machines_and_the_command_itself_may_die(call, process, model, whole, cluster, tmp_path, caplog):
    source, expected = whole
    answers = tmp_path / "answers.jsonl"
    parts = folder_of(answers)
    command = [
        "predict",
        model,
        source,
        *WINDOW,
        *PARTS,
        "--engine",
        "ray",
        "--ray-address",
        cluster.address,
        "--output",
        answers,
    ]
    caplog.set_level(logging.INFO, "litebert")

    def finished(count):
        return lambda: len(list(parts.glob("part-*"))) >= count

    # A worker is killed: its parts are answered by others.
    thread, killed = once(finished(3), lambda: os.kill(workers_of(cluster)[0], signal.SIGKILL))
    assert call(*command, "--json").envelope["data"] == {"records": ROWS, "kept": 0, "output": str(answers)}
    thread.join()
    assert killed and "a worker was lost" in caplog.text
    assert caplog.text.count("a worker is ready") >= 2  # both machines
    assert answers.read_bytes() == expected and not parts.exists()

    # The command is killed; its output is the old one. The next one goes on, and loses a machine for good.
    answers.write_text("old\n")
    child = process([*map(str, command)])
    thread, _ = once(finished(20), child.kill)
    thread.join()
    child.wait()
    left = len(list(parts.glob("part-*")))
    assert left >= 20 and answers.read_text() == "old\n"
    caplog.clear()
    node = next(iter(cluster.worker_nodes))
    thread, removed = once(finished(left + 3), lambda: cluster.remove_node(node, allow_graceful=False))
    data = call(*command, "--json").envelope["data"]
    thread.join()
    assert removed
    assert (
        "a worker was lost" in caplog.text or caplog.text.count("a worker is ready") == 1
    )  # its own had not begun yet
    assert data["records"] == ROWS and left * 8 <= data["kept"] < ROWS
    assert answers.read_bytes() == expected

    # What is wrong with a row is told as one process tells it.
    broken = table(tmp_path / "broken.csv", 300, broken=250)
    plain = call("predict", model, broken, *WINDOW, "--output", answers)
    remote = call(command[0], command[1], broken, *command[3:])
    assert plain.code == remote.code == 3 and remote.err.endswith(plain.err)
    assert len(list(parts.glob("part-*"))) == 31
