"""The README of a pretrained model folder, in the hub's format, from what the run knows about itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litebert.config import AlbertConfig


def model_card(name: str, config: AlbertConfig, parameters: int, provenance: Mapping[str, Any], *, length: int) -> str:
    """Return the card.

    Args:
        name: Of the model.
        config: Its architecture.
        parameters: Distinct ones.
        provenance: As in ``litebert.json``.
        length: Positions that were trained.
    """
    training, data = total_training(provenance), provenance["data"]
    machine = provenance["environment"]
    figures = "\n".join(f"| {metric} | {value:.4f} |" for metric, value in provenance["metrics"].items())
    held_out = f"## Figures on held-out text\n\n| figure | value |\n|---|---|\n{figures}\n" if figures else ""
    return f"""---
library_name: litebert
tags: [albert, litebert, fill-mask]
pipeline_tag: fill-mask
---

# {name}

An ALBERT with {parameters:,} parameters: one block {config.hidden_size} wide with {config.num_attention_heads} heads, applied
{config.num_hidden_layers} times, over embeddings {config.embedding_size} wide of {config.vocab_size:,} pieces. Pretrained by LiteBERT
{provenance.get("version", "")} on masked words and sentence order (arXiv:1909.11942).

## Use

```python
import litebert

fill = litebert.load("PATH/TO/THIS/FOLDER", task="fill-mask")
print(fill("the capital of france is [MASK]."))
```

Fine-tune it with `litebert finetune TASK --model PATH/TO/THIS/FOLDER ...`. The folder also loads in `transformers`.

{held_out}
## Training

{training["tokens"]:,} tokens in {training["steps"]:,} steps, {training["seconds"] / 3600:.1f} hours, at last on
{machine["processor"] or "one machine"} ({machine["cores"]} cores). The whole recipe is in `litebert.json`.

{stages_table(provenance)}
{_warnings(provenance)}
## Data

{_sources(data["train"])}

## Limits

Positions beyond {length} were not trained. What the model completes reflects its texts, their errors and their prejudices; it knows
no facts to rely on, and no check for bias was made.
"""


def _warnings(provenance: Mapping[str, Any]) -> str:
    told = "\n".join(f"- {message}" for message in provenance.get("warnings", []))
    return f"\n## Warnings of the run\n\n{told}\n" if told else ""


def stages(provenance: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the provenance of each run that a model has gone through, the first one first."""
    found = [provenance]
    while "continues" in found[0]:
        found.insert(0, found[0]["continues"])
    return found


def total_training(provenance: Mapping[str, Any]) -> dict[str, float]:
    """Return steps, tokens and seconds of all runs together."""
    runs = stages(provenance)
    return {name: sum(run["training"][name] for run in runs) for name in ("steps", "tokens", "seconds")}


def stages_table(provenance: Mapping[str, Any]) -> str:
    """Return a table of the runs."""
    lines = [
        "| run | tokens | steps | rows x positions | optimiser, learning rate | examples |",
        "|---|---|---|---|---|---|",
    ]
    for number, run in enumerate(stages(provenance), start=1):
        recipe, training = run["recipe"]["training"], run["training"]
        examples = run["recipe"]["examples"]
        cells = (
            number, f"{training['tokens']:,}", f"{training['steps']:,}", f"{recipe['batch_size']} x {examples['length']}",
            f"{recipe['optimizer']}, {recipe['learning_rate']:g}", examples["preset"],
        )  # fmt: skip
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def _sources(corpus: Mapping[str, Any]) -> str:
    total = f"{corpus['tokens']:,} tokens in {corpus['documents']:,} documents, fingerprint `{corpus['fingerprint']}`."
    rows = [f"| {s['name']} | {s['bytes']:,} | `{s['sha256']}` |" for s in corpus.get("sources", [])]
    return "\n".join([total, "", "| file | bytes | SHA-256 |", "|---|---|---|", *rows]) if rows else total
