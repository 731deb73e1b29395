"""The network, its losses, gradients, files and a fine-tuning run against Hugging Face's ALBERT (modeling_albert.py)."""

import itertools

import pytest
import safetensors.torch
import torch
import transformers
from torch import nn

from litebert.checkpoint import pretrained
from litebert.checkpoint.huggingface import foreign_state
from litebert.checkpoint.names import hugging_face_table
from litebert.config import AlbertConfig
from litebert.model.heads import sequence_loss
from litebert.train.loop import Objective, Trainer
from litebert.train.settings import TrainingSettings
from litebert.train.tracking import Tracker
from tests.unit.model.test_albert import noisy

ORACLE = f"transformers {transformers.__version__}"
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
VOCAB, LABELS, LENGTH = 60, 3, 11
NAMES = (
    "AlbertModel", "AlbertForPreTraining", "AlbertForMaskedLM", "AlbertForSequenceClassification",
    "AlbertForTokenClassification", "AlbertForQuestionAnswering", "AlbertForMultipleChoice",
)  # fmt: skip
TWO_WAY = ("AlbertForPreTraining", "AlbertForQuestionAnswering")  # there their heads have num_labels outputs
ACTIVATIONS = ("gelu", "gelu_new", "relu")
SHAPES = [
    {"num_hidden_groups": groups, "inner_group_num": inner, "embedding_size": e, "hidden_act": ACTIVATIONS[i % 3]}
    for i, (e, inner, groups) in enumerate(itertools.product((8, 16), (1, 2), (1, 2, 3)))
] + [{"num_hidden_groups": 2, "hidden_act": act, "embedding_size": 16} for act in ACTIVATIONS]
FEW = (SHAPES[0], SHAPES[5], SHAPES[7])


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def shape_name(shape):
    return "-".join(str(v) for v in shape.values())


def oracle(name, shape, **changes):
    """A random model of theirs with noise on every parameter."""
    fields = {
        "vocab_size": VOCAB, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 32,
        "max_position_embeddings": 24, "num_labels": 2 if name in TWO_WAY else LABELS, **shape, **changes,
    }  # fmt: skip
    torch.manual_seed(11)
    attention = fields.pop("attn_implementation", "eager")
    config = transformers.AlbertConfig(**fields)
    return noisy(getattr(transformers, name)._from_config(config, attn_implementation=attention), std=0.15)


def ours_from(theirs, folder, **options):
    theirs.save_pretrained(folder)
    return getattr(pretrained, type(theirs).__name__).from_pretrained(folder, **options)


def theirs_from(ours, folder, **options):
    ours.save_pretrained(folder)
    model, info = getattr(transformers, type(ours).__name__).from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager", **options
    )
    assert not info["missing_keys"] and not info["mismatched_keys"], f"{ORACLE}: {info}"
    assert all("pooler" in key for key in info["unexpected_keys"]), f"{ORACLE}: {info}"
    return model.eval()


def batch(seed=3, rows=3, length=LENGTH):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(rows, length, dtype=torch.long)
    mask[0, 5:] = 0
    mask[1, -2:] = 0
    ids = torch.randint(1, VOCAB, (rows, length), generator=generator)
    types = torch.randint(0, 2, (rows, length), generator=generator)
    return {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": types * mask}


def labels_for(name, inputs):
    """Labels of every kind a class takes, one set or several."""
    rows, length = inputs["attention_mask"].shape[0], inputs["attention_mask"].shape[-1]
    generator = torch.Generator().manual_seed(5)
    masked = torch.full((rows, length), -100)
    masked[:, 1], masked[:, 4], masked[2, 8] = 7, 9, 11
    order = torch.tensor([0, 1, 1])
    tokens = torch.randint(0, LABELS, (rows, length), generator=generator).where(
        inputs["attention_mask"].view(-1, length)[:rows] > 0, torch.tensor(-100)
    )
    return {
        "AlbertModel": [{}],
        "AlbertForPreTraining": [{"labels": masked, "sentence_order_label": order}],
        "AlbertForMaskedLM": [{"labels": masked}],
        "AlbertForSequenceClassification": [
            {"labels": torch.tensor([0, 2, 1])},
            {"labels": torch.tensor([[0.0, 1, 1], [1, 0, 0], [0, 0, 0]])},
        ],
        "AlbertForTokenClassification": [{"labels": tokens}],
        "AlbertForQuestionAnswering": [
            {"start_positions": torch.tensor([1, 2, 3]), "end_positions": torch.tensor([2, 2, 4])},
            {"start_positions": torch.tensor([1, 99, 3]), "end_positions": torch.tensor([2, 2, 30])},
        ],
        "AlbertForMultipleChoice": [{"labels": order}],
    }[name]


def inputs_for(name, **changes):
    inputs = batch(**changes)
    if name == "AlbertForMultipleChoice":
        other = batch(seed=4)
        return {key: torch.stack([value, other[key]], dim=1) for key, value in inputs.items()}
    return inputs


def outputs(model, inputs, *, everything=True, **more):
    """The outputs with values on padding cleared, by name."""
    extra = {"all_positions": True} if "labels" in more and hasattr(model, "_predict") and everything else {}
    out = model(**inputs, **more, **extra, output_hidden_states=True)
    real = inputs["attention_mask"].flatten(0, -2).bool()
    found = {}
    for key in ("loss", "logits", "prediction_logits", "sop_logits", "start_logits", "end_logits", "last_hidden_state",
                "pooler_output"):  # fmt: skip
        value = getattr(out, key, None)
        if value is not None:
            found[key] = value[real] if value.shape[:2] == real.shape else value
    for i, state in enumerate(out.hidden_states):
        found[f"hidden_states[{i}]"] = state[real]
    return found


def assert_equal(got, expected, what, **tolerance):
    assert got.keys() == expected.keys(), f"{what}, {ORACLE}: {sorted(got.keys() ^ expected.keys())}"
    for key, value in expected.items():
        torch.testing.assert_close(
            got[key], value, **{**TOLERANCE, **tolerance}, msg=lambda m, k=key: f"{what}.{k} against {ORACLE}: {m}"
        )


# --- Outputs and losses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=shape_name)
@pytest.mark.parametrize("name", NAMES)
def test_outputs_and_losses(name, shape, tmp_path):
    theirs = oracle(name, shape)
    ours = ours_from(theirs, tmp_path)
    inputs = inputs_for(name)
    with torch.no_grad():
        for labels in labels_for(name, inputs):
            theirs.config.problem_type = None
            assert_equal(outputs(ours, inputs, **labels), outputs(theirs, inputs, **labels), name)
        assert_equal(outputs(ours, inputs), outputs(theirs, inputs), name)
    depth = 4 * shape.get("inner_group_num", 1)
    assert len(ours(**inputs, output_hidden_states=True).hidden_states) == depth + 1


def test_regression_loss(tmp_path):
    theirs = oracle("AlbertForSequenceClassification", {}, num_labels=1)
    ours = ours_from(theirs, tmp_path)
    inputs, labels = batch(), torch.tensor([0.5, 3.0, 1.0])
    assert_equal(outputs(ours, inputs, labels=labels), outputs(theirs, inputs, labels=labels), "regression")


@pytest.mark.parametrize("backend", ["eager", "sdpa", "packed"])
@pytest.mark.parametrize("shape", FEW, ids=shape_name)
@pytest.mark.parametrize("their_backend", ["eager", "sdpa"])
def test_attention_backends(backend, shape, their_backend, tmp_path):
    theirs = oracle("AlbertForPreTraining", shape, attn_implementation=their_backend)
    ours = ours_from(theirs, tmp_path, attention=backend)
    with torch.no_grad():
        for length in (1, 7, 13, 24):
            inputs = batch(length=length) if length > 7 else {k: v[2:] for k, v in batch(length=length).items()}
            assert_equal(outputs(ours, inputs), outputs(theirs, inputs), f"{backend}, length {length}")


def test_arguments_mean_the_same(tmp_path):
    """Positions, embeddings instead of ids, and everything that may be left out."""
    theirs = oracle("AlbertModel", {})
    ours = ours_from(theirs, tmp_path)
    ids, mask = batch()["input_ids"], batch()["attention_mask"]
    places = torch.arange(LENGTH).flip(0).expand(3, LENGTH)
    words = theirs.embeddings.word_embeddings(ids)
    for arguments in ({"input_ids": ids}, {"input_ids": ids, "position_ids": places}, {"inputs_embeds": words}):
        a, b = ours(**arguments), theirs(**arguments)
        torch.testing.assert_close(a.last_hidden_state, b.last_hidden_state, **TOLERANCE, msg=ORACLE)
    a, b = ours(ids, mask), theirs(ids, mask)
    torch.testing.assert_close(a.pooler_output, b.pooler_output, **TOLERANCE, msg=ORACLE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("backend", ["eager", "sdpa", "packed"])
def test_low_precision_is_as_good_as_theirs(backend, dtype, tmp_path):
    """Half precision errs on the way from float32 by less than three times what theirs errs (checklist B7, G9)."""
    shape = {"hidden_size": 64, "embedding_size": 16, "intermediate_size": 128, "num_hidden_layers": 6}
    theirs = oracle("AlbertForPreTraining", shape)
    ours = ours_from(theirs, tmp_path, attention=backend, dtype=dtype)
    inputs = batch(length=23)
    with torch.no_grad():
        exact = outputs(theirs, inputs)
        rough = outputs(theirs.to(dtype), inputs)
        got = outputs(ours, inputs)
    for key in ("prediction_logits", "sop_logits", *(f"hidden_states[{i}]" for i in range(1, 7))):
        assert got[key].dtype == dtype
        error, allowed = (got[key].float() - exact[key]).abs(), (rough[key].float() - exact[key]).abs()
        assert 0 < error.max() < 3 * allowed.max(), f"{key} against {ORACLE}"
        assert error.mean() < 3 * allowed.mean(), f"{key} against {ORACLE}"


# --- Gradients and training ---------------------------------------------------------------------------------------------


def gradients_under_their_names(ours):
    prefix = "" if hasattr(ours, "albert") else "albert."
    table = {entry.ours: entry for entry in hugging_face_table(ours.config)}
    found = {}
    for name, parameter in ours.named_parameters():
        if parameter.grad is not None:
            found.update(table[prefix + name].to_theirs(parameter.grad))
    return found


@pytest.mark.parametrize("shape", FEW, ids=shape_name)
@pytest.mark.parametrize("name", NAMES[1:])
def test_gradients(name, shape, tmp_path):
    theirs = oracle(name, shape)
    ours = ours_from(theirs, tmp_path)
    inputs = inputs_for(name)
    labels = labels_for(name, inputs)[0]
    for model in (ours, theirs):
        model(**inputs, **labels).loss.backward()
    expected = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    got = gradients_under_their_names(ours)
    assert sum(bool(g.abs().max() > 1e-3) for g in expected.values()) > 20
    assert all(not got.pop(n).any() for n in got.keys() - expected.keys())
    for gradients in (got, expected):  # the padding piece's row has a test of its own below
        gradients["albert.embeddings.word_embeddings.weight"][0] = 0
    assert_equal(got, expected, name, rtol=1e-4)


def test_padding_piece_is_trained_as_googles(tmp_path):
    """Their table gives the padding piece no gradient; Google's and ours treat it as any other (checklist A16)."""
    theirs = oracle("AlbertModel", {})
    ours = ours_from(theirs, tmp_path)
    ids = batch()["input_ids"]
    assert (ids == 0).any()
    for model in (ours, theirs):
        model(ids).last_hidden_state.pow(3).sum().backward()
    a, b = ours.embeddings.word.weight.grad, theirs.embeddings.word_embeddings.weight.grad
    assert a[0].any() and not b[0].any(), ORACLE
    torch.testing.assert_close(a[1:], b[1:], rtol=1e-4, atol=1e-4, msg=lambda m: f"{ORACLE}: {m}")


def _sites(ours, theirs):
    """Setters of the dropout probability at each place, here and there."""
    block, layer = ours.encoder.groups[0][0], theirs.encoder.albert_layer_groups[0].albert_layers[0]
    return {
        "embeddings": ((ours.embeddings.dropout, "p"), (theirs.embeddings.dropout, "p")),
        "attention probabilities": (
            (block.attention_part.attention, "dropout_prob"),
            (layer.attention.attention_dropout, "p"),
        ),
        "attention output": ((block.attention_part.dropout, "p"), (layer.attention.output_dropout, "p")),
        "feed-forward output": ((block.feed_forward_part.dropout, "p"), (layer.dropout, "p")),
    }


@pytest.mark.parametrize("site", ["embeddings", "attention probabilities", "attention output", "feed-forward output"])
def test_dropout_sites(site, tmp_path):
    """A3: with one place at a time, both are random in training, but for the feed-forward output, which theirs never drops."""
    theirs = oracle("AlbertModel", {}, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3)
    ours = ours_from(theirs, tmp_path)
    for name, places in _sites(ours, theirs).items():
        for module, field in places:
            assert getattr(module, field) == 0.3
            setattr(module, field, 0.3 if name == site else 0.0)
    random = {}
    for model in (ours, theirs):
        model.train()
        first, second = (model(batch()["input_ids"]).last_hidden_state for _ in range(2))
        random[model] = not torch.equal(first, second)
    assert random[ours]
    assert random[theirs] == (site != "feed-forward output"), f"{ORACLE} has changed its dropout"


def test_sentence_order_has_no_dropout_as_googles(tmp_path):
    """Theirs puts the classifier's dropout before it."""
    theirs = oracle("AlbertForPreTraining", {}, classifier_dropout_prob=0.5)
    ours = ours_from(theirs, tmp_path)
    random = []
    for model in (ours, theirs):
        model.train()
        first, second = (model(batch()["input_ids"]).sop_logits for _ in range(2))
        random.append(not torch.equal(first, second))
    assert random == [False, True], ORACLE


STEPS, WARMUP, RATE, DECAY = 50, 5, 5e-3, 0.01


class Batches:
    """Five batches that repeat; the labels follow from the ids."""

    steps_per_epoch = 5

    def at(self, step):
        inputs = batch(seed=step % 5, rows=8, length=13)
        return {**inputs, "labels": inputs["input_ids"][:, 1] % LABELS}

    def micro_batches(self, step):
        return [self.at(step)]


class Classification(Objective):
    def weights(self, rows):
        return {"loss": float(rows["labels"].shape[0])}

    def losses(self, model, rows):
        inputs = {k: v for k, v in rows.items() if k != "labels"}
        return {"loss": sequence_loss(model(**inputs).logits, rows["labels"])}


def plain_loop(model):
    """Fifty steps of their model with nothing but torch."""
    plain = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n or "layer_norm" in n]
    rest = [p for p in model.parameters() if all(p is not q for q in plain)]
    groups = [{"params": rest, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, eps=1e-6)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: step / WARMUP if step < WARMUP else 1 - step / STEPS
    )
    losses = []
    model.train()
    for step in range(STEPS):
        loss = model(**Batches().at(step)).loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("shape", [SHAPES[1], SHAPES[9]], ids=shape_name)
def test_fifty_steps_of_fine_tuning(shape, tmp_path):
    theirs = oracle("AlbertForSequenceClassification", shape, classifier_dropout_prob=0.0)
    ours = ours_from(theirs, tmp_path / "model")
    settings = TrainingSettings(
        optimizer="adamw", learning_rate=RATE, steps=STEPS, warmup_steps=WARMUP, weight_decay=DECAY, clip_norm=1.0,
        epsilon=1e-6, schedule="linear", precision="fp32", log_every=1,
    )  # fmt: skip
    tracker = Tracker(tmp_path, seed=0, tensorboard=False, progress=False)
    Trainer(ours, settings, Batches(), Classification(), tracker=tracker, folder=tmp_path / "checkpoints").run()
    got = torch.tensor([row["loss"] for row in tracker.metrics.rows() if row["event"] == "train"])
    expected = torch.tensor(plain_loop(theirs))
    assert len(got) == STEPS and expected[-5:].mean() < 0.7 * expected[:5].mean()
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-4, msg=lambda m: f"{ORACLE}: {m}")


# --- Files --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", FEW, ids=shape_name)
@pytest.mark.parametrize("name", NAMES)
def test_round_trip_is_bit_identical(name, shape, tmp_path):
    """G9: theirs -> ours -> theirs, every tensor, and the same logits to the bit."""
    theirs = oracle(name, shape)
    ours = ours_from(theirs, tmp_path / "a")
    again = theirs_from(ours, tmp_path / "b")
    before, after = theirs.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert torch.equal(after[key], value), f"{key}, {ORACLE}"
    assert (
        safetensors.torch.load_file(tmp_path / "a" / "model.safetensors").keys()
        == safetensors.torch.load_file(tmp_path / "b" / "model.safetensors").keys()
    )  # no tensor more either, such as a pooler that was never trained
    back = getattr(pretrained, name).from_pretrained(tmp_path / "b")
    assert back.load_report.needless == ours.load_report.needless
    for key, value in ours.state_dict().items():
        assert key in ours.load_report.needless or torch.equal(back.state_dict()[key], value), key


@pytest.mark.parametrize("name", NAMES)
def test_tables_cover_their_state_dict(name):
    """Their names are exactly those of the table, the tied decoder and what other classes have aside."""
    for shape in SHAPES:
        with torch.device("meta"):
            theirs = getattr(transformers, name)(transformers.AlbertConfig(hidden_size=16, num_attention_heads=4, num_hidden_layers=4,
                                                 vocab_size=VOCAB, intermediate_size=32, **shape))  # fmt: skip
        prefix = "albert." if name == "AlbertModel" else ""
        wanted = {prefix + key for key in theirs.state_dict()} - {
            "predictions.decoder.weight",
            "predictions.decoder.bias",
        }
        config = AlbertConfig.from_dict(theirs.config.to_dict()).replace(embedding_projection=True)
        named = {foreign for entry in hugging_face_table(config) for foreign in entry.theirs}
        assert wanted <= named, f"{ORACLE}: {sorted(wanted - named)}"
        encoder = {n for n in named if n.startswith("albert.") and ("pooler" not in n or name in NAMES[:2])}
        assert encoder <= wanted, f"{ORACLE}: {sorted(encoder - wanted)}"


@pytest.mark.parametrize("e", [8, 16])
@pytest.mark.parametrize("sharing", ["attention", "ffn", "none"])
def test_sharing_strategies_load_as_copies(sharing, e, tmp_path):
    """Table 4: theirs has one group per layer with equal logits; ours shares again after the way through the file."""
    config = AlbertConfig(
        vocab_size=VOCAB, embedding_size=e, hidden_size=16, num_hidden_layers=3, num_attention_heads=4, intermediate_size=32,
        max_position_embeddings=24, sharing=sharing, inner_group_num=2,
    )  # fmt: skip
    ours = noisy(pretrained.AlbertForPreTraining(config), std=0.15)
    theirs = theirs_from(ours, tmp_path)
    assert theirs.config.num_hidden_groups == 3
    assert_equal(outputs(ours, batch()), outputs(theirs, batch()), sharing)
    back = pretrained.AlbertForPreTraining.from_pretrained(tmp_path)
    assert back.config.sharing == sharing
    assert back.num_parameters() == ours.num_parameters() < theirs.num_parameters() + (sharing == "none")
    for key, value in ours.state_dict().items():
        assert torch.equal(back.state_dict()[key], value), key


@pytest.mark.parametrize("asked", [None, True])
def test_equal_widths_with_and_without_projection(asked, tmp_path):
    """A1: theirs always has a projection, so ours without one is written with the identity, and read without it."""
    config = AlbertConfig(
        vocab_size=VOCAB, embedding_size=16, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32,
        max_position_embeddings=24, embedding_projection=asked,
    )  # fmt: skip
    ours = noisy(pretrained.AlbertModel(config), std=0.15)
    theirs = theirs_from(ours, tmp_path)
    mapping = theirs.encoder.embedding_hidden_mapping_in
    is_identity = torch.equal(mapping.weight, torch.eye(16)) and not mapping.bias.any()
    assert is_identity == (asked is None)
    assert_equal(outputs(ours, batch()), outputs(theirs, batch()), "equal widths")
    back = pretrained.AlbertModel.from_pretrained(tmp_path)
    assert any("projection" in n for n, _ in back.named_parameters()) == (asked is True)
    assert not back.load_report.unexpected
    assert_equal(outputs(back, batch()), outputs(ours, batch()), "reloaded", rtol=0, atol=0)


def test_decoder_is_tied_there_and_its_bias_added_once(tmp_path):
    """G5, G6."""
    ours = noisy(pretrained.AlbertForMaskedLM.from_pretrained("random:nano", vocab_size=VOCAB, num_hidden_layers=2))
    assert ours.predictions.bias.abs().max() > 0.1
    theirs = theirs_from(ours, tmp_path)
    assert theirs.predictions.decoder.weight.data_ptr() == theirs.albert.embeddings.word_embeddings.weight.data_ptr()
    assert theirs.predictions.decoder.bias.data_ptr() == theirs.predictions.bias.data_ptr()
    assert_equal(outputs(ours, batch()), outputs(theirs, batch()), "masked LM")


@pytest.mark.parametrize("name", TWO_WAY)
def test_two_way_heads_load_whatever_the_labels(name, tmp_path):
    """G8: theirs sizes these heads by num_labels, ours does not."""
    config = AlbertConfig(
        vocab_size=VOCAB, embedding_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32,
        max_position_embeddings=24, num_labels=5,
    )  # fmt: skip
    ours = noisy(getattr(pretrained, name)(config))
    assert_equal(outputs(ours, batch()), outputs(theirs_from(ours, tmp_path), batch()), name)


def test_resized_vocabulary_loads_there(tmp_path):
    """G7."""
    ours = noisy(pretrained.AlbertForPreTraining.from_pretrained("random:nano", vocab_size=VOCAB, num_hidden_layers=2))
    ours.resize_token_embeddings(VOCAB + 7)
    theirs = theirs_from(ours, tmp_path)
    assert theirs.config.vocab_size == VOCAB + 7
    assert_equal(outputs(ours, batch()), outputs(theirs, batch()), "resized")


def test_precision_of_the_file_is_what_they_load(tmp_path):
    """Theirs loads in the precision config.json names: it has to be that of the tensors, not of where they came from."""
    rough = oracle("AlbertModel", {}).to(torch.bfloat16)
    ours = noisy(ours_from(rough, tmp_path / "a"))
    assert ours.pooler.weight.dtype == torch.float32
    again = theirs_from(ours, tmp_path / "b")
    assert again.dtype == torch.float32, ORACLE
    for key, value in again.state_dict().items():
        assert torch.equal(value, foreign_state(ours, ours.config)["albert." + key]), key


def test_architecture_written_is_the_class_saved(tmp_path):
    theirs = oracle("AlbertForMaskedLM", {})
    theirs.save_pretrained(tmp_path / "a")
    ours = pretrained.AlbertForSequenceClassification.from_pretrained(tmp_path / "a")
    ours.save_pretrained(tmp_path / "b")
    assert transformers.AutoConfig.from_pretrained(tmp_path / "b").architectures == ["AlbertForSequenceClassification"]


def test_unknown_keys_survive_both_ways(tmp_path):
    """A17."""
    theirs = oracle("AlbertModel", {}, gap_size=3, net_structure_type=0, ln_type="postln")
    again = theirs_from(ours_from(theirs, tmp_path / "a"), tmp_path / "b")
    assert (again.config.gap_size, again.config.net_structure_type, again.config.ln_type) == (3, 0, "postln")
