"""Whatever happens to the files of a TensorFlow checkpoint, the reader says so or returns what was written, and nothing else."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from litebert.checkpoint.crc32c import crc32c
from litebert.checkpoint.leveldb_table import DamageError, unsnappy
from litebert.checkpoint.tensor_bundle import TensorBundle, read_bundle
from litebert.errors import CheckpointError
from tests import bundle_writer as bw

GOLDEN = Path(__file__).parents[1] / "fixtures" / "golden"
TENSORS = {
    **{f"layer_{i}/kernel": np.arange(i * 7, dtype=np.float32).reshape(7, i) for i in range(12)},
    "long": np.random.default_rng(0).normal(size=4000).astype(np.float32),  # long enough for the fast checksum
    "step": np.array(125_000, np.int64),
}
FILES = ["m.index", "m.data-00000-of-00002", "m.data-00001-of-00002"]
MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

with TemporaryDirectory() as _folder:
    bw.write_bundle(Path(_folder) / "m", TENSORS, shards=2, per_block=4)
    WHOLE = {name: (Path(_folder) / name).read_bytes() for name in FILES}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    for name, octets in WHOLE.items():
        (tmp_path / name).write_bytes(octets)
    return tmp_path / "m"


def assert_refused_or_whole(prefix: Path) -> None:
    try:
        found = read_bundle(prefix)
    except CheckpointError as error:
        assert error.path and error.message
        return
    assert sorted(found) == sorted(TENSORS)
    for name, array in TENSORS.items():
        assert found[name].tobytes() == array.tobytes() and found[name].shape == array.shape


def test_the_undamaged_checkpoint_is_read(small: Path) -> None:
    assert set(read_bundle(small)) == set(TENSORS)


@MANY
@given(st.data())
def test_flipped_bytes(small: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(FILES))
    octets = bytearray(WHOLE[name])
    for place in data.draw(st.lists(st.integers(0, len(octets) - 1), min_size=1, max_size=4)):
        octets[place] ^= data.draw(st.integers(1, 255))
    (small.parent / name).write_bytes(octets)
    try:
        assert_refused_or_whole(small)
    finally:
        (small.parent / name).write_bytes(WHOLE[name])


@MANY
@given(st.data())
def test_truncated_and_lengthened_files(small: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(FILES))
    octets = WHOLE[name]
    size = data.draw(st.integers(0, len(octets)))
    tail = data.draw(st.one_of(st.just(b""), st.binary(max_size=60)))
    (small.parent / name).write_bytes(octets[:size] + tail)
    try:
        assert_refused_or_whole(small)
    finally:
        (small.parent / name).write_bytes(octets)


def test_every_byte_of_the_index_matters_or_is_not_used(small: Path) -> None:
    index, refused = Path(f"{small}.index"), 0
    whole = WHOLE["m.index"]
    for place in range(len(whole)):
        index.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            TensorBundle(small)
        except CheckpointError:
            refused += 1
    assert (
        refused > len(whole) - 60
    )  # the unused meta index, its handle and the padding of the footer are not looked at


@MANY
@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda b: b + bw.MAGIC)))
def test_random_bytes_as_an_index(small: Path, octets: bytes) -> None:
    Path(f"{small}.index").write_bytes(octets)
    with pytest.raises(CheckpointError):
        read_bundle(small)


@MANY
@given(st.lists(st.tuples(st.binary(max_size=4), st.binary(max_size=40)), max_size=6), st.booleans())
def test_random_records_with_right_checksums(small: Path, records: list[tuple[bytes, bytes]], ordered: bool) -> None:
    items = sorted(dict(records).items()) if ordered else records
    bw.write_index(Path(f"{small}.index"), [(b"", bw.header(2)), *items], per_block=3)
    try:
        found = read_bundle(small)
    except CheckpointError:
        return
    assert sum(array.nbytes for array in found.values()) <= 2 * sum(map(len, WHOLE.values()))


FIELD = st.one_of(st.integers(0, 70), st.sampled_from([2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]))


@MANY
@given(FIELD, st.lists(FIELD, max_size=5), FIELD, FIELD, FIELD, st.integers(0, 2**32 - 1))
def test_random_entries(
    small: Path, dtype: int, shape: list[int], shard: int, offset: int, size: int, crc: int
) -> None:
    record = bw.entry(dtype, shape, shard=shard, offset=offset, size=size, crc=crc)
    bw.write_index(Path(f"{small}.index"), [(b"", bw.header(2)), (b"x", record)])
    try:
        found = read_bundle(small)
    except CheckpointError:
        return
    assert not found or found["x"].shape == tuple(shape)


@MANY
@given(st.binary(max_size=80))
def test_random_snappy(octets: bytes) -> None:
    with suppress(DamageError):
        assert len(unsnappy(octets)) <= 32 * len(octets)


@MANY
@given(st.binary(max_size=300), st.integers(0, 60_000), st.integers(0, 255))
def test_crc32c_equals_the_definition(octets: bytes, repeat: int, fill: int) -> None:
    message = octets + bytes([fill]) * repeat + octets
    assert crc32c(message) == bw.crc32c(message)


def refusal(prefix: Path, match: str) -> CheckpointError:
    with pytest.raises(CheckpointError, match=match) as caught:
        read_bundle(prefix)
    assert caught.value.path
    return caught.value


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        bytes(47),
        bytes(48),
        bytes(4096),
        b"version https://git-lfs.github.com/spec/v1\n" * 3,
        bw.MAGIC,
        b"\xff" * 40 + bw.MAGIC,
    ],
)
def test_what_is_no_index_is_refused(small: Path, content: bytes) -> None:
    Path(f"{small}.index").write_bytes(content)
    assert refusal(small, r"\.index is damaged").hint


def test_every_truncation_of_a_real_index_is_refused(tmp_path: Path) -> None:
    source = GOLDEN / "tiny" / "model.ckpt-best"
    whole = Path(f"{source}.index").read_bytes()
    os.link(f"{source}.data-00000-of-00001", tmp_path / "m.data-00000-of-00001")
    for size in range(0, len(whole), 7):
        (tmp_path / "m.index").write_bytes(whole[:size])
        refusal(tmp_path / "m", "damaged")


@pytest.mark.parametrize("name", FILES[1:])
def test_shorter_missing_and_empty_data(small: Path, name: str) -> None:
    data, whole = small.parent / name, WHOLE[name]
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        data.write_bytes(whole[:size])
        error = refusal(small, "too short")
        assert error.path == str(data) and error.hint
    data.unlink()
    error = refusal(small, f"{name} is missing")
    assert error.path == str(data) and error.hint


def test_missing_index(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nothing", r"nothing\.index is missing").hint


def test_data_cut_while_open(small: Path) -> None:
    with TensorBundle(small) as bundle:
        for name in FILES[1:]:
            os.truncate(small.parent / name, 10)
        with pytest.raises(CheckpointError, match="the file ends before it"):
            bundle.read("step")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(small: Path) -> None:
    Path(f"{small}.index").unlink()
    os.mkfifo(f"{small}.index")
    refusal(small, "not a regular file")


def test_an_index_too_large_to_be_one_is_not_read(small: Path) -> None:
    with Path(f"{small}.index").open("r+b") as file:
        file.truncate(1 << 33)  # sparse
    refusal(small, "is no index")


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"\x05\x10hell",  # literal cut short
        b"\x06\x10hello",  # shorter than announced
        b"\x04\x10hello",  # longer than announced
        b"\x09\x04ab" + bytes([(7 - 4) << 2 | 1, 3]),  # copies from before the start
        b"\x09\x04ab" + bytes([(7 - 4) << 2 | 1, 0]),  # distance 0
        b"\x09\x04ab" + bytes([(7 - 4) << 2 | 1]),  # no distance
        b"\xff\xff\xff\xff\x0f\x10hello",  # 4 GB announced
        b"\x05" + bytes([63 << 2]) + b"\xff\xff\xff\xffhello",  # 4 GB literal
    ],
)
def test_snappy_damage_is_refused(small: Path, stream: bytes) -> None:
    bw.write_index(Path(f"{small}.index"), [(b"", bw.header())], compress=lambda _: stream)
    refusal(small, "damaged")
    with pytest.raises(DamageError, match=r"compressed block|announced"):
        unsnappy(stream)


def test_snappy_cannot_swell_beyond_the_largest_index() -> None:
    copies = (10 << 20) // 64
    stream = bw.varint(1 + 64 * copies) + b"\0x" + bytes([63 << 2 | 2, 1, 0]) * copies
    with pytest.raises(DamageError, match="impossible length"):
        unsnappy(stream)
