"""Small corpora, a plain example-by-example reference of how Google's code makes examples, and exact statistical bounds.

The reference follows the description of ``create_instances_from_document``, ``create_masked_lm_predictions`` and
``truncate_seq_pair`` one piece at a time with Python's own generator, so that it shares nothing with the code under test.

Every statistical test has fixed seeds and bounds at ALPHA = 1e-6, so it is deterministic, and each names a mutation it fails on.
"""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy import stats

from litebert.corpus.shards import Corpus, ShardWriter, token_dtype, write_manifest
from litebert.pretrain.rows import IGNORED
from litebert.text import AlbertTokenizer

ALPHA = 1e-6
Z = float(stats.norm.isf(ALPHA / 2))
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def unmasked(rows):
    """Return the ids before masking, (B, T)."""
    return np.where(rows.labels == IGNORED, rows.input_ids, rows.labels)


# --- Statistics -----------------------------------------------------------------------------------------------------------


def share_is(count, total, p):
    """Whether a binomial count lies within the two-sided bound of ALPHA."""
    return abs(count / total - p) < Z * (p * (1 - p) / total) ** 0.5


def fits(counts, probabilities):
    """Whether counts come from a distribution (chi-square at ALPHA)."""
    counts, p = np.asarray(counts, float), np.asarray(probabilities, float)
    assert (counts.sum() * p >= 5).all(), "too few draws for a chi-square"
    return stats.chisquare(counts, counts.sum() * p / p.sum()).pvalue > ALPHA


def alike(first, second, least=20):
    """Whether two samples of independent values come from one distribution (chi-square of the contingency table at ALPHA)."""
    a, b = Counter(first), Counter(second)
    table, rest = [], [0, 0]
    for value in sorted(set(a) | set(b)):
        pair = [a[value], b[value]]
        if sum(pair) < least:
            rest = [x + y for x, y in zip(rest, pair, strict=True)]
        else:
            table.append(pair)
    table += [rest] if sum(rest) >= least else []
    assert len(table) > 1, "nothing to compare"
    return stats.chi2_contingency(np.array(table).T).pvalue > ALPHA


# --- Corpora --------------------------------------------------------------------------------------------------------------


def toy_tokenizer(folder, size=400, whole=0.7, seed=5):
    """A WordPiece vocabulary of five special pieces and ``size`` others, a part of which continue words."""
    draws = np.random.default_rng(seed).random(size)
    pieces = [f"w{i}" if draw < whole else f"##w{i}" for i, draw in enumerate(draws)]
    file = Path(folder) / "vocab.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([*SPECIALS, *pieces]) + "\n", encoding="utf-8")
    return AlbertTokenizer.from_file(file)


def write_corpus(folder, tokenizer, shards):
    """Write documents, lists of sentences of ids, one list of documents a shard."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for number, documents in enumerate(shards):
        writer = ShardWriter(folder, f"shard-{number:05d}-000", token_dtype(tokenizer.vocab_size))
        for document in documents:
            writer.add(document)
        records.append(writer.close())
    write_manifest(folder, records, tokenizer, {})
    return Corpus(folder)


def sentence_lengths(documents, rng, sentences=(1, 12), pieces=(3, 40)):
    """Lengths of the sentences of random documents."""
    return [
        rng.integers(pieces[0], pieces[1] + 1, rng.integers(sentences[0], sentences[1] + 1)).tolist()
        for _ in range(documents)
    ]


def numbered(lengths, start=0):
    """Turn lengths into documents in which every piece is a number of its own, counted through."""
    documents = []
    for document in lengths:
        sentences = []
        for length in document:
            sentences.append(list(range(start, start + length)))
            start += length
        documents.append(sentences)
    return documents


def shard_of(documents):
    """A shard in memory."""
    sentences = [sentence for document in documents for sentence in document]
    return SimpleNamespace(
        tokens=np.array([piece for sentence in sentences for piece in sentence], dtype=np.int64),
        sentence_ends=np.cumsum([len(s) for s in sentences]),
        document_ends=np.cumsum([len(d) for d in documents]),
    )


def document_of(shard):
    """Return the document of each piece of a shard of numbered documents."""
    sentence = np.searchsorted(shard.sentence_ends, np.arange(shard.tokens.size), side="right")
    return np.searchsorted(shard.document_ends, sentence, side="right")


# --- The reference --------------------------------------------------------------------------------------------------------


def google_pairs(documents, length, rng, *, short=0.1, random_next=False):
    """Make (A, B, label) from every document as Google's release does: short targets once a document, cut to the full budget."""
    budget = length - 3
    pairs = []
    for own, document in enumerate(documents):
        target = rng.randint(2, budget) if rng.random() < short else budget
        chunk, i = [], 0
        while i < len(document):
            chunk.append(document[i])
            if i == len(document) - 1 or sum(map(len, chunk)) >= target:
                cut = 1 if len(chunk) == 1 else rng.randint(1, len(chunk) - 1)
                a = [piece for sentence in chunk[:cut] for piece in sentence]
                b = [piece for sentence in chunk[cut:] for piece in sentence]
                label = 0
                if len(chunk) == 1 or (random_next and rng.random() < 0.5):
                    b, label = _elsewhere(documents, own, target - len(a), rng), 1
                    i -= len(chunk) - cut
                elif not random_next and rng.random() < 0.5:
                    a, b, label = b, a, 1
                shorten(a, b, budget, rng)
                pairs.append((a, b, label))
                chunk = []
            i += 1
    return pairs


def _elsewhere(documents, own, wanted, rng):
    for _ in range(10):
        number = rng.randrange(len(documents))
        if number != own:
            break
    found = []
    for sentence in documents[number][rng.randrange(len(documents[number])) :]:
        found += sentence
        if len(found) >= wanted:
            break
    return found


def shorten(a, b, most, rng):
    """Take pieces off the longer list, front or back, until both fit."""
    while len(a) + len(b) > most:
        longer = a if len(a) > len(b) else b
        longer.pop(0 if rng.random() < 0.5 else -1)


def google_mask(sizes, budget, longest, rng, weights=None):
    """Choose words by their sizes in pieces: visited in random order, each proposing an n-gram; returns the masked words.

    Args:
        sizes: Pieces of each word.
        budget: Pieces to predict.
        longest: Largest n.
        rng: Python's generator.
        weights: Of n; None for 1 / n.
    """
    order = list(range(len(sizes)))
    rng.shuffle(order)
    masked, used = set(), 0
    for first in order:
        if used >= budget:
            break
        n = rng.choices(range(1, longest + 1), weights or [1 / k for k in range(1, longest + 1)])[0]
        words = range(first, min(first + n, len(sizes)))
        while used + sum(sizes[w] for w in words) > budget and len(words) > 1:
            words = words[:-1]
        cost = sum(sizes[w] for w in words)
        if used + cost > budget or masked.intersection(words):
            continue
        masked.update(words)
        used += cost
    return masked
