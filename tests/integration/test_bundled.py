"""The checkpoint that comes with the package: small, honest about itself, and of use the minute it is installed."""

import json
from pathlib import Path

import pytest

import litebert
from litebert.checkpoint.reference import bundled_models
from litebert.corpus.shards import tokenizer_sha256
from litebert.pretrain.model_card import total_training
from litebert.pretrain.settings import PretrainSettings
from litebert.settings import build_settings

NAME = "litebert-small-en"
FOLDER = Path(litebert.__file__).parent / "resources" / "models" / NAME


@pytest.fixture(scope="module")
def info():
    return json.loads((FOLDER / "litebert.json").read_text())


def test_it_is_found_by_its_name():
    assert NAME in bundled_models()


def test_it_is_under_ten_megabytes():
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 10_000_000


def test_its_architecture_is_plain_albert():
    model = litebert.AlbertForPreTraining.from_pretrained(NAME)
    config = model.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.embedding_size) == (
        6,
        384,
        6,
        128,
    )
    assert (config.num_hidden_groups, config.inner_group_num, config.vocab_size) == (1, 1, 16_000)
    assert not model.load_report.missing and not model.load_report.unexpected


def test_the_vocabulary_is_its_own():
    tokenizer = litebert.AlbertTokenizer.from_pretrained(NAME)
    assert tokenizer.vocab_size == 16_000 and tokenizer.settings.lower
    assert (tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id) == (
        0,
        1,
        2,
        3,
        4,
    )
    assert tokenizer_sha256(tokenizer) != tokenizer_sha256(litebert.text.AlbertTokenizer.bundled())


def test_transformers_loads_it_with_equal_scores():
    import torch
    import transformers

    ids = torch.tensor(
        [litebert.AlbertTokenizer.from_pretrained(NAME).encode("the man went to the [MASK].", allow_special=True).ids]
    )
    ours = litebert.AlbertForPreTraining.from_pretrained(NAME)
    theirs = transformers.AlbertForPreTraining.from_pretrained(FOLDER).eval()
    with torch.no_grad():
        torch.testing.assert_close(ours(ids).prediction_logits, theirs(ids).prediction_logits, atol=2e-4, rtol=1e-4)


def test_it_fills_masks_out_of_the_box():
    """A function word whose place is beyond doubt; whoever has learnt nothing but frequencies says "the" or a comma."""
    fill = litebert.load(NAME)
    assert fill("he was born in the city [MASK] london.")[0].token_str.strip() == "of"
    assert fill("they did not want to go, but they had [MASK] go.")[0].token_str.strip() == "to"


def test_it_scores_the_order_of_sentences():
    order = litebert.load(NAME, task="coherence")
    answer = order(("the king died in 1901.", "his son then became king.")).to_dict()
    assert set(answer) >= {"label", "score"} and 0 <= answer["score"] <= 1


def test_the_card_says_what_it_is(info):
    card = (FOLDER / "README.md").read_text()
    for heading in ("## Figures", "## Training", "## Data", "## Limits"):
        assert heading in card
    assert f"{total_training(info['provenance'])['tokens']:,} tokens" in card
    for word in ("Wikipedia", "CC BY-SA", "public domain", "CC BY 4.0", "SHA-256"):
        assert word in card
    assert "/tmp" not in card + json.dumps(info) and "/home" not in card


def test_its_recipe_can_be_run_again(info):
    recipe = info["provenance"]["recipe"]
    assert build_settings(PretrainSettings, recipe).training.optimizer == "muon"
    assert {"mlm_loss", "mlm_accuracy", "sop_accuracy"} <= set(info["provenance"]["metrics"])
