"""The bundled model for sentence vectors: small, near its teacher, of use the minute it is installed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import litebert
from litebert.checkpoint.reference import bundled_models
from litebert.inference.embedding import Embedder

NAME = "litebert-small-en-embed"
FOLDER = Path(litebert.__file__).parent / "resources" / "models" / NAME
ALIKE = [
    ("A man is playing a guitar.", "Someone plays the guitar."),
    ("How do I reset my password?", "I forgot my password, what can I do?"),
    ("The stock market fell sharply on Monday.", "Shares dropped at the start of the week."),
    ("The dog ran across the field.", "A dog is running through the grass."),
]


@pytest.fixture(scope="module")
def pipe():
    return litebert.load(NAME, precision="fp32")


def test_it_is_found_and_small():
    assert NAME in bundled_models()
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 13_000_000


def test_whether_a_model_was_trained_for_vectors_is_seen_from_its_folder(pipe, tmp_path):
    assert Embedder(pipe).taught
    assert not Embedder(litebert.load("litebert-small-en", "embed", precision="fp32")).taught
    folder = tmp_path / "of-sentence-transformers"
    shutil.copytree(FOLDER, folder)
    (folder / "litebert.json").unlink()
    assert Embedder(litebert.load(folder, "embed", precision="fp32")).taught


def test_what_means_the_same_is_nearest(pipe):
    first = np.stack([answer.vector for answer in pipe([a for a, _ in ALIKE])])
    second = np.stack([answer.vector for answer in pipe([b for _, b in ALIKE])])
    assert ((first @ second.T).argmax(axis=1) == np.arange(len(ALIKE))).all()


def test_short_vectors_keep_it(pipe):
    for options in ({"size": 96}, {"number_type": "int8"}):
        vectors = [
            np.stack([a.vector for a in pipe(list(side), **options)]).astype(float) for side in zip(*ALIKE, strict=True)
        ]
        assert ((vectors[0] @ vectors[1].T).argmax(axis=1) == np.arange(len(ALIKE))).all()


def test_sentence_transformers_gives_the_same(pipe):
    library = pytest.importorskip("sentence_transformers")
    texts = [text for pair in ALIKE for text in pair]
    theirs = library.SentenceTransformer(str(FOLDER), device="cpu").encode(texts)
    assert np.allclose(Embedder(pipe).embed(texts), theirs, atol=1e-4)


def test_the_card_tells_figures_data_and_limits():
    card = (FOLDER / "README.md").read_text()
    for word in ("all-MiniLM-L6-v2", "Apache-2.0", "SNLI", "STS-B", "SICK", "Spearman", "Limits", "CC BY-SA"):
        assert word in card
    info = json.loads((FOLDER / "litebert.json").read_text())
    assert info["task"]["name"] == "embed" and info["provenance"]["data"]["train"]["records"] > 100_000
    assert "Not measured yet" not in card and "/tmp" not in json.dumps(info)


def test_labels_by_meaning(pipe):
    asked = litebert.load(NAME, "zero-shot-classification")
    labels = ["sport", "politics", "cooking"]
    texts = [
        "The team scored in the last minute of the game.",
        "Parliament voted on the new law.",
        "Add salt and bake the bread.",
    ]
    assert [answer.label for answer in asked(texts, labels=labels)] == labels


def test_the_command_embeds(tmp_path):
    (tmp_path / "texts.txt").write_text("one text\nanother\n")
    done = subprocess.run(
        [sys.executable, "-m", "litebert", "embed", NAME, str(tmp_path / "texts.txt"), "--output", str(tmp_path / "a.npy")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert np.load(tmp_path / "a.npy").shape == (2, 384) and "wrote 2 vectors" in done.stderr
