"""Put a finished pretraining run into the package as a bundled model, with a card made of what was measured.

    python benchmarks/bundle.py RUN --name litebert-small-en --vocabulary FOLDER [--corpus DIR]

Writes src/litebert/resources/models/NAME: weights in half precision, vocabulary, litebert.json, README.md. The card takes its figures from
the run and from benchmarks/results (NAME-pretraining.json, NAME-blimp.json: saved outputs of litebert evaluate --json; checkpoint.json).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from litebert.checkpoint.pretrained import AlbertForPreTraining, AlbertTokenizer
from litebert.files import write_json, write_text
from litebert.pretrain.model_card import stages, stages_table, total_training

ROOT = Path(__file__).parent.parent
MODELS = ROOT / "src" / "litebert" / "resources" / "models"
RESULTS = ROOT / "benchmarks" / "results"
LICENCES = {
    "wiki-en": ("English Wikipedia of 2015, long articles", "CC BY-SA 3.0 / GFDL"),
    "books-en": ("public-domain books", "public domain"),
    "textbooks-en": ("OpenStax textbooks", "CC BY 4.0"),
    "docs-python-peps": ("Python enhancement proposals", "public domain / CC0"),
    "speeches-en-us-presidents": ("State of the Union and inaugural addresses", "public domain"),
}


def result(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else None


def sources(corpus: Path) -> str:
    report = json.loads((corpus / "report.json").read_text())
    manifest = json.loads((corpus / "manifest.json").read_text())
    hashes = {entry["url"]: entry["sha256"] for entry in manifest["inputs"]}
    total = sum(s["tokens"] for s in report["sources"])
    lines = ["| file | what | licence | tokens | share | SHA-256 of the text |", "|---|---|---|---|---|---|"]
    for s in sorted(report["sources"], key=lambda s: s["source"]):
        name = Path(s["source"]).name
        what, licence = next(v for k, v in LICENCES.items() if name.startswith(k))
        lines.append(
            f"| {name} | {what} | {licence} | {s['tokens']:,} | {s['tokens'] / total:.1%} | `{hashes[s['source']][:16]}...` |"
        )
    return "\n".join(lines)


def figures(name: str, info: dict[str, Any]) -> str:
    lines = ["| figure | value |", "|---|---|"]
    pretraining = result(f"{name}-pretraining")
    metrics = next(iter(pretraining["data"].values()))["metrics"] if pretraining else info["provenance"]["metrics"]
    told = {
        "mlm_loss": "masked-LM loss (15%, n-grams)",
        "mlm_accuracy": "masked-LM accuracy",
        "sop_accuracy": "sentence-order accuracy",
    }
    lines += [f"| {told.get(k, k)} | {v:.4f} |" for k, v in metrics.items()]
    blimp = result(f"{name}-blimp")
    for variant, row in (blimp["data"] if blimp else {}).items():
        told_variant = variant.removeprefix("blimp/")
        lines.append(
            f"| BLiMP, {told_variant}, mean of 67 paradigms ({row['records']:,} pairs) | {100 * row['metrics']['accuracy']:.1f} |"
        )
    return "\n".join(lines)


def curve(runs: list[Path], rows: int = 14) -> str:
    """Return held-out loss and accuracies on the way, by tokens seen; a run that another one continues counts up to where that began."""
    seen, points = 0.0, []
    for run in runs:
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        step = 0
        for line in lines:
            if line["event"] == "train":
                seen += line["tokens"] * (line["step"] - step)
                step = line["step"]
            elif line["event"] == "eval":
                points.append((seen, line["dev/mlm_loss"], line["dev/mlm_accuracy"], line["dev/sop_accuracy"]))
    kept = points[:: max(1, len(points) // rows)]
    kept += [points[-1]] if kept[-1] is not points[-1] else []
    table = ["| million tokens | masked-LM loss | accuracy | sentence order |", "|---|---|---|---|"]
    return "\n".join(table + [f"| {t / 1e6:.1f} | {loss:.3f} | {a:.3f} | {o:.3f} |" for t, loss, a, o in kept])


def tasks() -> str:
    found = result("checkpoint")
    if not found or "published" not in found:
        return "Not measured yet."
    lines = [
        "| task | metric | this model | random weights | TF-IDF + linear | BERT-Tiny / BERT-Mini (GLUE test) |",
        "|---|---|---|---|---|---|",
    ]
    for task, row in found["tasks"].items():
        cells = []
        for arm in ("pretrained", "random"):
            r = row.get(arm)
            spread = f" ± {100 * r['deviation']:.1f}" if r and r["deviation"] is not None else ""
            cells.append(f"{100 * r['median']:.1f}{spread} ({len(r['scores'])} seeds)" if r else "")
        bag = row["bag of words"]
        published = " / ".join(str(found["published"][m].get(task, "")) for m in found["published"])
        lines.append(
            f"| {task} | {bag['metric']} | {cells[0]} | {cells[1]} | {100 * bag['median']:.1f} | {published} |"
        )
    return "\n".join(lines)


def recipe_of(run: Mapping[str, Any]) -> str:
    """Tell one run's recipe in a sentence."""
    recipe = run["recipe"]
    training, examples, curriculum = recipe["training"], recipe["examples"], recipe["curriculum"]
    masks = f"{examples['mask_rate']:.0%}"
    if (final := examples["final_mask_rate"]) not in (None, examples["mask_rate"]):
        masks += f" down to {final:.0%}"
    parts = [
        f"Muon {training['matrix_learning_rate']:g} on the block's matrices and AdamW {training['learning_rate']:g} elsewhere, "
        f"a trapezoid that decays over the last {training['decay_fraction']:.0%}",
        f"{masks} masked",
    ]
    if curriculum["depths"]:
        parts.append(f"depths {curriculum['depths']} before 6")
    if examples["single_words_until"]:
        parts.append(f"single words before n-grams up to {examples['single_words_until']:.0%} of the run")
    if examples["sentence_from"]:
        parts.append(f"sentence order from {examples['sentence_from']:.0%} on")
    if again := examples.get("repeat_probability"):
        parts.append(f"{again:.0%} of the pairs repeated segments")
    return "; ".join(parts)


def card(name: str, info: dict[str, Any], model: AlbertForPreTraining, corpus: Path, runs: list[Path]) -> str:
    p = info["provenance"]
    training, env = total_training(p), p["environment"]
    recipes = "\n".join(f"{number}. {recipe_of(run)}." for number, run in enumerate(stages(p), start=1))
    return f"""---
library_name: litebert
language: en
license: apache-2.0
tags: [albert, litebert, fill-mask]
pipeline_tag: fill-mask
---

# {name}

An ALBERT of {model.num_parameters():,} parameters: one block 384 wide with 6 heads, applied 6 times, over embeddings 128 wide of 16,000 uncased
pieces. Trained from random weights by LiteBERT on {training["tokens"]:,} tokens, on two processor cores in {training["seconds"] / 3600:.1f} hours.

```python
import litebert

fill = litebert.load("{name}")  # fill-mask
order = litebert.load("{name}", task="coherence")  # are two sentences in order?
```

Fine-tune it: `litebert finetune classify --model {name} --train FILE --out DIR`. The folder also loads in `transformers`.

## Figures

Held-out text: a disjoint sample of Wikipedia that was never trained on. Both BLiMP variants, ties as one half, temperature 1.

{figures(name, info)}

Fine-tuned, median and standard deviation of seeds on dev, one setting for all tasks:

{tasks()}

## Training

{stages_table(p)}

No dropout; bfloat16 products; batches of 32 rows at first. The runs, one going on from the state of the other before its learning rate decayed:

{recipes}

Everything is in `litebert.json`; why it is so, in the project's log. Machine: {env["processor"]}, {env["cores"]} cores.

On 512 held-out rows on the way, each at the depth it had then:

{curve(runs)}

## Data

{sources(corpus)}

The articles of SQuAD's dev set are excluded by title, and no evaluation set was added; overlap with others was not searched for. Wikipedia's text carries its licence along to what quotes
it, not, by common practice, to model weights; it is named all the same.

## Limits

English, uncased, without accents; books of the nineteenth century weigh much in it. Positions beyond {info["text"]["max_length"]} were not trained, and longer texts
are read in windows. It is a small model trained on little text: it knows few facts, completes with the prejudices of its sources, and was
not checked for bias. Do not let it decide about people.
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "--earlier", type=Path, nargs="*", default=[], help="folders with the metrics.jsonl of the runs it continues"
    )
    parser.add_argument("--name", default="litebert-small-en")
    parser.add_argument("--vocabulary", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    arguments = parser.parse_args()
    out = MODELS / arguments.name
    model = AlbertForPreTraining.from_pretrained(arguments.run)
    info = json.loads((arguments.run / "litebert.json").read_text())
    model.save_pretrained(out, stored=torch.float16)
    AlbertTokenizer.from_pretrained(arguments.vocabulary).save_pretrained(out)
    write_json(out / "litebert.json", info)
    write_text(
        out / "README.md", card(arguments.name, info, model, arguments.corpus, [*arguments.earlier, arguments.run])
    )
    print(f"{out}: {sum(f.stat().st_size for f in out.iterdir()) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
