"""Ids of Google's ``FullTokenizer`` and of the published transformers tests, and what transformers makes of our folders."""

import hashlib
import json
from pathlib import Path

import pytest

from litebert.text import AlbertTokenizer
from litebert.text.normalization import Normalizer

FIXTURES = Path(__file__).parent.parent / "fixtures" / "golden"
GOOGLE = json.loads((FIXTURES / "tokenization.json").read_text(encoding="utf-8"))["cases"]
PUBLISHED = json.loads((FIXTURES / "golden_tokenisation.json").read_text(encoding="utf-8"))["cases"]
TORTURE = [
    "tab\tnewline\nnbsp\u00a0zero\u200bwidth\u2003em",
    "emoji \U0001f600\U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "e\u0301 \u00e9 a\u0308\u0323 \u0130I\u0131",
    "\u4f60\u597d\u4e16\u754c \u3053\u3093\u306b\u3061\u306f \ud55c\uad6d\uc5b4",
    "\ufb01ne \u2026 \u2122 \u00bd \u2460 \uff21\uff22\uff43",
    "\x00control\x07 chars\x1b \x7f",
    "1,000,000, 2019, 3.0, 9,9 12,345.67",
    "a_b^c@d ~ <tag> {x}|`y`",
    "- \u2013 \u2014 (a) \u00a3 \u20ac",
]


@pytest.fixture(scope="module")
def google():
    return AlbertTokenizer.bundled()


def test_the_vocabulary_is_the_released_one(google):
    digest = hashlib.sha256(google._segmenter.model).hexdigest()
    assert digest == "fefb02b667a6c5c2fe27602d28e5fb3428f66ab89c7d6f388e7c8d44a02d0336"


def test_every_google_case(google):
    assert len(GOOGLE) == 232
    texts = [case["text"] for case in GOOGLE]
    plain, located = google.encode_batch(texts), google.encode_batch(texts, offsets=True)
    for case, ids_only, both in zip(GOOGLE, plain, located, strict=True):
        assert Normalizer()(case["text"]) == case["normalized"]
        assert google.tokenize(case["text"]) == case["pieces"]
        assert ids_only.ids[1:-1] == case["ids"] == both.ids[1:-1]


def test_offsets_of_every_google_case_give_back_the_pieces(google):
    normal = Normalizer()
    for case in GOOGLE:
        text = case["text"]
        offsets = google.encode(text).offsets[1:-1]
        assert offsets == sorted(offsets)
        for (start, end), piece in zip(offsets, case["pieces"], strict=True):
            expected = piece.removeprefix("▁")
            source = normal(text[start:end])
            # A character such as "…" that became several letters is shared by their pieces.
            assert source == expected or (end - start == 1 and len(source) > 1 and expected in source)


@pytest.mark.parametrize("case", PUBLISHED, ids=lambda case: case["text"][:20])
def test_published_transformers_cases(case):
    tokenizer = AlbertTokenizer.bundled(style="hf", keep_accents=case.get("keep_accents", False))
    encoding = tokenizer.encode(case["text"], case.get("pair"), allow_special=True)
    assert (encoding.ids if case.get("add_special_tokens") else encoding.ids[1:-1]) == case["ids"]
    if "tokens" in case:
        assert tokenizer.tokenize(case["text"]) == case["tokens"]
    if "token_type_ids" in case:
        assert encoding.type_ids == case["token_type_ids"]


@pytest.fixture(scope="module", params=["google", "hf"])
def both(request, tmp_path_factory):
    transformers = pytest.importorskip("transformers")
    ours = AlbertTokenizer.bundled(style=request.param)
    folder = tmp_path_factory.mktemp(request.param)
    ours.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "albert"}))
    return ours, transformers.AutoTokenizer.from_pretrained(folder)


def test_transformers_gives_our_ids_from_our_folder(both):
    ours, theirs = both
    texts = [case["text"] for case in GOOGLE] + TORTURE
    rows = theirs(texts)["input_ids"]
    assert rows == [encoding.ids for encoding in ours.encode_batch(texts, allow_special=True)]
    pair = theirs("A question?", "An answer, 2010,")
    encoding = ours.encode("A question?", "An answer, 2010,")
    assert (pair["input_ids"], pair["token_type_ids"]) == (encoding.ids, encoding.type_ids)
    assert (theirs.mask_token_id, theirs.pad_token_id, theirs.unk_token_id) == (4, 0, 1)
    assert theirs.model_max_length == 512
    assert theirs.decode(encoding.ids) == ours.decode(encoding.ids)


def test_published_cases_through_transformers_and_our_folder(both):
    ours, theirs = both
    for case in PUBLISHED:
        if "keep_accents" not in case:
            assert theirs(case["text"], case.get("pair"))["input_ids"] == case["ids"]
    assert type(theirs).__name__ == ("AlbertTokenizer" if ours.style == "hf" else "TokenizersBackend")


@pytest.mark.parametrize(
    ("text", "ours_pieces", "theirs_pieces"),
    [
        # Its tokenizer.json lowers the scores of digit-comma pieces, Google's rule re-splits them.
        ("21,3,", ["▁21", ",", "3", ","], ["▁2", "1,3", ","]),
        # It strips every mark (categories Mn, Mc), Google only those with a combining class.
        ("a \u093f b", ["▁a", "▁", "<unk>", "▁b"], ["▁a", "▁b"]),
    ],
)
def test_known_differences_from_the_rust_tokenizer(both, text, ours_pieces, theirs_pieces):
    ours, theirs = both
    assert ours.encode(text).pieces[1:-1] == ours_pieces
    assert theirs.convert_ids_to_tokens(theirs(text)["input_ids"])[1:-1] == theirs_pieces


def test_from_spiece_model_alone_transformers_splits_differently(tmp_path):
    # Why save_pretrained writes tokenizer.json: remove it when transformers no longer makes "." a special token.
    transformers = pytest.importorskip("transformers")
    tokenizer = AlbertTokenizer.bundled(style="hf")
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "albert"}))
    (tmp_path / "tokenizer.json").unlink()
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert theirs.tokenize("3.0") == ["▁3", ".", "▁0"]
    assert tokenizer.tokenize("3.0") == ["▁3", ".", "0"]
