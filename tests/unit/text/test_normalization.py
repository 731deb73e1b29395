import pytest

from litebert.errors import DataError
from litebert.text.normalization import Normalizer, checked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Two\t\nWords\u3000here ", "two words here"),
        ("\u0130stanbul", "istanbul"),
        ("\ufb01ne \u2026 \u00bd", "fine ... 1\u20442"),
        ("Stra\u00dfe \u039f\u0394\u039f\u03a3", "straße οδος"),
        ("a\u0301\u0302b", "ab"),
        ("", ""),
    ],
)
def test_text_rules(text, expected):
    assert Normalizer()(text) == expected
    assert Normalizer().steps(text)[-1] == ("lower-case", expected)


def test_order_is_space_then_nfkd():
    # A diaeresis alone decomposes to a space and a mark: the space comes after the collapsing and stays.
    assert Normalizer()("a \u00a8 b") == "a   b"


def test_many_different_marks():
    marks = "".join(chr(code) for code in range(0x300, 0x330))
    assert Normalizer()(f"x{marks}y") == "xy"


@pytest.mark.parametrize("rules", [Normalizer(), Normalizer(latex_quotes=True), Normalizer(keep_accents=True)])
@pytest.mark.parametrize(
    "text",
    [
        " a  b ",
        "e\u0301x e\u0301 y",
        "\u0130\u0130 x",
        "``a'' ```b'''",
        "\u1112\u1161\u11ab \ud55c",
        "\ufdfa x \u2126",
        "\u0301",
    ],
)
def test_alignment_has_one_source_per_character(rules, text):
    alignment = rules.align(text)
    normalized = rules(text)
    if alignment is None:
        assert normalized == text.lower()
        return
    assert len(alignment.first) == len(alignment.last) == len(normalized)
    assert list(alignment.first) == sorted(alignment.first)
    for character, first, last in zip(normalized, alignment.first, alignment.last, strict=True):
        assert 0 <= first < last <= len(text)
        assert character in rules(text[first:last]) or character == " "


def test_a_dropped_accent_belongs_to_its_letter():
    alignment = Normalizer().align("e\u0301x")
    assert alignment is not None
    assert [*zip(alignment.first.tolist(), alignment.last.tolist(), strict=True)] == [(0, 2), (2, 3)]


def test_plain_ascii_needs_no_alignment():
    assert Normalizer().align("Plain words, in order.") is None
    assert Normalizer().align("two  spaces") is not None


def test_checked_keeps_indices():
    assert checked("a\ud800b") == "a\ufffdb"
    assert checked("\U0001f600") == "\U0001f600"
    with pytest.raises(DataError, match="NoneType"):
        checked(None)
