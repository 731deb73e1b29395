r"""Text to sentences with their offsets, for any script and without being told the language.

A stop ends a sentence if what follows can begin one. Whether the word before a full stop is an abbreviation is decided by lists and,
where they leave it open (``U.S.``, ``Inc.``, initials), by whether the next word is one that often begins a sentence: the
"orthographic heuristic" and "frequent sentence starters" of Kiss & Strunk 2006, "Unsupervised multilingual sentence boundary
detection", with fixed lists instead of learned ones. A line end always ends a sentence.
"""

from __future__ import annotations

import re

_CLOSERS = r"(?:[\"'”’»«)\]}›‹*]|\[\w{1,3}\]|[ \u00a0\u202f]»(?=[\s,.;:]|$))*"
_END = re.compile(
    r"\n+"
    rf"|(?<![.!?…؟।॥۔։።‽⁇⁈⁉])[.!?…؟।॥۔։።‽⁇⁈⁉]++(?:[ \u00a0]\.(?!\w)){{0,8}}+{_CLOSERS}[^\S\n]++(?![a-zà-öø-ÿœ]|[»”)\]}}›](?!\w))"
    r"|[。！？｡．]+[」』”’）)\]】〉》\"']*(?![，、；：」』”’）】〉》])[^\S\n]*"
)
_NEXT = re.compile(r"[\"'“‘«»„¿¡(\[{‹›—–\-*]*[^\S\n]?([\w'’]+)?")
_JOINED = re.compile(r"^[.']+|[\"“‘«»„‚¿¡(\[{‹›—–/*-]+")
_OPENERS = "\"'“‘«»„‚¿¡([{‹›—–-*/"
_HEAD = 8
"""Characters, at most, of quotes and the like before the first word of a sentence."""
_INITIALS = re.compile(r"(?:[^\W\d]\.)+[^\W\d]{1,2}|[^\W\d]{2}\.[^\W\d]{1,2}")
_CLAUSE = re.compile(r"[;:,—–，、；：][\"'”’)\]]*\s+|[，、；：]")
_ROMAN = re.compile(r"[IVXLC]+")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Always go on: titles and the like, English, German, French, Spanish, Portuguese, then a few others.
_TITLES = _set(
    "mr mrs ms messrs dr drs prof profs gen sen sens rep reps rev revd lt col capt cmdr sgt cpl pvt adm maj gov pres "
    "hon supt mt fr ald vs viz cf e.g i.e ca approx esp resp hr hrn frl nr bzw evtl ggf inkl exkl zzgl sog bspw vgl "
    "d.h z.b z.t u.a s.o s.u o.g i.d.r m.e hl mme mmes mlle mlles mgr p.ex sra srta sres dra ilmo ilma exmo exma "
    "v.exa p.ej fdo dña sig dott avv mevr dhr bl"
)
# Go on before a number or a Roman numeral.
_BEFORE_NUMBER = _set(
    "no nos fig figs eq eqs ch chap sec art arts vol vols p pp op cit abs abb bd bde kap tab tel ver v n núm num pág "
    "págs pag cap ed lib jan feb mar apr jun jul aug sep sept oct nov dec févr juil déc okt dez fol para §"
)
# May end a sentence; do where a usual beginning follows. As they are written: "Mass." is a state, "mass." a word.
_OPEN = _set(
    "Inc inc Ltd ltd Co Cos Corp Bros Jr jr Sr sr St Ste Ave Blvd Rd Dept Univ Assn etc al ed Ed eds Eds est Est Ft "
    "ft lbs oz cit trans repr Mass Calif Wash Penn Conn Ill Ind Mich Minn Tex Ariz Fla Ala Ore Jan Feb Mar Apr Jun "
    "Jul Aug Sep Sept Oct Nov Dec Okt Dez Mon Tue Tues Wed Thu Thurs Fri ibid Ibid usw u.s.w Jh Jhd Jhs Chr Mio Mrd "
    "Tel geb gest verh MM Ud Uds Vd Vds Exa Av núm pág págs m.p.h Ph.d Ph.D Esq fl Fl lat ger arab Phil Matt "
    "Rom Cor Eccl Wm Geo Chas Thos Jas Robt Benj Edw Alex"
)
_STARTERS = _set(
    "The It He She They We You I In On At This These Those That There A An And But However For From By To As If When "
    "While After Before During Since Although Though Some Many Most All Each Both One Two His Her Its Their Our My "
    "What Who Why How Where Then Thus Therefore Also Because With Without Under Over Between According Another Other "
    "Such Not Yet So Or Later Today Der Die Das Er Sie Es Ein Eine Im Am Auch Aber Und Wir Ich Als Nach Mit Bei Von "
    "Zu Für Dann Da Diese Dieser Dieses Doch Wenn Il Elle Ils Elles Le La Les Un Une Des Ce Cette Ces En Dans Mais Et "
    "Pour Par Sur Je Nous Vous El Los Las Una Unos Se Su Sus Pero Con Por Para Lo Y No Al Esta Este O Os Um Uma Em "
    "Ele Ela Não Mas Na Nos Foi E"
)
_NAME_PARTS = _set(
    "La Le El Los Las Des Da Do Dos Du De Di Van Von O Y E A I Al And Der Lo Su For To As On No An In Or Im Am Il Au Po"
)
_MONTHS = _set("Januar Jänner Februar März April Mai Juni Juli August September Oktober November Dezember")
_ORDINAL_BEFORE = _set("der dem den des das die im vom zum zur beim seit ab und bis")


def split_sentences(text: str, *, max_chars: int | None = None) -> list[str]:
    r"""Return the sentences without the white space around them.

    Args:
        text: Paragraphs separated by ``\n``.
        max_chars: Cut longer sentences at clause punctuation, else at a space.
    """
    return [text[start:end] for start, end in sentence_spans(text, max_chars=max_chars)]


def sentence_spans(text: str, *, max_chars: int | None = None) -> list[tuple[int, int]]:
    r"""Return where the sentences are, as (start, end) in characters; nothing but white space lies between them.

    Args:
        text: Paragraphs separated by ``\n``.
        max_chars: Cut longer sentences at clause punctuation, else at a space.
    """
    spans: list[tuple[int, int]] = []
    begin = 0
    for match in _END.finditer(text):
        stop, end = match.span()
        if text[stop] == "." and not _ends(text, begin, stop, end):
            continue
        _add(spans, text, begin, end)
        begin = end
    _add(spans, text, begin, len(text))
    if max_chars is not None and any(end - start > max_chars for start, end in spans):
        return [part for start, end in spans for part in _shortened(text, start, end, max_chars)]
    return spans


def _add(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    part = text[start:end]
    kept = part.strip()
    if kept:
        start += len(part) - len(part.lstrip())
        spans.append((start, start + len(kept)))


def _ends(text: str, begin: int, stop: int, end: int) -> bool:
    """Return whether the full stop at ``stop`` ends the sentence that began at ``begin``; the next word is at ``end``."""
    low = max(begin, stop - 24)
    word = text[low:stop].rsplit(None, 1)
    last = _JOINED.split(word[-1])[-1] if word else ""
    if text.startswith(("..", ". ."), stop):
        return True
    if not last:
        return bool(word) and word[-1][-1] not in ".!?"
    if len(last) > 6:
        return True  # longer than any abbreviation
    if last.isdigit():
        return _number_ends(text, begin, stop - len(last), last, end)
    return _word_ends(text, begin, stop, last, end)


def _word_ends(text: str, begin: int, stop: int, last: str, end: int) -> bool:
    lower = last.lower()
    if lower in _TITLES:
        return False
    short = len(last) == 1 or _INITIALS.fullmatch(last) is not None
    if not short and last not in _OPEN and lower not in _BEFORE_NUMBER:
        return not (_ROMAN.fullmatch(last) and _alone(text, begin, stop, last))
    found = _NEXT.match(text, end)
    following = (found[1] or "") if found else ""
    if lower in _BEFORE_NUMBER and (following[:1].isdigit() or _ROMAN.fullmatch(following)):
        return False
    if not short and last not in _OPEN:
        return True
    if len(last) == 1 and last.isupper() and following in _NAME_PARTS:
        return False
    return following in _STARTERS and not _alone(text, begin, stop, last)


def _number_ends(text: str, begin: int, start: int, number: str, end: int) -> bool:
    """Numbers end sentences except as ``1.`` at the head of a list item and as German ordinals."""
    if len(number) > 2:
        return True
    if start - begin <= _HEAD and not text[begin:start].strip():
        return False
    found = _NEXT.match(text, end)
    if found and found[1] in _MONTHS:
        return False
    before = text[max(begin, start - 8) : start].rsplit(None, 1)
    return not before or before[-1].lower() not in _ORDINAL_BEFORE


def _alone(text: str, begin: int, stop: int, last: str) -> bool:
    """Whether nothing stands before the word in its sentence, as in the list item ``a. Apples``."""
    start = stop - len(last)
    return start - begin <= _HEAD and not text[begin:start].strip(_OPENERS + " \t")


def _shortened(text: str, start: int, end: int, most: int) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    while end - start > most:
        cut = 0
        for match in _CLAUSE.finditer(text, start + most // 2, start + most):
            cut = match.end()
        if not cut:
            space = max(
                text.rfind(" ", start + most // 2, start + most), text.rfind("\t", start + most // 2, start + most)
            )
            cut = space + 1 if space >= 0 else start + most
        _add(spans, text, start, cut)
        start = cut
    _add(spans, text, start, end)
    return spans
