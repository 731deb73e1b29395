"""Put a model for sentence vectors into the package, with a card made of what was measured.

    python benchmarks/bundle_embed.py RUN [--name litebert-small-en-embed]

RUN is a folder of litebert finetune embed. The card takes its figures from benchmarks/results (embeddings.json, search.json): bundle, run
litebert bench embeddings and litebert bench search, bundle again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from bundle import LICENCES, MODELS, result

from litebert.checkpoint.pretrained import AlbertForSentenceEmbedding, AlbertTokenizer
from litebert.files import write_json, write_text

TEACHER = "all-MiniLM-L6-v2"
FIRST = """Two trainings. The first, from `litebert-small-en`: 628,327 texts, 6,164 batches of 64, learning rate 0.001. The second, from there:
"""
PAIRS = {
    "SNLI (dev and test)": "CC BY-SA 4.0", "MultiNLI (dev)": "OANC and others", "STS-B (train)": "mostly CC BY-SA 4.0",
    "SciTail (dev and test)": "Apache-2.0", "PAWS-X (English dev)": "free use with attribution",
    "QNLI (dev and test)": "CC BY-SA 4.0", "questions of SQuAD 1.1 (a part of train)": "CC BY-SA 4.0",
}  # fmt: skip


def figures(name: str) -> str:
    found = result("embeddings")
    if not found or name not in found["rows"]:
        return "Not measured yet."
    rows, sets = found["rows"], list(found["rows"][name]["whole"])
    lines = [f"| vectors | {' | '.join(sets)} |", "|---|" + "---|" * len(sets)]
    told = {"whole": "all numbers", "int8": "in int8", "bits": "in bits"}
    lines += [
        f"| {told.get(form, form)} | {' | '.join(f'{100 * row[s]:.1f}' for s in sets)} |"
        for form, row in rows[name].items()
    ]
    teacher = next((forms["whole"] for other, forms in rows.items() if other != name), None)
    if teacher:
        lines.append(f"| the teacher | {' | '.join(f'{100 * teacher[s]:.1f}' for s in sets)} |")
    searched = (result("search") or {}).get("cranfield", {}).get("rows", {})
    cranfield = [
        f"| {label} | {' | '.join(format(100 * searched[key][mode]['nDCG@10'], '.1f') for mode in ('dense', 'hybrid'))} |"
        for label, key in (("this model", name), ("the teacher", f"sentence-transformers:{TEACHER}"))
        if key in searched
    ]
    if cranfield:
        lines += ["", "nDCG@10 on Cranfield:", "", "| vectors by | dense | with BM25 |", "|---|---|---|", *cranfield]
    return "\n".join(lines)


def card(name: str, info: dict[str, Any], model: AlbertForSentenceEmbedding) -> str:
    p = info["provenance"]
    run = p["recipe"]["training"]
    steps, size = p["seeds"][0]["steps"], run["batch_size"]
    begun = FIRST if p["model"] == name else ""
    sources = "\n".join(f"- {what}: {licence}" for _, (what, licence) in LICENCES.items())
    pairs = "\n".join(f"- {what}: {licence}" for what, licence in PAIRS.items())
    return f"""---
library_name: litebert
language: en
license: apache-2.0
tags: [albert, litebert, sentence-transformers, sentence-similarity]
pipeline_tag: sentence-similarity
---

# {name}

Sentence vectors of {model.config.hidden_size} numbers from an ALBERT of {model.num_parameters():,} parameters: `litebert-small-en`, taught the vectors of
`{TEACHER}` (Apache-2.0), which has five times as many.

```python
import litebert

model = litebert.load("{name}")
model(["a text", "another one"])[0].vector  # float32, of length 1
model(("a text", "another one")).score  # their cosine
```

`litebert index {name} FOLDER --out index` makes files searchable; `litebert finetune few-shot --model {name}` learns labels from a few
examples. The folder also loads in `sentence-transformers`.

## Figures

Spearman's correlation with human similarities:

{figures(name)}

## Training

{begun}{p["data"]["train"]["records"]:,} texts, each with the teacher's vector: its own vector is pulled to it, and the cosines between the texts of a
batch to the teacher's, over prefixes of the vectors too (Matryoshka), so that they can be cut. Learning rate {run.get("learning_rate", "")},
{steps:,} batches of {size}: {steps * size / p["data"]["train"]["records"]:.2f} times all texts. Everything is in `litebert.json`.

## Data

Sentences of the corpus of `litebert-small-en`, one in eight a run of two or three, its words and runs of two to six of them (half of the
texts of the second training), passages, and the texts of pairs; nothing the model is judged on
above, but for captions that SNLI and SICK share the sources of:

{sources}
- MedQuAD's questions and answers: public domain and CC BY 4.0
{pairs}

## Limits

English, uncased; the limits and prejudices of the teacher and of `litebert-small-en` are its own. Texts beyond {info["text"]["max_length"]} tokens are read in
windows whose vectors are averaged. No check for bias was made.
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", default="litebert-small-en-embed")
    arguments = parser.parse_args()
    out = MODELS / arguments.name
    model = AlbertForSentenceEmbedding.from_pretrained(arguments.run)
    info = json.loads((arguments.run / "litebert.json").read_text())
    model.max_length = info["text"]["max_length"]
    recipe = info["provenance"]["recipe"]
    for name in ("train", "dev", "model", "data"):
        recipe[name] = recipe[name] and Path(recipe[name]).name
    AlbertTokenizer.from_pretrained(arguments.run).save_pretrained(out)
    model.save_pretrained(out, stored=torch.float16)
    write_json(out / "litebert.json", info)
    write_text(out / "README.md", card(arguments.name, info, model))
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
