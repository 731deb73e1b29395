"""Token shards: what is written is read back, and damage is found."""

import json
from itertools import pairwise

import numpy as np
import pytest

from litebert.corpus.shards import Corpus, ShardWriter, token_dtype, write_manifest
from litebert.errors import DataError
from litebert.text import AlbertTokenizer

DOCUMENTS = [[[5, 6, 7], [8]], [[9, 10]], [[11], [12, 13], [14, 15, 16, 17]]]


@pytest.fixture(scope="module")
def tokenizer():
    return AlbertTokenizer.bundled()


@pytest.fixture
def folder(tmp_path, tokenizer):
    records = []
    for name, documents in (("shard-00000-000", DOCUMENTS), ("shard-00001-000", DOCUMENTS[:2])):
        writer = ShardWriter(tmp_path, name, np.dtype(np.uint16))
        for document in documents:
            writer.add(document)
        records.append(writer.close())
    write_manifest(tmp_path, records, tokenizer, {"source": "test"})
    return tmp_path


def read(shard):
    found = []
    for document in range(len(shard.document_ends)):
        bounds = shard.sentence_bounds(document)
        found.append([shard.tokens[a:b].tolist() for a, b in pairwise(bounds)])
    return found


def test_what_is_written_is_read(folder):
    corpus = Corpus(folder)
    assert [read(shard) for shard in corpus.shards] == [DOCUMENTS, DOCUMENTS[:2]]
    assert (corpus.tokens, corpus.documents) == (19, 5)
    assert corpus.manifest["totals"] == {"tokens": 19, "sentences": 9, "documents": 5}
    assert len(list(corpus.verify())) == 6


def test_what_is_empty_is_left_out(tmp_path):
    writer = ShardWriter(tmp_path, "shard", np.dtype(np.uint16))
    writer.add([])
    writer.add([[], []])
    assert writer.close() is None
    assert not list(tmp_path.iterdir())
    writer.add([[], [3], [], [4, 5]])
    record = writer.close()
    assert (record.tokens, record.sentences, record.documents) == (3, 2, 1)


def test_pieces_are_counted_in_short_and_long_documents(tmp_path):
    writer = ShardWriter(tmp_path, "shard", np.dtype(np.uint16))
    writer.add([[1, 1, 2]])
    writer.add([[2] * 50, [0]])
    assert writer.piece_counts(20).tolist() == [1, 2, 51] + [0] * 17


def test_ids_are_as_wide_as_the_vocabulary_needs(tmp_path):
    assert token_dtype(65536) == np.uint16
    assert token_dtype(65537) == np.uint32
    writer = ShardWriter(tmp_path, "shard", token_dtype(70_000))
    writer.add([[69_999, 5]])
    writer.close()
    assert np.load(tmp_path / "shard.tokens.npy").tolist() == [69_999, 5]
    narrow = ShardWriter(tmp_path, "narrow", np.dtype(np.uint16))
    with pytest.raises(OverflowError):  # never cut to 16 bits in silence
        narrow.add([[70_000]])


def flip(path, place, bit=1):
    data = bytearray(path.read_bytes())
    data[place] ^= bit
    path.write_bytes(data)


@pytest.mark.parametrize("part", ["tokens", "sentences", "documents"])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_one_flipped_bit_of_the_data_is_found(folder, part, place):
    path = folder / f"shard-00001-000.{part}.npy"
    size, numbers = path.stat().st_size, np.load(path).nbytes
    flip(path, {"first": size - numbers, "middle": size - numbers // 2, "last": size - 1}[place])
    with pytest.raises(DataError, match=f"{path.name} is not what was written") as caught:
        Corpus(folder).verify()
    assert caught.value.path == str(path)


def test_every_flipped_bit_of_a_shard_is_found(folder):
    """Where the file says what it holds too: refused when it is opened, or by its hash; never another kind of error."""
    path = folder / "shard-00000-000.sentences.npy"
    whole = path.read_bytes()
    for place in range(len(whole)):
        flip(path, place, 1 << place % 8)
        with pytest.raises(DataError) as caught:
            Corpus(folder).verify()
        assert caught.value.path == str(path)
        path.write_bytes(whole)
    Corpus(folder).verify()


def test_every_flipped_bit_of_the_manifest_is_found_or_changes_nothing(folder):
    """Without a hash of its own, a number of pieces or the name of an input could change unseen."""
    path, expected = folder / "manifest.json", Corpus(folder).manifest
    whole, unseen = path.read_bytes(), 0
    for place in range(len(whole)):
        flip(path, place, 1 << place % 8)
        try:
            corpus = Corpus(folder)
            corpus.verify()
        except DataError as error:
            assert error.path is not None and error.hint
        else:
            unseen += 1
            assert {k: v for k, v in corpus.manifest.items() if k in expected and k != "sha256"} == {
                k: v for k, v in expected.items() if k != "sha256"
            }
        path.write_bytes(whole)
    assert unseen <= len("sha256"), "only in the name of the hash"


def test_a_corpus_of_an_earlier_build_has_no_hash_of_its_manifest(folder):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["sha256"]
    path.write_text(json.dumps(manifest))
    assert len(Corpus(folder).verify()) == 6


@pytest.mark.parametrize("keep", [0, 40, -2])
def test_a_truncated_file_is_found_on_opening(folder, keep):
    path = folder / "shard-00000-000.tokens.npy"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"shard-00000-000\.tokens\.npy"):
        Corpus(folder)


def test_a_missing_file_is_named(folder):
    (folder / "shard-00001-000.documents.npy").unlink()
    with pytest.raises(DataError, match=r"lacks shard-00001-000\.documents\.npy"):
        Corpus(folder)


def test_files_of_two_corpora_are_told_apart(folder):
    (folder / "shard-00000-000.tokens.npy").write_bytes((folder / "shard-00001-000.tokens.npy").read_bytes())
    with pytest.raises(DataError, match="the manifest says 13 numbers"):
        Corpus(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("shards"),
        lambda m: m.pop("tokenizer"),
        lambda m: m.update(version=99),
        lambda m: m.update(format="other"),
        lambda m: m["tokenizer"].update(vocab_size="many"),
        lambda m: m["shards"][0].pop("tokens"),
        lambda m: m["shards"][0].update(more=1),
        lambda m: m["shards"][1]["sha256"].pop("tokens"),
        lambda m: m["shards"][1].update(documents=None),
    ],
)
def test_a_damaged_manifest_is_refused(folder, change):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"manifest\.json"):
        Corpus(folder)


def test_half_a_manifest_is_refused(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(DataError, match="damaged"):
        Corpus(folder)


def test_no_manifest_is_no_corpus(tmp_path):
    with pytest.raises(DataError, match="not a corpus"):
        Corpus(tmp_path)


def test_another_vocabulary_is_refused(folder, tokenizer):
    corpus = Corpus(folder)
    corpus.check_tokenizer(tokenizer)
    corpus.check_tokenizer(corpus.tokenizer())
    with pytest.raises(DataError, match="another vocabulary"):
        corpus.check_tokenizer(AlbertTokenizer.bundled(lower=False))


def test_the_fingerprint_follows_the_pieces(folder):
    before = Corpus(folder).fingerprint
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["source"] = "something else"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert Corpus(folder).fingerprint == before
    manifest["shards"][0]["sha256"]["tokens"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert Corpus(folder).fingerprint != before
