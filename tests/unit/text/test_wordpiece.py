import json

import pytest

from litebert.errors import CheckpointError
from litebert.text import AlbertTokenizer

SPECIALS = ["[PAD]", *(f"[unused{i}]" for i in range(1, 100)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [
    "你",
    "好",
    "世",
    "界",
    "，",
    "un",
    "##aff",
    "##able",
    "hello",
    "cafe",
    "!",
    "[",
    "]",
    "sep",
    "##s",
    "a",
    "##a",
    "2010",
    ",",
]
TEXTS = [
    "你好世界，unaffable Hello!",
    "CAFÉ cafés",
    "[SEP] 2010, 好",
    "\ud55c a\u0301a",
    "",
    " a\x0ba\x00a ",
    "ａ 你a",
    "x" * 150,
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(SPECIALS + PIECES) + "\n", encoding="utf-8")
    return tmp_path


def test_special_ids_come_from_the_file(folder):
    tokenizer = AlbertTokenizer.from_pretrained(folder)
    assert tokenizer.kind == "wordpiece"
    ids = (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id)
    assert ids == (0, 100, 101, 102, 103)
    assert tokenizer.vocab_size == len(SPECIALS + PIECES)


def test_pieces_and_offsets(folder):
    tokenizer = AlbertTokenizer.from_pretrained(folder)
    text = "你好，unaffable  CAFÉs!"
    encoding = tokenizer.encode(text)
    assert encoding.pieces[1:-1] == tokenizer.tokenize(text)
    assert encoding.pieces[1:-1] == ["你", "好", "，", "un", "##aff", "##able", "cafe", "##s", "!"]
    found = ["你", "好", "，", "un", "aff", "able", "CAFÉ", "s", "!"]
    assert [text[s:e] for s, e in encoding.offsets[1:-1]] == found
    assert tokenizer.decode(encoding.ids, skip_special=True) == "你 好 ， unaffable cafes!"
    assert [name for name, _ in tokenizer.explain(text)] == ["input", "BERT normalisation", "words", "WordPiece", "ids"]


def test_user_text_and_masks(folder):
    tokenizer = AlbertTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("[SEP]") == ["[", "sep", "]"]
    assert tokenizer.encode("你 [MASK]好", allow_special=True).pieces == ["[CLS]", "你", "[MASK]", "好", "[SEP]"]


def test_batches_threads_and_long_texts(folder):
    tokenizer = AlbertTokenizer.from_pretrained(folder)
    texts = [*TEXTS, "你好 hello " * 20_000]
    for threads in (1, 2):
        for offsets in (False, True):
            batch = tokenizer.encode_batch(texts, threads=threads, offsets=offsets)
            assert [e.ids for e in batch] == [tokenizer.encode(text).ids for text in texts]
    assert len(batch[-1]) == 60_002
    assert tokenizer.encode(texts[-1], max_length=16).ids == [*batch[-1].ids[:15], 102]


def test_same_as_the_bert_tokenizer_of_transformers(folder, tmp_path):
    transformers = pytest.importorskip("transformers")
    ours = AlbertTokenizer.from_pretrained(folder, style="hf")
    theirs = transformers.BertTokenizer.from_pretrained(folder)
    saved = tmp_path / "saved"
    ours.save_pretrained(saved)
    (saved / "config.json").write_text(json.dumps({"model_type": "albert"}))
    automatic = transformers.AutoTokenizer.from_pretrained(saved)
    assert type(automatic).__name__.startswith("BertTokenizer")
    for text in TEXTS:
        expected = ours.encode(text).ids
        if "[SEP]" not in text:
            assert theirs(text)["input_ids"] == expected, text
            assert automatic(text)["input_ids"] == expected, text
            assert theirs(text, return_offsets_mapping=True)["offset_mapping"] == ours.encode(text).offsets
    pair = automatic("你好", "hello")
    assert pair["token_type_ids"] == ours.encode("你好", "hello").type_ids


def test_longest_word_is_googles_or_transformers(folder):
    word = "a" * 150
    assert len(AlbertTokenizer.from_pretrained(folder).tokenize(word)) == 150
    assert AlbertTokenizer.from_pretrained(folder, style="hf").tokenize(word) == ["[UNK]"]


@pytest.mark.parametrize("lacking", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
def test_missing_special_is_an_error_never_the_unknown_token(tmp_path, lacking):
    lines = [piece for piece in SPECIALS + PIECES if piece != lacking]
    (tmp_path / "vocab.txt").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(CheckpointError, match=lacking.strip("[]")):
        AlbertTokenizer.from_pretrained(tmp_path)


def test_damaged_vocabularies(tmp_path):
    for content in (b"", b"\n", b"\xff\xfe\n"):
        (tmp_path / "vocab.txt").write_bytes(content)
        with pytest.raises(CheckpointError):
            AlbertTokenizer.from_pretrained(tmp_path)
