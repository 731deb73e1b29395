"""ROUGE and its stems: the figures of rouge-score 0.1.2 and the stems of NLTK 3.10.4, which were run once to write them down."""

import pytest

from litebert.tasks.summarize.porter import stem
from litebert.tasks.summarize.rouge import KINDS, rouge, rouge_words

STEMS = """
caresses:caress ponies:poni ties:tie cats:cat feed:feed agreed:agre plastered:plaster bled:bled motoring:motor sing:sing
conflated:conflat troubled:troubl sized:size hopping:hop tanned:tan falling:fall hissing:hiss fizzed:fizz failing:fail
filing:file happy:happi sky:sky skies:sky dying:die news:news innings:inning relational:relat conditional:condit
rational:ration valenci:valenc digitizer:digit conformabli:conform radicalli:radic differentli:differ vileli:vile
analogousli:analog vietnamization:vietnam predication:predic operator:oper feudalism:feudal decisiveness:decis
hopefulness:hope callousness:callous formaliti:formal sensitiviti:sensit sensibiliti:sensibl triplicate:triplic
formative:form formalize:formal electriciti:electr electrical:electr hopeful:hope goodness:good revival:reviv
allowance:allow inference:infer airliner:airlin gyroscopic:gyroscop adjustable:adjust defensible:defens irritant:irrit
replacement:replac adjustment:adjust dependent:depend adoption:adopt homologou:homolog communism:commun activate:activ
angulariti:angular homologous:homolog effective:effect bowdlerize:bowdler probate:probat rate:rate cease:ceas
controll:control roll:roll enjoy:enjoy enjoyed:enjoy say:say cried:cri died:die tied:tie geologi:geolog logi:logi
fulli:fulli thankfulli:thank playfulli:play hourly:hourli by:by ageing:age eating:eat aed:a oed:o proceed:proceed
canning:canning successes:success generalizations:gener oscillators:oscil biological:biolog finally:final usually:usual
internationally:intern
"""
PINNED = [  # candidate, reference, stemming, (precision, recall, F) of each kind; lines are sentences
    ("The cat sat on the mat.\nIt was happy.", "A happy cat was sitting on the mat.\nThe dog left.", False,
     [(0.7777777778, 0.6363636364, 0.7), (0.25, 0.2, 0.2222222222), (0.4444444444, 0.3636363636, 0.4),
      (0.6666666667, 0.5454545455, 0.6)]),
    ("The cat sat on the mat.\nIt was happy.", "A happy cat was sitting on the mat.\nThe dog left.", True,
     [(0.7777777778, 0.6363636364, 0.7), (0.25, 0.2, 0.2222222222), (0.4444444444, 0.3636363636, 0.4),
      (0.6666666667, 0.5454545455, 0.6)]),
    ("Police killed the gunman.", "Police kill the gunman.", False,
     [(0.75, 0.75, 0.75), (0.3333333333, 0.3333333333, 0.3333333333), (0.75, 0.75, 0.75), (0.75, 0.75, 0.75)]),
    ("Police killed the gunman.", "Police kill the gunman.", True,
     [(1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)]),
    ("the the the cat", "the cat", False,
     [(0.5, 1.0, 0.6666666667), (0.3333333333, 1.0, 0.5), (0.5, 1.0, 0.6666666667), (0.5, 1.0, 0.6666666667)]),
    ("the the the cat", "the cat", True,
     [(0.5, 1.0, 0.6666666667), (0.3333333333, 1.0, 0.5), (0.5, 1.0, 0.6666666667), (0.5, 1.0, 0.6666666667)]),
    ("Running dogs barked loudly; 3 cats ran away.", "A dog barks loud while 3 cats are running away.", False,
     [(0.5, 0.4, 0.4444444444), (0.1428571429, 0.1111111111, 0.125), (0.375, 0.3, 0.3333333333), (0.375, 0.3, 0.3333333333)]),
    ("Running dogs barked loudly; 3 cats ran away.", "A dog barks loud while 3 cats are running away.", True,
     [(0.75, 0.6, 0.6666666667), (0.2857142857, 0.2222222222, 0.25), (0.625, 0.5, 0.5555555556), (0.625, 0.5, 0.5555555556)]),
    ("a b c d e\nf g h", "a c e g\nb d f h", False,
     [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.625, 0.625, 0.625), (1.0, 1.0, 1.0)]),
    ("a b c d e\nf g h", "a c e g\nb d f h", True,
     [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.625, 0.625, 0.625), (1.0, 1.0, 1.0)]),
]  # fmt: skip


@pytest.mark.parametrize("pair", STEMS.split())
def test_stems_are_nltks(pair):
    word, expected = pair.split(":")
    assert stem(word) == expected


@pytest.mark.parametrize(("candidate", "reference", "stemming", "figures"), PINNED)
def test_figures_are_those_of_rouge_score(candidate, reference, stemming, figures):
    found = rouge(candidate.split("\n"), reference.split("\n"), stemming=stemming)
    for kind, expected in zip(KINDS, figures, strict=True):
        one = found[kind]
        assert (one.precision, one.recall, one.f1) == pytest.approx(expected, abs=1e-9), kind


def test_nothing_is_zero_not_an_error():
    for pair in (([], ["words"]), (["words"], []), ([""], ["..."]), ([], [])):
        assert {one.f1 for one in rouge(*pair).values()} == {0.0}


def test_words_of_other_scripts_are_words():
    """rouge-score sees ASCII only: there two different Greek summaries are both empty."""
    assert rouge_words("Ένα caf\u00e9_au lait, 3x!", stemming=True) == ["ένα", "café", "au", "lait", "3x"]
    assert rouge_words("我爱中文abc", stemming=False) == ["我", "爱", "中", "文", "abc"]
    assert rouge(["αβγ δεζ"], ["αβγ ηθι"])["rouge1"].f1 == 0.5
