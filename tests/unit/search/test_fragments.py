"""What of a field's texts a model for vectors learns."""

from itertools import pairwise

import pytest

from litebert.search.fragments import LEAST, PASSAGE, SENTENCE, fragments

TEXT = (
    "The boundary layer of a flat plate grows with distance. Where it separates, drag rises at once. "
    "Roughness moves the transition forward. Suction holds it back, as experiments show."
)


def test_sentences_passages_runs_and_words():
    found = list(fragments([TEXT]))
    assert "Roughness moves the transition forward." in found and "roughness" in found and "Roughness" not in found
    passages = [f for f in found if ". " in f]
    assert passages and all(passage in TEXT for passage in passages)
    runs = [f for f in found if " " in f and not f.endswith(".")]
    assert runs and all(run in TEXT and 2 <= len(run.split()) <= 6 for run in runs)
    assert not any(len(end) <= 3 for run in runs for end in (run.split()[0], run.split()[-1]))
    assert {"boundary", "suction", "it"} <= set(found)


def test_each_once_and_always_the_same():
    found = list(fragments([TEXT, TEXT]))
    assert len(found) == len(set(found)) and len(list(fragments([TEXT]))) <= len(found)
    assert found == list(fragments([TEXT, TEXT])) != list(fragments([TEXT, TEXT], seed=1))


def test_lines_that_were_broken_are_one_sentence():
    found = list(
        fragments(["the pressure on a cone\nis found from\nits angle . the flow\nis steady\n\nA long heading\nApples"])
    )
    assert any("on a cone is found from its angle" in f for f in found)
    assert "A long heading" in found, "a capital letter begins a line"


def test_nothing_is_longer_than_it_may_be():
    text = " ".join(["word"] * 900) + ". " + "A short one. " * 80
    found = list(fragments([text]))
    assert max(map(len, found)) <= PASSAGE
    assert any(len(f) > SENTENCE for f in found) and not any(len(f) < LEAST and f.endswith(".") for f in found)


@pytest.mark.parametrize("text", ["", " \n ", "!", "1 2 3", "北京是中国的首都。上海是最大的城市。", "\x00\ufffd"])
def test_odd_texts(text):
    found = list(fragments([text]))
    assert all(f.strip() == f and len(f) > 1 for f in found)
    assert not text.startswith("北京") or "北京是中国的首都" in found


def test_some_are_drawn_at_random():
    everything = list(fragments([TEXT]))
    drawn = list(fragments([TEXT], limit=10))
    assert len(drawn) == len(set(drawn)) == 10 and set(drawn) < set(everything)
    places = sorted(everything.index(f) for f in drawn)
    assert places[-1] > 10 and any(b - a > 1 for a, b in pairwise(places)), "not the first ones"
    assert list(fragments([TEXT], limit=10**6)) == everything
