"""The engine behind ``litebert.load``: streams, settings, precisions, through a folder that ``finetune`` wrote."""

import itertools
import json
import signal
import subprocess
import sys
import threading

import pytest
import torch

import litebert
from litebert.errors import ConfigError, DataError, UsageError
from litebert.inference import loading
from litebert.inference.engine.encoder import PackedEncoder
from litebert.inference.engine.int8 import has_int8
from litebert.inference.loading import mean_applications
from litebert.tasks import evaluate
from litebert.tasks.model_folder import load_task_model, save_task_model
from litebert.tasks.reading.records import Record
from litebert.train import precision

TEXTS = ["a great film", "", "it was awful, poor and sad", "we saw it " * 60, "fine", "so so, but good in parts"]


@pytest.fixture(scope="module")
def loud(model, tmp_path_factory):
    """The model with every weight moved, so that texts get answers far apart."""
    loaded = load_task_model(model)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for p in loaded.model.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * 0.5)
    folder = tmp_path_factory.mktemp("loud")
    save_task_model(folder, loaded.task, loaded.model, loaded.tokenizer, loaded.text, provenance={})
    return folder


@pytest.fixture(scope="module")
def pipe(loud):
    pipe = litebert.load(loud)
    assert values(pipe(TEXTS)).std(dim=0).min() > 0.03
    return pipe


def values(answers):
    return torch.tensor([[dict(a.scores)[label] for label in ("neg", "pos")] for a in answers])


def test_the_fast_encoder_gives_the_answers_of_the_reference(loud, pipe):
    assert isinstance(pipe.loaded.model.albert, PackedEncoder)
    reference = load_task_model(loud)
    records = [Record(text=text) for text in TEXTS]
    expected = values(reference.prepare(records, {})(pipe.passes()))
    assert torch.allclose(values(pipe(TEXTS)), expected, atol=1e-5)


def test_a_stream_is_answered_in_order_and_without_reading_far_ahead(loud, pipe):
    read = itertools.count()
    small = litebert.load(loud, window=3)

    def endless():
        while True:
            yield TEXTS[next(read) % len(TEXTS)]

    found = list(itertools.islice(small.stream(endless()), 20))
    assert next(read) <= 20 + 3 * 3
    expected = pipe([TEXTS[i % len(TEXTS)] for i in range(20)])
    assert [a.label for a in found] == [a.label for a in expected]
    assert torch.allclose(values(found), values(expected), atol=1e-5)
    assert list(small.stream([])) == []


def test_a_list_beyond_the_window_has_the_answers_of_one_within(loud, pipe):
    for count in (3, 4, len(TEXTS)):
        found = litebert.load(loud, precision="fp32", window=3)(TEXTS[:count])
        assert torch.allclose(values(found), values(pipe(TEXTS[:count])), atol=1e-5)
    alone, short = (litebert.load(loud, deterministic=True, window=window) for window in (2048, 3))
    assert torch.equal(values(short(TEXTS)), values(alone(TEXTS)))


def test_what_breaks_in_a_stream_is_told_and_leaves_no_thread(loud):
    small = litebert.load(loud, window=2)
    found = []
    with pytest.raises(DataError, match="expected a text, got int"):
        for answer in small.stream(["a", "b", "c", "d", 5]):
            found.append(answer)
    assert len(found) == 4
    assert not [t for t in threading.enumerate() if t.name.startswith("tokenise")]


@pytest.mark.parametrize(
    ("backend", "precision"),
    [("torch", "fp32"), ("torch", "bf16"), ("torch", "int8"), ("openvino", "bf16"), ("openvino", "int8"), ("onnxruntime", "int8")],
)  # fmt: skip
def test_deterministic_answers_do_not_depend_on_their_mates(loud, backend, precision):
    alone = litebert.load(loud, deterministic=True, backend=backend, precision=precision)
    together = alone(TEXTS)
    assert [alone(text).scores for text in TEXTS] == [answer.scores for answer in together]
    assert [a.scores for a in alone(TEXTS[::-1])] == [a.scores for a in together][::-1]


def test_threads_are_given_back(loud, pipe):
    before = torch.get_num_threads()
    single = litebert.load(loud, threads=1)
    assert torch.allclose(values(single(TEXTS)), values(pipe(TEXTS)), atol=1e-5)
    assert torch.get_num_threads() == before
    with pytest.raises(DataError):
        single([3])
    assert torch.get_num_threads() == before


def test_fewer_applications_give_other_answers(loud, pipe):
    shallow = litebert.load(loud, depth=1)
    assert not torch.allclose(values(shallow(TEXTS)), values(pipe(TEXTS)), atol=1e-3)
    with pytest.raises(UsageError, match="depth=9 exceeds the model's 2 applications"):
        litebert.load(loud, depth=9)


@pytest.mark.parametrize(
    "precision", ["bf16", pytest.param("int8", marks=pytest.mark.skipif(not has_int8(), reason="no int8 here"))]
)
def test_lower_precision_is_near(loud, pipe, precision):
    near = litebert.load(loud, precision=precision)
    error = (values(near(TEXTS)) - values(pipe(TEXTS))).abs().max()
    assert 0 < error < 0.05


def test_wrong_settings_are_named(loud):
    with pytest.raises(ConfigError, match="precision"):
        litebert.load(loud, precision="fp7")
    with pytest.raises(ConfigError, match="windows"):
        litebert.load(loud, windows=3)


def test_flags_of_predict(loud, call, tmp_path):
    file = tmp_path / "q.txt"
    file.write_text("a great film\nso sad\n")
    plain, other = (call("predict", loud, file, *more).lines for more in ((), ("--deterministic", "--threads", 1)))
    assert [line["label"] for line in plain] == [line["label"] for line in other] and len(plain) == 2
    assert call("predict", loud, file, "--depth", 1).lines != plain


def test_stopping_early_and_keeping_a_time(loud, pipe, model, caplog):
    patient = litebert.load(loud, patience=1)
    assert [a.label for a in patient(TEXTS)]  # of two applications, the first may already stand
    assert 1 <= mean_applications(patient.loaded) <= 2 and mean_applications(pipe.loaded) is None
    with caplog.at_level("INFO", logger="litebert"):
        assert litebert.load(loud, budget_ms=1e6).loaded.model.albert.depth == 2
        assert litebert.load(loud, budget_ms=1e-6).loaded.model.albert.depth == 1
    assert "2 of 2 applications" in caplog.text and "even one application takes" in caplog.text
    with pytest.raises(UsageError, match="fill-mask cannot stop early"):
        litebert.load("litebert-small-en", patience=2)


def test_evaluate_takes_the_engine_as_predict_does(loud, call, data):
    plain = call("evaluate", loud, "--data", data / "single.csv", "--json")
    early = call("evaluate", loud, "--data", data / "single.csv", "--patience", 1)
    assert plain.code == early.code == 0 and "applications of the shared block on average" in early.err
    refused = call("evaluate", "litebert-small-en", "--data", data / "single.csv")
    assert refused.code == 2 and "was not fine-tuned" in refused.err


def test_evaluate_computes_with_the_threads_it_is_told(loud, call, data, monkeypatch):
    seen, before = [], torch.get_num_threads()
    score = evaluate.evaluate

    def watched(*arguments, **options):
        seen.append(torch.get_num_threads())
        return score(*arguments, **options)

    monkeypatch.setattr(evaluate, "evaluate", watched)
    assert call("evaluate", loud, "--data", data / "single.csv", "--threads", before + 1).code == 0
    assert seen == [before + 1] and torch.get_num_threads() == before


def test_an_elastic_run(call, arguments, data, tmp_path):
    out = tmp_path / "run"
    done = call(*arguments(data / "single.csv", out, "--set", "elastic=true"))
    assert done.code == 0, done.err
    assert litebert.load(out, depth=1)("fine").label


def test_auto_takes_bf16_where_it_gains_and_passes_the_gate(loud, monkeypatch):
    assert litebert.load(loud).settings.precision == "fp32"  # too narrow to gain
    monkeypatch.setattr(loading, "uses_bfloat16", lambda *_: True)
    monkeypatch.setattr(loading, "GATE", 0.5)
    pipe = litebert.load(loud)
    assert pipe.settings.precision == "bf16" and pipe.loaded.model.albert.dtype == torch.bfloat16
    monkeypatch.setattr(loading, "GATE", 1e-6)
    assert litebert.load(loud).settings.precision == "fp32"


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_other_runtimes_give_the_same_answers(loud, pipe, backend):
    other = litebert.load(loud, backend=backend, precision="fp32", threads=1)
    assert torch.allclose(values(other(TEXTS)), values(pipe(TEXTS)), atol=1e-4)
    near = litebert.load(loud, backend=backend, precision="int8")
    assert 0 < (values(near(TEXTS)) - values(pipe(TEXTS))).abs().max() < 0.06
    assert litebert.load(loud, backend=backend).settings.precision == "fp32"
    with pytest.raises(UsageError, match="patience works with the back end torch"):
        litebert.load(loud, backend=backend, patience=1)


@pytest.mark.skipif(not has_int8(), reason="no int8 here")
def test_int8_learns_its_ranges_from_a_file(loud, pipe, call, tmp_path):
    file = tmp_path / "like.txt"
    file.write_text("\n".join(TEXTS[:1] + TEXTS[2:]) + "\n")
    near = litebert.load(loud, precision="int8", calibration=str(file))
    prose = litebert.load(loud, precision="int8")
    assert 0 < (values(near(TEXTS)) - values(pipe(TEXTS))).abs().max() < 0.1
    assert not torch.equal(values(near(TEXTS)), values(prose(TEXTS)))
    said = call(
        "predict",
        loud,
        file,
        "--calibration",
        file,
        "--precision",
        "fp32",
    )
    assert said.code == 2 and "calibration is for int8" in said.err
    said = call("predict", loud, file, "--calibration", tmp_path / "none.txt", "--precision", "int8")
    assert said.code == 3 and "none.txt" in said.err


def test_nothing_in_nothing_out(pipe):
    assert pipe([]) == [] and list(pipe.stream([])) == [] and list(pipe.stream(iter(()))) == []
    assert pipe("").label in pipe.labels


@pytest.mark.parametrize("wrong", [3, None, b"bytes", ["fine", 7], [None], [["a", "b", "c"]], {"words": "x"}, ("a", 3)])
def test_what_is_no_text_is_named(pipe, wrong):
    with pytest.raises(DataError, match="expected a text"):
        pipe(wrong)
    with pytest.raises(DataError, match="expected a text"):
        list(pipe.stream([wrong]))


def test_pairs_among_singles_are_refused_where_one_of_them_would_mean_nothing(pipe):
    mixed = ["a great film", ("a great film", "it was awful"), {"text": "fine"}, {"text": "fine", "text_pair": "sad"}]
    with pytest.raises(DataError, match="takes one text, not two"):
        pipe(mixed)
    assert len(pipe([mixed[0], mixed[2]])) == 2


def test_ten_megabytes_are_one_text(pipe):
    text = "we saw it and it was fine, so so, " * 300_000
    assert len(text) > 10_000_000
    assert pipe(["fine", text])[0] == pipe("fine")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stream_that_is_killed_has_written_what_it_answered(loud, number):
    heed = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a shell's background jobs ignore it
    )
    code = f"{heed}; from litebert.__main__ import main; main()"
    command = [sys.executable, "-c", code, "predict", str(loud), "-", "--window", "1"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for text in ("a great film", "so sad", "fine"):
        child.stdin.write(text + "\n")
        child.stdin.flush()
        assert json.loads(child.stdout.readline())["label"] in ("neg", "pos")  # before the next is there
    child.send_signal(number)
    rest, said = child.communicate(timeout=60)
    assert child.returncode in (130, -number) and rest == "" and "Traceback" not in said


def test_a_processor_without_the_instructions_computes_in_float32(loud, pipe, monkeypatch, caplog):
    monkeypatch.setattr(loading, "has_int8", lambda: False)
    assert litebert.load(loud, precision="int8").settings.precision in ("bf16", "fp32")
    monkeypatch.setattr(loading, "has_bfloat16_cpu", lambda: False)
    monkeypatch.setattr(precision, "has_bfloat16_cpu", lambda: False)
    for asked in ("auto", "bf16", "int8"):
        caplog.clear()
        plain = litebert.load(loud, precision=asked)
        assert plain.settings.precision == "fp32"
        assert torch.equal(values(plain(TEXTS)), values(pipe(TEXTS)))
        assert [r.message for r in caplog.records if r.levelname == "WARNING"] == (
            [] if asked == "auto" else [f"this processor has no instructions for {asked}: computing in fp32"]
        )
