"""The TensorFlow checkpoint reader against checkpoints TensorFlow wrote, and against damaged and crafted ones."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from litebert.checkpoint import crc32c as checksum
from litebert.checkpoint.crc32c import crc32c
from litebert.checkpoint.leveldb_table import unsnappy
from litebert.checkpoint.tensor_bundle import TensorBundle, find_bundle, read_bundle
from litebert.errors import CheckpointError
from tests import bundle_writer as bw

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden"
LAYER = "bert/encoder/transformer/group_{}/inner_group_0/"
DENSE = [
    *("attention_1/self/query", "attention_1/self/key", "attention_1/self/value", "attention_1/output/dense"),
    *("ffn_1/intermediate/dense", "ffn_1/intermediate/output/dense"),
]


def google_names(groups: int) -> set[str]:
    """The variables of google-research/albert's pretraining graph."""
    names = {f"bert/embeddings/{kind}_embeddings" for kind in ("word", "position", "token_type")}
    dense = ["bert/encoder/embedding_hidden_mapping_in", "bert/pooler/dense", "cls/predictions/transform/dense"]
    norms = ["bert/embeddings/LayerNorm", "cls/predictions/transform/LayerNorm"]
    for group in range(groups):
        dense += [LAYER.format(group) + name for name in DENSE]
        norms += [LAYER.format(group) + name for name in ("LayerNorm", "LayerNorm_1")]
    names |= {f"{name}/{part}" for name in dense for part in ("kernel", "bias")}
    names |= {f"{name}/{part}" for name in norms for part in ("gamma", "beta")}
    heads = {"cls/predictions/output_bias", "cls/seq_relationship/output_weights", "cls/seq_relationship/output_bias"}
    return names | heads | {"global_step"}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    write_small(tmp_path / "model.ckpt-7")
    return tmp_path / "model.ckpt-7"


def write_small(prefix: Path, **options: object) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    tensors = {f"layer_{i}/kernel": rng.normal(size=(3, i + 2)).astype(np.float32) for i in range(20)}
    tensors |= {
        "half": rng.normal(size=(2, 3, 4)).astype(np.float16),
        "step": np.array(125_000, np.int64),
        "ids": np.arange(-3, 4, dtype=np.int32),
        "flags": np.array([True, False, True]),
        "none": np.empty((0, 5), np.float32),
        "double": rng.normal(size=9),
    }
    bw.write_bundle(prefix, tensors, **options)  # type: ignore[arg-type]
    return tensors


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert sorted(found) == sorted(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        assert found[name].tobytes() == array.tobytes(), name


def craft(folder: Path, *records: tuple[bytes, bytes], head: bytes | None = None, data: bytes = b"\0" * 64) -> Path:
    prefix = folder / "crafted"
    (folder / "crafted.data-00000-of-00001").write_bytes(data)
    bw.write_index(folder / "crafted.index", [(b"", bw.header() if head is None else head), *records])
    return prefix


# What TensorFlow wrote ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("folder", "groups"), [("tiny", 1), ("groups2", 2)])
def test_reads_google_pretraining_checkpoints(folder: str, groups: int) -> None:
    found = read_bundle(GOLDEN / folder / "model.ckpt-best")
    assert set(found) == google_names(groups)
    expected = np.load(GOLDEN / folder / "expected.npz")
    gradients = [key.removeprefix("grad:") for key in expected.files if key.startswith("grad:")]
    assert len(gradients) > 25
    for name in gradients:  # a variable has its gradient's shape
        assert found[name].shape == expected[f"grad:{name}"].shape, name
    assert found["bert/embeddings/word_embeddings"].shape == (500, 16)
    assert found["cls/predictions/output_bias"].shape == (500,)
    assert {array.dtype for name, array in found.items() if name != "global_step"} == {np.dtype(np.float32)}
    assert found["global_step"].dtype == np.int64
    assert found["global_step"].shape == ()


def test_values_are_the_ones_google_computed_with() -> None:
    """The sentence order head and the pooler, applied to recorded activations, give the recorded results."""
    w = read_bundle(GOLDEN / "tiny" / "model.ckpt-best")
    e = np.load(GOLDEN / "tiny" / "expected.npz")
    pooled = np.tanh(e["layer_3"][:, 0] @ w["bert/pooler/dense/kernel"] + w["bert/pooler/dense/bias"])
    np.testing.assert_allclose(pooled, e["pooled_output"], atol=1e-6)
    logits = e["pooled_output"] @ w["cls/seq_relationship/output_weights"].T + w["cls/seq_relationship/output_bias"]
    log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(log_probs, e["sentence_order_log_probs"], atol=1e-5)


def test_the_word_table_is_the_one_google_decoded_with() -> None:
    w = read_bundle(GOLDEN / "tiny" / "model.ckpt-best")
    e = np.load(GOLDEN / "tiny" / "expected.npz")
    rows = np.take_along_axis(e["layer_3"], e["masked_lm_positions"][:, :, None], 1).reshape(-1, 32)
    part = "cls/predictions/transform/"
    h = rows @ w[part + "dense/kernel"] + w[part + "dense/bias"]
    h = 0.5 * h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))
    h = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 1e-12)
    h = h * w[part + "LayerNorm/gamma"] + w[part + "LayerNorm/beta"]
    logits = h @ w["bert/embeddings/word_embeddings"].T + w["cls/predictions/output_bias"]
    log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(log_probs, e["masked_lm_log_probs"], atol=1e-4)


def test_reads_optimizer_slots_and_step() -> None:
    run = json.loads((GOLDEN / "train_lamb" / "run.json").read_text())
    initial = read_bundle(GOLDEN / "train_lamb" / "initial.ckpt")
    final = read_bundle(GOLDEN / "train_lamb" / "final.ckpt")
    assert final["global_step"] == run["steps_run"]
    variables = [name for name in initial if name != "global_step"]
    assert set(final) == {f"{name}{slot}" for name in variables for slot in ("", "/adam_m", "/adam_v")} | {
        "global_step"
    }
    for name in variables:
        assert final[name].shape == final[f"{name}/adam_m"].shape == initial[name].shape
        assert (final[f"{name}/adam_v"] >= 0).all()
        assert np.abs(final[name] - initial[name]).max() > 0


# What the test's writer wrote -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("per_block", [1, 5, 1000])
def test_round_trip(tmp_path: Path, shards: int, per_block: int) -> None:
    tensors = write_small(tmp_path / "m", shards=shards, per_block=per_block)
    assert_same(read_bundle(tmp_path / "m"), tensors)
    with TensorBundle(tmp_path / "m") as bundle:
        assert {entry.shard for entry in bundle.entries.values()} == set(range(shards))
        assert bundle.entries["half"].dtype == "float16"
        assert bundle.entries["half"].size == 48


def test_bfloat16_is_widened_exactly(tmp_path: Path) -> None:
    bits = np.array([0x3F80, 0xBF81, 0x0001, 0x7F80, 0x7FC1, 0x8000], np.uint32) << 16
    tensors = {"x": bits.view(np.float32).reshape(2, 3), "one": np.array(1.5, np.float32)}
    bw.write_bundle(tmp_path / "m", tensors, bfloat16=tensors)
    found = read_bundle(tmp_path / "m")
    assert_same(found, tensors)
    assert isinstance(found["one"], np.ndarray)
    assert TensorBundle(tmp_path / "m").entries["x"].dtype == "bfloat16"


def test_arrays_may_be_written_to(small: Path) -> None:
    found = read_bundle(small)
    for array in found.values():
        assert array.flags.writeable and array.dtype.isnative
        array[...] = 1
    assert read_bundle(small, names=["step"])["step"] == 125_000


def test_selection_by_names_and_by_function(small: Path) -> None:
    assert list(read_bundle(small, names=["step", "half"])) == ["step", "half"]
    asked: list[str] = []

    def wanted(name: str) -> bool:
        asked.append(name)
        return name.startswith("layer_1/")

    assert list(read_bundle(small, names=wanted)) == ["layer_1/kernel"]
    assert len(asked) == len(set(asked)) == len(TensorBundle(small).entries)
    with pytest.raises(CheckpointError, match="no tensor 'layer_1/kernal'") as caught:
        read_bundle(small, names=["layer_1/kernal"])
    assert "layer_1/kernel" in str(caught.value.hint)


def test_only_the_files_that_are_asked_for_are_verified(small: Path) -> None:
    data = Path(f"{small}.data-00000-of-00001")
    with TensorBundle(small) as bundle:
        entry = bundle.entries["half"]
        octets = bytearray(data.read_bytes())
        octets[entry.offset] ^= 1
        data.write_bytes(octets)
        assert bundle.read("step") == 125_000
        with pytest.raises(CheckpointError, match=r"tensor 'half': the checksum is wrong") as caught:
            bundle.read("half")
        assert caught.value.path == str(data)
        assert caught.value.hint


# CRC and compression --------------------------------------------------------------------------------------------------------------


def test_crc32c_published_values() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4, as are the next two
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"") == 0


def test_crc32c_is_fast_and_slow_the_same() -> None:
    far, piece = checksum._RELATION[0], checksum._PIECE
    octets = np.random.default_rng(1).integers(0, 256, piece + 50_000, dtype=np.uint8).tobytes()
    for size in (
        1,
        7,
        far,
        2 * far,
        2 * far + 1,
        2 * far + 5,
        9 * far + 3,
        50_001,
        piece - 1,
        piece,
        piece + 8,
        len(octets),
    ):
        assert crc32c(octets[:size]) == bw.crc32c(octets[:size]), size
    unaligned = np.frombuffer(octets, np.uint8)[3:60_002]
    assert crc32c(unaligned) == bw.crc32c(unaligned.tobytes())


def test_the_relation_holds_in_the_ring_of_the_crc() -> None:
    def power(exponent: int) -> int:
        value = 1
        for _ in range(exponent):
            value <<= 1
            value ^= 0x11EDC6F41 if value >> 32 else 0
        return value

    far, middle, near = checksum._RELATION
    assert power(8 * far) ^ power(8 * middle) ^ power(8 * near) ^ 1 == 0


def literal(content: bytes) -> bytes:
    """Compress to Snappy's format without finding anything to compress."""
    out = bw.varint(len(content))
    for start in range(0, len(content), 300):
        part = content[start : start + 300]
        out += bytes([61 << 2]) + (len(part) - 1).to_bytes(2, "little") + part
    return out


def test_snappy_blocks(tmp_path: Path) -> None:
    tensors = write_small(tmp_path / "m", compress=literal)
    assert_same(read_bundle(tmp_path / "m"), tensors)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"\x05\x10hello", b"hello"),
        (b"\x09\x04ab" + bytes([(7 - 4) << 2 | 1, 2]), b"ababababa"),  # overlapping copy, one byte of distance
        (b"\x0a\x10hello" + bytes([4 << 2 | 2, 5, 0]), b"hellohello"),
        (b"\x08\x10hello" + bytes([2 << 2 | 3, 4, 0, 0, 0]), b"helloell"),
        (b"\x41" + bytes([60 << 2, 64]) + bytes(range(65)), bytes(range(65))),
    ],
)
def test_snappy_elements(stream: bytes, expected: bytes) -> None:
    assert unsnappy(stream) == expected


def test_snappy_far_copy_in_two_bytes() -> None:
    start = bytes([62 << 2]) + (699).to_bytes(3, "little") + bytes(i % 251 for i in range(700))
    stream = bw.varint(704) + start + bytes([0 << 2 | (600 >> 8) << 5 | 1, 600 & 0xFF])
    assert unsnappy(stream)[700:] == bytes(i % 251 for i in range(100, 104))


# Crafted files, with checksums that are right -------------------------------------------------------------------------------------


def refusal(prefix: Path, match: str) -> CheckpointError:
    with pytest.raises(CheckpointError, match=match) as caught:
        read_bundle(prefix)
    assert caught.value.path
    return caught.value


OK = {"size": 64, "crc": bw.masked(bytes(64))}
GOOD = bw.entry(1, [16], **OK)


def test_the_crafted_base_is_good(tmp_path: Path) -> None:
    assert read_bundle(craft(tmp_path, (b"x", GOOD)))["x"].shape == (16,)


@pytest.mark.parametrize(
    ("record", "match"),
    [
        (bw.entry(1, [17], **OK), "cannot be float32 of shape"),
        (bw.entry(1, [1 << 32, 1 << 32], **OK), "impossible"),
        (bw.entry(1, [0, 1 << 62], size=0, crc=bw.masked(b"")), "impossible"),
        (bw.entry(1, [(1 << 64) - 1, (1 << 64) - 16], **OK), "impossible"),  # -1 * -16
        (bw.entry(1, [1] * 33, size=4), "impossible"),
        (bw.entry(1, [1 << 38], size=1 << 40), "ends at byte"),
        (bw.entry(1, [16], offset=1, **OK), "ends at byte 65"),
        (bw.entry(1, [16], offset=(1 << 64) - 64, **OK), "ends at byte"),
        (bw.entry(1, [16], shard=1, **OK), "data file 1 of 1"),
        (bw.entry(1, [16], shard=(1 << 64) - 1, **OK), "data file"),
        (bw.entry(99, [16], **OK), "type number 99"),
        (bw.entry(0, [16], **OK), "type number 0"),
        (bw.entry(12, [64], **OK), "type number 12"),  # quantised
        (bw.number(1, 1) + bw.message(2, bw.number(3, 1)), "shape is unknown"),
        (b"\x08" + b"\xff" * 11, "64 bits"),
        (b"\x08" + b"\xff" * 9 + b"\x7f", "64 bits"),
        (b"\x12\xff\xff\xff\xff\x7f", "announced"),
        (b"\x0b", "wire type 3"),
        (b"\x35\0", "announced"),
        (b"\x08", "announced"),
    ],
)
def test_absurd_entries_are_refused(tmp_path: Path, record: bytes, match: str) -> None:
    prefix = craft(tmp_path, (b"x", record))
    tracemalloc.start()
    error = refusal(prefix, match)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    assert "'x'" in error.message


@pytest.mark.parametrize(
    ("head", "match"),
    [
        (bw.header(endianness=1), "big-endian"),
        (bw.header(0), "states 0 data files"),
        (bw.header(1 << 40), "data files"),
        (bw.header(consumer=2), "version 2"),
        (b"\x07", "wire type 7"),
    ],
)
def test_unsupported_headers_are_refused(tmp_path: Path, head: bytes, match: str) -> None:
    refusal(craft(tmp_path, (b"x", GOOD), head=head), match)


def test_tables_out_of_order_are_refused(tmp_path: Path) -> None:
    index = tmp_path / "crafted.index"
    prefix = craft(tmp_path)
    for keys in ([b"x", b"x"], [b"y", b"x"]):
        bw.write_index(index, [(b"", bw.header()), *((key, GOOD) for key in keys)])
        refusal(prefix, "not in order")
    bw.write_index(index, [(b"x", GOOD)])
    refusal(prefix, "no header")
    bw.write_index(index, [])
    refusal(prefix, "no header")
    bw.write_index(index, [(b"", bw.header()), (b"\xff\xfe", GOOD)])
    refusal(prefix, "decode")
    bw.write_index(index, [(b"", bw.header()), (b"n" * 5000, GOOD)])
    refusal(prefix, "longer than allowed")
    bw.write_index(index, [(b"", bw.header())], compress=lambda content: content, method=2)
    refusal(prefix, "unknown method 2")


def index_of(path: Path, data_blocks: list[bytes], handles: list[tuple[int, int]]) -> None:
    """Write an index whose blocks and handles are given as they are."""
    file = bytearray()
    for content in [
        *data_blocks,
        bw.block([(b"k%d" % i, bw.varint(o) + bw.varint(s)) for i, (o, s) in enumerate(handles)]),
    ]:
        start = len(file)
        file += content + b"\0" + bw.masked(content + b"\0").to_bytes(4, "little")
    footer = bw.varint(0) + bw.varint(0) + bw.varint(start) + bw.varint(len(file) - start - 5)
    path.write_bytes(bytes(file) + footer.ljust(40, b"\0") + bw.MAGIC)


def test_crafted_blocks_are_refused(tmp_path: Path) -> None:
    prefix, index = craft(tmp_path), tmp_path / "crafted.index"
    head = bw.block([(b"", bw.header())])
    index_of(index, [head], [(0, len(head))])
    assert read_bundle(prefix) == {}
    for handles, match in [
        ([(0, len(head))] * 2, "overlap"),
        ([(0, 1 << 60)], "reaches beyond"),
        ([(1 << 63, len(head))], "reaches beyond"),
        ([(0, len(head) - 1)], "checksum"),
    ]:
        index_of(index, [head], handles)
        refusal(prefix, match)
    one = (1).to_bytes(4, "little")
    for content, match in [
        (b"", "shorter than"),
        (b"\xff\xff\xff\xff", "shorter than"),
        (b"\x05\x01\x00x" + bytes(4) + one, "refers to"),
        (b"\x00\xff\xff\xff\x0f\x00x" + bytes(4) + one, "longer than"),
        (b"\x00\x01\xff\xff\xff\x0fx" + bytes(4) + one, "announced"),
        (b"\x00\x01" + bytes(4) + one, "announced"),
    ]:
        index_of(index, [content], [(0, len(content))])
        refusal(prefix, match)


def test_long_shared_names_cannot_multiply(tmp_path: Path) -> None:
    """Three bytes may stand for a name of 4 kB; many of them must not become gigabytes."""
    prefix, index = craft(tmp_path), tmp_path / "crafted.index"
    records = [b"\0\0" + bw.varint(len(bw.header())) + bw.header(), b"\0" + bw.varint(4000) + b"\0\0" + b"n" * 3999]
    records += [bw.varint(4000 + i // 255) + b"\1\0" + bytes([i % 255 + 1]) for i in range(255 * 10)]
    content = b"".join(records) + bytes(4) + (1).to_bytes(4, "little")
    index_of(index, [content], [(0, len(content))])
    refusal(prefix, "too many")
    content = b"".join(records[:1000]) + bytes(4) + (1).to_bytes(4, "little")
    index_of(index, [content], [(0, len(content))])
    assert read_bundle(prefix) == {}


def test_overlapping_tensors_are_refused(tmp_path: Path) -> None:
    half = bw.entry(1, [8], offset=32, size=32, crc=bw.masked(bytes(32)))
    refusal(craft(tmp_path, (b"x", GOOD), (b"y", half)), "'y' overlaps")


def test_strings_are_left_out_and_refused_by_name(tmp_path: Path) -> None:
    prefix = craft(tmp_path, (b"_OBJECT_GRAPH", bw.entry(bw.STRING, [], offset=5, size=999)), (b"x", GOOD))
    assert list(read_bundle(prefix)) == ["x"]
    with TensorBundle(prefix) as bundle, pytest.raises(CheckpointError, match="holds string data"):
        bundle.read("_OBJECT_GRAPH")


def test_partitioned_variables_are_named(tmp_path: Path) -> None:
    sliced = bw.entry(1, [16], extra=bw.message(7, bw.message(1, bw.number(2, 8))))
    prefix = craft(tmp_path, (b"\0\1x\0\1", bw.entry(1, [8], size=32)), (b"big", sliced), (b"x", GOOD))
    with TensorBundle(prefix) as bundle:
        assert list(bundle.entries) == ["big", "x"]
        assert bundle.entries["big"].partitioned
    assert refusal(prefix, "'big' was saved in slices").hint
    assert list(read_bundle(prefix, names=["x"])) == ["x"]


def test_sizes_are_capped(small: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="at most 1,000 are allowed"):
        read_bundle(small, max_bytes=1000)
    assert list(read_bundle(small, names=["step"], max_bytes=8)) == ["step"]
    with TensorBundle(small, max_bytes=7) as bundle, pytest.raises(CheckpointError, match="need 8 bytes"):
        bundle.read("step")
    bw.write_bundle(tmp_path / "b", {"x": np.zeros(8, np.float32)}, bfloat16=["x"])
    with pytest.raises(CheckpointError, match="need 32 bytes"):
        read_bundle(tmp_path / "b", max_bytes=31)


# Finding ------------------------------------------------------------------------------------------------------------------------


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_find_bundle_order(tmp_path: Path) -> None:
    touch(tmp_path, "variables/variables.index")
    assert find_bundle(tmp_path) == tmp_path / "variables" / "variables"
    touch(tmp_path, "model.ckpt-900.index", "._model.ckpt-9.index")
    assert find_bundle(tmp_path) == tmp_path / "model.ckpt-900"
    touch(tmp_path, "model.ckpt-1000.index", "model.ckpt-0.index")
    assert find_bundle(tmp_path) == tmp_path / "model.ckpt-1000"
    latest = 'all_model_checkpoint_paths: "model.ckpt-1000"\nmodel_checkpoint_path: "/somebody/else/model.ckpt-900"\n'
    (tmp_path / "checkpoint").write_text(latest)
    assert find_bundle(tmp_path) == tmp_path / "model.ckpt-900"
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "../../gone"\n')
    assert find_bundle(tmp_path) == tmp_path / "model.ckpt-1000"
    touch(tmp_path, "model.ckpt-best.index")
    assert find_bundle(tmp_path) == tmp_path / "model.ckpt-best"


def test_find_bundle_takes_the_only_one_and_refuses_to_guess(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no TensorFlow checkpoint") as caught:
        find_bundle(tmp_path)
    assert caught.value.path == str(tmp_path) and caught.value.hint
    touch(tmp_path, "albert_model.ckpt.index")
    assert find_bundle(tmp_path) == tmp_path / "albert_model.ckpt"
    touch(tmp_path, "other.ckpt.index")
    with pytest.raises(CheckpointError, match=r"several checkpoints: albert_model\.ckpt, other\.ckpt"):
        find_bundle(tmp_path)
    (tmp_path / "other.ckpt.index").unlink()
    touch(tmp_path, "model.ckpt-5.index")
    with pytest.raises(CheckpointError, match="several"):
        find_bundle(tmp_path)
    with pytest.raises(CheckpointError, match="several"):
        find_bundle(GOLDEN / "train_lamb")
    assert find_bundle(GOLDEN / "tiny") == GOLDEN / "tiny" / "model.ckpt-best"
