"""What is repaired, what is dropped, and above all what is not."""

import subprocess
import sys

import pytest

from litebert.corpus.cleaning.clean import Cleaner, CleanSettings
from litebert.errors import ConfigError
from litebert.settings import build_settings

PROSE = (
    "The old harbour lies on the northern side of the bay, where the river meets the sea. Ships were built here from 1720 to 1893, "
    'when the last yard closed. "We had no work after that," a carpenter said; "most of us went to the city."\n'
    "Today its museum shows tools, models and drawings. About 30,000 people visit it each year, and the number is growing slowly."
)
OTHERS = {
    "de": "Der alte Hafen liegt an der Nordseite der Bucht, wo der Fluss ins Meer mündet. Hier wurden bis 1893 Schiffe gebaut, und die "
    "Werft beschäftigte viele Menschen aus der Umgebung. Heute zeigt ein Museum Werkzeuge, Modelle und Zeichnungen.",
    "zh": "旧港位于海湾北侧，河流在此入海。从一七二〇年到一八九三年，这里建造了许多船只，最后一个船厂随后关闭。"
    "如今，博物馆展示工具、模型和图纸，每年约有三万人前来参观，而且人数还在缓慢增长。小镇从此再也没有恢复昔日的繁荣景象，"
    "大多数人都搬到城里去了。留下来的老人常常坐在码头上，回忆过去的日子。",
    "ru": "Старая гавань лежит на северной стороне залива, где река впадает в море. Здесь строили корабли до конца девятнадцатого "
    "века, а потом последняя верфь закрылась, и город опустел. Сегодня музей показывает инструменты и чертежи.",
}


def clean(text, **settings):
    return Cleaner(CleanSettings(**settings))(text)


def lines_left(*lines, **settings):
    """Which of the lines stay beside good prose, and what the counters say."""
    result = clean("\n".join([PROSE, *lines, PROSE.upper()]), **settings)
    assert result.reason is None
    inside = result.text.split("\n")
    return [line for line in inside if line not in (PROSE + "\n" + PROSE.upper()).split("\n")], dict(result.counters)


@pytest.mark.parametrize("text", [PROSE, *OTHERS.values()], ids=["en", *OTHERS])
def test_good_prose_stays_as_it_is(text):
    assert clean(text) == type(clean(text))(text, None, {})


@pytest.mark.parametrize(
    "line",
    [
        '"Yes."',
        "Unlike most web browsers, Lynx does not support JavaScript or Adobe Flash, which some sites require.",
        "She baked cookies for the whole class, and nobody wanted to accept that there were none left.",
        "How do we get out again unless we accept the terms of Monsieur the Admiral of Spain?",
        "He won the title in 1997, 1998 and 2001, and retired in 2004.",
        "Early life",
        "If x < y and y < z, then x < z; this is what is called transitive.",
        "Geh nicht – bleib hier!",
    ],
)
def test_lines_that_stay(line):
    assert lines_left(line) == ([line], {})


@pytest.mark.parametrize(
    ("line", "counter"),
    [
        ("This website uses cookies to improve your experience.", "notice lines"),
        ("Please enable JavaScript to view this page.", "notice lines"),
        ("© 2019 Example Ltd. All rights reserved.", "notice lines"),
        ("Home | Privacy Policy | Contact", "notice lines"),
        ("Click here to subscribe", "notice lines"),
        ("where formula_12 and formula_13 are constants and formula_14 is", "markup lines"),
        ("由数学归纳法得formula_14成立", "markup lines"),
        ('class="wikitable succession-box" style="margin:0.5em auto;"', "markup lines"),
        ("1990 | 23 | 4.5 | 1991 | 24 | 4.7", "symbol lines"),
        ("for (i = 0; i < n; i++) { a[i] += b[i] * 2; }", "symbol lines"),
        ("* * *", "symbol lines"),
        ("--------", "symbol lines"),
        ("17.", "symbol lines"),
        (PROSE.partition("\n")[0], "repeated lines"),
    ],
)
def test_lines_that_go(line, counter):
    assert lines_left(line) == ([], {counter: 1})


def test_runs_of_short_lines_go_but_headings_stay():
    menu = ["Home", "About us", "Products", "Our prices", "News", "Contact"]
    assert lines_left(*menu) == ([], {"navigation lines": 6})
    assert lines_left(*menu[:5]) == (menu[:5], {})
    assert lines_left(*menu, navigation_run=None) == (menu, {})
    verse = [
        "Tiger, tiger, burning bright,",
        "In the forests of the night,",
        "What immortal hand or eye",
        "Could frame thy symmetry?",
    ] * 2
    assert lines_left(*verse)[0] == verse
    assert (
        lines_left(*[f"自由德国青年是德国统一社会党的青年组织之{number}" for number in "一二三四五六"])[1].get(
            "navigation lines"
        )
        is None
    )


def test_characters_are_repaired_and_counted():
    text = (
        PROSE
        + "\r\nThe caf\u0065\u0301\u00a0\u2009was\u00ad full\u200b;\x07 itâ€™s PalÃ¦olithic \u200eand “fine”.\t  Ok\u2028next\n\n"
    )
    result = clean(text)
    assert result.text.split("\n")[2:] == ["The café was full; it’s Palæolithic and “fine”. Ok", "next"]
    assert result.counters == {"misread characters": 2, "unseen characters": 4}
    right = PROSE + "\nBaron Hochseß« in Úžice, Ü–Z; NÃO É; Âge d’or; می‌خواهم"
    assert clean(right) == type(result)(right, None, {})


def test_links_and_tags_leave_their_text():
    line = (
        "In the <i>north</i> lies [[Hither Pomerania|Pomerania]], near [[Greifswald]]<br/> and 2<sup>nd</sup> of all."
    )
    assert lines_left(line) == (
        ["In the north lies Pomerania, near Greifswald and 2nd of all."],
        {"markup unwrapped": 7},
    )
    assert lines_left("[[Category:Harbours]]")[0] == []


SENTENCES = PROSE.replace("\n", " ").split(". ")


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("too short", "One sentence only."),
        ("too short", "Donaudampfschifffahrtsgesellschaftskapitän " * 3),
        ("mostly dropped lines", PROSE[:120] + "\n1990 | 23 | 4.5 | 1991 | 24 | 4.7 | 88" * 9),
        ("undecodable characters", PROSE.replace("e", "\ufffd", 4)),
        ("symbols", PROSE.replace(" the", " #the").replace(" a", " #a").replace(" w", " #w")),
        ("word length", "a b c d e f " * 30),
        ("word length", "pneumonoultramicroscopic" * 3 + " floccinaucinihilipilification" * 30),
        ("words without letters", " ".join(f"{word} {number * 7}" for number, word in enumerate(PROSE.split()))),
        ("bullets", "\n".join("• " + line for line in SENTENCES)),
        ("ellipses", "\n".join(line + "..." for line in SENTENCES)),
        ("repeated lines", "\n".join([*SENTENCES[:2], *["Buy a nice new car today, it is cheap."] * 4])),
        ("repeated phrases", " ".join(f"{word} good deal" for word in PROSE.split())),
        ("repeated phrases", OTHERS["zh"][:20] * 40),
    ],
)
def test_documents_that_go(reason, text):
    rules = {"drop_repeated_lines": False, "max_line_symbols": None} if reason != "mostly dropped lines" else {}
    result = clean(text, **rules)
    assert (result.text, result.reason) == (None, reason)


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"{name}:\n{line}." for line in SENTENCES for name in ("OSMIN", "SELIM")).replace(
            "SELIM:\n", "SELIM:\nNo, "
        ),
        "\n".join("-" + line + "." for line in SENTENCES),
        "\n".join(line + ("..." if number % 2 else ".") for number, line in enumerate(SENTENCES)),
        " ".join([PROSE] * 2) + " Of the people, by the people, for the people.",
    ],
    ids=["play", "Spanish dialogue", "Wells", "quotations"],
)
def test_documents_that_stay(text):
    assert clean(text).reason is None


def test_every_rule_can_be_switched_off():
    off = {
        name: None
        for name in CleanSettings.model_fields
        if name.startswith(("max_", "mean_", "navigation", "min_alpha")) and name != "min_confidence"
    }
    off |= {"repair_characters": False, "drop_notices": False, "drop_repeated_lines": False, "unwrap_markup": False}
    off |= {"min_characters": 0, "min_words": 0}
    for text in (
        "x",
        "•\n•",
        "# # #",
        "Enable JavaScript",
        "\ufffd",
        "formula_1",
        "a\x07b",
        "1\n2\n3\n4\n5\n6\n7",
        "go go " * 99,
        "",
    ):
        assert clean(text, **off).text == text.strip()


def test_languages():
    for code, text in {"en": PROSE, **OTHERS}.items():
        assert clean(text, languages=(code,)).reason is None
        assert clean(text, languages=("fr", "it")).reason == "language"
    assert clean(PROSE, languages=("fr", "en"), min_confidence=0.9).text == PROSE
    with pytest.raises(ConfigError, match="no language 'deu'") as caught:
        Cleaner(build_settings(CleanSettings, {"languages": ["deu"]}))
    assert "de" in caught.value.hint


def test_no_language_no_package():
    code = """
import sys
sys.modules["py3langid"] = None
from litebert.corpus.cleaning.clean import Cleaner, CleanSettings
from litebert.errors import MachineError
print(Cleaner(CleanSettings())("text").reason)
try:
    Cleaner(CleanSettings(languages=("en",)))
except MachineError as error:
    print(error.exit_code, "litebert[corpus]" in error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["too", "short", "5", "True"], done.stderr
