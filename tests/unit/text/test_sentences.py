"""Where sentences end: a slash marks each end in the samples."""

import pytest

from litebert.text.sentences import sentence_spans, split_sentences

SAMPLES = {
    "plain": "One ends here, etc.  and so on. / Two asks a question? / "
    "Three shouts! / Four trails off... / Five goes on.",
    "lower case goes on": "She said... nothing at all. / "
    "He bought it at Yahoo! and left. / It was so. iPhones are not known.",
    "quotes": '"Stop!" he cried. / "Why should I?" / Mary asked. / She said "it ended." / '
    "Then (it was late.) / He left. / “No.” / ‘Yes.’ / All.",
    "nested closers": "He said, \"She said, 'Go.'\" / They went. / (See there.) / "
    "Founded in 1999.[3] / It grew.[a][12] / So did others.",
    "titles": "Dr. Smith met Mr. J. R. R. Tolkien and Mrs. Jones in St. Louis. / Gen. Grant et al. were there vs. Lee.",
    "acronyms": "The U.S. Army won. / He lives in the U.S. / "
    "They came at 5 p.m. / The end. / She has a Ph.D. from M.I.T. in physics.",
    "companies": "Apple Inc. was founded by Jobs. / It beat Dell Inc. / The firm grew. / Smith & Co. Ltd. sold it.",
    "numbers": "It cost $3.50. / See No. 5 and Fig. 3 on pp. 3-5 of vol. II. / He said No. / "
    "He left. / On Jan. 5 it was 1.5. / In 1999. / Then.",
    "Latin": "Use a knife, e.g. Opinel, i.e. French ones, cf. Smith, ca. 1990. / "
    "Apples, pears, etc. / The rest, etc. are gone.",
    "initials": "John F. Kennedy was shot. / World War I. / The end. / "
    "Vitamin C. / It is sour. / W. E. B. Du Bois wrote it. / J. La Rue.",
    "list items": "1. The first item. / 2. The second one. / A. Apples are red. / IV. The fourth.",
    "addresses": "See www.example.com/a.b?c=d. / Mail a.b@c.de! / Version 2.0.1 is out. / .NET is old.",
    "English words": "The land mass. / Eritrea has none. / He fell ill. / Bob came. / The works of art. / No more.",
    "spaced dots": "He went . . . . / She stayed . . . for long.",
    "German": "Das ist z. B. gut, d. h. am 5. Mai u. a. bei Dr. Müller. / "
    "Der 2. Weltkrieg begann 1939. / König Ludwig XIV. regierte. / "
    "Es war 500 v. Chr. / Die Römer kamen. / »Geh!« / Er ging. / Er ist 45. / Sie auch. / "
    "Das kostet ca. 3 Mio. Euro bzw. Nr. 7 usw. / Dann kam er.",
    "French": "M. Dupont et Mme. Durand arrivent. / « Bonjour ! » dit-il. / Il est parti. / "
    "« Oui. / Non. » / MM. Les autres… / Fin.",
    "Spanish": "¿Qué pasa? / ¡Nada! / El Sr. García y D. Juan llegaron a EE.UU. / "
    "Los demás no. / Dijo: «Vamos.» / Y se fue.",
    "Portuguese": "O Sr. Silva chegou com D. Francisco e S. João. / A Dra. Ana saiu. / V. Exa. sabe.",
    "Hindi and Arabic": "यह पहला है। / यह दूसरा है। / هل هذا سؤال؟ / نعم. / لا.",
    "Greek and Russian": "Это А. С. Пушкин. / Он поэт. / Где он? / Дома.",
    "paragraphs": "A heading without a stop / The text of it, / broken",
}


@pytest.mark.parametrize("name", SAMPLES)
def test_samples(name):
    sentences = SAMPLES[name].split(" / ")
    if name == "paragraphs":
        assert split_sentences("\n".join(sentences)) == sentences
    else:
        assert split_sentences(" ".join(sentences)) == sentences


@pytest.mark.parametrize(
    "text",
    [
        "这是第一句。/这是第二句！/真的吗？/“是的。”/他说。/（见下。）/“你好！”，他说。",
        "こんにちは。/元気ですか？/「はい。」/そうです．",
    ],
)
def test_scripts_without_spaces(text):
    assert split_sentences(text.replace("/", "")) == text.split("/")


def test_offsets_are_of_the_text_given():
    text = "  Ça va.  \n\n Oui 😀!\tEt toi ? \n"
    assert [text[a:b] for a, b in sentence_spans(text)] == ["Ça va.", "Oui 😀!", "Et toi ?"]
    assert sentence_spans("") == sentence_spans(" \n ") == []
    assert split_sentences("?! ...") == ["?! ..."]


def test_long_sentences_are_cut_where_it_hurts_least():
    text = "first part of it, the second part; and the third part of the sentence " + "x" * 50 + "."
    cut = split_sentences(text, max_chars=40)
    assert cut == ["first part of it, the second part;", "and the third part of the sentence", "x" * 40, "x" * 10 + "."]
    assert split_sentences("Short. " + "甲，" * 30, max_chars=20) == ["Short.", *["甲，" * 10] * 3]
    assert split_sentences(text) == [text]


@pytest.mark.parametrize(
    "unit", [".", ". ", "A. ", "1. ", '."', "?! ", "a.b", "[1].", "。", "x ", ".\u00a0", "(", "U.S. "]
)
def test_time_is_linear_in_the_text(unit):
    """Anything else would not come back from these."""
    text = unit * 100_000
    for tail in ("", "x", " x"):
        assert "".join("".join(split_sentences(text + tail, max_chars=500)).split()) == "".join((text + tail).split())
