"""The files that start a run on a cluster: well formed, consistent with each other, and in step with the command line they call."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from litebert.cli.main import cli
from litebert.cli.pretrain import command, resolve
from litebert.settings import recipe_folder

KUBERNETES = recipe_folder() / "kubernetes"
SLURM = recipe_folder() / "slurm" / "pretrain.sbatch"
MANIFESTS = sorted(path for path in KUBERNETES.glob("*.yaml") if not path.name.startswith("serve"))
FILES = sorted([*KUBERNETES.iterdir(), SLURM])


def documents():
    found = [d for path in MANIFESTS for d in yaml.safe_load_all(path.read_text())]
    return {(d["kind"], d["metadata"]["name"]): d for d in found}


def one(kind):
    (found,) = [d for (k, _), d in documents().items() if k == kind]
    return found


def words_of_slurm():
    """The words of the srun command, its lines joined."""
    text = SLURM.read_text().replace("\\\n", " ")
    (line,) = [line for line in text.splitlines() if line.startswith("srun")]
    return line.removesuffix("&").split()


def options_after(words, name):
    """Option and value pairs of ``litebert NAME``, in either of the ways to write them."""
    given = []
    rest = iter(words[words.index(name) + 1 :])
    for word in rest:
        option, sign, value = word.partition("=")
        declared = next(p for p in command.params if option in p.opts)
        given.append((declared, value if sign else True if declared.is_flag else next(rest)))
    return given


def test_the_manifests_are_of_the_kinds_and_versions_kubeflow_trainer_serves():
    kinds = {(d["apiVersion"], d["kind"]) for d in documents().values()}
    assert kinds == {
        ("trainer.kubeflow.org/v1alpha1", "TrainJob"), ("trainer.kubeflow.org/v1alpha1", "TrainingRuntime"),
        ("v1", "PersistentVolumeClaim"),
    }  # fmt: skip
    assert all(re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name) for _, name in documents())


def test_the_job_uses_only_fields_that_all_releases_have():
    spec = one("TrainJob")["spec"]
    assert set(spec) == {"runtimeRef", "trainer"}
    assert set(spec["trainer"]) <= {"image", "command", "args", "env", "numNodes", "resourcesPerNode"}
    assert set(one("TrainingRuntime")["spec"]["mlPolicy"]) == {"numNodes", "torch"}


def test_the_job_refers_to_the_runtime_and_the_runtime_to_the_volumes():
    runtime = one("TrainingRuntime")
    assert one("TrainJob")["spec"]["runtimeRef"] == {"kind": "TrainingRuntime", "name": runtime["metadata"]["name"]}
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    pod = job["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert job["name"] == container["name"] == "node"  # the names Kubeflow Trainer looks for
    assert job["template"]["metadata"]["labels"] == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    claims = {v["persistentVolumeClaim"]["claimName"] for v in volumes.values() if "persistentVolumeClaim" in v}
    assert claims == {name for kind, name in documents() if kind == "PersistentVolumeClaim"}


def test_the_job_reads_and_writes_where_volumes_are_mounted():
    (job,) = one("TrainingRuntime")["spec"]["template"]["spec"]["replicatedJobs"]
    (container,) = job["template"]["spec"]["template"]["spec"]["containers"]
    writable = {mount["mountPath"]: not mount.get("readOnly", False) for mount in container["volumeMounts"]}
    given = {p.name: value for p, value in options_after(one("TrainJob")["spec"]["trainer"]["args"], "pretrain")}
    assert not writable[str(Path(given["corpus"]).parent)] and writable[str(Path(given["out"]).parent)]


@pytest.mark.parametrize("launcher", ["kubernetes", "slurm"])
def test_the_command_is_one_that_litebert_accepts(launcher):
    trainer = one("TrainJob")["spec"]["trainer"]
    words = [*trainer["command"], *trainer["args"]] if launcher == "kubernetes" else words_of_slurm()
    start = words.index("torchrun")
    program = words.index("-m", start)
    assert (
        words[program : program + 3] == ["-m", "litebert", "pretrain"] and cli.get_command(None, "pretrain") is command
    )
    given = options_after(words, "pretrain")
    overrides = tuple(value for parameter, value in given if parameter.name == "overrides")
    flags = {p.name: v for p, v in given if p.name in ("corpus", "held_out")}
    settings = resolve(next(v for p, v in given if p.name == "recipe"), overrides, flags)
    assert settings.training.batch_size // settings.block >= 16  # something to do for every process
    assert any(parameter.name == "resume" for parameter, _ in given)  # or a restart would be refused


def test_torchrun_knows_the_options():
    from torch.distributed.run import get_args_parser

    trainer = one("TrainJob")["spec"]["trainer"]
    slurm = [word.strip('"').replace("$SLURM_NNODES", "2") for word in words_of_slurm()]
    for words in (trainer["args"], slurm[slurm.index("torchrun") + 1 :]):
        parsed = get_args_parser().parse_args(words)
        assert parsed.module and parsed.training_script == "litebert" and parsed.nproc_per_node == "gpu"


def test_the_batch_script_is_valid_bash_and_its_directives_come_first():
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    lines = SLURM.read_text().splitlines()
    directives = [i for i, line in enumerate(lines) if line.startswith("#SBATCH")]
    commands = [i for i, line in enumerate(lines) if line and not line.startswith("#")]
    assert lines[0] == "#!/bin/bash" and max(directives) < min(commands)


def test_no_line_of_the_batch_script_signals_srun():
    """srun forwards SIGKILL when it is told SIGTERM, SIGHUP or SIGQUIT; what is to be told are the tasks of the step."""
    lines = [line for line in SLURM.read_text().splitlines() if not line.startswith("#")]
    assert not [line for line in lines if re.search(r"\bp?kill(all)?\b", line.replace("--kill-on-bad-exit", ""))]
    (directive,) = [line for line in SLURM.read_text().splitlines() if line.startswith("#SBATCH --signal")]
    name, _, seconds = directive.removeprefix("#SBATCH --signal=B:").partition("@")
    (trap,) = [line for line in lines if line.startswith("trap ")]
    assert trap.split()[-1] == name and name not in ("TERM", "HUP", "QUIT", "INT")
    (patience,) = [line for line in lines if line.startswith("export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=")]
    assert 60 <= int(patience.partition("=")[2]) < int(seconds)


def test_pods_have_the_time_that_torchrun_gives_its_processes():
    (job,) = one("TrainingRuntime")["spec"]["template"]["spec"]["replicatedJobs"]
    grace = job["template"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    given = {entry["name"]: entry["value"] for entry in one("TrainJob")["spec"]["trainer"]["env"]}
    assert 30 < int(given["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"]) < grace


STAND_INS = {
    "srun": """
        trap 'echo srun told >> "$LOG"; exit 143' TERM HUP QUIT INT
        echo srun began >> "$LOG"
        for _ in $(seq 600); do
            [[ -f $LOG.end ]] && { echo "srun ended" >> "$LOG"; exit "$(cat "$LOG.end")"; }
            [[ -f $LOG.told ]] && { sleep 0.3; echo saved >> "$LOG"; exit 1; }
            sleep 0.05
        done
    """,
    "scancel": 'echo "scancel $*" >> "$LOG"; touch "$LOG.told"',
    "scontrol": '[[ $1 == show ]] && echo node1 || echo "scontrol $*" >> "$LOG"',
}
"""What Slurm's commands do, as far as the script can tell."""


def batch_job(folder):
    """Start the batch script with stand-ins for Slurm's commands; the process, its log, and its $OUT."""
    (folder / "bin").mkdir()
    for name, body in STAND_INS.items():
        file = folder / "bin" / name
        file.write_text(f"#!/bin/bash\n{body}\n")
        file.chmod(0o755)
    out, log = folder / "out", folder / "log"
    out.mkdir()
    environment = {
        **os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "LOG": str(log), "OUT": str(out), "SLURM_JOB_ID": "77",
        "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_NNODES": "2",
    }  # fmt: skip
    job = subprocess.Popen(["bash", str(SLURM)], env=environment, cwd=folder)
    end = time.monotonic() + 30
    while not log.exists() and time.monotonic() < end:
        time.sleep(0.02)
    return job, log, out


def test_a_job_whose_time_is_up_saves_and_then_queues_itself_again(tmp_path):
    job, log, _ = batch_job(tmp_path)
    job.send_signal(signal.SIGUSR1)  # as --signal=B: does, to the shell alone
    job.wait(60)
    assert log.read_text().splitlines() == ["srun began", "scancel --signal=TERM 77.0", "saved", "scontrol requeue 77"]


def test_a_job_that_ends_as_its_time_is_up_is_not_queued_again(tmp_path):
    job, log, out = batch_job(tmp_path)
    (out / "litebert.json").write_text("{}")
    job.send_signal(signal.SIGUSR1)
    job.wait(60)
    assert log.read_text().splitlines() == ["srun began", "scancel --signal=TERM 77.0", "saved"]


@pytest.mark.parametrize("status", [0, 3])
def test_a_job_that_ends_by_itself_tells_how(tmp_path, status):
    job, log, _ = batch_job(tmp_path)
    Path(f"{log}.end").write_text(str(status))
    assert job.wait(60) == status
    assert log.read_text().splitlines() == ["srun began", "srun ended"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_launch_file_names_a_place_of_its_author(path):
    text = path.read_text()
    assert not re.search(r"/(home|work|root|Users|tmp)/|\b\d{1,3}(\.\d{1,3}){3}\b", text)
