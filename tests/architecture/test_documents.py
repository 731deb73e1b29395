"""Recipes, README and docs say what the code does."""

import re
import runpy
import shlex
from pathlib import Path

import click
import pytest

from litebert.cli.main import COMMANDS, cli
from litebert.cli.reference import command_reference, settings_reference
from litebert.config import PRESETS, AlbertConfig
from litebert.pretrain.settings import PretrainSettings, with_defaults
from litebert.settings import build_settings, read_recipe, recipe_folder, recipe_names
from litebert.tasks.finetune import FinetuneSettings, with_suggestions

ROOT = Path(__file__).parents[2]
TABLE_14 = {  # learning rate, batch, ALBERT dropout, steps, warm-up
    "cola": (1e-5, 16, 0, 5336, 320), "stsb": (2e-5, 16, 0, 3598, 214), "sst2": (1e-5, 32, 0, 20935, 1256),
    "mnli": (3e-5, 128, 0, 10000, 1000), "qnli": (1e-5, 32, 0, 33112, 1986), "qqp": (5e-5, 128, 0.1, 14000, 1000),
    "rte": (3e-5, 32, 0.1, 800, 200), "mrpc": (2e-5, 32, 0, 800, 200), "wnli": (2e-5, 16, 0.1, 2000, 250),
}  # fmt: skip


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_a_valid_run_file(name):
    text = (recipe_folder() / f"{name}.toml").read_text()
    head = [line for line in text.splitlines() if line.startswith("#")]
    assert any("Launch:" in line for line in head) and any("Expected:" in line for line in head)
    recipe = read_recipe(name)
    if name.startswith("pretrain/"):
        settings = build_settings(PretrainSettings, with_defaults({"corpus": "corpus", **recipe}))
        assert settings.training.batch_size % settings.block == 0
    else:
        settings = build_settings(FinetuneSettings, with_suggestions({"model": "random:nano", **recipe}))
    assert settings.training.total_steps(100) > 0


@pytest.mark.parametrize("size", ["base", "large", "xlarge", "xxlarge"])
@pytest.mark.parametrize("version", [1, 2])
def test_pretraining_recipes_are_the_papers(size, version):
    """Section 4.1 and the flags of Google's run_pretraining.py; v2 is longer and without dropout."""
    settings = build_settings(
        PretrainSettings, with_defaults({"corpus": "corpus", **read_recipe(f"pretrain/{size}-v{version}")})
    )
    training = settings.training
    assert (training.optimizer, training.learning_rate, training.batch_size, training.warmup_steps) == (
        "lamb",
        0.00176,
        4096,
        3125,
    )
    assert (training.weight_decay, training.clip_norm, training.schedule) == (0.01, 1.0, "linear")
    assert (training.beta1, training.beta2, training.epsilon) == (0.9, 0.999, 1e-6)
    assert training.steps == (125_000 if version == 1 else 10_000_000 if size == "base" else 3_000_000)
    assert settings.model == f"random:{size}-v{version}"
    examples = settings.examples
    assert (examples.length, examples.mask_rate, examples.ngrams, examples.short_probability) == (512, 0.15, 3, 0.1)
    assert (examples.sentence_objective, examples.lone, examples.max_predictions) == ("sop", "skip", None)


@pytest.mark.parametrize("task", TABLE_14)
def test_paper_recipes_are_table_14(task):
    rate, batch, dropout, steps, warmup = TABLE_14[task]
    recipe = read_recipe(f"glue/{task}")
    training, config = recipe["training"], recipe["config"]
    assert (training["learning_rate"], training["batch_size"], training["steps"], training["warmup_steps"]) == (
        rate, batch, steps, warmup,
    )  # fmt: skip
    assert config == {
        "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout, "classifier_dropout_prob": 0.1,
    }  # fmt: skip
    assert recipe["text"] == {"max_length": 512, "long_text": "truncate"}
    assert training["optimizer"] == "google-adamw"


def shell_lines(path):
    for block in re.findall(r"```(?:bash|sh|console)\n(.*?)```", path.read_text(), flags=re.S):
        for line in block.replace("\\\n", " ").splitlines():
            code = line.split("#")[0].strip()
            if code:
                yield code


def litebert_calls():
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for line in shell_lines(path):
            for part in re.split(r"\||&&", line):
                words = shlex.split(part)
                if words and words[0] == "litebert":
                    yield pytest.param(words[1:], id=f"{path.name}:{part.strip()[:60]}")


@pytest.mark.parametrize("arguments", list(litebert_calls()))
def test_every_documented_call_parses(arguments):
    """The README's blocks are also run for real in tests/integration/test_readme.py."""
    name, *rest = arguments
    if name.startswith("-"):
        return
    group = cli.make_context("litebert", [name], resilient_parsing=True)
    command = cli.get_command(group, name)
    assert command is not None
    command.make_context(name, rest, parent=group)


def test_every_recipe_that_is_named_exists():
    """In README, docs, the help texts of the commands, and the heads of recipes and launch files."""
    places = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "src" / "litebert" / "cli").glob("*.py")]
    places += [path for path in recipe_folder().rglob("*") if path.is_file()]
    named = {
        (path.name, name)
        for path in places
        for name in re.findall(r"--recipe[ =]([\w/.-]+)", path.read_text())
        if name != "TEXT" and not name.endswith(".toml")  # what stands for one, and a file of the reader's
    }
    assert ("commands.md", "pretrain/small") in named and len(named) > 30
    assert {(where, name) for where, name in named if name not in recipe_names()} == set()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_size_has_a_recipe_for_pretraining(name):
    settings = build_settings(PretrainSettings, with_defaults({"corpus": "corpus", **read_recipe(f"pretrain/{name}")}))
    layers = AlbertConfig.preset(name).num_hidden_layers
    assert settings.model == f"random:{name}"
    assert all(depth < layers for _, depth in settings.curriculum.depths)


def test_command_reference_is_current():
    assert (ROOT / "docs" / "commands.md").read_text() == command_reference(), "run: make docs"


def test_settings_reference_is_current():
    assert (ROOT / "docs" / "settings.md").read_text() == settings_reference(), "run: make docs"


def test_benchmark_tables_are_current(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))  # as for a program: tables stand in several files there
    found = runpy.run_path(str(ROOT / "benchmarks" / "tables.py"))
    assert (ROOT / "docs" / "benchmarks.md").read_text() == found["page"](), "run: make docs"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example(name):
    assert "Example:" in cli.get_command(click.Context(cli), name).help


def test_the_readme_names_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text and "make test" in text


def test_documents_speak_of_the_project_alone():
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]:
        text = path.read_text()
        assert not re.search(rf"/({'|'.join(('root', 'home', 'tmp', 'work'))})/", text), path


def test_every_test_named_in_the_ledger_exists():
    ledger = (ROOT / "docs" / "deviations.md").read_text()
    tests = "\n".join(p.read_text() for p in (ROOT / "tests").rglob("*.py"))
    named = re.findall(r"`(test_\w+)`", ledger)
    assert len(named) > 20
    missing = [name for name in named if f"def {name}(" not in tests]
    assert not missing


@pytest.mark.parametrize(
    ("version", "rate", "steps", "warmup", "length"), [(1, 5e-5, 3649, 365, 384), (2, 3e-5, 8144, 814, 512)]
)
def test_squad_recipes_are_table_14(version, rate, steps, warmup, length):
    recipe = read_recipe(f"squad/v{version}")
    training = recipe["training"]
    assert (training["learning_rate"], training["batch_size"]) == (rate, 48)
    assert (training["steps"], training["warmup_steps"], recipe["text"]["max_length"]) == (steps, warmup, length)
    assert recipe["config"]["hidden_dropout_prob"] == 0 and recipe["config"]["classifier_dropout_prob"] == 0.1
