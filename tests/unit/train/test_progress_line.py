"""The text of the progress line."""

from litebert.train.progress_line import progress_text

NAMES = {"mlm_loss": "MLM loss", "mlm_accuracy": "accuracy", "sop_accuracy": "SOP"}
FIGURES = {"gradient_norm": 0.5312, "tokens_per_second": 6812.3, "mfu": 0.434, "examples_per_second": 50.0}


def test_pretraining_shows_held_out_figures_speed_utilisation_and_norm():
    held_out = {"mlm_loss": 4.2345, "mlm_accuracy": 0.3121, "sop_accuracy": 0.8011, "other": 9.0}
    text = progress_text(4.1, FIGURES, held_out, names=NAMES, best=-4.2345)
    assert text == "loss 4.100 norm 0.53 6812 tokens/s MFU 43% held-out MLM loss 4.234, accuracy 0.312, SOP 0.801"


def test_before_the_first_evaluation_and_without_sentence_order():
    assert progress_text(7.0, FIGURES, {}, names=NAMES, best=None) == "loss 7.000 norm 0.53 6812 tokens/s MFU 43%"
    assert progress_text(7.0, FIGURES, {"mlm_loss": 5.0}, names=NAMES, best=-5.0).endswith("held-out MLM loss 5.000")


def test_fine_tuning_shows_its_best_main_figure():
    text = progress_text(0.5, {"examples_per_second": 31.4}, {"accuracy": 0.7}, names={}, best=0.75)
    assert text == "loss 0.500 31 examples/s best 0.7500"
