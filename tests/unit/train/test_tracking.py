"""Figures on disk: JSON Lines that survive a kill, and TensorBoard files."""

import json

import pytest

from litebert.train import tracking
from litebert.train.tracking import MetricsFile, Tracker


def test_numbers_json_cannot_hold_become_null(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.append({"a": float("nan"), "b": {"c": float("inf")}, "d": 1.5})
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"a": None, "b": {"c": None}, "d": 1.5}


def test_a_last_line_cut_off_is_left_out(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.append({"seed": 0, "step": 1})
    with metrics.path.open("a") as stream:
        stream.write('{"seed": 0, "st')
    assert metrics.rows() == [{"seed": 0, "step": 1}]


def test_rewind_drops_what_came_after_of_one_seed(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    for seed in (0, 1):
        for step in (1, 2, 3):
            metrics.append({"seed": seed, "step": step})
    metrics.rewind(1, 2)
    assert [(r["seed"], r["step"]) for r in metrics.rows()] == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]


@pytest.mark.parametrize("when", ["add_scalar", "close"])
def test_a_full_disk_ends_tensorboard_only(tmp_path, when, capsys):
    pytest.importorskip("tensorboard")

    def full(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(ValueError, match="why it ended"), Tracker(tmp_path, seed=0, progress=False) as tracker:
        setattr(tracker._writer, when, full)
        tracker.log("train", 1, loss=0.5)
        tracker.log("train", 2, loss=0.4)
        raise ValueError("why it ended")
    assert [row["step"] for row in tracker.metrics.rows()] == [1, 2]
    assert capsys.readouterr().err.count("TensorBoard's files end here: No space left") == 1


def test_tensorboard_gets_every_number(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with Tracker(tmp_path, seed=3, progress=False) as tracker:
        tracker.log("train", 10, loss=0.5, learning_rate=1e-4)
        tracker.log("eval", 10, **{"dev/accuracy": 0.75})
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "seed-3")).Reload()
    assert set(events.Tags()["scalars"]) == {"train/loss", "train/learning_rate", "dev/accuracy"}
    (point,) = events.Scalars("train/loss")
    assert (point.step, point.value) == (10, 0.5)


def test_without_tensorboard_the_rest_goes_on(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with Tracker(tmp_path, seed=0, progress=False) as tracker:
        tracker.log("train", 1, loss=1.0)
    assert tracker.metrics.rows()[0]["loss"] == 1.0
    assert not (tmp_path / "tensorboard").exists()


def test_a_line_a_minute_away_from_a_terminal(tmp_path, capsys, monkeypatch):
    clock = iter([0, 0, *range(10, 200, 10)])
    monkeypatch.setattr(tracking.time, "monotonic", lambda: next(clock))
    with Tracker(tmp_path, seed=0, tensorboard=False, label="seed 0") as tracker:
        for step in range(1, 15):
            tracker.progress(step, 43, "loss 0.500")
    assert capsys.readouterr().err.splitlines() == [
        "seed 0: step 7 of 43, loss 0.500, about 6 minutes left",
        "seed 0: step 13 of 43, loss 0.500, about 5 minutes left",
    ]
    with Tracker(tmp_path, seed=0, tensorboard=False, progress=False) as tracker:
        tracker.progress(1, 43, "loss 0.500")
    assert capsys.readouterr().err == ""
