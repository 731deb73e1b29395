"""The README's blocks, run as they stand; only the demo is cut short."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from litebert.tasks.demo import DATA
from litebert.tasks.reading.records import read_records

README = (Path(__file__).parents[2] / "README.md").read_text()


def block(language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)
    return found


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    records = read_records(DATA / "train.csv.xz")[::33][:300]
    for name, part in (("train.csv", records[:250]), ("dev.csv", records[250:])):
        with (folder / name).open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["text", "label"])
            writer.writerows([r.text, "card" if "card" in str(r.label) else "other"] for r in part)
    return folder


def test_shell_block(workplace):
    bin_folder = Path(sys.executable).parent
    lines = block("bash").replace("litebert demo --out bank", "litebert demo --out bank --minutes 0.05")
    script = f'set -euo pipefail\nPATH="{bin_folder}:$PATH"\n{lines}'
    done = subprocess.run(["bash", "-c", script], cwd=workplace, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for path in ("bank/report.html", "mine/model.safetensors", "answers.jsonl", "copy/config.json"):
        assert (workplace / path).is_file()
    assert "Traceback" not in done.stderr
    assert len((workplace / "answers.jsonl").read_text().splitlines()) == 50


def test_python_block(workplace):
    if not (workplace / "bank" / "config.json").is_file():
        test_shell_block(workplace)
    done = subprocess.run(
        [sys.executable, "-c", block("python")], cwd=workplace, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
    assert "('deja'" in done.stdout or "▁deja" in done.stdout or "▁de" in done.stdout
