"""Zero-shot kinds tokenise when they prepare, so that a stream does it while it computes what came before."""

import pytest

from litebert.tasks.base import Passes
from litebert.tasks.model_folder import load_zero_shot
from litebert.tasks.reading.records import Record
from litebert.text import AlbertTokenizer

LABELS = {"labels": ["the old house", "a river"]}


@pytest.mark.parametrize(
    ("task", "texts", "options"),
    [
        ("fill-mask", ["the [MASK] house", "[MASK] " * 3 + "a river " * 40], {"top_k": 2}),
        ("fill-mask", ["the [MASK] house"], {"targets": ["old", "new"]}),
        ("coherence", ["One is here. Two is there.", "A b. C d. E f."], {}),
        ("summarize", ["One is here. Two is there. Three.", ""], {"sentences": 1}),
        ("summarize", ["One is here. Two is there. Three."], {"query": "two"}),
        ("zero-shot-classification", ["the old house", "a river " * 60], LABELS),
    ],
)
def test_nothing_is_tokenised_when_it_is_computed(pretrained, monkeypatch, task, texts, options):
    loaded, records = load_zero_shot(pretrained, task), [Record(text) for text in texts]
    expected = loaded.answer(records, Passes(), options)  # which also reads the descriptions of labels, once for all
    compute = loaded.prepare(records, options)

    def refuse(*_given, **_how):
        raise AssertionError("tokenised too late")

    for name in ("encode", "encode_batch", "encode_windows", "encode_windows_batch"):
        monkeypatch.setattr(AlbertTokenizer, name, refuse)
    assert compute(Passes()) == expected
    with pytest.raises(AssertionError, match="too late"):
        loaded.prepare(records, options)
