"""The filter grammar and what it refuses; that all stores mean the same by it is in the stores' contract."""

import pytest

from litebert.errors import UsageError
from litebert.search.filters import Both, Holds, Missing, Not, Test, parse_filter

FIELDS = {"lang": ["text"], "year": ["number"], "open": ["flag"], "mixed": ["text", "number"], "a b": ["text"]}
FIELDS |= {"tags": ["texts"]}
Test.__test__ = False


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ('lang == "en"', Test("lang", "==", "en")),
        ("1958 < year", Test("year", ">", 1958)),
        ("1950 < year <= 1960", Both((Test("year", ">", 1950), Test("year", "<=", 1960)), True)),
        ("not open", Not(Test("open", "==", True))),
        ("open == false", Test("open", "==", False)),
        ('lang != "en"', Not(Test("lang", "==", "en"))),
        ('lang not in ["en", "de"]', Not(Both((Test("lang", "==", "en"), Test("lang", "==", "de")), False))),
        ("year is None", Missing("year")),
        ("year is not None or mixed == -1.5", Both((Not(Missing("year")), Test("mixed", "==", -1.5)), False)),
        ('field("a b") >= "x"', Test("a b", ">=", "x")),
        ('source == "a.txt"', Test("source", "==", "a.txt")),
        ('id == "a.txt"', Test("document", "==", "a.txt")),
        ('"x" in tags', Holds("tags", "x")),
        ('field("tags") is None and "x" not in field("tags")', Both((Missing("tags"), Not(Holds("tags", "x"))), True)),
        ("id in [7]", Both((Test("document", "==", "7"),), False)),
    ],
)
def test_grammar(text, meaning):
    assert parse_filter(text, FIELDS) == meaning


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"x" in lang', "looks for 'x' in 'lang', which holds text"),
        ("3 in tags", "looks for 3 in 'tags', which holds lists of texts"),
        ('tags == "x"', "compares 'tags', which holds lists of texts, with 'x'"),
        ('lnag == "en"', "Did you mean 'lang'"),
        ("year == '1958'", "'year', which holds number, with '1958'"),
        ("lang = 'en'", "'=' is written '=='"),
        ("open AND year > 3", "'AND' is written 'and'"),
        ("lang == en", "stands in quotation marks"),
        ("year", "compares 'year'"),
        ("open < True", "orders the yes/no"),
        ("year in 3", "where a list"),
        ("year > 1e999", "is expected"),
        ("__import__('os').system('true')", "where a comparison is expected"),
        ("[x for x in year]", "where a comparison is expected"),
        ("lang == 'en' and", "cannot be read"),
        ("", "cannot be read"),
        ("not " * 200 + "open", "nested too deeply"),
    ],
)
def test_what_is_refused_says_why(text, message):
    with pytest.raises(UsageError) as caught:
        parse_filter(text, FIELDS)
    assert message in str(caught.value)


def test_a_field_called_id_is_itself():
    assert parse_filter("id == 7", {"id": ["number"]}) == Test("id", "==", 7)
