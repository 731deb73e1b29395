"""What a stream does where its records break off, and what is no stream."""

import threading
from contextlib import closing

import pytest
import torch

from litebert.errors import DataError
from litebert.inference.pipeline import Pipeline
from litebert.inference.settings import EngineSettings
from litebert.inference.stream import windows_of
from litebert.tasks.base import Passes
from litebert.tasks.reading.records import Record


class Echo:
    """Answers a text with itself."""

    def prepare(self, records, options):
        return lambda passes: [record.text for record in records]


def broken(after, error):
    for number in range(after):
        yield Record(str(number))
    raise error


def answered(records, window):
    found = []
    for chunk, answers in windows_of(Echo(), records, Passes(), {}, window=window):
        assert [record.text for record in chunk] == answers
        found += answers
    return found


@pytest.mark.parametrize("window", [1, 2, 3, 100])
@pytest.mark.parametrize("after", [0, 1, 4, 5])
def test_what_was_read_before_an_error_is_answered_first(after, window):
    found = []
    with pytest.raises(DataError, match="line 6"):
        for chunk, answers in windows_of(Echo(), broken(after, DataError("line 6")), Passes(), {}, window=window):
            found += answers
            assert len(chunk) <= window
    assert found == [str(number) for number in range(after)]


def test_nothing_is_read_after_an_error():
    class Stumbling:
        """Goes on after an error, as a generator would not."""

        count = 0

        def __iter__(self):
            return self

        def __next__(self):
            self.count += 1
            if self.count == 3:
                raise ValueError("third")
            return Record(str(self.count))

    source = Stumbling()
    with pytest.raises(ValueError, match="third"):
        answered(source, 4)
    assert source.count == 3


def test_who_stops_listening_stops_the_reading():
    read = []

    def endless():
        while True:
            read.append(1)
            yield Record("x")

    with closing(windows_of(Echo(), endless(), Passes(), {}, window=5)) as stream:
        assert len(next(stream)[0]) == 5
    assert len(read) == 10


@pytest.mark.parametrize("wrong", ["one text", {"text": "one"}, None, 3])
def test_one_text_is_no_stream(wrong):
    pipe = Pipeline(Echo(), device=torch.device("cpu"), settings=EngineSettings(precision="fp32", window=2))
    with pytest.raises(DataError, match="expected a list or stream of texts"):
        list(pipe.stream(wrong))
    assert list(pipe.stream(["one", "text"])) == ["one", "text"]


def test_explanations_are_computed_with_the_threads_that_were_asked_for():
    class Explains:
        def stream(self, records, options):
            return ((record.text, torch.get_num_threads()) for record in records)

    before = torch.get_num_threads()
    pipe = Pipeline(Echo(), device=torch.device("cpu"), settings=EngineSettings(precision="fp32", threads=before + 1))
    pipe._explainer = Explains()
    assert pipe.explain("one") == ("one", before + 1)
    assert pipe.explain(["one", "two"]) == [("one", before + 1), ("two", before + 1)]
    assert torch.get_num_threads() == before


# --- Lists ----------------------------------------------------------------------------------------------------------------


class Watched(Echo):
    """Notes in which thread how many records were tokenised; refuses one text."""

    def __init__(self):
        self.seen = []

    def prepare(self, records, options):
        self.seen.append((threading.current_thread(), len(records)))
        if any(record.text == "bad" for record in records):
            raise DataError("bad text")

        def answers(passes):
            for done in range(1, len(records) + 1):
                passes.report(done)
            return [record.text for record in records]

        return answers


def piped(loaded, window):
    return Pipeline(loaded, device=torch.device("cpu"), settings=EngineSettings(precision="fp32", window=window))


def test_the_next_texts_of_a_list_are_tokenised_while_the_first_are_computed():
    begun, tokenised = threading.Event(), threading.Event()

    class Overlapping(Echo):
        def prepare(self, records, options):
            if records[0].text == "2":  # the second window waits for a forward pass
                assert begun.wait(20)
                tokenised.set()

            def answers(passes):
                begun.set()
                assert tokenised.wait(20)  # and the first pass for the second window
                return [record.text for record in records]

            return answers

    texts = [str(number) for number in range(6)]
    assert piped(Overlapping(), 2)(texts) == texts


@pytest.mark.parametrize(
    ("window", "texts"), [(4, ["a", "b", "c", "d"]), (1, ["a", "b", "c"]), (2, ["a", ("b", "c"), "d", "e"])]
)
def test_a_list_within_a_window_is_computed_at_once_and_by_no_other_thread(window, texts):
    """Also where each text is answered alone in a stream, and where pairs are mixed with texts, which a task may refuse."""
    loaded = Watched()
    assert len(piped(loaded, window)(texts)) == len(texts)
    assert loaded.seen == [(threading.current_thread(), len(texts))]


@pytest.mark.parametrize("count", [5, 6, 7])
def test_a_list_beyond_a_window_is_answered_in_order_and_told_in_one_count(count):
    loaded, done = Watched(), []
    texts = [str(number) for number in range(count)]
    assert piped(loaded, 3).answer_records([Record(text) for text in texts], done.append) == texts
    assert [size for _, size in loaded.seen] == [3, *([count - 3] if count < 7 else [3, 1])]
    assert threading.current_thread() not in {thread for thread, _ in loaded.seen}
    assert done == list(range(1, count + 1))


@pytest.mark.parametrize("at", [0, 3, 5])
def test_a_bad_text_anywhere_in_a_list_is_the_same_error(at):
    texts = ["a"] * 6
    texts[at] = "bad"
    for window in (2, 6):
        with pytest.raises(DataError, match="bad text"):
            piped(Watched(), window)(texts)
    loaded = Watched()
    with pytest.raises(DataError, match="expected a text, got int"):
        piped(loaded, 2)([*texts, 3])
    assert loaded.seen == []  # before anything is computed
