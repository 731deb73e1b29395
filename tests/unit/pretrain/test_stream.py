"""The stream: a pure function of corpus, settings, seed and step, whoever makes it and in whatever order (checklist D12, D13)."""

import json
import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest
import torch

from litebert.corpus.shards import Corpus
from litebert.errors import ConfigError, DataError
from litebert.pretrain import stream as module
from litebert.pretrain.batches import BatchPlan, PretrainingBatches
from litebert.pretrain.examples import PRESETS, ExampleSettings, with_preset
from litebert.pretrain.planning import RowCounts
from litebert.pretrain.rows import IGNORED
from litebert.pretrain.stream import RowStream
from litebert.pretrain.unigram import unigram_entropy

from .reference import document_of, numbered, sentence_lengths, share_is, toy_tokenizer, unmasked, write_corpus

LENGTH = 48
FIRST = 5
"""Ids of ordinary pieces begin here; in this corpus every piece occurs once."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three shards in which every piece is one of a kind: a piece says where in the text it stood."""
    lengths = sentence_lengths(150, np.random.default_rng(1), pieces=(2, 12))
    documents = numbered(lengths, FIRST)
    size = documents[-1][-1][-1] + 1 - FIRST
    folder = tmp_path_factory.mktemp("corpus")
    return write_corpus(
        folder / "data", toy_tokenizer(folder, size), [documents[:60], documents[60:100], documents[100:]]
    )


def settings(preset="litebert", **changes):
    return ExampleSettings(**with_preset({"preset": preset, "length": LENGTH, "repeat_probability": 0.0, **changes}))


def stream(corpus, seed=3, progress=None, window_tokens=2**28, counts=None, ahead=False, **changes):
    return RowStream(
        corpus,
        settings(**changes),
        seed=seed,
        progress=progress,
        window_tokens=window_tokens,
        counts=counts,
        ahead=ahead,
    )


def bytes_of(batches):
    return [b"".join(tensor.numpy().tobytes() for tensor in batch.values()) for batch in batches]


def epoch_rows(made, epoch=0, step=0):
    first = sum(made.rows_in_epoch(e) for e in range(epoch))
    return made.block(step, first, made.rows_in_epoch(epoch))


def pieces_of(rows):
    ids = unmasked(rows)
    return ids[ids >= FIRST]


def sequences_of(rows):
    """(segment A, segment B, label) of each sequence in reading order."""
    ids, labels = unmasked(rows), iter(rows.sentence_order_label.tolist())
    for row in range(len(ids)):
        for number in range(1, rows.sequence_ids[row].max() + 1):
            here = rows.sequence_ids[row] == number
            body, types = ids[row, here], rows.token_type_ids[row, here]
            yield body[(types == 0) & (body >= FIRST)], body[(types == 1) & (body >= FIRST)], next(labels)


def documents_of(corpus):
    """Document of each piece, by its id."""
    found, before = [], 0
    for shard in corpus.shards:
        found.append(document_of(shard) + before)
        before += shard.document_ends.size
    return np.concatenate([np.full(FIRST, -1), *found])


# --- Coverage -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window_tokens", [2**28, 1])
@pytest.mark.parametrize("pack", [True, False])
def test_every_piece_is_visited_once_an_epoch(corpus, window_tokens, pack):
    """Nothing is cut off where the sequences are as long as the documents; all shards, all windows."""
    made = stream(
        corpus,
        length=256,
        lone="alone",
        short_probability=0.0,
        alone_probability=0.0,
        pack=pack,
        window_tokens=window_tokens,
    )
    for epoch in (0, 1):
        assert np.array_equal(np.sort(pieces_of(epoch_rows(made, epoch))), np.arange(FIRST, FIRST + corpus.tokens))


def test_no_piece_is_visited_twice_and_few_are_cut_off(corpus):
    found = pieces_of(epoch_rows(stream(corpus, lone="alone", alone_probability=0.0)))
    assert np.unique(found).size == found.size
    assert 0.8 * corpus.tokens < found.size < corpus.tokens


def test_rows_hold_the_length(corpus):
    rows = epoch_rows(stream(corpus))
    assert rows.input_ids.shape == (stream(corpus).rows_in_epoch(0), LENGTH)
    assert (rows.sequence_ids > 0).mean() > 0.9
    padding = rows.sequence_ids == 0
    assert (rows.input_ids[padding] == 0).all() and (rows.labels[padding] == IGNORED).all()
    assert ((rows.position_ids == 0) == ((rows.input_ids == 2) | padding)).all()


# --- Determinism ----------------------------------------------------------------------------------------------------------


PLAN = BatchPlan(8, 8, 0, 4)


def test_the_same_seed_gives_the_same_bytes(corpus):
    def made(**key):
        return bytes_of(PretrainingBatches(stream(Corpus(corpus.folder), **key), PLAN).micro_batches(2))

    assert made() == made()
    assert not set(made()) & set(made(seed=4))


def test_any_order_of_blocks(corpus):
    """Asked backwards, or for one alone, or after an epoch's end: the same rows; resume at any step is this."""
    straight = PretrainingBatches(stream(corpus), PLAN)
    steps = range(2 * straight.steps_per_epoch + 2)
    expected = [bytes_of(straight.micro_batches(s)) for s in steps]
    assert len({b for step in expected for b in step}) == 2 * len(expected)
    backwards = PretrainingBatches(stream(corpus), PLAN)
    assert [bytes_of(backwards.micro_batches(s)) for s in reversed(steps)] == expected[::-1]
    for step in (1, straight.steps_per_epoch, len(steps) - 1):
        assert bytes_of(PretrainingBatches(stream(corpus), PLAN).micro_batches(step)) == expected[step]


def test_every_block_has_draws_of_its_own(corpus, monkeypatch):
    """Blocks that shared a generator would have their masks at like places."""
    keys = []
    right = module.as_generator
    monkeypatch.setattr(module, "as_generator", lambda *key: (keys.append(key), right(*key))[1])
    batches = PretrainingBatches(stream(corpus), PLAN)
    for step in range(5):
        batches.micro_batches(step)
    blocks = [key for key in keys if key[1] == module.BLOCK]
    assert len(set(blocks)) == len(blocks) == 10


def test_small_windows_bound_the_memory(corpus):
    """Every shard a window of its own: rows of one come after those of another, and only two plans are held."""
    shard = np.concatenate([np.full(s.tokens.size, i) for i, s in enumerate(corpus.shards)])
    changes = {}
    for tokens in (2**28, 1):
        made = stream(corpus, window_tokens=tokens)
        changes[tokens] = np.count_nonzero(np.diff(shard[pieces_of(epoch_rows(made)) - FIRST]))
    assert changes[1] == 2 < changes[2**28]
    assert len(made._windows) <= 2, "memory holds two windows"


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_loader_workers(corpus, workers):
    """Also from the middle, as after a resume."""
    ours, theirs = PretrainingBatches(stream(corpus), PLAN), PretrainingBatches(stream(corpus), PLAN, workers=workers)
    for step in (5, 6, 7, 8):
        assert bytes_of(theirs.micro_batches(step)) == bytes_of(ours.micro_batches(step))


def test_processes_share_a_step(corpus):
    plan = BatchPlan(12, 12, 0, 2)
    whole = bytes_of(PretrainingBatches(stream(corpus), plan).micro_batches(3))
    for ranks in (2, 3, 4):
        parts = [
            bytes_of(PretrainingBatches(stream(corpus), plan, rank=r, ranks=ranks).micro_batches(3))
            for r in range(ranks)
        ]
        assert [parts[i % ranks][i // ranks] for i in range(6)] == whole


def test_a_stream_travels_to_workers_without_the_corpus(corpus):
    """A pickled memory map holds all its bytes; a worker opens the files itself."""
    sent = pickle.dumps(stream(corpus))
    tokens = sum(shard.tokens.nbytes for shard in corpus.shards)
    assert len(pickle.dumps(corpus.shards)) < tokens / 2
    back = pickle.loads(sent)
    assert isinstance(back.corpus.shards[0].tokens, np.memmap)
    assert back.block(0, 0, 4).input_ids.tobytes() == stream(corpus).block(0, 0, 4).input_ids.tobytes()


def test_two_epochs_differ_in_cuts_and_masks(corpus):
    """D13."""
    made = stream(corpus, lone="alone")
    first, second = (epoch_rows(made, e, step=e) for e in (0, 1))
    cuts = [{(*a[:1].tolist(), a.size, b.size) for a, b, _ in sequences_of(rows)} for rows in (first, second)]
    assert len(cuts[0] & cuts[1]) < 0.5 * len(cuts[0])
    masks = [set(rows.labels[rows.labels != IGNORED].tolist()) for rows in (first, second)]
    assert len(masks[0] & masks[1]) < 0.4 * len(masks[0])
    other_step = made.block(1, 0, made.rows_in_epoch(0))
    assert np.array_equal(unmasked(other_step).shape, unmasked(first).shape)
    assert not np.array_equal(other_step.labels, first.labels), "the same rows at another step have other masks"


# --- Where a window or an epoch ends --------------------------------------------------------------------------------------


def watched(made):
    """The windows that a stream plans, and whether in the thread that asks for rows."""
    seen, right = [], made._planned

    def planned(place):
        seen.append((place, threading.current_thread() is threading.main_thread()))
        return right(place)

    made._planned, made._ahead = planned, module.Ahead(planned)
    return seen


def found(made, numbers):
    """What the rows with these numbers hold, and how many windows were in memory at most."""
    most, rows = 0, []
    for number in numbers:
        shard, members, chunks = made._find(number)
        rows.append((shard, chunks.first[members].tolist(), chunks.last[members].tolist()))
        most = max(most, len(made._windows) + (made._ahead._place is not None))
    return rows, most


def test_no_window_but_the_first_is_waited_for(corpus):
    """Every shard a window of its own, three epochs: a plan is made once, in the background, before its first row is asked for."""
    plain, made = stream(corpus, window_tokens=1), stream(corpus, window_tokens=1, ahead=True)
    numbers = range(sum(plain.rows_in_epoch(e) for e in range(3)))
    seen = watched(made)
    rows, most = found(made, numbers)
    assert rows == found(plain, numbers)[0]
    epochs, waited = [place for place, _ in seen], [place for place, asked in seen if asked]
    assert epochs == sorted(set(epochs)) and {(e, w) for e in range(3) for w in range(3)} <= set(epochs)
    assert waited == [(0, 0)]
    assert most == 2, "memory holds two windows, the one that is planned included"


def test_an_epoch_ends_without_the_plan_of_the_next(corpus):
    """Only its first window is needed."""
    made = stream(corpus, window_tokens=1)
    first = made.rows_in_epoch(0)
    seen = watched(made)
    made.block(0, first, 1)
    assert [place for place, _ in seen] == [(1, 0)]


def test_what_goes_wrong_in_the_background_is_raised_where_it_is_asked_for(corpus):
    made = stream(corpus, window_tokens=1, ahead=True)
    size = made._window((0, 0)).shard.size

    def planned(place):
        raise OSError("the disk is gone")

    made._planned, made._ahead = planned, module.Ahead(planned)
    found(made, range(size))  # those of the window that is there
    with pytest.raises(OSError, match="the disk is gone"):
        made._find(size)


def test_rows_asked_for_out_of_order_are_the_same_with_plans_ahead(corpus):
    plain, made = stream(corpus, window_tokens=1), stream(corpus, window_tokens=1, ahead=True)
    numbers = np.random.default_rng(4).permutation(2 * plain.rows_in_epoch(0)).tolist()
    assert found(made, numbers)[0] == found(plain, numbers)[0]


def test_a_resumed_run_does_not_plan_what_it_has_passed(corpus, tmp_path):
    file = tmp_path / "rows.json"
    before = stream(corpus, window_tokens=1)
    before.keep_counts(file, writes=True)
    number = sum(before.rows_in_epoch(e) for e in range(3)) + 2
    expected = before.block(9, number, 4)
    resumed = stream(corpus, window_tokens=1)
    seen = watched(resumed)
    resumed.keep_counts(file, writes=True)
    assert resumed.rows_in_epoch(0) == before.rows_in_epoch(0)
    again = resumed.block(9, number, 4)
    assert [place for place, _ in seen] == [(3, 0)]
    assert all(np.array_equal(a, b) for a, b in zip(vars(again).values(), vars(expected).values(), strict=True))


def one_more(text):
    """A count of the file, changed."""
    data = json.loads(text)
    data["rows"][0][2] += 1
    return json.dumps(data)


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda text: text[: len(text) // 2], {}),
        (one_more, {}),
        (lambda text: "[]", {}),
        (lambda text: text, {"seed": 4}),
        (lambda text: text, {"window_tokens": 2**28}),
        (lambda text: text, {"pack": False}),
        (lambda text: text, {"short_probability": 0.9}),
    ],
    ids=["half", "flipped", "other", "seed", "windows", "pack", "rules"],
)
def test_counts_that_are_damaged_or_of_other_rows_are_not_believed(corpus, tmp_path, change, options):
    file = tmp_path / "rows.json"
    before = stream(corpus, window_tokens=1)
    before.keep_counts(file, writes=True)
    number = before.rows_in_epoch(0) + before.rows_in_epoch(1)
    text = file.read_text()
    file.write_text(change(text))
    assert change(text) != text or options
    options = {"window_tokens": 1, **options}
    made = stream(corpus, **options)
    made.keep_counts(file, writes=False)
    assert found(made, [0, number])[0] == found(stream(corpus, **options), [0, number])[0]


def test_only_one_process_writes_the_counts_and_none_has_to(corpus, tmp_path):
    quiet = stream(corpus)
    quiet.keep_counts(tmp_path / "rows.json", writes=False)
    assert quiet.rows_in_epoch(1) and not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    refused = stream(corpus)
    refused.keep_counts(tmp_path / "file" / "rows.json", writes=True)
    assert refused.rows_in_epoch(1) == quiet.rows_in_epoch(1)


def test_writers_add_to_what_others_have_learnt(tmp_path):
    file = tmp_path / "rows.json"
    first, second = RowCounts(), RowCounts()
    for counts, place in ((first, (0, 0)), (second, (0, 1))):
        counts.keep_in(file, "key", writes=True)
        counts.add(place, 10 + place[1])
    first.save()
    second.save()
    assert json.loads(file.read_text())["rows"] == [[0, 0, 10], [0, 1, 11]]


def test_streams_of_one_run_share_what_they_know(corpus):
    counts = RowCounts()
    size = stream(corpus, window_tokens=1, counts=counts).rows_in_epoch(0)
    other = stream(corpus, window_tokens=1, counts=counts)
    seen = watched(other)
    assert other.rows_in_epoch(0) == size and not seen


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")
def test_loader_workers_leave_it_to_the_trainer_to_stop(corpus):
    """torchrun and Ctrl-C signal the whole group; the step that is under way still needs its rows."""
    ours, theirs = (PretrainingBatches(stream(corpus), PLAN, workers=n) for n in (0, 2))
    assert bytes_of(theirs.micro_batches(0)) == bytes_of(ours.micro_batches(0))
    assert bytes_of(theirs.micro_batches(1)) == bytes_of(ours.micro_batches(1))  # both workers are at work
    for worker in theirs._iterator._workers:
        os.kill(worker.pid, signal.SIGTERM)
        os.kill(worker.pid, signal.SIGINT)
    time.sleep(0.2)
    assert all(worker.is_alive() for worker in theirs._iterator._workers)
    for step in range(2, 14):  # more than are made ahead
        assert bytes_of(theirs.micro_batches(step)) == bytes_of(ours.micro_batches(step))
    assert not theirs._steps.stream._windows, "the process that trains holds no plans of rows that others make"
    workers = theirs._iterator._workers
    theirs._iterator = None
    for worker in workers:
        worker.join(20)
        assert not worker.is_alive()


# --- Objectives -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(corpus, preset):
    """D4, D5, D9: from which document pairs come, how they are labelled, how many pieces are predicted."""
    document = documents_of(corpus)
    made = stream(corpus, preset=preset)
    labels, mixed = [], 0
    rows = [epoch_rows(made, e) for e in range(4)]
    for a, b, label in (s for r in rows for s in sequences_of(r)):
        one = np.unique(document[np.concatenate([a, b])]).size == 1
        mixed += not one
        if label == IGNORED:
            assert not b.size
        elif one:
            labels.append(label)
            assert (a.max() < b.min()) == (label == 0)
        else:
            assert label == 1
    assert share_is(sum(labels), len(labels), 0.5)
    assert (mixed > 0) == (preset == "released")
    packed = max(int(r.sequence_ids.max()) for r in rows) > 1
    assert packed == (preset == "litebert")
    rate = np.mean([(r.labels != IGNORED).sum() / (r.sequence_ids > 0).sum() for r in rows])
    assert 0.13 < rate < 0.155


def test_swapping_begins_when_the_sentence_loss_does(corpus):
    made = stream(corpus, sentence_from=0.5, progress=lambda step: step / 10)
    early, late = (list(sequences_of(made.block(step, 0, 60))) for step in (4, 5))
    assert {label for _, _, label in early} == {IGNORED}
    assert all(a.max() < b.min() for a, b, _ in early if b.size)
    assert {label for _, _, label in late} >= {0, 1}


def test_ramps(corpus):
    """Single words first, and a masking rate that falls to its final value."""
    plan = settings(mask_rate=0.3, final_mask_rate=0.15, single_words_until=0.3)
    assert [plan.masking_rules(p).longest for p in (0.0, 0.29, 0.3, 1.0)] == [1, 1, 3, 3]
    assert [round(plan.masking_rules(p).rate, 6) for p in (0.0, 0.5, 1.0, 2.0)] == [0.3, 0.225, 0.15, 0.15]
    assert settings("paper").masking_rules(0.0).rate == settings("paper").masking_rules(1.0).rate == 0.15
    made = stream(corpus, mask_rate=0.3, final_mask_rate=0.15, progress=float)
    early, late = ((made.block(step, 0, 40).labels != IGNORED).sum() for step in (0, 1))
    assert early / late == pytest.approx(2, rel=0.12)


def test_no_sentence_objective(corpus):
    for a, b, label in sequences_of(epoch_rows(stream(corpus, sentence_objective="none"))):
        assert a.size and not b.size and label == IGNORED


def test_nsp_pairs(corpus):
    document = documents_of(corpus)
    found = [(label, document[a[0]] == document[b[0]]) for a, b, label in sequences_of(epoch_rows(stream(
        corpus, sentence_objective="nsp", lone="alone", alone_probability=0.0))) if b.size]  # fmt: skip
    assert {(0, True), (1, False)} == set(found)


def test_a_corpus_of_lone_sentences_is_refused_where_they_are_skipped(tmp_path):
    corpus = write_corpus(tmp_path / "c", toy_tokenizer(tmp_path), [[[[5, 6, 7]]] * 20])
    with pytest.raises(DataError, match="no training example") as error:
        stream(corpus, preset="paper").rows_in_epoch(0)
    assert "lone=alone" in error.value.hint
    assert stream(corpus, lone="alone").rows_in_epoch(0) > 0


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(ConfigError, match="releasd") as error:
        with_preset({"preset": "releasd"})
    assert "released" in error.value.hint


# --- Batches --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "plan", [BatchPlan(32, 8, 10, 8), BatchPlan(64, 8, 7, 8), BatchPlan(8, 8, 0, 4), BatchPlan(30, 6, 5, 6)]
)
def test_batch_ramp(plan):
    sizes = [plan.rows(step) for step in range(30)]
    assert sizes[0] == plan.first_batch_size and sizes[-1] == plan.batch_size
    assert sizes == sorted(sizes) and all(size % plan.block == 0 for size in sizes)
    assert [plan.rows_before(step) for step in range(31)] == [sum(sizes[:step]) for step in range(31)]


def test_a_ramp_visits_every_row_in_turn(corpus):
    plan = BatchPlan(16, 4, 6, 4)
    batches = PretrainingBatches(stream(corpus), plan)
    taken = [unmask(batch) for step in range(9) for batch in batches.micro_batches(step)]
    straight = stream(corpus)
    assert sum(map(len, taken)) == plan.rows_before(9)
    assert [row[0] for row in map(np.ravel, np.concatenate(taken))] == [2] * plan.rows_before(9)
    shards = [straight._find(n)[0] for n in range(plan.rows_before(9))]
    document = np.concatenate([np.full(s.tokens.size, i) for i, s in enumerate(corpus.shards)])
    assert [int(document[row[row >= FIRST][0] - FIRST]) for row in np.concatenate(taken)] == shards


def unmask(batch):
    return torch.where(batch["labels"] == IGNORED, batch["input_ids"], batch["labels"]).numpy()


# --- The unigram plateau --------------------------------------------------------------------------------------------------


def test_unigram_entropy(tmp_path):
    tokenizer = toy_tokenizer(tmp_path)
    even = write_corpus(tmp_path / "even", tokenizer, [[[[5, 6], [7, 8]]], [[[8, 7, 6, 5]]]])
    assert unigram_entropy(even) == pytest.approx(np.log(4))
    uneven = write_corpus(tmp_path / "uneven", tokenizer, [[[[5] * 9, [6]]]])
    assert unigram_entropy(uneven) == pytest.approx(-0.9 * np.log(0.9) - 0.1 * np.log(0.1))


# --- Repeated segments ----------------------------------------------------------------------------------------------------


def test_a_share_of_the_pairs_is_repeated(corpus):
    """Those have no sentence label; without the setting none is, and nothing else is drawn otherwise."""
    repeated = labelled = 0
    for epoch in range(4):
        for first, second, label in sequences_of(epoch_rows(stream(corpus, repeat_probability=0.3), epoch)):
            again = bool(np.isin(first, second).any())
            assert (label == IGNORED) if again else (label != IGNORED or not second.size)
            repeated, labelled = repeated + again, labelled + (label != IGNORED)
    assert share_is(repeated, repeated + labelled, 0.3)
    assert not any(np.isin(a, b).any() for a, b, _ in sequences_of(epoch_rows(stream(corpus))))
