"""Whatever is wrong with what a user gives: one clear message, the right exit code, nothing written, nothing lost."""

import errno
import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

FILES = {  # content, what the message must say
    "empty.csv": (b"", "is empty"),
    "header.csv": (b"text,label\n", "no usable rows"),
    "columns.csv": (b"a,b\n1,2\n", "no column recognised as text"),
    "oneclass.csv": (b"text,label\na,x\nb,x\n", "only one label"),
    "nolabels.csv": (b"text,label\na,\nb,\n", "label"),
    "nul.csv": (b"text,label\na\x00b,x\n", "NUL"),
    "latin.csv": (b"text,label\ncaf\xe9,x\n", "not UTF-8"),
    "utf16.csv": ("text,label\na,x\n".encode("utf-16"), "UTF-16"),
    "ragged.csv": (b"text,label\na,x\nb,x,y\n", "3 columns"),
    "quote.csv": (b'text,label\n"a,x\n', "CSV"),
    "broken.jsonl": (b'{"text": "a", "label": \n', "not JSON"),
    "list.jsonl": (b"[1, 2]\n", "not an object"),
    "data.xlsx": (b"PK\x03\x04", "format"),
    "zipped.csv": (b"PK\x03\x04zzzz\n", "zip"),
    "fake.parquet": (b"PAR1 no", "Parquet"),
}


@pytest.mark.parametrize("name", FILES)
def test_training_file(name, call, arguments, tmp_path):
    content, says = FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    outcome = call(*arguments(path, tmp_path / "m"))
    assert outcome.code == (2 if name == "data.xlsx" else 3) and says in outcome.err and name in outcome.err
    assert not (tmp_path / "m").exists() and outcome.out == ""


def test_missing_file_and_folder_as_file(call, arguments, tmp_path):
    missing = call(*arguments(tmp_path / "none.csv", tmp_path / "m"))
    assert missing.code == 3 and "no file" in missing.err
    (tmp_path / "folder.csv").mkdir()
    folder = call(*arguments(tmp_path / "folder.csv", tmp_path / "m"))
    assert folder.code == 3 and "is a folder" in folder.err
    for name, says in (("", "is a folder"), ("none", "no file")):  # whose names tell no format
        assert says in call(*arguments(tmp_path / name, tmp_path / "m")).err


def test_a_label_nobody_trained_names_file_and_line(call, arguments, model, tmp_path):
    dev = tmp_path / "dev.csv"
    dev.write_text("text,label\ngood,pos\nfine,poss\n")
    for outcome, says in (
        (call(*arguments("single.csv", tmp_path / "m", "--dev", dev)), "'poss' does not occur in the training records"),
        (call("evaluate", model, "--data", dev), "'poss' is not one of the model's 2 labels"),
    ):
        assert outcome.code == 3 and says in outcome.err and "Did you mean 'pos'" in outcome.err
        assert "dev.csv:3" in outcome.err
    assert not (tmp_path / "m").exists()


def test_evaluation_without_labels(call, model, tmp_path):
    path = tmp_path / "plain.csv"
    path.write_text("text,label\ngood,\n")
    outcome = call("evaluate", model, "--data", path)
    assert outcome.code == 3 and "label" in outcome.err
    assert call("evaluate", model, "--data", tmp_path).code == 2


def test_a_line_of_a_megabyte_is_read(call, model, tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("text,label\n" + "word " * 20 + ",pos\n" + '"' + "x" * 1_000_000 + '",neg\n')
    outcome = call("predict", model, path)
    assert outcome.code == 0 and len(outcome.lines) == 2


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--set", "training.lerning_rate=1"], "Did you mean 'learning_rate'"),
        (["--set", "training.steps=abc"], "training.steps"),
        (["--set", "nonsense"], "a.b=value"),
        (["--set", "epochs=3"], "Did you mean 'training.epochs'"),
        (["--set", "training.max_length=3"], "Did you mean 'text.max_length'"),
        (["--set", "config.hiden_size=3"], "Did you mean 'hidden_size'"),
        (["--set", "options.kindd=multi"], "Did you mean 'kind'"),
        (["--set", "options.labels='pos'"], "must be a list"),
        (["--set", "options.metric=acuracy"], "Did you mean 'accuracy'"),
        (["--set", "dev_fraction=1.0"], "dev_fraction"),
        (["--set", "limit=0"], "limit"),
        (["--set", "text.long_text=cut"], "text.long_text"),
        (["--set", "text.max_windows=0"], "text.max_windows"),
        (["--set", "training.precision=fp23"], "training.precision"),
        (["--set", "attention=flash"], "attention"),
        (["--batch-size", "0"], "training.batch_size"),
        (["--learning-rate", "nan"], "training.learning_rate"),
        (["--max-length", "65"], "64 positions"),
        (["--device", "gpu"], "unknown device"),
        (["--recipe", "glue/mrcp"], "Did you mean 'glue/mrpc'"),
        (["--data", "."], "--train"),
        (["--kind", "many"], "many"),
        (["--columns", "txt=a"], "Did you mean 'text'"),
    ],
)
def test_wrong_settings(more, says, call, arguments, tmp_path):
    out = tmp_path / "m"
    outcome = call(*arguments("single.csv", out, *more))
    assert outcome.code == 2 and says in outcome.err
    assert not (out / "model.safetensors").exists()


def test_columns_that_are_not_there(call, arguments, model, data, tmp_path):
    outcome = call(*arguments("single.csv", tmp_path / "m", "--columns", "text=txt"))
    assert outcome.code == 3 and "no column 'txt'" in outcome.err and "Did you mean 'text'" in outcome.err
    assert call("predict", model, data / "single.csv", "--columns", "text=9").code == 3


def test_unknown_task_and_missing_parts_of_the_call(call, tmp_path):
    mistyped = call("finetune", "clasify", "--model", "random:nano", "--train", "x.csv", "--out", tmp_path / "m")
    assert mistyped.code == 2 and "Did you mean 'classify'" in mistyped.err
    assert "--model" in call("finetune", "classify", "--train", "x.csv", "--out", tmp_path / "m").err
    assert "--train" in call("finetune", "classify", "--model", "random:nano", "--out", tmp_path / "m").err
    assert "--data" in call("finetune", "glue/mrpc", "--model", "random:nano", "--out", tmp_path / "m").err
    assert call("finetune", "classify").code == 2
    untrained = call("finetune", "coherence", "--model", "random:nano", "--train", "x.csv", "--out", tmp_path / "m")
    assert untrained.code == 2 and "--task coherence" in untrained.err


def test_a_folder_of_official_files_that_is_not_there(call, model, tmp_path):
    missing = tmp_path / "none"
    for outcome in (
        call("finetune", "race", "--model", "random:nano", "--data", missing, "--out", tmp_path / "m"),
        call("evaluate", model, "--data", missing, "--benchmark", "sms-spam"),
    ):
        assert outcome.code == 3 and f"no folder {missing}" in outcome.err


# --- Model folders ------------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(model, tmp_path):
    target = tmp_path / "copy"
    shutil.copytree(model, target, ignore=shutil.ignore_patterns("checkpoints", "tensorboard"))
    return target


def change(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_no_vocabulary(call, copy, data):
    for name in ("spiece.model", "tokenizer.json", "vocab.txt"):
        (copy / name).unlink(missing_ok=True)
    outcome = call("predict", copy, data / "single.csv")
    assert outcome.code == 3 and f"{copy} has no vocabulary" in outcome.err and "spiece.model" in outcome.err


@pytest.mark.parametrize(
    ("fields", "code"), [({"hidden_size": 64}, 3), ({"vocab_size": 40000}, 3), ({"num_attention_heads": 5}, 2)]
)
def test_configuration_of_other_weights(fields, code, call, copy, data):
    change(copy / "config.json", **fields)
    assert call("predict", copy, data / "single.csv").code == code


def test_vocabulary_larger_than_the_model(call, copy, data):
    tensors = load_file(copy / "model.safetensors")
    name = next(n for n, t in tensors.items() if t.shape[0] == 30000)
    tensors[name] = tensors[name][:1000].clone()
    save_file(tensors, copy / "model.safetensors")
    change(copy / "config.json", vocab_size=1000)
    outcome = call("predict", copy, data / "single.csv")
    assert outcome.code == 2 and "30000 pieces" in outcome.err and "1000 rows" in outcome.err


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"task": {"name": "classify"}}', '{"task": {"name": "clasify"}}', '{"task": 3}', "{}"],
)
def test_damaged_litebert_json(content, call, copy, data):
    (copy / "litebert.json").write_text(content)
    assert call("predict", copy, data / "single.csv").code in (2, 3)


def test_an_empty_litebert_json_is_damaged_not_an_encoder(call, copy, data):
    (copy / "litebert.json").write_text("{}")
    outcome = call("predict", copy, data / "single.csv")
    assert outcome.code == 3 and "is damaged" in outcome.err and "fine-tune" not in outcome.err


def test_a_file_where_the_model_is_asked_for(call, data, model, tmp_path, monkeypatch):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "train.csv").write_text("text\na\n")
    monkeypatch.chdir(tmp_path)  # where the name looks like one of the hub
    outcome = call("predict", "rows/train.csv", model)
    assert outcome.code == 2 and "a file of another kind" in outcome.err and "predict MODEL FILE" in outcome.err


def test_text_settings_that_cannot_be(call, copy, data):
    for text in ({"max_length": 500}, {"length": 3}):
        change(copy / "litebert.json", text=text)
        assert call("predict", copy, data / "single.csv").code == 2


def test_no_task_model(call, data, tmp_path):
    encoder = tmp_path / "encoder"
    assert call("convert", f"random:{data / 'tiny.json'}", encoder).code == 0
    for called in (["predict", encoder, data / "single.csv"], ["evaluate", encoder, "--data", data / "single.csv"]):
        outcome = call(*called)
        assert outcome.code == 2 and "litebert finetune" in outcome.err
    (tmp_path / "none").mkdir()
    nothing = call("predict", tmp_path / "none", data / "single.csv")
    assert nothing.code == 3 and "holds no model" in nothing.err


def test_a_folder_fine_tuned_elsewhere_answers_when_the_task_is_named(copy):
    import litebert
    from litebert.errors import ConfigError

    before = litebert.load(copy)("a great film")
    (copy / "litebert.json").unlink()
    with pytest.raises(ConfigError):
        litebert.load(copy)
    assert litebert.load(copy, "classify")("a great film").to_dict() == before.to_dict()


def test_truncated_weights(call, copy, data):
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    outcome = call("predict", copy, data / "single.csv")
    assert outcome.code == 3 and "damaged" in outcome.err


# --- Places that cannot be written ----------------------------------------------------------------------------------------


def test_output_below_a_file(call, arguments, model, data, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert call(*arguments("single.csv", tmp_path / "file")).code == 2
    assert call(*arguments("single.csv", tmp_path / "file" / "m")).code == 1
    assert call("predict", model, data / "single.csv", "--output", tmp_path / "file" / "x").code == 1
    assert call("predict", model, data / "single.csv", "--output", tmp_path).code == 2
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_read_only_output_folder(number, call, arguments, tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise OSError(number, "refused by the system")

    monkeypatch.setattr("litebert.files.tempfile.mkstemp", refuse)
    outcome = call(*arguments("single.csv", tmp_path / "m"))
    assert outcome.code == 1 and "cannot write" in outcome.err and "may write to it" in outcome.err


def test_texts_the_vocabulary_does_not_know_are_told(model, tmp_path, call, caplog):
    texts = tmp_path / "texts.csv"
    texts.write_text(
        "text,label\n" + "今日は良い天気です 明日 も 良い でしょう,pos\n" * 3 + "the film was a very long thing,neg\n"
    )
    predicted = call("predict", model, texts)
    assert predicted.code == 0 and len(predicted.lines) == 4 and caplog.text.count("unknown to the vocabulary") == 1
    caplog.clear()
    scored = call("evaluate", model, "--data", texts, "--json").envelope
    assert any("unknown to the vocabulary" in warning for warning in scored["warnings"])
    caplog.clear()
    texts.write_text("text,label\nкак мне вернуть деньги,pos\n" + "the film was a very long thing,neg\n" * 3)
    assert call("predict", "litebert-small-en", texts, "--task", "embed").code == 0
    assert "of 1 of 4 texts it knows hardly a word, letters at most" in caplog.text, "its vocabulary has the letters"
    caplog.clear()
    (tmp_path / "plain.csv").write_text("text,label\nthe film was a very long thing,neg\n")
    assert call("predict", model, tmp_path / "plain.csv").code == 0 and "unknown" not in caplog.text
