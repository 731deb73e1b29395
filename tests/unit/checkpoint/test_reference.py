"""Every kind of model reference leads where it says, or to an error that helps."""

import shutil

import huggingface_hub.constants
import pytest

from litebert.checkpoint import reference
from litebert.checkpoint.pretrained import AlbertModel, AlbertTokenizer, read_source
from litebert.checkpoint.reference import bundled_models, located
from litebert.config import PRESETS, AlbertConfig
from litebert.errors import CheckpointError, ConfigError, LitebertError, MachineError, UsageError
from tests.golden.test_network import GOLDEN
from tests.unit.model.test_albert import tiny


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """The hub's client is offline, with an empty cache of its own."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def asked(monkeypatch):
    """Names that the hub would have been asked for."""
    names = []

    def download(name):
        names.append(name)
        raise MachineError("no network here")

    monkeypatch.setattr(reference, "_download", download)
    return names


@pytest.fixture
def folder(tmp_path):
    AlbertModel(tiny()).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("kind", [str, lambda p: p])
def test_our_folder(folder, kind):
    with located(kind(folder)) as place:
        assert (place.kind, place.folder, place.config_file) == ("huggingface", folder, folder / "config.json")


def test_relative_folder_and_home(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    for name in ("model", "./model", "model/", "../" + folder.parent.name + "/model", "~/model"):
        assert AlbertModel.from_pretrained(name).config.hidden_size == 16


@pytest.mark.parametrize("name", ["", "/model.ckpt-best", "/model.ckpt-best.index"])
def test_google(name):
    with located(f"{GOLDEN}/tiny{name}") as place:
        assert place.kind == "google"
        assert place.prefix == GOLDEN / "tiny" / "model.ckpt-best"
        assert place.config_file == GOLDEN / "tiny" / "albert_config.json"


def test_archive_is_unpacked_and_cleaned_up(tmp_path):
    archive = shutil.make_archive(str(tmp_path / "a"), "gztar", GOLDEN / "tiny")
    with located(archive) as place:
        assert place.kind == "google" and place.folder.is_dir()
        kept = place.folder
    assert not kept.exists()


@pytest.mark.parametrize("name", PRESETS)
def test_random_presets(name):
    with located(f"random:{name}") as place:
        assert (place.kind, place.folder, place.config) == ("random", None, AlbertConfig.preset(name))


def test_random_from_a_configuration_file(folder):
    model = AlbertModel.from_pretrained(f"random:{folder / 'config.json'}", num_hidden_layers=5)
    assert (model.config.hidden_size, model.config.num_hidden_layers, model.load_report) == (16, 5, None)


def test_random_tokenizer_is_the_bundled_one():
    assert AlbertTokenizer.from_pretrained("random:nano").encode("a b") == AlbertTokenizer.bundled().encode("a b")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("random:bse-v2", "base-v2"), ("random:", "base-v2"), ("random:/no/such/config.json", None)],
)
def test_random_of_nothing(name, hint):
    with pytest.raises(ConfigError) as caught:
        read_source(name)
    assert caught.value.exit_code == 2
    assert hint is None or hint in caught.value.hint


def test_bundled_names_come_first(folder, monkeypatch):
    monkeypatch.setattr(reference, "_BUNDLED", folder.parent)
    assert bundled_models() == ["model"]
    with located("model") as place:
        assert place.folder == folder
    with pytest.raises(UsageError) as caught:
        read_source("modle")
    assert "Did you mean 'model'?" in caught.value.hint


def test_no_bundled_models(monkeypatch, tmp_path):
    monkeypatch.setattr(reference, "_BUNDLED", tmp_path / "nowhere")
    assert bundled_models() == []


@pytest.mark.parametrize(("name", "near"), [("random-nano", "random:nano"), ("xyzzy", None), ("base-v2", None)])
def test_unknown_names(asked, name, near):
    with pytest.raises(UsageError, match=name) as caught:
        read_source(name)
    assert "random:nano" in caught.value.hint and "albert/albert-base-v2" in caught.value.hint
    assert near is None or f"Did you mean '{near}'?" in caught.value.hint
    assert not asked


@pytest.mark.parametrize(
    "name",
    ["./a/b", "../a", "/a/b", "~/a", "a/b/c", "a/", "out/model.tar.gz", "out/model.ckpt-best.index", "out/model.zip",
     "~nosuchuser/model", "a b/c", "x" * 5000, "a\0b", "..", "nowhere/..", "a\\b", ""],
)  # fmt: skip
def test_what_looks_local_is_not_asked_of_the_hub(asked, tmp_path, monkeypatch, name):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for follow in (read_source, AlbertTokenizer.from_pretrained):
        with pytest.raises((UsageError, CheckpointError)):
            follow(name)
    assert not asked


@pytest.mark.parametrize("name", ["albert/albert-base-v2", "some-one/model.v2", "a/b@main", "a/b@refs/pr/1"])
def test_hub_ids_are_asked(asked, name):
    with pytest.raises(MachineError):
        read_source(name)
    assert asked == [name]


def test_hub_offline():
    """HF_HUB_OFFLINE=1 and nothing in the cache."""
    with pytest.raises(MachineError, match="albert/albert-base-v2") as caught:
        read_source("albert/albert-base-v2")
    assert caught.value.exit_code == 5
    assert "HF_HUB_OFFLINE" in caught.value.hint


def test_hub_cache_is_used_offline(folder, tmp_path):
    revision = "0" * 40
    repository = tmp_path / "cache" / "models--some--albert"
    shutil.copytree(folder, repository / "snapshots" / revision)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    assert AlbertModel.from_pretrained("some/albert").config.hidden_size == 16
    assert AlbertModel.from_pretrained(f"some/albert@{revision}").config.hidden_size == 16


@pytest.mark.parametrize("name", ["-a/b", "a..b/c", "a/b--c", "a/b.git", f"a/{'b' * 100}"])
def test_names_the_hub_does_not_allow(name):
    with pytest.raises((UsageError, MachineError)):
        read_source(name)


def test_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="found nothing") as caught:
        read_source(tmp_path / "empty")
    assert "config.json" in caught.value.hint


def test_folder_of_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(CheckpointError, match=r"found notes\.txt"):
        read_source(tmp_path)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_half_a_folder(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(CheckpointError, match="holds no model"):
        read_source(folder)


@pytest.mark.parametrize("name", ["model.tar.gz", "model.zip", "model.tar", "model.index", "model.ckpt-best.index"])
@pytest.mark.parametrize("content", [b"", b"hello", b"\x1f\x8b\x08broken", b"PK\x03\x04broken"])
def test_files_that_are_not_what_they_say(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match="model"):
        read_source(tmp_path / name)


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match=r"model\.safetensors"):
        read_source(tmp_path / "model.safetensors")


def test_all_of_these_are_our_errors(tmp_path):
    for name in ("random:x", "x", str(tmp_path), "a/b"):
        with pytest.raises(LitebertError) as caught:
            read_source(name)
        assert caught.value.exit_code in (2, 3, 5)
