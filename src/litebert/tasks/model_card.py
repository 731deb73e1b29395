"""The README of a fine-tuned model folder, in the hub's format, from what the run knows (model cards: arXiv:1810.03993)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from litebert.checkpoint.pretrained import Pretrained
from litebert.tasks.base import Task

_SHOWN = 20
"""Labels named in a card."""
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
"""A bundled model, or one on the hub."""


@dataclass(frozen=True)
class About:
    """What a card says of a kind of task.

    Attributes:
        answers: What the model does.
        limits: What to mind, beside what holds for all.
        loads: Where else the folder loads.
    """

    answers: str
    limits: tuple[str, ...] = ()
    loads: str = "The folder also loads in `transformers`."


ABOUT: Mapping[str, About] = {
    "classify": About(
        "It gives a text, or a pair of texts, one of its labels, any number of them, or a value.",
        (
            "A score is a probability only as far as the figures on calibration (`ece`) say so, and only for texts like those.",
            "Decisions about people or what they wrote need somebody who looks at those in doubt.",
        ),
    ),
    "few-shot": About(
        "It gives a text one of its labels, from a few examples of each.",
        ("A handful of examples decides what a label means here: look at many answers before relying on them.",),
        "The folder needs LiteBERT: the label is found by the vector of the text.",
    ),
    "ner": About(
        "It marks entities in a text, with their first and last character.",
        ("An uncased vocabulary cannot tell may from May or us from US, which costs names most in ordinary prose.",),
    ),
    "qa": About(
        "It answers a question with a passage's own words, and their place in it.",
        (
            "An answer is what the passage says, true or not. A model that was trained without questions that have no answer finds one "
            "for every question.",
        ),
        "With the linear head the folder also loads in `transformers`; ALBERT's own head for SQuAD 2.0 needs LiteBERT.",
    ),
    "choice": About(
        "It chooses one of a question's options, with or without a passage.",
        ("The scores compare the options with each other; they do not say that one of them is right.",),
    ),
    "rerank": About(
        "It scores how well a text answers a query, to put search results into a better order.",
        ("Scores compare texts for one query; they are no probabilities, and those of two queries do not compare.",),
    ),
    "embed": About(
        "It makes a vector of a text; vectors of texts that mean the same lie close together.",
        ("A cosine has no fixed meaning: choose thresholds on texts like your own.",),
        "The folder also loads in `sentence-transformers`, and its encoder in `transformers`.",
    ),
    "summarize": About(
        "It chooses the sentences of a text that summarise it, with their places.",
        ("Sentences are taken out of what surrounds them: what `he` or `therefore` refers to may be missing.",),
        "The folder also loads in `transformers` as a classifier of tokens; how sentences are chosen needs LiteBERT.",
    ),
}
"""By the name of the task."""


def model_card(task: Task, model: Pretrained, provenance: Mapping[str, Any], *, max_length: int) -> str:
    """Return the card.

    Args:
        task: With labels and thresholds.
        model: With weights.
        provenance: As in ``litebert.json``.
        max_length: Tokens of a window.
    """
    about = ABOUT[task.name]
    limits = "\n".join(f"- {limit}" for limit in (*about.limits, *_LIMITS))
    return f"""---
library_name: litebert
tags: [albert, litebert, {task.name}]
pipeline_tag: {task.pipeline_tag}
{_base(provenance)}{_index(task, provenance)}---

# {task.name} model

{about.answers}

An ALBERT encoder with {model.num_parameters():,} parameters (one block of weights, applied again and again), fine-tuned by LiteBERT
{provenance.get("version", "")} for `{task.name}` from `{provenance.get("model", "")}`. It reads {max_length} tokens at a time, longer
texts in windows.

{_labels(task)}{_settings(task)}## Use

```python
import litebert

answer = litebert.load("PATH/TO/THIS/FOLDER")({task.usage})
```

Many at once: `litebert predict PATH/TO/THIS/FOLDER FILE --output answers.jsonl`. {about.loads}

## Figures on held-out data

{_figures(provenance)}

{provenance.get("seeds_note", "")}

## Training

{_training(provenance)}

## Data

{_sources(provenance)}

## Limits

{limits}
"""


_LIMITS = (
    "The figures hold for data like those above.",
    "An uncased vocabulary lower-cases a text and strips its accents; `tokenizer_config.json` says whether this one does.",
    "No check for bias was made.",
)


def _index(task: Task, provenance: Mapping[str, Any]) -> str:
    """Return the figures as the hub's machine-readable ``model-index``."""
    metrics = {name: value for name, value in provenance.get("metrics", {}).items() if isinstance(value, float)}
    if not metrics:
        return ""
    name = str(provenance.get("task", task.name))
    rows = "".join(
        f"          - {{type: {json.dumps(metric)}, value: {value:.6g}}}\n" for metric, value in metrics.items()
    )
    return (
        f"model-index:\n  - name: {json.dumps(task.name)}\n    results:\n      - task: {{type: {task.pipeline_tag}}}\n"
        f"        dataset: {{name: {json.dumps(name)}, type: {json.dumps(name)}}}\n        metrics:\n{rows}"
    )


def _base(provenance: Mapping[str, Any]) -> str:
    """Return the model it was fine-tuned from, where that is a name and no folder or random weights."""
    name = str(provenance.get("base_model") or "")
    return f"base_model: {name}\n" if _NAME.fullmatch(name) else ""


def _settings(task: Task) -> str:
    """Return what else decides an answer: thresholds, a review band, a temperature, a head."""
    kept = {name: value for name, value in task.to_dict().items() if name not in ("name", "labels", "kind")}
    shown = [(name, value[:_SHOWN] if isinstance(value, list) else value) for name, value in kept.items()]
    rows = "".join(f"- `{name}`: {json.dumps(value)}\n" for name, value in shown if value not in (None, [], {}))
    return f"What decides an answer, beside the weights (of several labels in their order):\n\n{rows}\n" if rows else ""


def _labels(task: Task) -> str:
    names: Sequence[str] = task.to_dict().get("labels", [])
    if not names:
        return ""
    more = f" ... ({len(names)} in all)" if len(names) > _SHOWN else ""
    return "Outputs: " + ", ".join(f"`{name}`" for name in names[:_SHOWN]) + more + "\n\n"


def _figures(provenance: Mapping[str, Any]) -> str:
    seeds, median = provenance.get("seeds", []), provenance.get("median", {})
    metrics = {name: value for name, value in provenance.get("metrics", {}).items() if isinstance(value, float)}
    without = provenance.get("baseline", {})
    if len(seeds) < 2:
        rows = [f"| {n} | {v:.4f} |" for n, v in (metrics | without).items()]
        return "| metric | value |\n|---|---|\n" + "\n".join(rows)
    rows = [f"| {n} | {v:.4f} | {median.get(n, float('nan')):.4f} |" for n, v in metrics.items()]
    rows += [f"| {n} | {v:.4f} | |" for n, v in without.items()]
    return f"| metric | this model | median of {len(seeds)} seeds |\n|---|---|---|\n" + "\n".join(rows)


def _training(provenance: Mapping[str, Any]) -> str:
    training = provenance.get("recipe", {}).get("training", {})
    kept: Mapping[str, Any] = next(
        (s for s in provenance.get("seeds", []) if s.get("seed") == provenance.get("kept_seed")), {}
    )
    machine = provenance.get("environment", {})
    if not training or not kept:
        return "Not recorded."
    return (
        f"{kept['steps']:,} steps of {training['batch_size']} records with {training['optimizer']} at {training['learning_rate']:g} "
        f"({training['schedule']} schedule), {kept['seconds'] / 60:.1f} minutes on {machine.get('processor') or 'one machine'}. "
        "Everything that decided the run is in `litebert.json`."
    )


def _sources(provenance: Mapping[str, Any]) -> str:
    data = provenance.get("data", {})
    return "\n".join(f"- {name}: {d.get('records')} records, sha256 `{d.get('sha256')}`" for name, d in data.items())
