"""The main job end to end on bundled data: customers' questions to a bank, 77 intents (Banking77, CC BY 4.0)."""

from __future__ import annotations

from pathlib import Path

from litebert.checkpoint.reference import RANDOM, bundled_models
from litebert.settings import build_settings, read_recipe
from litebert.tasks.finetune import FinetuneSettings

DATA = Path(__file__).parent.parent / "resources" / "banking77"

FRESH_QUESTIONS = (
    "Somebody must have copied my card, there are payments I never made!",
    "my top up has been pending since yesterday, what is going on",
    "Which currencies can I keep in the account?",
    "I moved to a new flat, how do I tell you my address?",
    "the machine swallowed my card",
)
"""Written for the demo; none of them is in the data."""


def demo_settings(*, seed: int = 0, minutes: float | None = None) -> FinetuneSettings:
    """Return the run of ``litebert demo``: the bundled checkpoint if there is one, else a small model from random weights.

    Args:
        seed: Of the run.
        minutes: Training time; None for as long as the recipe says.
    """
    models = bundled_models()
    recipe = read_recipe("demo" if models else "demo-random")
    training = {**recipe.get("training", {}), "seed": seed}
    if minutes is not None:
        training["minutes"] = minutes
    model = models[0] if models else recipe.get("model", RANDOM + "nano")
    files = {"train": str(DATA / "train.csv.xz"), "dev": str(DATA / "test.csv.xz")}
    return build_settings(FinetuneSettings, {**recipe, **files, "model": model, "training": training})
