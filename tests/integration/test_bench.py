"""``litebert bench``: finds the programs, runs them, keeps their figures where it is told."""

import json

import pytest

from litebert.cli import bench

PROGRAM = '''"""Measure nothing.

More about it.
"""
import os, sys
from pathlib import Path
RESULTS = Path(os.environ.get("LITEBERT_RESULTS") or Path(__file__).parent / "results")
if __name__ == "__main__":
    (RESULTS / "nothing.json").write_text(str(sys.argv[1:]))
    sys.exit(int(sys.argv[-1]) if "--status" in sys.argv else 0)
'''


@pytest.fixture
def programs(tmp_path, monkeypatch):
    folder = tmp_path / "benchmarks"
    (folder / "results").mkdir(parents=True)
    (folder / "nothing.py").write_text(PROGRAM)
    (folder / "tables.py").write_text(PROGRAM)
    (folder / "results_folder.py").write_text("RESULTS = 1\n")
    monkeypatch.setattr("litebert.settings.shipped_folder", lambda name: tmp_path / name)
    return folder


def test_the_real_ones_are_listed(call):
    found = call("bench", "--json").envelope["data"]["benchmarks"]
    assert {"inference", "pretraining", "corpus", "tokenizer", "demo", "checkpoint"} <= set(found)
    assert {"serve_load", "serve_peers", "serve_soak", "serve_first_answer"} <= set(found)
    assert not {"serve_plain_server", "serve_traffic"} & set(found)
    assert not set(bench.NOT_MEASURING) & set(found) and "results_folder" not in found and "in_turn" not in found


def test_a_program_runs_with_its_arguments(programs, call, tmp_path):
    assert call("bench").out == "nothing        Measure nothing.\n"
    assert call("bench", "nothing", "--rounds", 3, "--json").code == 0
    assert (programs / "results" / "nothing.json").read_text() == "['--rounds', '3', '--json']"
    assert call("bench", "--results", tmp_path / "new" / "place", "nothing").code == 0
    assert (tmp_path / "new" / "place" / "nothing.json").read_text() == "[]"
    assert "figures:" in call("bench", "nothing").err and "figures:" not in call("bench", "nothing", "--help").err


def test_programs_in_a_folder_have_its_name_before_theirs(programs, call):
    (programs / "far").mkdir()
    (programs / "far" / "thing.py").write_text(PROGRAM.replace(".parent /", ".parents[1] /"))
    assert call("bench").out.splitlines()[-1] == "far_thing      Measure nothing."
    assert call("bench", "far_thing", "--rounds", 3).code == 0
    assert (programs / "results" / "nothing.json").read_text() == "['--rounds', '3']"


def test_what_goes_wrong_is_said(programs, call):
    failed = call("bench", "nothing", "--status", 3)
    assert failed.code == 1 and "ended with status 3" in failed.err
    misspelt = call("bench", "nothing", "--status", 2)  # what argparse ends with
    assert misspelt.code == 2 and "bench nothing --help" in misspelt.err
    assert "Allowed: nothing" in call("bench", "some").err
    assert json.loads(call("bench", "--json", "some").out)["ok"] is False
