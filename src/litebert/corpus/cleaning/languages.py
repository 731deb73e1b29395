"""Which language a text is in, by py3langid (Lui & Baldwin 2012, "langid.py"), measured on a bounded sample."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from litebert.errors import ConfigError, MachineError, nearest


@lru_cache(maxsize=1)
def _identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise MachineError("languages need py3langid", hint='Install it: pip install "litebert[corpus]"') from error
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def known_languages() -> list[str]:
    """Return the codes that can be told apart, ISO 639-1 where there is one."""
    return sorted({str(code) for code in _identifier().nb_classes})


def check_languages(languages: tuple[str, ...]) -> None:
    """Refuse a code that is not known.

    Raises:
        ConfigError: Names it and the nearest.
    """
    known = known_languages()
    for code in languages:
        if code not in known:
            raise ConfigError(f"no language {code!r}", hint=nearest(code, known))


def sample_of(text: str, size: int) -> str:
    """Return at most ``size`` characters: the beginning and the middle, where headings and lists weigh less."""
    if len(text) <= size:
        return text
    half, middle = size // 2, len(text) // 2
    return text[:half] + "\n" + text[middle : middle + half]


def probabilities(text: str, *, sample: int = 1000) -> dict[str, float]:
    """Return languages and their probabilities, the likeliest first.

    Args:
        text: Any text.
        sample: Most characters to look at.

    Raises:
        MachineError: py3langid is not installed.
    """
    return dict(_identifier().rank(sample_of(text, sample)))
