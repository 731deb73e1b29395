"""Tasks by name, imported when asked for."""

import subprocess
import sys

import pytest

from litebert.errors import ConfigError, UsageError
from litebert.tasks.model_card import ABOUT
from litebert.tasks.registry import TASKS, ZERO_SHOT, task_class, task_from_info


@pytest.mark.parametrize("registry", [TASKS, ZERO_SHOT], ids=["trained", "zero-shot"])
def test_every_name_leads_to_the_class_that_bears_it(registry):
    assert len(registry) == len(set(registry)) > 3
    for name, found in registry.items():
        assert found.name == name


def test_an_unknown_name_is_told_its_nearest():
    assert "nothing" not in TASKS
    with pytest.raises(UsageError) as caught:
        task_class("clasify")
    assert "classify" in caught.value.hint


def test_a_pretrained_folder_says_which_tasks_need_no_training():
    with pytest.raises(ConfigError) as caught:
        task_from_info({}, model="here")
    assert all(name in caught.value.hint for name in ZERO_SHOT)


def test_loading_needs_no_task_but_the_one_that_answers():
    """What a first answer waits for: a task that every other import draws in would be paid for by all."""
    code = (
        "import sys, litebert; litebert.load('litebert-small-en', task='fill-mask', precision='fp32')\n"
        "print(' '.join(m for m in sys.modules if m.startswith('litebert.')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "litebert.tasks.fill_mask.task" in found
    unneeded = {
        "litebert.tasks.ner.task",
        "litebert.tasks.qa.task",
        "litebert.tasks.choice.task",
        "litebert.inference.explain",
    }
    assert not unneeded & set(found)


def test_every_task_that_is_trained_has_something_to_say_in_a_card():
    assert set(ABOUT) == set(TASKS)
