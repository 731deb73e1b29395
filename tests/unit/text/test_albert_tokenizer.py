import pickle

import pytest

from litebert.errors import CheckpointError, DataError, UsageError
from litebert.text import AlbertTokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return AlbertTokenizer.bundled()


def test_special_ids_and_size(tokenizer):
    ids = [tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id]
    assert ids == [0, 1, 2, 3, 4]
    assert [tokenizer.id_to_piece(i) for i in ids] == ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer.vocab_size == len(tokenizer) == 30000
    assert tokenizer.piece_to_id("[MASK]>") == tokenizer.unk_id
    assert (tokenizer.kind, tokenizer.style, tokenizer.model_max_length) == ("sentencepiece", "google", 512)


def test_published_example_and_decode(tokenizer):
    text = "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations"
    ids = tokenizer.encode(text).ids
    assert ids == [2, 2953, 45, 21, 13, 10601, 11502, 26, 1119, 8, 8542, 3762, 69, 2477, 16, 816, 18667, 3]
    whole = "[CLS] albert: a lite bert for self-supervised learning of language representations[SEP]"
    assert tokenizer.decode(ids) == whole
    assert tokenizer.decode(ids, skip_special=True) == whole[6:-5]


def test_pair_template(tokenizer):
    encoding = tokenizer.encode("Question?", "Answer")
    assert encoding.ids == [2, 1301, 60, 3, 1623, 3]
    assert encoding.type_ids == [0, 0, 0, 0, 1, 1]
    assert encoding.sequence_ids == [None, 0, 0, None, 1, None]
    assert encoding.offsets == [(0, 0), (0, 8), (8, 9), (0, 0), (0, 6), (0, 0)]
    assert encoding.pieces == ["[CLS]", "▁question", "?", "[SEP]", "▁answer", "[SEP]"]
    assert len(encoding) == 6


def test_case_is_folded_and_accents_go_unless_kept(tokenizer):
    assert tokenizer.tokenize("Hello CAFÉ") == ["▁hello", "▁cafe"]
    assert AlbertTokenizer.bundled(keep_accents=True).tokenize("falsé") == ["▁fal", "s", "é"]
    cased = AlbertTokenizer.bundled(lower=False)
    assert cased.tokenize("Hello")[0] == "▁"  # the released vocabulary has no capitals: a lone space piece


def test_lone_space_piece_belongs_to_the_next_word(tokenizer):
    text = 'He said "no" (twice)'
    encoding = tokenizer.encode(text)
    spans = dict(zip(range(len(encoding)), encoding.offsets, strict=True))
    lone = [i for i, piece in enumerate(encoding.pieces) if piece == "▁"]
    assert [spans[i] for i in lone] == [(8, 8), (13, 13)]
    words = [(0, 2), (3, 7), (8, 12), (13, 20)]
    found = encoding.word_ids(words)
    assert [found[i] for i in lone] == [2, 3]
    assert [w for w in found if w is not None] == [0, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3]
    assert found[0] is None and found[-1] is None
    assert set(tokenizer.encode("x", text).word_ids(words, sequence=0)) == {None, 0}


@pytest.mark.parametrize(
    ("text", "google", "hf"),
    [
        ("``hello''", ["▁", "``", "hello", "'", "'"], ["▁", '"', "hello", '"']),
        ("```", ["▁", "```"], ["▁", '"', "`"]),
    ],
)
def test_latex_quotes_differ_between_styles(text, google, hf):
    assert AlbertTokenizer.bundled().tokenize(text) == google
    assert AlbertTokenizer.bundled(style="hf").tokenize(text) == hf


@pytest.mark.parametrize("style", ["google", "hf"])
@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("3.0,", ["▁3", ".", "0", ","]),
        ("9,9", ["▁9", ",", "9"]),
        ("1,000,000,", ["▁1", ",000,000", ","]),
        ("2019,", ["▁2019", ","]),
        ("2010,", ["▁2010", ","]),
        ("21,3,", ["▁21", ",", "3", ","]),  # transformers' score trick gives "▁2", "1,3", "," here
    ],
)
def test_digit_comma_rule(style, text, pieces):
    tokenizer = AlbertTokenizer.bundled(style=style)
    assert tokenizer.tokenize(text) == pieces
    encoding = tokenizer.encode(text)
    assert encoding.pieces[1:-1] == pieces
    assert "".join(text[s:e] for s, e in encoding.offsets) == text
    assert tokenizer.encode_batch([text])[0].ids == encoding.ids


def test_specials_in_user_text_are_text_unless_asked(tokenizer):
    text = "[SEP] [CLS] <pad> <unk> [MASK]"
    plain = tokenizer.encode(text).ids[1:-1]
    assert not {0, 2, 3, 4} & set(plain)
    asked = tokenizer.encode(text, allow_special=True)
    assert asked.ids[1:-1] == [3, 2, 0, 1, 4]
    assert [text[s:e] for s, e in asked.offsets[1:-1]] == text.split()
    assert tokenizer.encode("[sep]", allow_special=True).ids == tokenizer.encode("[sep]").ids


def test_mask_takes_the_space_before_it(tokenizer):
    text = "I   [MASK] you"
    encoding = tokenizer.encode(text, allow_special=True)
    assert encoding.pieces == ["[CLS]", "▁i", "[MASK]", "▁you", "[SEP]"]
    assert encoding.offsets[1:-1] == [(0, 1), (4, 10), (11, 14)]
    batch = tokenizer.encode_batch([text, "[MASK]"], allow_special=True)
    assert [e.ids for e in batch] == [encoding.ids, [2, 4, 3]]


@pytest.mark.parametrize("value", [None, 3, b"bytes", ["list"], float("nan")])
def test_only_strings_are_texts(tokenizer, value):
    for call in (tokenizer.encode, tokenizer.tokenize, tokenizer.explain, tokenizer.encode_windows):
        with pytest.raises(DataError, match=type(value).__name__):
            call(value)
    with pytest.raises(DataError):
        tokenizer.encode("fine", value) if value is not None else tokenizer.encode_batch(["fine"], [value])


def test_nul_and_lone_surrogates_do_not_reach_the_library(tokenizer):
    text = "a\x00b \ud800 c\udfff"
    encoding = tokenizer.encode(text)
    assert encoding.pieces[1:3] == ["▁a", "<unk>"]
    assert encoding.offsets[-2] == (6, 7) and text[6] == "c"
    assert tokenizer.encode(text, allow_special=True).ids == encoding.ids
    assert tokenizer.encode_batch([text])[0].ids == encoding.ids


def test_truncation_rules(tokenizer):
    short, long = "one two", "three four five six seven eight"
    both = tokenizer.encode(short, long)
    assert len(both) == 11 and not both.truncated
    cut = tokenizer.encode(short, long, max_length=8)
    assert cut.truncated and cut.sequence_ids == [None, 0, 0, None, 1, 1, 1, None]
    assert cut.ids[4:7] == both.ids[4:7]  # from the end of the longer one
    second = tokenizer.encode(short, long, max_length=8, truncation="only_second")
    assert second.ids == cut.ids
    first = tokenizer.encode(long, short, max_length=8, truncation="only_first")
    assert first.sequence_ids == [None, 0, 0, 0, None, 1, 1, None]
    whole = tokenizer.encode(short, long, max_length=8, truncation="none")
    assert whole.ids == both.ids and not whole.truncated
    with pytest.raises(UsageError, match="6 tokens"):
        tokenizer.encode(short, long, max_length=8, truncation="only_first")


@pytest.mark.parametrize(
    "arguments",
    [{"max_length": 1}, {"truncation": "longest"}, {"truncation": "only_second"}, {"pair": "b", "max_length": 2}],
)
def test_impossible_lengths_are_refused(tokenizer, arguments):
    with pytest.raises(UsageError):
        tokenizer.encode("a", **arguments)


def test_batches_are_checked(tokenizer):
    with pytest.raises(UsageError, match="list"):
        tokenizer.encode_batch("a text")
    with pytest.raises(UsageError, match="second texts"):
        tokenizer.encode_batch(["a", "b"], ["c"])
    assert tokenizer.encode_batch([]) == []
    assert tokenizer.encode("").ids == [2, 3] == tokenizer.encode("   ").ids


def test_batch_pairs_threads_and_offsets_agree_with_single_calls(tokenizer):
    texts = ["A first text, of 2010, here.", "", "Ünïcode  ﬁne", "x" * 200] * 5
    pairs = texts[1:] + texts[:1]
    singles = [tokenizer.encode(a, b, max_length=16) for a, b in zip(texts, pairs, strict=True)]
    for threads in (1, 2, None):
        assert tokenizer.encode_batch(texts, pairs, max_length=16, offsets=True, threads=threads) == singles
    bare = tokenizer.encode_batch(texts, pairs, max_length=16)
    assert [e.ids for e in bare] == [e.ids for e in singles]
    assert [e.type_ids for e in bare] == [e.type_ids for e in singles]
    assert all(e.offsets == [] for e in bare)


def test_decode_refuses_ids_outside_the_vocabulary(tokenizer):
    assert tokenizer.decode([14, 4, 14]) == "the[MASK] the"
    for index in (30000, -1):
        with pytest.raises(UsageError, match="outside"):
            tokenizer.decode([index])


def test_explain_names_every_step(tokenizer):
    text = "  Ünï `` 9,9''"
    steps = dict(tokenizer.explain(text))
    assert steps["collapse white space"] == "Ünï `` 9,9''"
    assert steps["drop combining marks"] == "Uni `` 9,9''"
    assert "▁9," in steps["SentencePiece"] and "▁9," not in steps["digit-comma rule"]
    assert steps["digit-comma rule"] == tokenizer.tokenize(text)
    assert steps["ids"] == [str(i) for i in tokenizer.encode(text).ids]
    assert "LaTeX quotes" in dict(AlbertTokenizer.bundled(style="hf").explain("x"))


def test_pickle_and_repr(tokenizer):
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again.encode("Some text, 2010,").ids == tokenizer.encode("Some text, 2010,").ids
    assert repr(again) == "AlbertTokenizer(kind='sentencepiece', vocab_size=30000, style='google')"


def test_unknown_settings_are_refused():
    with pytest.raises(UsageError, match="hf"):
        AlbertTokenizer.bundled(style="googel")
    with pytest.raises(UsageError, match="keep_accents"):
        AlbertTokenizer.bundled(lowercase=True)


def test_damaged_model_is_a_checkpoint_error(tmp_path):
    for content in (b"", b"not a model", b"\x00" * 100):
        (tmp_path / "spiece.model").write_bytes(content)
        with pytest.raises(CheckpointError):
            AlbertTokenizer.from_pretrained(tmp_path)
