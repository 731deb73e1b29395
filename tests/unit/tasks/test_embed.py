"""Sentence vectors: what files mean, what losses measure, how windows become one vector, what is answered."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from pyarrow import parquet

import litebert
from litebert.checkpoint.sentence_folder import check_sentence_files, write_sentence_files
from litebert.errors import CheckpointError, ConfigError, DataError, UsageError
from litebert.tasks.datasets import hold_out
from litebert.tasks.embed.data import Positive, TeacherVector, inferences, read_embedding_records
from litebert.tasks.embed.losses import contrastive, cut, over_sizes, similarity_error, teacher_error
from litebert.tasks.embed.scores import score_positives, score_similarities, score_teacher
from litebert.tasks.embed.task import Embedding, EmbedTask, Similarity, quantised
from litebert.tasks.examples import TextSettings, WindowCount, collate
from litebert.tasks.reading.records import Record
from litebert.text import AlbertTokenizer


def written(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path, required=True):
    warnings = []
    return read_embedding_records(path, columns=None, labels_required=required, warnings=warnings), warnings


def unit(*rows):
    return F.normalize(torch.tensor(rows, dtype=torch.float32), dim=-1)


@pytest.fixture(scope="module")
def tokenizer():
    return AlbertTokenizer.bundled()


class TestData:
    def test_anchors_with_positives_and_negatives(self, tmp_path):
        path = written(
            tmp_path / "a.jsonl",
            {"anchor": "a", "positive": "b", "negatives": ["c", "d"]},
            {"query": "q", "pos": ["x", "y"]},
        )
        records, _ = read(path)
        assert [(r.text, r.pair, r.label) for r in records] == [
            ("a", "b", Positive(("c", "d"))), ("q", "x", Positive()), ("q", "y", Positive()),
        ]  # fmt: skip

    def test_pairs_without_labels_belong_together(self, tmp_path):
        records, _ = read(written(tmp_path / "a.jsonl", {"text": "a", "text_pair": "b"}))
        assert records[0].label == Positive()

    def test_numbers_are_similarities(self, tmp_path):
        rows = [{"sentence1": "a", "sentence2": "b", "score": 2.5}, {"sentence1": "a", "sentence2": "c", "score": "4"}]
        records, _ = read(written(tmp_path / "a.jsonl", *rows))
        assert [r.label for r in records] == [2.5, 4.0]
        task = EmbedTask.from_records(records, {})
        assert (task.learnt, task.low, task.high) == ("similarity", 2.5, 4.0)

    def test_inferences(self):
        records = [
            Record("p", "e", "entailment"), Record("p", "c", "contradiction"), Record("p", "n", "neutral"),
            Record("other", "x", "contradiction"),
        ]  # fmt: skip
        warnings = []
        assert [(r.text, r.pair, r.label) for r in inferences(records, warnings)] == [("p", "e", Positive(("c",)))]
        assert warnings == ["2 of 4 inferences are no pair and contradict none: not used"]

    def test_a_label_that_is_no_inference_is_refused(self, tmp_path):
        rows = [
            {"sentence1": "p", "sentence2": h, "label": n} for h, n in (("e", "entailment"), ("x", "-"), ("y", "Maybe"))
        ]
        with pytest.raises(DataError, match="the label 'Maybe' is none of entailment, neutral, contradiction") as error:
            read(written(tmp_path / "a.jsonl", *rows))
        assert error.value.line == 3
        assert len(read(written(tmp_path / "b.jsonl", *rows[:2]))[0]) == 1

    @pytest.mark.parametrize("kind", ["jsonl", "parquet"])
    def test_vectors_of_a_teacher_have_length_1(self, tmp_path, kind):
        path = tmp_path / f"a.{kind}"
        if kind == "jsonl":
            written(path, {"text": "a", "embedding": [3, 4]}, {"text": "b", "embedding": [0, -2]})
        else:
            parquet.write_table(pa.table({"text": ["a", "b"], "embedding": [[3.0, 4.0], [0.0, -2.0]]}), path)
        records, _ = read(path)
        assert [r.text for r in records] == ["a", "b"]
        assert np.allclose([r.label.vector for r in records], [[0.6, 0.8], [0, -1]], atol=1e-3)
        assert EmbedTask.from_records(records, {}).learnt == "teacher"

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ({"anchor": "a", "positive": " "}, "empty"),
            ({"anchor": "", "positive": "b"}, "anchor and a positive"),
            ({"text": "a", "embedding": [0, 0]}, "all zeros"),
            ({"text": "a", "embedding": [1, None]}, "no list of finite numbers"),
            ({"text": "a", "embedding": "x"}, "no list of finite numbers"),
            ({"sentence1": "a", "sentence2": "b", "label": "maybe"}, "neither a number nor an inference"),
            ({"text": "alone"}, "nothing is said about"),
            ({"premise": "a", "hypothesis": "b", "label": 0}, "do not say which is which"),
            ({"anchor": "a", "positive": 5}, "no text"),
            ({"anchor": "a", "positive": {"text": "b"}}, "no text"),
            ({"text": "a", "embedding": [[1, 2], [3, 4]]}, "no list of finite numbers"),
            ({"text": "a", "embedding": [10**400, 1]}, "no list of finite numbers"),
            ({"premise": "a", "hypothesis": "b", "label": "neutral"}, "none of 1 inferences"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path, row, message):
        with pytest.raises(DataError, match=message):
            read(written(tmp_path / "a.jsonl", row))

    @pytest.mark.parametrize(
        ("vectors", "message"),
        [
            ([[1.0, 2.0], [1.0, 2.0, 3.0, 4.0]], "several sizes"),  # six numbers, which two rows would share
            (["1", "2"], "no lists of numbers"),
            ([1.0, 2.0], "no lists of numbers"),
            ([{"a": 1.0}, {"a": 2.0}], "no lists of numbers"),
            (pa.array([], pa.list_(pa.float32())), "no usable rows"),
        ],
    )
    def test_what_is_wrong_in_parquet_is_said(self, tmp_path, vectors, message):
        path = tmp_path / "a.parquet"
        parquet.write_table(
            pa.table({"text": pa.array(["a", "b"][: len(vectors)], pa.string()), "embedding": vectors}), path
        )
        with pytest.raises(DataError, match=message):
            read(path)

    def test_sizes_do_not_change_from_one_batch_to_the_next(self, tmp_path):
        path = tmp_path / "a.parquet"
        vectors = [[1.0, 2.0]] * 1024 + [[1.0, 2.0, 3.0]]
        parquet.write_table(pa.table({"text": ["a"] * 1025, "embedding": vectors}), path)
        with pytest.raises(DataError, match="several sizes"):
            read(path)

    def test_large_numbers_keep_their_direction(self, tmp_path):
        (record,), _ = read(written(tmp_path / "a.jsonl", {"text": "a", "embedding": [3e30, 4e30]}))
        assert record.label.vector.tolist() == pytest.approx([0.6, 0.8], abs=1e-3)

    def test_halves_of_characters_are_replaced(self, tmp_path, tokenizer):
        row = {"anchor": "a \ud800", "positive": "b \udc00", "negative": "c \ud800"}
        records, warnings = read(written(tmp_path / "a.jsonl", row))
        assert (records[0].text, records[0].pair, records[0].label.negatives) == ("a \ufffd", "b \ufffd", ("c \ufffd",))
        assert len(warnings) == 1 and "U+FFFD" in warnings[0]

    def test_texts_of_one_anchor_are_held_out_together(self):
        records = [Record(f"a{i // 5}", f"p{i}", Positive()) for i in range(50)]
        train, dev = hold_out(records, 0.2, EmbedTask.source)
        assert len(dev) == 10 and not {r.text for r in train} & {r.text for r in dev}

    def test_vectors_of_several_sizes_are_refused(self, tmp_path):
        records, _ = read(
            written(tmp_path / "a.jsonl", {"text": "a", "embedding": [1, 2]}, {"text": "b", "embedding": [1, 2, 3]})
        )
        for make in (EmbedTask("teacher").training_examples, EmbedTask("teacher").examples):  # to train on and to score
            with pytest.raises(DataError, match="2 and 3 numbers"):
                make(records, AlbertTokenizer.bundled(), TextSettings(), count=WindowCount())

    def test_a_file_of_two_kinds_is_refused(self):
        records = [Record("a", "b", Positive()), Record("a", "b", 1.0)]
        with pytest.raises(DataError, match="something else"):
            EmbedTask("positives").training_examples(
                records, AlbertTokenizer.bundled(), TextSettings(), count=WindowCount()
            )

    @pytest.mark.parametrize(
        "options", [{"sizes": [1]}, {"sizes": "64"}, {"temperature": 0}, {"temperature": "nan"}, {"temperatur": 1}]
    )
    def test_options_are_checked(self, options):
        with pytest.raises(ConfigError):
            EmbedTask.from_records([], options)


class TestLosses:
    def test_contrastive_is_the_mean_of_both_directions(self):
        a, b = unit([1, 0, 0], [0, 1, 0]), unit([1, 1, 0], [0, 1, 1])
        scores = a @ b.T / 0.1
        gold = torch.arange(2)
        expected = (
            F.cross_entropy(scores, gold, reduction="sum") + F.cross_entropy(scores.T, gold, reduction="sum")
        ) / 2
        assert contrastive(a, b, torch.tensor([0, 1]), 0.1).item() == pytest.approx(expected.item())

    def test_a_hard_negative_counts(self):
        a, b, names = unit([1, 0], [0, 1]), unit([1, 0], [0, 1]), torch.tensor([0, 1])
        with_negative = torch.cat([b, unit([1, 0.1])])
        assert contrastive(a, with_negative, names, 0.1) > contrastive(a, b, names, 0.1) + 0.3

    def test_texts_of_the_same_anchor_are_no_negatives(self):
        a, b = unit([1, 0], [1, 0]), unit([1, 0.1], [1, -0.1])
        assert contrastive(a, b, torch.tensor([7, 7]), 0.05).item() == pytest.approx(0, abs=1e-6)
        assert contrastive(a, b, torch.tensor([7, 8]), 0.05).item() > 1

    def test_equal_texts_are_no_negatives(self):
        a, b = unit([1, 0], [1, 0.2]), unit([1, 0.1], [1, -0.1])
        distinct = contrastive(a, b, torch.tensor([[0, 1], [2, 3]]), 0.05).item()
        assert distinct > 1 and distinct == pytest.approx(contrastive(a, b, torch.tensor([0, 1]), 0.05).item())
        for names in (
            [[0, 1], [2, 1]],
            [[0, 1], [0, 2]],
            [[0, 1], [1, 0]],
        ):  # the same text, the same anchor, turned round
            assert contrastive(a, b, torch.tensor(names), 0.05).item() == pytest.approx(0, abs=1e-6)
        one_way = contrastive(a, b, torch.tensor([[0, 1], [2, 0]]), 0.05).item()  # the second text is the first anchor
        assert 0 < one_way < distinct

    def test_a_hard_negative_that_is_right_for_another_anchor_is_no_negative_of_that_one(self):
        a, b = unit([1, 0], [0, 1]), unit([1, 0.2], [0.2, 1])
        others = torch.cat([b, b[1:]])  # the first anchor's hard negative is the second one's own text
        told = contrastive(a, others, torch.tensor([[0, 1, 3], [2, 3, -1]]), 0.1).item()
        untold = contrastive(a, others, torch.tensor([[0, 1, 4], [2, 3, -1]]), 0.1).item()
        wrong, right = np.exp((a @ b.T / 0.1)[1].numpy())
        assert untold - told == pytest.approx((np.log(wrong + 2 * right) - np.log(wrong + right)) / 2, rel=1e-4)

    def test_hard_negatives_are_told_by_their_texts(self, tokenizer):
        records = [
            Record("q", "a", Positive(("b",))),
            Record("r", "b", Positive()),
            Record("s", "c", Positive(("d", "a"))),
        ]
        examples = EmbedTask().training_examples(records, tokenizer, TextSettings(max_length=16), count=WindowCount())
        assert [e.target for e in examples] == [(0, 1, 2, -1), (3, 2, -1, -1), (4, 5, 6, 1)]
        assert collate(examples, tokenizer.pad_id)["labels"].shape == (3, 4)

    def test_prefixes_longer_than_the_vectors_are_refused(self):
        task = EmbedTask(learnt="teacher", sizes=(8, 4))
        batch = {
            "owner": torch.arange(2),
            "group": torch.zeros(2, dtype=torch.long),
            "labels": unit([1, 0, 0, 0], [0, 1, 0, 0]),
        }
        with pytest.raises(ConfigError, match=r"sizes=\[8, 4\] exceed the 4"):
            task.loss(unit([1, 0, 0, 0], [0, 1, 0, 0]), batch)

    def test_similarity(self):
        assert similarity_error(unit([1, 0]), unit([1, 1]), torch.tensor([0.0])).item() == pytest.approx(0.5)

    def test_a_teacher_is_met_exactly_by_its_own_vectors_only(self):
        x = unit([1, 2, 3], [3, 1, 0], [0, 0, 1])
        assert teacher_error(x, x).item() == pytest.approx(0, abs=1e-6)
        turned = x[:, [1, 2, 0]]  # the same cosines between them
        assert teacher_error(turned, x).item() == pytest.approx((turned - x).square().sum().item(), rel=1e-4)
        longer = torch.cat([x, torch.zeros(3, 2)], dim=1)
        assert teacher_error(turned, longer).item() == pytest.approx(0, abs=1e-5)

    def test_sizes_are_averaged_and_cut_at_length_1(self):
        x = unit([3, 4, 12])
        assert torch.allclose(cut(x, 2), unit([3, 4]))
        assert over_sizes(lambda shorter: shorter(x)[0, 0], [3, 2]).item() == pytest.approx((3 / 13 + 3 / 5) / 2)


class TestTask:
    def batch(self, tokenizer, records, task=None, max_length=16):
        task = task or EmbedTask()
        examples = task.examples(records, tokenizer, TextSettings(max_length=max_length, stride=0), count=WindowCount())
        return collate(examples, tokenizer.pad_id), examples

    def test_windows_are_averaged_by_their_tokens(self, tokenizer):
        records = [Record("one two three " * 9, "short"), Record("next", "one more")]
        batch, examples = self.batch(tokenizer, records)
        assert len(examples[0].windows) > 2
        vectors = F.normalize(torch.randn(len(batch["owner"]), 4), dim=-1)

        def model(*_):
            return type("Out", (), {"sentence_embedding": vectors})

        task = EmbedTask()
        found = task.logits(model, batch)
        assert found.shape == (4, 4)
        first = batch["owner"] * 10 + batch["group"] == 0
        weights = batch["attention_mask"][first].sum(1, keepdim=True).float()
        assert torch.allclose(found[0], F.normalize((vectors[first] * weights).sum(0), dim=0), atol=1e-6)
        rows = task.outputs(found, batch)
        assert [row.shape for row in rows] == [(2, 4), (2, 4)]
        assert np.allclose(rows[1], found[2:])

    def test_loss_takes_the_right_texts(self, tokenizer):
        records = [Record("a", "b", Positive(("x",))), Record("c", "d", Positive())]
        batch, _ = self.batch(tokenizer, records)
        vectors = F.normalize(torch.randn(5, 6), dim=-1)  # a b x c d
        expected = contrastive(vectors[[0, 3]], vectors[[1, 4, 2]], torch.tensor([0, 1]), 0.05)
        assert EmbedTask().loss(vectors, batch).item() == pytest.approx(expected.item())
        halves = EmbedTask(sizes=(6, 3)).loss(vectors, batch)
        short = contrastive(cut(vectors[[0, 3]], 3), cut(vectors[[1, 4, 2]], 3), torch.tensor([0, 1]), 0.05)
        assert halves.item() == pytest.approx((expected + short).item() / 2, rel=1e-5)

    def test_similarities_are_scaled_to_cosines(self, tokenizer):
        batch, _ = self.batch(
            tokenizer, [Record("a", "b", 5.0), Record("c", "d", 1.0)], EmbedTask("similarity", low=1.0, high=5.0)
        )
        assert batch["labels"].tolist() == [1.0, 0.0]

    def test_teacher_vectors_reach_the_loss(self, tokenizer):
        task, vector = EmbedTask("teacher"), np.array([0.6, 0.8], np.float16)
        batch, _ = self.batch(tokenizer, [Record("a", label=TeacherVector(vector))], task)
        assert task.loss(torch.tensor([[0.6, 0.8]]), batch).item() == pytest.approx(0, abs=1e-6)
        assert task.loss(torch.tensor([[0.8, -0.6]]), batch).item() == pytest.approx(2, rel=1e-2)

    def test_answers(self):
        vector = unit([3, 4, 0]).numpy()
        task = EmbedTask()
        (alone,) = task.answer([vector], [])
        assert isinstance(alone, Embedding) and alone.to_dict()["embedding"] == pytest.approx([0.6, 0.8, 0])
        (pair,) = task.answer([np.concatenate([vector, unit([4, 3, 0]).numpy()])], [])
        assert isinstance(pair, Similarity) and pair.score == pytest.approx(0.96)
        (short,) = task.for_call({"size": 2, "number_type": "int8"}).answer([unit([3, 4, 12]).numpy()], [])
        assert short.vector.dtype == np.int8 and short.vector.tolist() == [76, 102]
        with pytest.raises(UsageError, match="exceeds the 3"):
            task.for_call({"size": 4}).answer([vector], [])

    @pytest.mark.parametrize("options", [{"sise": 3}, {"size": 1}, {"number_type": "int4"}])
    def test_calls_are_checked(self, options):
        with pytest.raises(UsageError):
            EmbedTask().for_call(options)

    def test_binary_vectors_hold_the_signs(self):
        assert quantised(np.array([[1, -1, 1, 1, -1, -1, -1, -1, 1]], np.float32), "binary").tolist() == [
            [0b10110000, 0b10000000]
        ]

    def test_it_is_kept(self):
        task = EmbedTask("similarity", 0.1, (16, 8), 1.0, 5.0)
        assert EmbedTask.from_dict(json.loads(json.dumps(task.to_dict()))) == task


class TestScores:
    def test_similarities_by_rank(self):
        records = [Record("a", "b", 1.0), Record("a", "b", 2.0), Record("a", "b", 5.0)]
        first = unit([1, 0], [1, 0], [1, 0]).numpy()
        score = score_similarities(first, unit([0, 1], [1, 1], [1, 0]).numpy(), records)
        assert score.main == pytest.approx(1) and score.evaluation.metrics["pearson"] < 1

    def test_own_text_among_all(self):
        records = [Record("a", "1", Positive()), Record("b", "2", Positive(("no",))), Record("a", "3", Positive())]
        first = unit([1, 0, 0], [0, 1, 0], [1, 0, 0]).numpy()
        others = unit(
            [1, 0.1, 0], [0.9, 1, 0], [1, 0, 0.1], [0, 1, 0]
        ).numpy()  # the last is a negative, nearer to b than its own
        metrics = score_positives(first, others, records).evaluation.metrics
        assert metrics["recall@1"] == pytest.approx(2 / 3)
        assert metrics["mrr@10"] == pytest.approx((1 + 0.5 + 1) / 3)

    def test_a_negative_of_another_pair_that_is_one_s_own_text_does_not_compete(self):
        records = [
            Record("a", "1", Positive()),
            Record("b", "2", Positive(("1", "b"))),
            Record("c", "3", Positive(("2",))),
        ]
        own = unit([1, 0, 0], [0, 1, 0], [0, 0, 1]).numpy()
        others = np.concatenate([own, own[[0]], own[[1]], own[[1]]])
        score = score_positives(own, others, records)
        assert score.evaluation.metrics["recall@1"] == 1 and score.main == 1

    def test_a_tie_is_no_success(self):
        same = unit([1, 0], [1, 0]).numpy()
        records = [Record("a", "1", Positive()), Record("b", "2", Positive())]
        assert score_positives(same, same, records).evaluation.metrics["recall@1"] == 0

    def test_equal_texts_do_not_compete(self):
        records = [Record("a", "yes", Positive()), Record("b", "yes", Positive()), Record("yes", "b", Positive())]
        first = unit([1, 0.1, 0], [1, 0, 0.1], [1, 0, 0]).numpy()
        others = unit([1, 0, 0], [1, 0, 0], [1, 0, 0.1]).numpy()
        score = score_positives(first, others, records)
        assert score.evaluation.metrics["recall@1"] == 1  # all are equally near
        assert score.evaluation.baseline["mrr@10"] == pytest.approx((0.75 + 1 + 1) / 3)

    def test_what_is_no_number_finds_nothing(self):
        records = [Record("a", "1", Positive()), Record("b", "2", Positive())]
        broken = np.full((2, 4), np.nan, np.float32)
        assert score_positives(broken, broken, records).evaluation.metrics["recall@1"] == 0

    def test_a_teacher(self):
        draw = np.random.default_rng(0)
        teacher = draw.normal(size=(30, 8)).astype(np.float32)
        teacher /= np.linalg.norm(teacher, axis=1, keepdims=True)
        assert score_teacher(teacher, teacher).evaluation.metrics == pytest.approx({"spearman": 1, "cosine": 1})
        turned = teacher[:, ::-1].copy()
        metrics = score_teacher(turned, teacher).evaluation.metrics
        assert metrics["spearman"] == pytest.approx(1, abs=1e-3) and metrics["cosine"] < 0.5


class TestFolder:
    def test_any_encoder_gives_vectors(self, pretrained):
        pipe = litebert.load(pretrained, "embed", precision="fp32")
        model = litebert.AlbertModel.from_pretrained(pretrained)
        encoding = pipe.loaded.tokenizer.encode("a few words")
        states = model(torch.tensor([encoding.ids])).last_hidden_state[0]
        expected = F.normalize(states.mean(0), dim=0).detach().numpy()
        assert np.allclose(pipe("a few words").vector, expected, atol=1e-5)

    def test_tasks_without_training_see_the_same_vectors(self, pretrained):
        from litebert.tasks.base import Passes
        from litebert.tasks.embed.vectors import sentence_vectors
        from litebert.tasks.model_folder import load_zero_shot

        texts = ["a few words", "a long text of the old house near the river " * 9, ""]
        found = sentence_vectors(load_zero_shot(pretrained, "summarize"), texts, Passes(tokens=64))
        expected = [answer.vector for answer in litebert.load(pretrained, "embed", precision="fp32")(texts)]
        assert np.allclose(found, expected, atol=1e-5)

    def test_sentence_transformers_loads_it(self, pretrained, tmp_path):
        library = pytest.importorskip("sentence_transformers")
        from litebert.checkpoint.pretrained import AlbertForSentenceEmbedding, AlbertTokenizer

        AlbertForSentenceEmbedding.from_pretrained(pretrained).save_pretrained(tmp_path)
        AlbertTokenizer.from_pretrained(pretrained).save_pretrained(tmp_path)
        texts = ["a few words", "and some other words that are more"]
        theirs = library.SentenceTransformer(str(tmp_path), device="cpu").encode(texts)
        ours = [answer.vector for answer in litebert.load(tmp_path, "embed", precision="fp32")(texts)]
        assert np.allclose(ours, theirs, atol=1e-5)

    def test_other_poolings_are_refused(self, pretrained, tmp_path):
        from litebert.checkpoint.pretrained import AlbertForSentenceEmbedding

        AlbertForSentenceEmbedding.from_pretrained(pretrained).save_pretrained(tmp_path)
        path = tmp_path / "1_Pooling" / "config.json"
        path.write_text(
            path.read_text()
            .replace('_cls_token": false', '_cls_token": true')
            .replace('mean_tokens": true', 'mean_tokens": false')
        )
        with pytest.raises(CheckpointError, match="cls_token"):
            AlbertForSentenceEmbedding.from_pretrained(tmp_path)

    @pytest.mark.parametrize(("name", "message"), [("2_Pooling", "cls_token"), ("3_Pooling", "no config.json")])
    def test_the_pooling_is_where_the_modules_say(self, tmp_path, name, message):
        write_sentence_files(tmp_path, hidden_size=8, max_length=16)
        modules = (tmp_path / "modules.json").read_text()
        (tmp_path / "modules.json").write_text(modules.replace("1_Pooling", name))
        (tmp_path / "2_Pooling").mkdir()
        (tmp_path / "2_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
        with pytest.raises(CheckpointError, match=message):
            check_sentence_files(tmp_path)

    def test_conversion_keeps_what_makes_the_vectors(self, pretrained, tmp_path):
        from litebert.checkpoint.convert import convert
        from litebert.checkpoint.pretrained import AlbertForSentenceEmbedding

        AlbertForSentenceEmbedding.from_pretrained(pretrained).save_pretrained(tmp_path / "a")
        convert(tmp_path / "a", tmp_path / "b")
        assert (tmp_path / "b" / "modules.json").is_file()
