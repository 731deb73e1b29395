import json

import pytest

from litebert.errors import CheckpointError
from litebert.text import AlbertTokenizer
from litebert.text.sentencepiece_model_file import character_map

TEXT = "Ünïcode, 2010, ``quotes'' (1.5) - é [MASK] ﬁ"


@pytest.mark.parametrize(
    "settings",
    [{}, {"style": "hf"}, {"lower": False, "keep_accents": True}, {"remove_space": False, "model_max_length": 77}],
)
def test_settings_survive_a_folder(tmp_path, settings):
    tokenizer = AlbertTokenizer.bundled(**settings)
    written = tokenizer.save_pretrained(tmp_path / "new" / "folder")
    again = AlbertTokenizer.from_pretrained(tmp_path / "new" / "folder")
    assert again.settings == tokenizer.settings
    assert again.encode(TEXT, allow_special=True) == tokenizer.encode(TEXT, allow_special=True)
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(p.name for p in written)
    assert AlbertTokenizer.from_pretrained(tmp_path / "new" / "folder", style="google").style == "google"


def test_google_file_names(tmp_path):
    tokenizer = AlbertTokenizer.bundled()
    (tmp_path / "30k-clean.model").write_bytes(tokenizer._segmenter.model)
    (tmp_path / "30k-clean.vocab").write_text("<pad>\t0\n")
    for path in (tmp_path, tmp_path / "30k-clean.model", str(tmp_path)):
        assert AlbertTokenizer.from_pretrained(path).encode(TEXT).ids == tokenizer.encode(TEXT).ids


@pytest.mark.parametrize("style", ["google", "hf"])
def test_tokenizer_json_alone_holds_the_whole_vocabulary(tmp_path, style):
    tokenizer = AlbertTokenizer.bundled(style=style)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "spiece.model").unlink()
    again = AlbertTokenizer.from_pretrained(tmp_path)
    assert again.settings == tokenizer.settings
    assert list(again.vocabulary) == list(tokenizer.vocabulary)
    assert again._segmenter.scores == tokenizer._segmenter.scores
    assert character_map(again._segmenter.model) == character_map(tokenizer._segmenter.model) != b""
    texts = [TEXT, "aaaaaaaaaaaaa", "www.x.org/a-b_(c)", "1,000,000, 21,3, 9,9", "\u200bzero \x07"]
    for text in texts:
        assert again.encode(text) == tokenizer.encode(text)


def test_folder_saved_by_transformers_loads(tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = AlbertTokenizer.bundled(style="hf")
    tokenizer.save_pretrained(tmp_path / "ours")
    (tmp_path / "ours" / "config.json").write_text(json.dumps({"model_type": "albert"}))
    transformers.AutoTokenizer.from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    assert not (tmp_path / "theirs" / "spiece.model").exists()
    again = AlbertTokenizer.from_pretrained(tmp_path / "theirs", style="hf")
    assert again.encode(TEXT).ids == tokenizer.encode(TEXT).ids


def test_wordpiece_tokenizer_json(tmp_path):
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "你": 5, "##a": 6}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"type": "WordPiece", "vocab": vocabulary}}))
    tokenizer = AlbertTokenizer.from_pretrained(tmp_path)
    assert tokenizer.kind == "wordpiece" and tokenizer.encode("你x").ids == [2, 5, 1, 3]


def test_folders_without_one_vocabulary_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="has no vocabulary\nPut the file"):
        AlbertTokenizer.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="No such"):
        AlbertTokenizer.from_pretrained(tmp_path / "missing")
    (tmp_path / "vocab.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match="Unknown kind"):
        AlbertTokenizer.from_pretrained(tmp_path / "vocab.bin")
    (tmp_path / "a.model").write_bytes(b"")
    (tmp_path / "b.model").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"a\.model, b\.model"):
        AlbertTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", '{"model": {"vocab": [["a"]]}}', '{"model": {"vocab": {"a": "x"}}}', '{"model": {"vocab": 3}}'],
)
def test_damaged_tokenizer_json(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError):
        AlbertTokenizer.from_pretrained(tmp_path)


def test_missing_special_piece_is_an_error(tmp_path):
    AlbertTokenizer.bundled().save_pretrained(tmp_path)
    (tmp_path / "spiece.model").unlink()
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["vocab"][4][0] = "[MASK]>"
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"\[MASK\]"):
        AlbertTokenizer.from_pretrained(tmp_path)
