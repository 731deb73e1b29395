"""GLUE's official files: handmade ones in their layouts, and the real ones where they are installed."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from litebert.errors import DataError, UsageError
from litebert.tasks.official.glue import GLUE, glue_task
from litebert.tasks.official.glue_data import available_splits, glue_files, read_glue, task_folder
from litebert.tasks.official.glue_submission import submission_name, write_submission
from litebert.tasks.reading.records import Record

NINE = {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"}
MSR_HEADER = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
QQP_HEADER = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def contents(records: list[Record]) -> list[tuple[object, ...]]:
    return [(r.text, r.pair, r.label, r.id) for r in records]


# The table ------------------------------------------------------------------------------------------------------------


def test_label_order_is_googles() -> None:
    # classifier_utils.py, get_labels() of each processor.
    assert set(GLUE) == NINE | {"ax"}
    assert GLUE["mnli"].labels == GLUE["ax"].labels == ("contradiction", "entailment", "neutral")
    assert GLUE["qnli"].labels == GLUE["rte"].labels == ("entailment", "not_entailment")
    assert {GLUE[name].labels for name in ("cola", "sst2", "mrpc", "qqp", "wnli")} == {("0", "1")}
    assert [name for name in GLUE if GLUE[name].regression] == ["stsb"]


def test_metrics_are_glues() -> None:
    assert {name: GLUE[name].metrics for name in NINE - {"sst2", "mnli", "qnli", "rte", "wnli"}} == {
        "cola": ("matthews",),
        "mrpc": ("accuracy", "f1"),
        "qqp": ("accuracy", "f1"),
        "stsb": ("pearson", "spearman"),
    }
    assert all(GLUE[name].metrics == ("accuracy",) for name in ("sst2", "mnli", "qnli", "rte", "wnli"))
    assert all(task.main in task.metrics for task in GLUE.values())


def test_shape_of_the_tasks() -> None:
    assert {name for name, task in GLUE.items() if not task.pair} == {"cola", "sst2"}
    assert {name for name, task in GLUE.items() if not task.trainable} == {"ax"}
    assert GLUE["mnli"].dev_splits == ("dev_matched", "dev_mismatched")
    assert all(split.label is None for task in GLUE.values() for name, split in task.splits.items() if "test" in name)


@pytest.mark.parametrize(
    ("name", "found"), [("SST-2", "sst2"), ("glue/mrpc", "mrpc"), ("STS-B", "stsb"), ("diagnostic", "ax")]
)
def test_names(name: str, found: str) -> None:
    assert glue_task(name) is GLUE[found]


def test_unknown_names() -> None:
    with pytest.raises(UsageError) as caught:
        glue_task("mprc")
    assert "Did you mean 'mrpc'?" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="no split 'dev'"):
        read_glue("ax", ".", "dev")


# Layouts --------------------------------------------------------------------------------------------------------------


def test_cola_has_a_header_in_test_only(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", 'gj04\t1\t\tThe "car" honked.\r\nks08\t0\t*\t"Them love.\r\n')
    write(tmp_path / "test.tsv", "index\tsentence\n0\tBill whistled.\n7\tHe ran.\n")
    assert contents(read_glue("cola", tmp_path, "train")) == [
        ('The "car" honked.', None, "1", 0),
        ('"Them love.', None, "0", 1),
    ]
    assert contents(read_glue("cola", tmp_path, "test")) == [
        ("Bill whistled.", None, None, 0),
        ("He ran.", None, None, 7),
    ]


def test_stsb_scores_are_numbers(tmp_path: Path) -> None:
    header = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
    path = write(tmp_path / "dev.tsv", header + "3\tg\tf\ty\t1\tn\tn\tA man.\tA woman.\t4.750\n")
    assert contents(read_glue("stsb", tmp_path, "dev")) == [("A man.", "A woman.", 4.75, 3)]
    for bad in ("nan", "5.1", "x"):
        write(path, header + f"3\tg\tf\ty\t1\tn\tn\tA man.\tA woman.\t{bad}\n")
        with pytest.raises(DataError, match="line 2"):
            read_glue("stsb", tmp_path, "dev")


def test_mnli_files_differ_in_width(tmp_path: Path) -> None:
    start = "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse"
    for name, extra in (("train", 1), ("dev_matched", 5), ("dev_mismatched", 5)):
        labels = "\t".join(f"label{i + 1}" for i in range(extra))
        row = "4\tp\tq\tg\tb\tb\tp\tp\tA.\tB.\t" + "\t".join(["neutral"] * extra) + "\tcontradiction\n"
        write(tmp_path / f"{name}.tsv", f"{start}\tsentence1\tsentence2\t{labels}\tgold_label\n{row}")
    write(tmp_path / "test_mismatched.tsv", f"{start}\tsentence1\tsentence2\n9847\tp\tq\tg\tb\tb\tp\tp\tA.\tB.\n")
    for split in ("train", "dev", "dev_matched", "dev-mismatched"):
        assert contents(read_glue("mnli", tmp_path, split)) == [("A.", "B.", "contradiction", 4)]
    assert contents(read_glue("mnli", tmp_path, "test_mismatched")) == [("A.", "B.", None, 9847)]
    assert available_splits("mnli", tmp_path) == ["train", "dev_matched", "dev_mismatched", "test_mismatched"]


def test_qqp_skips_broken_lines_and_counts_them(tmp_path: Path) -> None:
    good = "5\t1\t2\tWhy?\tWhat?\t1\n"
    write(tmp_path / "train.tsv", QQP_HEADER + good + "6\t1\t2\tcut\n" + "7\t1\t2\ta\tb\tx\n" + "8\t1\t2\t\tb\t0\n")
    told: list[str] = []
    assert contents(read_glue("qqp", tmp_path, "train", warnings=told)) == [
        ("Why?", "What?", "1", 5),
        ("", "b", "0", 8),
    ]
    assert len(told) == 1
    assert "broken lines skipped, as Google's reader does: 2 (first: line 3)" in told[0]


def test_other_tasks_refuse_broken_lines(tmp_path: Path) -> None:
    write(tmp_path / "dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n1\ta\tentailment\n")
    with pytest.raises(DataError, match=r"line 3 .* has 3 columns, not 4") as caught:
        read_glue("rte", tmp_path, "dev")
    assert caught.value.line == 3


def test_files_of_another_task_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t1\n")
    assert contents(read_glue("wnli", tmp_path, "dev")) == [("a", "b", "1", 0)]
    with pytest.raises(DataError, match="unknown label '1'") as caught:
        read_glue("rte", tmp_path, "dev")
    assert "number the classes differently" in (caught.value.hint or "")
    with pytest.raises(DataError, match="no column 'question'"):
        read_glue("qnli", tmp_path, "dev")
    with pytest.raises(DataError, match="unknown label 'sentence1'"):
        read_glue("cola", tmp_path, "dev")


def test_size_is_compared_with_the_official_file(tmp_path: Path) -> None:
    rows = "".join(f"{i}\ta\tb\t1\n" for i in range(71))
    path = write(tmp_path / "dev.tsv", "index\tsentence1\tsentence2\tlabel\n" + rows)
    told: list[str] = []
    read_glue("wnli", tmp_path, "dev", warnings=told)
    assert told == []
    write(path, "index\tsentence1\tsentence2\tlabel\n" + rows.split("\n")[0] + "\n")
    read_glue("wnli", tmp_path, "dev", warnings=told)
    assert told == [f"{path}: 1 examples where GLUE's WNLI dev has 71"]


def test_missing_split_lists_what_is_there(tmp_path: Path) -> None:
    write(tmp_path / "dev.tsv", "index\tquestion\tsentence\tlabel\n0\ta\tb\tentailment\n")
    for call in (read_glue, glue_files):
        with pytest.raises(
            DataError, match=r"no train split of GLUE QNLI \(train.tsv\); it holds dev.tsv \(splits: dev\)"
        ) as caught:
            call("qnli", tmp_path, "train")
        assert "--train" in (caught.value.hint or "")
    with pytest.raises(DataError, match="no folder"):
        read_glue("qnli", tmp_path / "none", "dev")


def test_a_split_from_elsewhere(tmp_path: Path) -> None:
    path = write(tmp_path / "my.jsonl", '{"premise": "a", "hypothesis": "b", "label": "neutral"}\n')
    assert contents(read_glue("mnli", tmp_path, "train", file=path)) == [("a", "b", "neutral", 0)]


@pytest.mark.parametrize("name", ["RTE", "rte", "glue-rte"])
def test_folder_of_folders(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name / "dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n")
    write(tmp_path / "WNLI" / "dev.tsv", "other")
    assert task_folder(GLUE["rte"], tmp_path) == path.parent
    assert glue_files("rte", tmp_path, "dev") == [path]
    assert len(read_glue("rte", tmp_path, "dev")) == 1


def test_complete_folder_before_a_part(tmp_path: Path) -> None:
    write(tmp_path / "glue-qqp-subset" / "qqp-train-subset.tsv", "1\t1\t2\ta\tb\t0\n")
    for split in ("train", "dev", "test"):
        write(tmp_path / "qqp" / f"{split}.tsv", QQP_HEADER + "1\t1\t2\ta\tb\t0\n")
    assert task_folder(GLUE["qqp"], tmp_path).name == "qqp"


def test_mnli_json_lines(tmp_path: Path) -> None:
    rows = ['{"sentence1": "a", "sentence2": "b", "gold_label": "neutral", "pairID": "x1"}']
    rows.append('{"sentence1": "c", "sentence2": "d", "gold_label": "-"}')
    write(tmp_path / "multinli_1.0_dev_mismatched.jsonl", "\n".join(rows))
    told: list[str] = []
    assert contents(read_glue("mnli", tmp_path, "dev_mismatched", warnings=told)) == [("a", "b", "neutral", "x1")]
    assert "1 examples without an agreed label" in told[0]
    write(tmp_path / "dev.jsonl", '{"premise": "a", "hypothesis": "b", "label": 0}')
    with pytest.raises(DataError, match="unknown label '0'"):
        read_glue("mnli", tmp_path, "dev_matched")


def test_mrpc_from_the_microsoft_files(tmp_path: Path) -> None:
    rows = "".join(f'{i % 2}\t{i}\t{i + 100}\t"a{i}\tb{i}"\n' for i in range(4))
    write(tmp_path / "msr_paraphrase_train.txt", MSR_HEADER + rows)
    write(tmp_path / "msr_paraphrase_test.txt", MSR_HEADER + '1\t9\t8\tx\ty "\n')
    told: list[str] = []
    assert len(read_glue("mrpc", tmp_path, "train", warnings=told)) == 4
    assert "dev_ids.tsv is missing" in told[0]
    assert available_splits("mrpc", tmp_path) == ["train", "test"]
    with pytest.raises(DataError, match="no dev split"):
        read_glue("mrpc", tmp_path, "dev")
    write(tmp_path / "dev_ids.tsv", "2\t102\n")
    assert contents(read_glue("mrpc", tmp_path, "dev")) == [('"a2', 'b2"', "0", 0)]
    assert [r.text for r in read_glue("mrpc", tmp_path, "train")] == ['"a0', '"a1', '"a3']
    assert contents(read_glue("mrpc", tmp_path, "test")) == [("x", 'y "', "1", 0)]
    assert [path.name for path in glue_files("mrpc", tmp_path, "dev")] == ["msr_paraphrase_train.txt", "dev_ids.tsv"]
    # GLUE's own file, once there, is used instead.
    write(tmp_path / "dev.tsv", MSR_HEADER + "1\t5\t6\tp\tq\n")
    assert contents(read_glue("mrpc", tmp_path, "dev")) == [("p", "q", "1", 0)]


def test_part_of_qqp_is_divided_by_id(tmp_path: Path) -> None:
    lines = [f"{i}\t{i}\t{i + 1}\ta{i}\tb{i}\t{i % 2}\n" for i in range(2000)]
    path = write(tmp_path / "qqp-train-subset.tsv", "broken\tline\n" + "".join(lines))
    told: list[str] = []
    train = read_glue("qqp", tmp_path, "train", warnings=told)
    dev = read_glue("qqp", tmp_path, "dev")
    assert len(train) + len(dev) == 2000
    assert not {r.id for r in train} & {r.id for r in dev}
    assert 140 < len(dev) < 260  # 200 expected, 4.5 standard deviations
    assert "divided here" in told[0]
    assert "broken lines" in told[1]
    write(path, "".join(reversed(lines)))
    assert {r.id for r in read_glue("qqp", tmp_path, "dev")} == {r.id for r in dev}
    with pytest.raises(DataError, match="no test split"):
        read_glue("qqp", tmp_path, "test")


# Submissions ----------------------------------------------------------------------------------------------------------


def test_submission_names() -> None:
    names = [submission_name(name) for name in GLUE if name != "mnli"]
    assert names == [
        "CoLA.tsv",
        "SST-2.tsv",
        "MRPC.tsv",
        "STS-B.tsv",
        "QQP.tsv",
        "QNLI.tsv",
        "RTE.tsv",
        "WNLI.tsv",
        "AX.tsv",
    ]
    assert submission_name("mnli") == submission_name("mnli", "test_matched") == "MNLI-m.tsv"
    assert submission_name("mnli", "test_mismatched") == "MNLI-mm.tsv"


def test_submission_format(tmp_path: Path) -> None:
    path = write_submission(tmp_path, "rte", [0, 1], ["entailment", "not_entailment"])
    assert path == tmp_path / "RTE.tsv"
    assert path.read_bytes() == b"index\tprediction\n0\tentailment\n1\tnot_entailment\n"
    path = write_submission(tmp_path / "own.tsv", "stsb", [None, None, None], [5.7, -0.2, 2.34567])
    assert path.read_text() == "index\tprediction\n0\t5.000\n1\t0.000\n2\t2.346\n"
    assert write_submission(tmp_path / "new", "mnli", [9], ["neutral"], split="test_mismatched").name == "MNLI-mm.tsv"


@pytest.mark.parametrize(
    ("task", "ids", "answers"),
    [
        ("rte", [0], ["entailment", "entailment"]),
        ("rte", [0, 0], ["entailment", "entailment"]),
        ("rte", [0], ["1"]),
        ("stsb", [0], [float("nan")]),
    ],
)
def test_wrong_submissions(tmp_path: Path, task: str, ids: list[int], answers: list[str | float]) -> None:
    with pytest.raises(DataError):
        write_submission(tmp_path, task, ids, answers)
    assert list(tmp_path.iterdir()) == []


# The real files -------------------------------------------------------------------------------------------------------

DATA = os.environ.get("LITEBERT_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="LITEBERT_DATA does not name a folder with the public data sets")
SIZES = {
    ("cola", "train"): 8551,
    ("cola", "dev"): 1043,
    ("cola", "test"): 1063,
    ("mrpc", "dev"): 408,
    ("mrpc", "test"): 1725,
    ("rte", "train"): 2490,
    ("rte", "dev"): 277,
    ("rte", "test"): 3000,
    ("wnli", "train"): 635,
    ("wnli", "dev"): 71,
    ("wnli", "test"): 146,
    ("sst2", "train"): 67349,
    ("sst2", "dev"): 872,
    ("sst2", "test"): 1821,
    ("stsb", "train"): 5749,
    ("stsb", "dev"): 1500,
    ("stsb", "test"): 1379,
    ("qnli", "dev"): 5463,
    ("qnli", "test"): 5463,
    ("mnli", "dev_matched"): 9815,
    ("ax", "test"): 1104,
}


@pytest.mark.large
@needs_data
@pytest.mark.parametrize(("task", "split"), SIZES)
def test_real_files_are_complete(task: str, split: str) -> None:
    assert DATA is not None
    told: list[str] = []
    records = read_glue(task, DATA, split, warnings=told)
    assert len(records) == SIZES[task, split]
    assert told == []
    assert all(r.text and (r.pair is None) == (not GLUE[task].pair) for r in records)
    assert len({r.id for r in records}) == len(records)
    if split.startswith("test"):
        assert {r.label for r in records} == {None}
        assert [r.id for r in records] == list(range(len(records)))
    elif not GLUE[task].regression:
        assert {r.label for r in records} == set(GLUE[task].labels)


@pytest.mark.large
@needs_data
def test_real_mrpc_train(tmp_path: Path) -> None:
    """A copied train.tsv may lack a pair (one in circulation does); Microsoft's file has all 3,668, and the reader says so."""
    assert DATA is not None
    told: list[str] = []
    train = read_glue("mrpc", DATA, "train", warnings=told)
    home = task_folder(GLUE["mrpc"], DATA)
    for name in ("msr_paraphrase_train.txt", "dev_ids.tsv"):
        (tmp_path / name).write_bytes((home / name).read_bytes())
    rebuilt = read_glue("mrpc", tmp_path, "train")
    assert len(rebuilt) == 3668
    texts = [(r.text, r.pair, r.label) for r in train]
    lacking = [(r.text, r.pair, r.label) for r in rebuilt if (r.text, r.pair, r.label) not in set(texts)]
    assert len(train) + len(lacking) == 3668
    assert bool(told) == bool(lacking)
    dev = {(r.text, r.pair, r.label) for r in read_glue("mrpc", DATA, "dev")}
    assert {(r.text, r.pair, r.label) for r in read_glue("mrpc", tmp_path, "dev")} == dev


@pytest.mark.large
@needs_data
def test_real_part_of_qqp() -> None:
    assert DATA is not None
    told: list[str] = []
    train, dev = (read_glue("qqp", DATA, split, warnings=told) for split in ("train", "dev"))
    assert len(train) + len(dev) == 23496
    assert 0.09 < len(dev) / 23496 < 0.11
    assert any("reader does: 1 " in line for line in told)
    # As many duplicates in dev as in train, within three standard errors.
    share = [Counter(r.label for r in part)["1"] / len(part) for part in (train, dev)]
    assert abs(share[0] - share[1]) < 3 * (0.25 / len(dev)) ** 0.5


@pytest.mark.large
@needs_data
def test_real_mnli_dev_counts() -> None:
    assert DATA is not None
    counts = Counter(r.label for r in read_glue("mnli", DATA, "dev"))
    assert counts == {"entailment": 3479, "contradiction": 3213, "neutral": 3123}


@pytest.mark.large
@needs_data
def test_real_qnli_has_no_train() -> None:
    assert DATA is not None
    if "train" in available_splits("qnli", DATA):
        pytest.skip("this copy of QNLI has its train file")
    with pytest.raises(DataError, match="no train split of GLUE QNLI"):
        read_glue("qnli", DATA, "train")
