"""A pretrained folder answers and is judged as it is: from Python, from the command line, and what it refuses."""

import json
import shutil

import pytest

import litebert
from litebert.checkpoint import pretrained as networks
from litebert.errors import CheckpointError, ConfigError, UsageError
from tests.pretrained_folders import pretrained_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return pretrained_folder(tmp_path_factory.mktemp("pretrained"))


@pytest.fixture(scope="module")
def default(folder, tmp_path_factory):
    """The folder with a task of its own."""
    target = tmp_path_factory.mktemp("default") / "model"
    shutil.copytree(folder, target)
    (target / "litebert.json").write_text(json.dumps({"format_version": 1, "task": {"name": "fill-mask"}}))
    return target


@pytest.fixture
def blimp(tmp_path):
    place = tmp_path / "blimp"
    place.mkdir()
    for name, term in (("one", "binding"), ("two", "ellipsis")):
        rows = [
            {
                "sentence_good": f"It is good {i}.",
                "sentence_bad": f"It good {i} is.",
                "linguistics_term": term,
                "UID": name,
            }
            for i in range(3)
        ]
        (place / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return place


# Python ---------------------------------------------------------------------------------------------------------------


def test_one_folder_answers_both_tasks(folder):
    fill, order = litebert.load(folder, task="fill-mask"), litebert.load(folder, "coherence")
    assert (fill.task, fill.labels, order.task, order.labels) == ("fill-mask", (), "coherence", ("in_order", "swapped"))
    answer = fill("Paris is the [MASK] of France.", top_k=3)
    assert len(answer) == 3 and answer[0].to_dict().keys() == {"score", "token", "token_str", "sequence"}
    assert fill(["Paris is the [MASK] of France."], top_k=3) == [answer] and fill([]) == []
    assert order(("a b", "c d")) == order({"text": "a b", "text_pair": "c d"})
    assert order(("a b", "c d")).to_dict().keys() == {"label", "score", "scores"}


@pytest.mark.parametrize(
    ("task", "text", "options"),
    [
        ("fill-mask", "今日 は 良い [MASK] です", {}),
        ("coherence", ("今日 は 良い です", "明日 も 良い です"), {}),
        ("summarize", "今日 は 良い です。 明日 も 良い です。", {}),
        ("zero-shot-classification", "今日 は 良い です", {"labels": ["sport", "politics"]}),
    ],
)
def test_texts_the_vocabulary_does_not_know_are_told_once(folder, task, text, options, caplog):
    pipe = litebert.load(folder, task)
    pipe([text, text], **options)
    pipe(text, **options)
    assert caplog.text.count("unknown to the vocabulary") == 1


def test_the_folder_may_name_its_task(folder, default):
    assert litebert.load(default)("a [MASK]") == litebert.load(folder, "fill-mask")("a [MASK]")
    assert litebert.load(default, "coherence").task == "coherence"
    with pytest.raises(ConfigError, match="fill-mask and coherence"):
        litebert.load(folder)


def test_precision_and_options(folder):
    half, full = (litebert.load(folder, "fill-mask", precision=p)("a [MASK]")[0] for p in ("bf16", "fp32"))
    assert half.score != full.score and half.score == pytest.approx(full.score, rel=0.1)
    with pytest.raises(UsageError, match="topk"):
        litebert.load(folder, "fill-mask")("a [MASK]", topk=3)


def test_a_fine_tuned_model_takes_no_options_of_others(model):
    with pytest.raises(UsageError, match="top_k"):
        litebert.load(model)("a film", top_k=3)


def test_random_weights_are_said_aloud_and_the_same_each_time(data, caplog):
    one, two = (litebert.load(f"random:{data / 'tiny.json'}", "fill-mask")("a [MASK]") for _ in range(2))
    assert one == two and "mean nothing" in caplog.text


# Heads that are not there -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "task", "says"),
    [
        ("AlbertForMaskedLM", "coherence", "no sentence-order head"),
        ("AlbertForSequenceClassification", "fill-mask", "no masked-LM head"),
        ("AlbertForSequenceClassification", "coherence", "it has classifier"),
        ("AlbertModel", "fill-mask", "it has no head"),
    ],
)
def test_a_missing_head_is_named(cls, task, says, tmp_path, caplog):
    other = pretrained_folder(tmp_path / "m", getattr(networks, cls))
    with pytest.raises(CheckpointError, match=says):
        litebert.load(other, task)
    assert "random values" not in caplog.text


def test_a_masked_lm_folder_of_transformers_fills_masks(tmp_path):
    transformers = pytest.importorskip("transformers")
    ours = pretrained_folder(tmp_path / "ours")
    theirs = tmp_path / "theirs"
    transformers.AlbertForMaskedLM.from_pretrained(ours).save_pretrained(theirs)
    shutil.copy(ours / "spiece.model", theirs)
    assert litebert.load(theirs, "fill-mask")("a [MASK]") == litebert.load(ours, "fill-mask")("a [MASK]")
    with pytest.raises(CheckpointError, match="sentence-order"):
        litebert.load(theirs, "coherence")


def test_a_fine_tuned_folder_has_no_such_head(model, call, data):
    with pytest.raises(CheckpointError, match="masked-LM"):
        litebert.load(model, "fill-mask")
    outcome = call("predict", model, data / "single.csv", "--task", "coherence")
    assert outcome.code == 3 and "sentence-order" in outcome.err


def test_tasks_and_lengths_that_cannot_be(folder, default, tmp_path):
    with pytest.raises(UsageError, match="Did you mean 'fill-mask'"):
        litebert.load(folder, "fill-maks")
    other = tmp_path / "m"
    shutil.copytree(default, other)
    (other / "litebert.json").write_text(json.dumps({"text": {"max_length": 33}}))
    with pytest.raises(ConfigError, match="32 positions"):
        litebert.load(other, "fill-mask")


# Command line -----------------------------------------------------------------------------------------------------------


def test_predict(call, folder, default, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("Paris is the [MASK] of France.\n[MASK] and [MASK]\n")
    one, two = call("predict", folder, texts, "--task", "fill-mask").lines
    expected = litebert.load(folder, "fill-mask")("Paris is the [MASK] of France.")
    assert one["token"] == expected[0].token and one["sequence"] == expected[0].sequence and "scores" not in one
    assert len(two["masks"]) == 2 and "scores" not in two["masks"][0]
    one, two = call("predict", default, texts, "--top", "3").lines
    assert [s["token"] for s in one["scores"]] == [f.token for f in expected[:3]]
    assert [len(mask["scores"]) for mask in two["masks"]] == [3, 3]
    refused = call("predict", default, texts, "--top", "0")
    assert refused.code == 2 and "--top 5" in refused.err


def test_predict_order(call, folder, tmp_path):
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("sentence1,sentence2\nIt rained.,We stayed in.\nWe stayed in.,It rained.\n")
    rows = call("predict", folder, pairs, "--task", "coherence", "--top", "0").lines
    expected = litebert.load(folder, "coherence")([("It rained.", "We stayed in."), ("We stayed in.", "It rained.")])
    assert [r["label"] for r in rows] == [a.label for a in expected] and len(rows[0]["scores"]) == 2


def test_a_text_without_mask_names_its_line(call, folder, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("a [MASK]\nno\n")
    outcome = call("predict", folder, texts, "--task", "fill-mask")
    assert outcome.code == 3 and "texts.txt:2" in outcome.err and "[MASK]" in outcome.err


def test_evaluate_blimp(call, folder, blimp):
    outcome = call("evaluate", folder, "--data", blimp, "--benchmark", "blimp", "--limit", "2", "--json")
    assert outcome.code == 0
    found = outcome.envelope["data"]
    assert found.keys() == {"blimp/original", "blimp/within_word_l2r"}
    one = found["blimp/original"]
    assert (
        one["records"] == 4
        and one["paradigms"].keys() == {"one", "two"}
        and one["phenomena"].keys() == {"binding", "ellipsis"}
    )
    assert one["baseline"] == {"unigram": 0.5}  # permutations tie
    assert any("2 of the 67" in w for w in outcome.envelope["warnings"])
    shown = call("evaluate", folder, "--data", blimp, "--benchmark", "blimp", "--variant", "original")
    scored = {}
    for flags in ([], ["--precision", "bf16"], ["--depth", "1"]):
        arguments = (folder, "--data", blimp, "--benchmark", "blimp", "--json", *flags)
        scored[tuple(flags)] = call("evaluate", *arguments).envelope["data"]["blimp/original"]["paradigms"]
    assert scored["--depth", "1"] != scored[()], "the flags of the engine are heeded"
    assert "mean of 2 paradigms" in shown.out and "ties" in shown.out and "within_word" not in shown.out


def test_evaluate_refuses(call, folder, default, model, blimp, data):
    labelled = data / "single.csv"
    for arguments, code, says in (
        ([folder, "--data", blimp, "--benchmark", "blipm"], 2, "Did you mean 'blimp'"),
        ([folder, "--data", blimp, "--benchmark", "blimp", "--variant", "l2r"], 2, "within_word_l2r"),
        ([folder, "--data", blimp, "--benchmark", "blimp", "--limit", "0"], 2, "limit"),
        ([folder, "--data", blimp, "--benchmark", "blimp", "--columns", "text=a"], 2, "fixed columns"),
        ([folder, "--data", data, "--benchmark", "blimp"], 3, "file of BLiMP"),
        ([model, "--data", blimp, "--benchmark", "blimp"], 3, "no masked-LM head"),
        ([folder, "--data", blimp, "--benchmark", "blimp", "--window", "5"], 2, "--window does not go"),
        ([folder, "--data", blimp, "--benchmark", "pretraining", "--precision", "bf16"], 2, "--precision does not go"),
        ([folder, "--data", blimp, "--benchmark", "blimp", "--depth", "99"], 2, "exceeds the model's"),
        ([model, "--data", labelled, "--variant", "both"], 2, "--benchmark blimp"),
        ([default, "--data", labelled], 2, "was not fine-tuned"),
    ):
        outcome = call("evaluate", *arguments)
        assert outcome.code == code and says in outcome.err, (arguments, outcome.err)
    refused = call("finetune", "fill-mask", "--model", folder, "--train", labelled, "--out", data / "never")
    assert refused.code == 2 and "--task fill-mask" in refused.err and not (data / "never").exists()


def test_info_names_the_task(call, default):
    outcome = call("info", default)
    assert outcome.code == 0 and "fill-mask\n" in outcome.out


def test_documents_as_lists_of_sentences_are_put_in_order(call, folder, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 7, "sentences": ["One is here.", "Two is there.", "Three."]}\n')
    (line,) = call("predict", folder, path, "--task", "coherence", "--set", "mode=order").lines
    assert line["id"] == 7 and sorted(line["order"]) == [0, 1, 2]
    path.write_text('{"sentences": "One."}\n')
    outcome = call("predict", folder, path, "--task", "coherence", "--set", "mode=order")
    assert outcome.code == 3 and "no list of texts" in outcome.err and "a.jsonl" in outcome.err


def test_named_targets_are_all_told(call, folder, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a [MASK] house\n")
    ask = ("predict", folder, path, "--task", "fill-mask", "--set", 'targets=["red", "old", "big"]')
    (line,) = call(*ask).lines
    assert {one["token_str"] for one in line["scores"]} == {"red", "old", "big"}
    (line,) = call(*ask, "--top", "1").lines
    assert "scores" not in line
