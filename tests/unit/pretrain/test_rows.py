"""Sequences laid into rows, and what the model makes of rows that several sequences share."""

import numpy as np
import pytest
import torch

from litebert.checkpoint.pretrained import AlbertForPreTraining
from litebert.config import AlbertConfig
from litebert.model import albert as network
from litebert.pretrain.batches import to_tensors
from litebert.pretrain.masking import Masker, MaskingRules, as_generator
from litebert.pretrain.rows import IGNORED, LEFT_OUT, Frame, Segments, assemble, repeated

from .reference import toy_tokenizer, unmasked

CLS, SEP, PAD, MASK = 2, 3, 0, 4
FRAME = Frame(CLS, SEP, PAD)
NONE = MaskingRules(rate=1e-9)  # one position is predicted all the same


@pytest.fixture(scope="module")
def masker(tmp_path_factory):
    return Masker(toy_tokenizer(tmp_path_factory.mktemp("vocabulary")))


def segments(first, second=(), label=IGNORED):
    return Segments(np.array(first, dtype=np.int64), np.array(second, dtype=np.int64), label)


def random_rows(rng, count, length):
    """Rows of one to four sequences with one or two segments, some rows full to the last place."""
    rows = []
    for _ in range(count):
        row, free = [], length
        while free >= 8 and len(row) < 4:
            a, b = rng.integers(1, 6, 2)
            b = 0 if rng.random() < 0.3 else b
            if rng.random() < 0.2:
                a = free - 3 - b  # up to the end
            row.append(
                segments(rng.integers(5, 405, a), rng.integers(5, 405, b), int(rng.integers(2)) if b else IGNORED)
            )
            free -= a + b + (3 if b else 2)
        rows.append(row)
    return rows


def test_a_row_in_full(masker):
    row = [segments([10, 11], [12], 1), segments([13, 14, 15])]
    out = assemble([row], 13, FRAME, masker, NONE, as_generator(0))
    assert unmasked(out).tolist() == [[CLS, 10, 11, SEP, 12, SEP, CLS, 13, 14, 15, SEP, PAD, PAD]]
    assert out.token_type_ids.tolist() == [[0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0]]
    assert out.position_ids.tolist() == [[0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 0, 0]]
    assert out.sequence_ids.tolist() == [[1] * 6 + [2] * 5 + [0] * 2]
    assert out.sentence_order_label.tolist() == [1, IGNORED]
    assert ((out.labels != IGNORED).sum(), (out.labels[0, :6] != IGNORED).sum()) == (2, 1), "one in each sequence"


def test_a_repeated_segment_is_the_longer_one_twice():
    """Both fit into the room there was; the one with pieces left out is a subsequence of the other; no sentence label."""
    rng, removed, exchanged, parts = as_generator(3), 0, 0, 0
    for first, second in rng.integers(1, 60, (400, 2)).tolist():
        a, b = np.arange(10, 10 + first), np.arange(500, 500 + second)
        found = repeated(Segments(a, b, 1), rng)
        longest, shorter = sorted((found.first, found.second), key=len, reverse=True)
        if found.label == 1:  # nothing was left: as it was
            assert found.first is a and min(first, second) < 4
            continue
        source = a if first >= second else b
        assert np.isin(longest, source).all() and (np.diff(longest) == 1).all()
        assert len(longest) == min(len(source), (first + second) // 2)
        assert np.isin(shorter, longest).all() and (np.diff(shorter) > 0).all()
        removed, parts = removed + len(longest) - len(shorter), parts + len(longest)
        exchanged += len(found.first) < len(found.second)
    assert abs(removed / parts - LEFT_OUT) < 0.01 and 0.3 < exchanged / 400 < 0.55


@pytest.mark.parametrize("rate", [0.15, 0.6])
def test_rows_hold_their_sequences(masker, rate):
    """Nothing is lost or moved; labels stand where, and only where, a piece is predicted; padding is all zeros."""
    rows = random_rows(np.random.default_rng(1), 200, 40)
    out = assemble(rows, 40, FRAME, masker, MaskingRules(rate=rate), as_generator(1))
    ids, flat = unmasked(out), iter(out.sentence_order_label)
    for line, row in enumerate(rows):
        at = 0
        for number, sequence in enumerate(row, start=1):
            a, b = sequence.first.tolist(), sequence.second.tolist()
            wanted = [CLS, *a, SEP, *([*b, SEP] if b else [])]
            place = np.s_[line, at : at + len(wanted)]
            assert ids[place].tolist() == wanted
            assert out.token_type_ids[place].tolist() == [0] * (len(a) + 2) + [1] * (len(wanted) - len(a) - 2)
            assert out.position_ids[place].tolist() == list(range(len(wanted)))
            assert (out.sequence_ids[place] == number).all()
            predicted = (out.labels[place] != IGNORED).sum()
            assert 0 < predicted <= max(1, round(len(wanted) * rate)) or masker.starts[a + b].sum() < len(a + b)
            assert next(flat) == sequence.label
            at += len(wanted)
        for array in (out.token_type_ids, out.position_ids, out.sequence_ids, out.input_ids):
            assert not array[line, at:].any()
        assert (out.labels[line, at:] == IGNORED).all()
    assert next(flat, None) is None
    predicted = out.labels != IGNORED
    assert not np.isin(ids[predicted], [CLS, SEP, PAD]).any()
    assert (out.input_ids[predicted] == MASK).any() and (out.input_ids[predicted] != MASK).any()


def test_masking_counts_each_sequence_by_itself(masker):
    """D9 for sequences, not for rows: three of ten pieces in a row of 30 have round(1.5) = 2 each, not round(4.5) = 4 together."""
    start = int(np.flatnonzero(masker.starts & ~masker.frame)[0])
    row = [segments([start] * 8) for _ in range(3)]
    out = assemble([row] * 50, 30, FRAME, masker, MaskingRules(), as_generator(3))
    counts = [(out.labels[out.sequence_ids == number] != IGNORED).sum() for number in (1, 2, 3)]
    assert counts == [100, 100, 100]


# --- In the model ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packed(masker):
    return to_tensors(
        assemble(random_rows(np.random.default_rng(2), 8, 40), 40, FRAME, masker, MaskingRules(), as_generator(2))
    )


def model_of(backend):
    torch.manual_seed(0)
    config = AlbertConfig(
        vocab_size=405, embedding_size=16, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=64, initializer_range=0.3,
    )  # fmt: skip
    return AlbertForPreTraining(config, attention=backend).eval()


@torch.inference_mode()
def largest_difference(model, batch):
    """Compare rows that are shared with each sequence alone: (masked LM, sentence order)."""
    arguments = {k: v for k, v in batch.items() if k not in ("labels", "sentence_order_label")}
    together = model(**arguments)
    words, number = [], 0
    order = 0.0
    for row, sequence_ids in enumerate(batch["sequence_ids"]):
        for k in range(1, int(sequence_ids.max()) + 1):  # in reading order
            here = sequence_ids == k
            alone = model(batch["input_ids"][row, here][None], token_type_ids=batch["token_type_ids"][row, here][None])
            words.append(float((alone.prediction_logits[0] - together.prediction_logits[row, here]).abs().max()))
            order = max(order, float((alone.sop_logits[0] - together.sop_logits[number]).abs().max()))
            number += 1
    assert number == len(together.sop_logits) == len(batch["sentence_order_label"]) > len(batch["input_ids"])
    assert together.sop_logits.std() > 0.01, "logits that are all alike would hide a wrong order"
    return max(words), order


@pytest.mark.parametrize("backend", ["eager", "sdpa"])
def test_shared_rows_equal_sequences_alone(packed, backend):
    words, order = largest_difference(model_of(backend), packed)
    assert words < 1e-5 and order < 1e-5


@pytest.mark.parametrize("mistake", ["attention", "positions", "order"])
def test_shared_rows_tell_mistakes(packed, monkeypatch, mistake):
    """Attention to the whole row, positions that run on, pooled tokens in another order."""
    batch = dict(packed)
    if mistake == "attention":
        monkeypatch.setattr(network, "within_sequences", lambda ids: (ids[:, :, None] > 0) & (ids[:, None, :] > 0))
    elif mistake == "positions":
        batch["position_ids"] = torch.arange(40).expand(8, 40)
    else:
        right = network.starts

        def reversed_rows(sequence_ids):
            return torch.nonzero(right(sequence_ids)).flip(0).unbind(1)

        monkeypatch.setattr(network, "starts", reversed_rows)
    words, order = largest_difference(model_of("eager"), batch)
    assert order > 1e-2
    assert (words > 1e-2) == (mistake != "order")


def test_padding_gives_finite_gradients(packed):
    model = model_of("sdpa").train()
    batch = {**packed, "sequence_ids": packed["sequence_ids"] * (torch.arange(8) != 3)[:, None]}
    batch["labels"] = torch.where(batch["sequence_ids"] > 0, batch["labels"], IGNORED)
    batch.pop("sentence_order_label")
    model(**batch).loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
