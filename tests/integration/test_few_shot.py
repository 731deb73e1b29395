"""Few-shot classification through the commands."""

import csv
import random

import numpy as np
import pytest

import litebert
from tests.integration.test_embed import TOPICS, sentence


def table(path, count, seed):
    draw = random.Random(seed)
    with path.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["text", "label"])
        for _ in range(count):
            for topic in TOPICS:
                rows.writerow([sentence(draw, topic), topic])
    return path


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    from litebert.cli.main import run

    folder = tmp_path_factory.mktemp("few")
    train, dev = table(folder / "train.csv", 20, 0), table(folder / "dev.csv", 10, 1)
    code = run([
        "finetune", "few-shot", "--model", f"random:{data / 'tiny.json'}", "--train", str(train), "--dev", str(dev), "--out",
        str(folder / "model"), "--max-length", "32", "--set", "options.per_label=8", "--set", "training.steps=120",
        "--learning-rate", "3e-3", "--batch-size", "32",
        "--set", "config.hidden_dropout_prob=0", "--set", "config.attention_probs_dropout_prob=0",
    ])  # fmt: skip
    assert code == 0
    return folder


def test_eight_of_each_label_are_enough(trained, call):
    outcome = call("evaluate", trained / "model", "--data", trained / "dev.csv", "--json")
    assert outcome.envelope["data"]["dev.csv"]["metrics"]["accuracy"] > 0.75


def test_it_answers_as_a_classifier_and_is_exported(trained, call, tmp_path):
    texts = ["the old ship and the harbour", "bread with salt"]
    answers = litebert.load(trained / "model", precision="fp32")(texts)
    assert {name for name, _ in answers[0].scores} == set(TOPICS)
    outcome = call(
        "export",
        trained / "model",
        "--format",
        "onnx",
        "--out",
        tmp_path / "onnx",
        "--data",
        trained / "dev.csv",
        "--json",
    )
    (figures,) = outcome.envelope["data"]["metrics"]
    assert figures["after"] == pytest.approx(figures["before"], abs=1e-6) and np.isfinite(figures["after"])
