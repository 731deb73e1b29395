"""Duplicates among any number of documents in bounded memory.

Two documents are linked if they have the same 128-bit hash (exact), or if a band of their MinHash signatures agrees and the whole
signatures agree in at least ``threshold`` of their numbers (near). Linked documents are one cluster, of which the first in the order of
the input is kept. Documents with one key are compared with the first of them, those unlike it with the first of the rest, and so on.

Parts are first compared within themselves, so that a text repeated a million times leaves one key a part. Then the keys of all parts
are compared range by range: a range holds about ``KEYS_AT_ONCE`` keys, whatever the size of the corpus. The clusters are made by a
union-find over one number for each document (Tarjan 1975, in the form that works on arrays: the smaller root wins).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from litebert.corpus.duplicates.fingerprints import U32, U64, band_keys
from litebert.corpus.duplicates.parts import Part, array_file, write_array
from litebert.corpus.settings import DedupSettings

KEYS_AT_ONCE = 1 << 22
EXACT, NEAR = 0, 1
"""Kinds of links."""
KEPT, EXACT_DUPLICATE, NEAR_DUPLICATE = 0, 1, 2
"""What becomes of a document."""

_ROUNDS = 8
_PAIRS_AT_ONCE = 1 << 15

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Links = npt.NDArray[np.int64]
"""(L, 3): the earlier document, the later, EXACT or NEAR."""
Same = Callable[[Ids, Ids], Mask]


def star_links(keys: U64, ids: Ids, same: Same) -> tuple[Ids, Ids]:
    """Link each document to the first one with the same key that is like it.

    Args:
        keys: (N,) in ascending order; those of one key in ascending order of ids.
        ids: (N,) of the documents.
        same: Tells for pairs of ids which are alike.

    Returns:
        The earlier and the later ids of the links.
    """
    earlier: list[Ids] = [np.zeros(0, dtype=np.int64)]
    later: list[Ids] = [np.zeros(0, dtype=np.int64)]
    for _ in range(_ROUNDS):
        first = np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)]
        followers = np.flatnonzero(~first)
        if not len(followers):
            break
        leaders = np.flatnonzero(first)[np.cumsum(first) - 1][followers]
        alike = same(ids[leaders], ids[followers])
        earlier.append(ids[leaders[alike]])
        later.append(ids[followers[alike]])
        keys, ids = keys[followers[~alike]], ids[followers[~alike]]
    return np.concatenate(earlier), np.concatenate(later)


def in_chunks(same: Same) -> Same:
    """Bound the memory of a comparison that loads what it compares."""

    def chunked(a: Ids, b: Ids) -> Mask:
        steps = range(0, len(a), _PAIRS_AT_ONCE)
        found = [same(a[i : i + _PAIRS_AT_ONCE], b[i : i + _PAIRS_AT_ONCE]) for i in steps]
        return np.concatenate(found) if found else np.zeros(0, dtype=bool)

    return chunked


def write_part_keys(
    folder: Path, part: str, hashes: U64, signatures: U32 | None, settings: DedupSettings
) -> tuple[int, ...]:
    """Compare the documents of one part with each other and leave the keys for the comparison with other parts.

    Args:
        folder: Of the build.
        part: Its name.
        hashes: (N, 2).
        signatures: (N, signature_size), zeros for documents too short to compare; None where near duplicates may stay.
        settings: Threshold and bands.

    Returns:
        Where each band's keys end.
    """
    links = [np.zeros((0, 3), dtype=np.int64)]
    keys: list[U64] = [np.zeros(0, dtype=np.uint64)]
    owners: list[Ids] = [np.zeros(0, dtype=np.int64)]
    open_ = np.arange(len(hashes), dtype=np.int64)
    if settings.exact:
        write_array(array_file(folder, part, "hashes"), hashes)
        rest = _part_band(hashes[:, 0], open_, lambda a, b: _equal(hashes, a, b), EXACT, keys, owners, links)
        open_ = np.sort(rest)
    ends = [sum(map(len, keys))]
    if signatures is not None:
        write_array(array_file(folder, part, "signatures"), signatures)
        comparable = open_[signatures[open_].any(axis=1)]
        alike = in_chunks(lambda a, b: _similar(signatures[a], signatures[b], settings))
        for band in range(settings.bands):
            found = band_keys(signatures[comparable], band, settings.bands)
            _part_band(found, comparable, alike, NEAR, keys, owners, links)
            ends.append(ends[-1] + len(keys[-1]))
    write_array(array_file(folder, part, "keys"), np.concatenate(keys))
    write_array(array_file(folder, part, "owners"), np.concatenate(owners).astype(np.uint32))
    write_array(array_file(folder, part, "links"), np.unique(np.concatenate(links), axis=0).astype(np.uint32))
    return tuple(ends)


def _part_band(
    band: U64, ids: Ids, same: Same, kind: int, keys: list[U64], owners: list[Ids], links: list[Links]
) -> Ids:
    """Link the documents of one band of a part; returns those that stand for themselves, in the order of their keys."""
    order = np.lexsort((ids, band))
    band, ids = band[order], ids[order]
    earlier, later = star_links(band, ids, same)
    alone = ~np.isin(ids, later)
    links.append(_rows(earlier, later, kind))
    keys.append(band[alone])
    owners.append(ids[alone])
    return ids[alone]


def _rows(earlier: Ids, later: Ids, kind: int) -> Links:
    return np.stack([earlier, later, np.full(len(later), kind, dtype=np.int64)], axis=1)


def _equal(hashes: npt.NDArray[Any], a: Ids, b: Ids) -> Mask:
    result: Mask = (hashes[a] == hashes[b]).all(axis=1)
    return result


def _similar(a: U32, b: U32, settings: DedupSettings) -> Mask:
    result: Mask = (a == b).mean(axis=1) >= settings.threshold
    return result


# Across parts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class KeyRange:
    """What is compared at a time: for some bands, the keys from ``low`` up to but not including ``high``."""

    bands: tuple[int, ...]
    low: int
    high: int


def key_ranges(parts: Sequence[Part], bands: int) -> list[KeyRange]:
    """Cut the work of comparing parts.

    Args:
        parts: All of them.
        bands: How many bands they have, that of the hashes included.
    """
    total = sum(part.documents for part in parts)
    count = max(1, -(-total // KEYS_AT_ONCE))
    together = max(1, min(bands, KEYS_AT_ONCE // max(total, 1)))
    cuts = [2**64 * i // count for i in range(count + 1)]
    groups = [tuple(range(i, min(i + together, bands))) for i in range(0, bands, together)]
    return [KeyRange(group, low, high) for group in groups for low, high in pairwise(cuts)]


def links_in_range(folder: Path, parts: Sequence[Part], wanted: KeyRange, settings: DedupSettings) -> Links:
    """Compare the documents of all parts whose keys lie in a range.

    Args:
        folder: Of the build.
        parts: All of them, in order.
        wanted: The range.
        settings: Threshold.

    Returns:
        Links between documents numbered through all parts.
    """
    offsets = np.cumsum([0, *(part.documents for part in parts)])
    gather = _Gather(folder, parts, offsets)
    found = []
    for band in wanted.bands:
        keys, ids = _keys_in_range(folder, parts, offsets, band, wanted)
        if band == 0:
            same = in_chunks(lambda a, b: (gather("hashes", a) == gather("hashes", b)).all(axis=1))
        else:
            same = in_chunks(lambda a, b: _similar(gather("signatures", a), gather("signatures", b), settings))
        earlier, later = star_links(keys, ids, same)
        found.append(_rows(earlier, later, NEAR if band else EXACT))
    return np.unique(np.concatenate(found), axis=0)


def _keys_in_range(folder: Path, parts: Sequence[Part], offsets: Ids, band: int, wanted: KeyRange) -> tuple[U64, Ids]:
    """Return the keys that occur more than once, sorted, and their documents."""
    keys: list[U64] = [np.zeros(0, dtype=np.uint64)]
    ids: list[Ids] = [np.zeros(0, dtype=np.int64)]
    for part, offset in zip(parts, offsets, strict=False):
        start, end = (part.band_ends[band - 1] if band else 0), part.band_ends[band]
        sorted_keys = np.load(array_file(folder, part.name, "keys"), mmap_mode="r")[start:end]
        low = int(np.searchsorted(sorted_keys, np.uint64(wanted.low)))
        high = len(sorted_keys)
        if wanted.high < 2**64:
            high = int(np.searchsorted(sorted_keys, np.uint64(wanted.high)))
        if high > low:
            owners = np.load(array_file(folder, part.name, "owners"), mmap_mode="r")[start + low : start + high]
            keys.append(np.array(sorted_keys[low:high]))
            ids.append(owners.astype(np.int64) + offset)
    every, owner = np.concatenate(keys), np.concatenate(ids)
    order = np.argsort(every, kind="stable")  # parts come in order, and so do the documents of one key in each
    every, owner = every[order], owner[order]
    equal = every[1:] == every[:-1]
    repeated = np.concatenate([equal, [False]]) | np.concatenate([[False], equal])
    repeated = repeated[: len(every)]
    return every[repeated], owner[repeated]


class _Gather:
    """Reads rows of the parts' arrays by document number."""

    def __init__(self, folder: Path, parts: Sequence[Part], offsets: Ids) -> None:
        self._folder, self._parts, self._offsets = folder, parts, offsets

    def __call__(self, kind: str, ids: Ids) -> npt.NDArray[Any]:
        unique, inverse = np.unique(ids, return_inverse=True)
        owner = np.searchsorted(self._offsets, unique, side="right") - 1
        rows = []
        for index in np.unique(owner):
            array = np.load(array_file(self._folder, self._parts[index].name, kind), mmap_mode="r")
            rows.append(np.asarray(array[unique[owner == index] - self._offsets[index]]))
        result: npt.NDArray[Any] = np.concatenate(rows)[inverse]
        return result


# Clusters -------------------------------------------------------------------------------------------------------------


class Clusters:
    """Union-find over documents; the root of a cluster is its first document.

    Args:
        documents: How many there are; each costs four bytes (eight beyond four thousand million).
    """

    def __init__(self, documents: int) -> None:
        self.parent = np.arange(documents, dtype=np.uint32 if documents < 2**32 else np.int64)
        self.exact = np.zeros(documents, dtype=bool)

    def add(self, links: Links) -> None:
        """Join the documents of links."""
        self.exact[links[links[:, 2] == EXACT, 1]] = True
        a, b = links[:, 0], links[:, 1]
        while len(a):
            a, b = self._roots(a), self._roots(b)
            apart = a != b
            a, b = a[apart], b[apart]
            low, high = np.minimum(a, b), np.maximum(a, b)
            np.minimum.at(self.parent, high, low.astype(self.parent.dtype))

    def _roots(self, ids: Ids) -> Ids:
        roots = self.parent[ids]
        while True:
            above = self.parent[roots]
            if (above == roots).all():
                break
            roots = above
        self.parent[ids] = roots
        return roots.astype(np.int64)

    def finish(self) -> npt.NDArray[np.uint8]:
        """Point every document at its root.

        Returns:
            (documents,) KEPT, EXACT_DUPLICATE or NEAR_DUPLICATE.
        """
        state = np.zeros(len(self.parent), dtype=np.uint8)
        for start in range(0, len(state), KEYS_AT_ONCE):
            ids = np.arange(start, min(start + KEYS_AT_ONCE, len(state)), dtype=np.int64)
            dropped = self._roots(ids) != ids
            exact = self.exact[ids]
            state[ids] = np.where(dropped, np.where(exact, EXACT_DUPLICATE, NEAR_DUPLICATE), KEPT)
        return state


def cluster(parts: Sequence[Part], folder: Path, across: Iterable[Links]) -> Clusters:
    """Join all links.

    Args:
        parts: All of them, in order.
        folder: Of the build, with the links within the parts.
        across: Links between parts.
    """
    offsets = np.cumsum([0, *(part.documents for part in parts)])
    clusters = Clusters(int(offsets[-1]))
    for part, offset in zip(parts, offsets, strict=False):
        links = np.load(array_file(folder, part.name, "links")).astype(np.int64)
        links[:, :2] += offset
        clusters.add(links)
    for links in across:
        clusters.add(links)
    return clusters
