"""Help, envelopes, exit codes, streams: what scripts rely on."""

import io
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from litebert.cli import main as program
from litebert.cli.main import COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example_and_the_common_options(command, call):
    outcome = call(command, "--help")
    assert outcome.code == 0
    assert "Example:\n" in outcome.out and f"litebert {command}" in outcome.out
    assert "--json" in outcome.out and "--debug" in outcome.out


@pytest.mark.parametrize("arguments", [[], ["corpus"]])
def test_without_a_command_the_help_is_shown(arguments, call):
    outcome = call(*arguments)
    assert outcome.code == 2 and outcome.err.startswith("Usage: litebert") and "error[" not in outcome.err


@pytest.mark.parametrize("command", ["doctor", "recipes", "info", "convert", "evaluate", "predict", "dry run"])
def test_success_envelope(command, call, data, model, tmp_path, arguments):
    called = {
        "doctor": ["doctor"],
        "recipes": ["recipes", "glue/mrpc"],
        "info": ["info", model],
        "convert": ["convert", model, tmp_path / "copy"],
        "evaluate": ["evaluate", model, "--data", data / "single.csv"],
        "predict": ["predict", model, data / "single.csv", "--output", tmp_path / "answers.jsonl"],
        "dry run": [*arguments("single.csv", tmp_path / "never"), "--dry-run"],
    }[command]
    outcome = call(*called, "--json")
    assert outcome.code == 0
    found = outcome.envelope
    assert found.keys() == {"schema", "command", "ok", "data", "warnings", "artifacts"}
    assert found["schema"] == "litebert/1" and found["ok"] is True and found["data"]
    assert found["command"] == called[0]


@pytest.mark.parametrize(
    ("called", "code", "name", "command"),
    [
        (["info", "no-such-model", "--json"], 2, "usage", "info"),
        (["evaluate", "nano", "--json"], 2, "usage", "evaluate"),
        (["--json", "nonsense"], 2, "usage", "nonsense"),
        (["predict", "{model}", "absent.csv", "--json"], 3, "data", "predict"),
        (["predict", "{model}", "--device", "cuda:77", "--json"], 5, "machine", "predict"),
        (["recipes", "glue/mrcp", "--json"], 2, "config", "recipes"),
    ],
)
def test_error_envelope_and_exit_code(called, code, name, command, call, model):
    outcome = call(*[a.format(model=model) for a in called])
    assert outcome.code == code
    found = outcome.envelope
    assert found.keys() == {"schema", "command", "ok", "error"} and found["ok"] is False
    assert found["error"].keys() == {"code", "message", "hint", "path", "line"}
    assert found["error"]["code"] == name and found["command"] == command


@pytest.mark.parametrize(
    ("called", "nearest"),
    [
        (["predikt"], "Did you mean 'predict'?"),
        (["recipes", "glue/mrcp"], "Did you mean 'glue/mrpc'?"),
        (["info", "random:nanno"], "Did you mean"),
        (["predict", "m", "--ouput", "x"], "Did you mean '--output'?"),
        (["predict", "{model}", "--precision", "fp23"], "Did you mean 'fp32'?"),
        (["predict", "{model}", "--format", "cvs"], "Did you mean 'csv'?"),
    ],
)
def test_a_mistyped_name_gets_its_nearest_match(called, nearest, call, model):
    outcome = call(*[a.format(model=model) for a in called])
    assert outcome.code == 2 and nearest in outcome.err and not outcome.out


def test_ctrl_c_outside_of_training_has_an_envelope_too(call, model, monkeypatch):
    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("litebert.inference.loading.load", interrupted)
    outcome = call("predict", model, "--json")
    assert outcome.code == 130 and outcome.envelope["error"]["code"] == "interrupted"


def test_ctrl_c_while_a_file_is_answered_says_how_to_keep_answers(call, model, data, tmp_path, monkeypatch):
    def interrupted(*_args, **_options):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("litebert.inference.predict.predict_files", interrupted)
    monkeypatch.setattr("sys.argv", ["litebert", "predict", "m", "x.csv", "--output", "a.jsonl"])
    outcome = call("predict", model, data / "single.csv", "--output", tmp_path / "a.jsonl")
    assert outcome.code == 130 and "was not written" in outcome.err and list(tmp_path.iterdir()) == []
    assert "predict m x.csv --output a.jsonl --resume" in outcome.err
    assert "--resume" not in call("predict", model, data / "single.csv").err


def test_an_output_called_minus_is_standard_output(call, model, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in ("predict", "embed"):
        called = [command, "litebert-small-en-embed" if command == "embed" else model, data / "single.csv"]
        outcome = call(*called, "--output", "-")
        assert outcome.code == 0 and len(outcome.lines) == 60 and list(tmp_path.iterdir()) == []
    assert "--output FILE" in call("predict", model, data / "single.csv", "--output", "-", "--resume").err


def test_standard_input_by_its_path(call, model, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"good\nbad\n")))
    assert len(call("predict", model, "/dev/stdin").lines) == 2
    outcome = call("embed", "litebert-small-en-embed", "/dev/stdin")
    assert outcome.code == 2 and "--format" in outcome.err and "- for standard input" in outcome.err


def test_the_parameters_of_a_model_are_those_of_its_card(call):
    outcome = call("info", "litebert-small-en", "--json")
    parameters = outcome.envelope["data"]["parameters"]
    assert parameters["shared"] + parameters["heads"] == 4_152_194
    shown = call("info", "litebert-small-en").out
    assert "4,085,888 in encoder and pooler" in shown and "4,152,194 with its heads" in shown
    assert "its heads" not in call("info", "random:nano").out


def test_doctor_tells_which_extras_are_there(call, monkeypatch):
    from litebert.cli import doctor

    asked = [
        "torch>=2.6",
        'fastapi>=1; extra == "serve"',
        "absent-package<2,>=1; extra == 'serve'",
        "click; extra == 'track'",
    ]
    asked += ["litebert[serve]; extra == 'more'", "pytest>=8; python_version > '3' and extra == 'dev'"]
    versions = {"fastapi": "1.2", "click": "8.1"}

    def version(name):
        if name not in versions:
            raise doctor.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(doctor.metadata, "requires", lambda _: asked)
    monkeypatch.setattr(doctor.metadata, "version", version)
    monkeypatch.setattr(doctor, "_gflops", lambda _: 1.0)
    found = call("doctor", "--json").envelope["data"]["extras"]
    assert found == {"serve": {"fastapi": "1.2", "absent-package": None}, "track": {"click": "8.1"}}
    shown = call("doctor").out.splitlines()
    assert any(line.split() == ["litebert[serve]", "missing", "absent-package"] for line in shown)
    assert any(line.split() == ["litebert[track]", "installed"] for line in shown)


def test_an_unforeseen_error_is_one_message_and_shows_its_traceback_with_debug(capsys, model, monkeypatch):
    def broken(*_args, **_options):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("litebert.inference.loading.load", broken)
    assert program.run(["predict", str(model)]) == 1
    assert "ZeroDivisionError: oh" in (err := capsys.readouterr().err) and "--debug" in err
    with pytest.raises(ZeroDivisionError):
        program.run(["predict", str(model), "--debug"])


def test_convert_keeps_task_and_answers(call, data, multi_model, tmp_path):
    copy = tmp_path / "copy"
    assert call("convert", multi_model, copy).code == 0
    assert (copy / "model.safetensors").read_bytes() == (multi_model / "model.safetensors").read_bytes()
    first, second = (call("predict", m, data / "multi.jsonl").out for m in (multi_model, copy))
    assert first == second and len(first.splitlines()) == 60
    again = call("convert", multi_model, copy)
    assert again.code == 2 and "--force" in again.err
    assert call("convert", multi_model, data / "single.csv").code == 2


def test_a_reader_that_goes_away_is_no_error(model, tmp_path):
    questions = tmp_path / "many.txt"
    questions.write_text("good film\n" * 6000)  # three chunks, more than a pipe holds
    line = f'"{sys.executable}" -m litebert predict "{model}" "{questions}" | head -n 1'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.stdout.count("\n") == 1 and done.stderr == ""


def test_json_is_utf8_in_any_locale(tmp_path, model):
    environment = {**os.environ, "LC_ALL": "C", "LANG": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    file = tmp_path / "q.jsonl"
    file.write_text('{"id": "Zoë", "text": "schön"}\n', encoding="utf-8")
    called = [sys.executable, "-m", "litebert", "predict", str(model), str(file)]
    done = subprocess.run(called, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert '"id": "Zoë"' in done.stdout.decode("utf-8")


@pytest.mark.parametrize("arguments", ["info random:nano --json", "info nowhere --json", "info random:nano"])
def test_a_reader_that_has_gone_is_no_error(arguments):
    """The pipe is closed before anything is written."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "litebert", *arguments.split()]
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write_end)
    assert done.returncode == (2 if "nowhere" in arguments else 0)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
