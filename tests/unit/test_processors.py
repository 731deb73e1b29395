"""The default number of threads follows the processors that a process is bound to and the time its control group allows."""

import os
import subprocess
import sys

import pytest

from litebert import processors
from litebert.processors import usable_processors


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of eight processors whose control groups are files."""
    monkeypatch.setattr(processors, "ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


def test_without_limits_all_that_it_is_bound_to(machine):
    assert usable_processors() == 8
    machine("proc/self/cgroup", "0::/user.slice\n")
    machine("sys/fs/cgroup/user.slice/cpu.max", "max 100000\n")
    assert usable_processors() == 8


@pytest.mark.parametrize(
    ("limit", "count"), [("250000 100000", 2), ("50000 100000", 1), ("1600000 100000", 8), ("", 8), ("3 0", 8)]
)
def test_the_share_of_a_container(machine, limit, count):
    machine("proc/self/cgroup", "0::/\n")
    machine("sys/fs/cgroup/cpu.max", limit)
    assert usable_processors() == count


def test_the_least_of_the_groups_above_counts(machine):
    machine("proc/self/cgroup", "0::/a/b\n")
    machine("sys/fs/cgroup/a/b/cpu.max", "500000 100000")
    machine("sys/fs/cgroup/a/cpu.max", "300000 100000")
    machine("sys/fs/cgroup/cpu.max", "max 100000")
    machine("cpu.max", "100000 100000")  # no group
    assert usable_processors() == 3


def test_version_1(machine):
    machine("proc/self/cgroup", "3:cpuset:/x\n2:cpu,cpuacct:/docker/1\n")
    machine("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n")  # what a container sees, whatever its path is called
    machine("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert usable_processors() == 2
    machine("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    assert usable_processors() == 8


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_on_one_core_computes_with_one_thread(when):
    """PyTorch sees what it is bound to when it is imported, the engine what comes later."""
    if when == "after" and len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    bind = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    code = "\n".join([
        "import os, torch" if when == "after" else f"import os; {bind}; import torch",
        "threads = torch.get_num_threads()",
        bind,
        "import litebert",
        "from litebert.inference.stream import computing",
        "pipe = litebert.load('litebert-small-en-embed', 'embed', precision='fp32', device='cpu')",
        "with computing(pipe.settings.threads): inside = torch.get_num_threads()",
        "pipe('a text'); print(threads, inside)",
    ])  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    before, inside = map(int, done.stdout.split())
    assert inside == 1
    assert (before > 1) == (when == "after")


def test_a_number_that_is_told_stands(monkeypatch):
    import torch

    from litebert.inference import loading

    monkeypatch.setattr(loading, "usable_processors", lambda: 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert loading.fewer_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert loading.fewer_threads() is None
