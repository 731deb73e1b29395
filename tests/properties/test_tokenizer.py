"""What must hold for every text, pair and window size."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from litebert.text import AlbertTokenizer, windows
from litebert.text.encoding import kept_lengths
from litebert.text.normalization import Normalizer

TOKENIZERS = [AlbertTokenizer.bundled(style=style) for style in ("google", "hf")]
KEEPING = AlbertTokenizer.bundled(keep_accents=True)
ODD = (
    "ab 1,.`'\"\t\u00a0\u3000\u200b\u00ad\u0301\u0323é\u0130ß\u03a3ﬁ…½™你한\u1112\u1161"
    "\U0001f600▁[MASK]\x00\x07\ufffd\u00a8\u093f"
)
TEXTS = st.one_of(
    st.text(max_size=40), st.text(alphabet=ODD, max_size=25), st.text(alphabet="0123456789,. ", max_size=12)
)


@settings(deadline=None, max_examples=200)
@given(TEXTS, st.sampled_from([*TOKENIZERS, KEEPING]))
def test_offsets_are_monotonic_inside_and_not_empty(text, tokenizer):
    encoding = tokenizer.encode(text)
    assert len(encoding.ids) == len(encoding.type_ids) == len(encoding.offsets) == len(encoding.sequence_ids)
    before = (0, 0)
    for (start, end), piece in zip(encoding.offsets[1:-1], encoding.pieces[1:-1], strict=True):
        assert before[0] <= start <= end <= len(text) and before[1] <= end
        assert (end > start) == (piece != "▁")
        if end > start:
            assert not text[start].isspace()
        before = (start, end)


@settings(deadline=None, max_examples=200)
@given(TEXTS, st.sampled_from(TOKENIZERS))
def test_offsets_give_back_the_surface(text, tokenizer):
    rules = Normalizer(latex_quotes=tokenizer.style == "hf")
    spans = tokenizer.encode(text).offsets[1:-1]
    model = tokenizer._segmenter._model
    for surface, (start, end) in zip(tokenizer.tokenize(text), spans, strict=True):
        source = model.normalize(rules(text[start:end])).replace("▁", "")
        # A character that became several letters is shared by their pieces; a sigma looks at its neighbours.
        assert surface.replace("▁", "").replace("ς", "σ") in source.replace("ς", "σ")


@settings(deadline=None, max_examples=100)
@given(TEXTS)
def test_ids_do_not_depend_on_the_way_asked(text):
    for tokenizer in TOKENIZERS:
        ids = tokenizer.encode(text).ids
        assert ids == tokenizer.encode_batch([text, "x"])[0].ids
        assert ids[1:-1] == [tokenizer.piece_to_id(piece) for piece in tokenizer.tokenize(text)]
        assert ids == tokenizer.encode(f" {text}\n").ids
        assert 4 not in ids


@settings(deadline=None, max_examples=100)
@given(TEXTS)
def test_alignment_matches_the_normalised_text(text):
    for rules in (
        Normalizer(),
        Normalizer(latex_quotes=True),
        Normalizer(keep_accents=True),
        Normalizer(remove_space=False),
    ):
        text = text.encode("utf-8", "replace").decode()
        alignment = rules.align(text)
        if alignment is None:
            plain = "".join(" " if rules.remove_space and c.isspace() else c for c in text.lower())
            assert rules(text) == plain  # one character stands for one
        else:
            assert len(alignment.first) == len(rules(text))


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 80))
def test_longest_first_is_googles_loop(first, second, budget):
    a, b = first, second
    while a + b > budget:
        if a > b:
            a -= 1
        else:
            b -= 1
    assert kept_lengths(first, second, budget, "longest_first") == (a, b)


@settings(deadline=None, max_examples=50)
@given(TEXTS, st.none() | TEXTS, st.integers(3, 30))
def test_no_encoding_is_longer_than_asked(text, pair, max_length):
    whole = TOKENIZERS[0].encode(text, pair)
    cut = TOKENIZERS[0].encode(text, pair, max_length=max_length)
    assert len(cut) == min(len(whole), max_length)
    assert cut.truncated == (len(whole) > max_length)


@given(st.integers(0, 300), st.none() | st.integers(0, 300), st.integers(4, 80), st.integers(0, 40))
def test_windows_cover_everything(length_a, length_b, max_length, stride):
    specials = 2 if length_b is None else 3
    budget = max_length - specials
    stride = min(stride, (budget if length_b is None else budget // 2) - 1)
    if stride < 0:
        return
    cut = windows(length_a, length_b, max_length, stride)
    for length, sides in ((length_a, [w.first for w in cut]), (length_b, [w.second for w in cut])):
        if length is None:
            assert sides == [None] * len(cut)
            continue
        assert {i for side in sides for i in range(side.start, side.stop)} == set(range(length))
        distinct = [side for side, _ in itertools.groupby(sides)]
        for before, after in itertools.pairwise(distinct):
            assert before.stop - after.start == stride
            assert after.stop > before.stop
    for window in cut:
        second = 0 if window.second is None else window.second.stop - window.second.start
        assert window.first.stop - window.first.start + second <= budget
    if length_a + (length_b or 0) <= budget:
        assert len(cut) == 1
