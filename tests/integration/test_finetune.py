"""Fine-tuning as users run it: every kind of label and file, several seeds, and nothing lost whatever happens."""

import errno
import hashlib
import io
import json
import re
import shlex
import signal
import sys
import time

import pytest
import torch
from huggingface_hub import ModelCard


def info(folder):
    return json.loads((folder / "litebert.json").read_text())


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", ["tsv", "jsonl", "parquet"])
def test_every_file_format_gives_the_same_model(kind, call, model, arguments, tmp_path):
    outcome = call(*arguments(f"single.{kind}", tmp_path / "m"))
    assert outcome.code == 0 and "accuracy" in outcome.out
    assert "6 of 60 training records are held out" in outcome.err  # no --dev
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()


def test_what_the_folder_says_about_itself(model, data):
    found = info(model)
    assert found["task"]["labels"] == ["neg", "pos"] and found["text"]["max_length"] == 32
    provenance = found["provenance"]
    digest = hashlib.sha256((data / "single.csv").read_bytes()).hexdigest()
    assert provenance["data"]["train"]["sha256"] == digest and provenance["data"]["train"]["records"] == 54
    assert provenance["data"]["dev"] == {"records": 6, "sha256": digest, "held_out_of": "train"}
    assert provenance["environment"]["packages"]["torch"] and provenance["recipe"]["training"]["steps"] == 3
    assert provenance["metrics"]["accuracy"] == provenance["seeds"][0]["accuracy"]
    card = (model / "README.md").read_text()
    assert digest in card and "`neg`, `pos`" in card and "54 records" in card and "3 steps of" in card
    assert "accuracy without learning |" in card and '- `metric`: "accuracy"' in card
    assert "base_model" not in card, "random weights have no name"


def test_the_card_can_be_read_by_the_hub(model, multi_model):
    for folder in (model, multi_model):
        (named, *_), metrics = (
            ModelCard.load(folder / "README.md").data.to_dict()["model-index"], info(folder)["provenance"]["metrics"],
        )  # fmt: skip
        (result,) = named["results"]
        assert named["name"] == "classify" and result["task"]["type"] == "text-classification"
        told = {row["type"]: row["value"] for row in result["metrics"]}
        assert (
            told == {name: pytest.approx(v, rel=1e-5) for name, v in metrics.items() if isinstance(v, float)} and told
        )


def test_the_report_is_one_file(model):
    page = (model / "report.html").read_text()
    assert page.lower().startswith("<!doctype html>") and "</html>" in page
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!\#|data:)|@import|url\((?!["']?data:)""", page)


def test_several_labels_get_thresholds_and_figures_that_belong_to_them(multi_model, call, data):
    found = info(multi_model)
    thresholds = found["task"]["thresholds"]
    assert len(thresholds) == 2 and all(0 < t < 1 for t in thresholds) and thresholds != [0.5, 0.5]
    provenance = found["provenance"]
    assert provenance["seeds"][0]["micro_f1"] == provenance["metrics"]["micro_f1"] == provenance["median"]["micro_f1"]
    evaluated = call("evaluate", multi_model, "--data", data / "multi.jsonl", "--json").envelope["data"]
    assert evaluated["multi.jsonl"]["metrics"]["micro_f1"] > 0


def test_values_and_pairs_evaluate(value_model, pair_model, call, data):
    values = call("evaluate", value_model, "--data", data / "values.tsv", "--json").envelope["data"]["values.tsv"]
    assert values["records"] == 60 and {"pearson", "spearman", "rmse"} <= values["metrics"].keys()
    renamed = call("evaluate", pair_model, "--data", data / "pair.csv", "--columns", "text=sentence1,pair=sentence2")
    assert renamed.code == 0 and "accuracy" in renamed.out


def test_a_few_records_may_be_enough_to_choose_and_to_score_by(call, arguments, data, tmp_path):
    limited = call(*arguments("single.csv", tmp_path / "m"), "--dev", data / "single.csv", "--set", "dev_limit=20")
    assert limited.code == 0 and "20 of 60 held-out records only (dev_limit)" in limited.err
    assert info(tmp_path / "m")["provenance"]["data"]["dev"]["records"] == 20
    scored = call("evaluate", tmp_path / "m", "--data", data / "single.csv", "--limit", "20", "--json")
    found = json.loads(scored.out)
    assert found["data"]["single.csv"]["records"] == 20 and "20 of 60 records only (limit)" in found["warnings"][0]
    chosen_by = info(tmp_path / "m")["provenance"]["metrics"]["accuracy"]
    assert found["data"]["single.csv"]["metrics"]["accuracy"] == chosen_by, "they are the same records"
    whole = json.loads(call("evaluate", tmp_path / "m", "--data", data / "single.csv", "--limit", "60", "--json").out)
    assert whole["data"]["single.csv"]["records"] == 60 and not any("limit" in one for one in whole["warnings"])


def test_several_seeds_report_the_median_and_keep_the_best(call, arguments, data, tmp_path):
    more = ["--dev", data / "single.tsv", "--seeds", "2", "--json"]
    outcome = call(*arguments("single.csv", tmp_path / "m", *more))
    found = outcome.envelope["data"]
    accuracies = [row["accuracy"] for row in found["seeds"]]
    assert [row["seed"] for row in found["seeds"]] == [0, 1]
    assert found["median"]["accuracy"] == pytest.approx(sum(accuracies) / 2)
    assert found["metrics"]["accuracy"] == max(accuracies)
    assert accuracies[found["kept_seed"]] == max(accuracies)
    provenance = info(tmp_path / "m")["provenance"]
    assert provenance["kept_seed"] == found["kept_seed"] and "best of 2 on dev" in provenance["seeds_note"]
    assert provenance["data"]["dev"]["file"] == "single.tsv" and provenance["data"]["train"]["records"] == 60


def test_a_dry_run_tells_how_many_labels_there_are(call, arguments, tmp_path):
    many = tmp_path / "many.csv"
    many.write_text("text,label\n" + "".join(f"the film,label{i % 12:02}\n" for i in range(48)))
    outcome = call(*arguments(many, tmp_path / "m", "--dry-run"))
    assert "label09, ... (12 in all)" in outcome.out and "3 for each of 1 seed\n" in outcome.out


def test_dry_run_writes_nothing(call, arguments, tmp_path):
    outcome = call(*arguments("single.csv", tmp_path / "m", "--dry-run"))
    assert outcome.code == 0 and "54 to train, 6 held out" in outcome.out and not list(tmp_path.iterdir())


# --- An existing folder -------------------------------------------------------------------------------------------------


def test_a_run_is_replaced_only_by_force_and_only_itself(call, arguments, tmp_path):
    out = tmp_path / "m"
    assert call(*arguments("single.csv", out)).code == 0
    (out / "notes.txt").write_text("mine")
    before = (out / "model.safetensors").read_bytes()
    refused = call(*arguments("single.csv", out))
    assert refused.code == 2 and "--resume" in refused.err and "--force" in refused.err
    failed = call(*arguments("single.csv", out, "--force", "--device", "cuda:77"))
    assert failed.code == 5 and (out / "model.safetensors").read_bytes() == before  # nothing is lost to a wrong call
    assert call(*arguments("single.csv", out, "--force", "--seed", "5")).code == 0
    assert (out / "notes.txt").read_text() == "mine" and (out / "model.safetensors").read_bytes() != before


def test_force_does_not_remove_the_files_of_somebody_else(call, arguments, tmp_path):
    (tmp_path / "README.md").write_text("my project")
    outcome = call(*arguments("single.csv", tmp_path, "--force"))
    assert outcome.code == 2 and "README.md" in outcome.err
    assert (tmp_path / "README.md").read_text() == "my project"


def test_resume_is_refused_with_other_settings_or_data(call, arguments, data, tmp_path):
    train = tmp_path / "train.csv"
    train.write_bytes((data / "single.csv").read_bytes())
    out = tmp_path / "m"
    assert call(*arguments(train, out)).code == 0
    other = call(*arguments(train, out, "--resume", "--learning-rate", "0.5"))
    assert other.code == 2 and "training.learning_rate" in other.err
    train.write_text(train.read_text() + "one more,pos\n")
    changed = call(*arguments(train, out, "--resume"))
    assert changed.code == 2 and "the data of dev and train" in changed.err


def test_resume_is_refused_with_an_edited_architecture(call, arguments, data, tmp_path):
    config = tmp_path / "shape.json"
    config.write_text((data / "tiny.json").read_text())
    called = [
        f"random:{config}" if str(a).startswith("random:") else a for a in arguments("single.csv", tmp_path / "m")
    ]
    assert call(*called).code == 0
    config.write_text(json.dumps({**json.loads(config.read_text()), "num_hidden_layers": 1}))
    outcome = call(*called, "--resume")
    assert outcome.code == 2 and "config.num_hidden_layers was 2 and is now 1" in outcome.err


# --- Killed, interrupted, out of space ----------------------------------------------------------------------------------

LONG = ("--set", "training.checkpoint_minutes=0", "--set", "training.log_every=1")
STEPS = 14


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, arguments):
    from litebert.cli.main import run

    out = tmp_path_factory.mktemp("whole") / "m"
    assert run(arguments("single.csv", out, *LONG, steps=STEPS)) == 0
    return out


def stop_midway(child, out, number):
    deadline = time.monotonic() + 40
    while not list(out.glob("checkpoints/seed-0/step-0000000[3-9].pt")):
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(number)
    return child.communicate(timeout=40)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(number, call, arguments, process, uninterrupted, tmp_path):
    out = tmp_path / "m"
    called = arguments("single.csv", out, *LONG, steps=STEPS)
    child = process(called)
    _, err = stop_midway(child, out, number)
    if number == signal.SIGINT:
        assert child.returncode == 130 and b"--resume" in err and b"Traceback" not in err
    else:
        assert child.returncode == -signal.SIGKILL
    assert not (out / "litebert.json").exists()  # no half-made model
    assert call(*called, "--resume").code == 0
    assert (out / "model.safetensors").read_bytes() == (uninterrupted / "model.safetensors").read_bytes()
    places = [(r["event"], r["step"]) for r in rows(out)]
    assert len(places) == len(set(places)) and places == [(r["event"], r["step"]) for r in rows(uninterrupted)]
    assert [r.get("loss") for r in rows(out)] == [r.get("loss") for r in rows(uninterrupted)]


def test_a_full_disk_is_said_and_the_last_checkpoint_is_whole(call, arguments, uninterrupted, tmp_path, monkeypatch):
    from litebert.train import checkpoints

    real, count = torch.save, [0]

    class Full:
        """A stream on a disk that is full after some bytes."""

        def __init__(self, stream):
            self.stream, self.left = stream, 20_000

        def write(self, data):
            self.left -= len(data)
            if self.left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.stream.write(data)

        def flush(self):
            self.stream.flush()

    def save(state, stream):
        count[0] += 1
        real(state, Full(stream) if count[0] > 5 else stream)

    out = tmp_path / "m"
    called = arguments("single.csv", out, *LONG, steps=STEPS)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.torch, "save", save)
        outcome = call(*called)
    assert outcome.code == 1 and "disk is full" in outcome.err and "step-00000006" in outcome.err
    folder = out / "checkpoints" / "seed-0"
    assert sorted(p.name for p in folder.iterdir()) == ["step-00000004.pt", "step-00000005.pt"]
    assert torch.load(folder / "step-00000005.pt", weights_only=True)["progress"]["step"] == 5
    assert call(*called, "--resume").code == 0
    assert (out / "model.safetensors").read_bytes() == (uninterrupted / "model.safetensors").read_bytes()


def test_pairs_and_single_texts_are_not_mixed(tmp_path):
    """A model that compares two texts refuses one, and the other way round."""
    from litebert.errors import DataError
    from litebert.tasks.classify.task import ClassifyTask
    from litebert.tasks.examples import TextSettings, WindowCount
    from litebert.tasks.reading.records import Record
    from litebert.text import AlbertTokenizer

    pairs = ClassifyTask.from_records([Record("a", "b", "x"), Record("c", "d", "y")], {})
    single = ClassifyTask.from_records([Record("a", None, "x"), Record("c", None, "y")], {})
    tokenizer, text = AlbertTokenizer.bundled(), TextSettings()
    with pytest.raises(DataError, match="compares two texts"):
        pairs.examples([Record("a")], tokenizer, text, count=WindowCount())
    with pytest.raises(DataError, match="takes one text"):
        single.examples([Record("a", "b")], tokenizer, text, count=WindowCount())
    assert ClassifyTask.from_dict(pairs.to_dict()) == pairs


def test_a_model_folder_tells_no_paths(model, data):
    """It travels; run.json keeps the paths, for resuming."""
    for name in ("litebert.json", "README.md", "config.json"):
        assert str(data) not in (model / name).read_text()
    assert str(data) in (model / "run.json").read_text()


def test_a_run_no_better_than_no_learning_says_so(call, arguments, tmp_path):
    """Too short for the guardian, which looks at the loss from fifty steps on."""
    dev = tmp_path / "dev.csv"
    dev.write_text(
        "text,label\n" + "the film,pos\n" * 9 + "the film,neg\n"
    )  # one text: nothing is better than the commonest label
    short = call(*arguments("single.csv", tmp_path / "short", "--dev", dev, "--json", steps=1)).envelope
    assert any("is no better than 0.9000 without learning" in warning for warning in short["warnings"])
    scored = call("evaluate", tmp_path / "short", "--data", dev)
    assert "is no better than 0.9000 without learning" in scored.err
    assert any(line.split() == ["accuracy", "without", "learning", "0.9000"] for line in scored.out.splitlines())


def test_what_to_try_works_for_pairs(call, arguments, tmp_path, monkeypatch):
    outcome = call(*arguments("pair.csv", tmp_path / "m", steps=1))
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("try ")]
    _, piped, rest = line.split("'")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped.encode())))
    answered = call(*shlex.split(rest)[2:])
    assert answered.code == 0 and len(answered.lines) == 1, answered.err
