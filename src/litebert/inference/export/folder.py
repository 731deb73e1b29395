"""The folder of an export: the graph, the tokenizer, the configuration, a model card, an example; all of it or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import BertWordPieceTokenizer

from litebert import files
from litebert.checkpoint.pretrained import FORMAT_VERSION
from litebert.config import read_json_object
from litebert.errors import ConfigError, RunError, UsageError
from litebert.inference.backends.openvino_runtime import openvino_core, turn_matrices
from litebert.inference.backends.sessions import opened
from litebert.inference.export.example import FILES, example
from litebert.inference.export.subject import HEADS, Subject
from litebert.inference.graph.builder import needed, save
from litebert.inference.graph.network import INPUTS, output_names

MARK = "export"
"""Key of ``litebert.json`` that only exports have."""


def check_destination(out: Path, *, force: bool) -> None:
    """Refuse a folder that would be lost.

    Raises:
        UsageError: It is a file, or holds something, and is no earlier export or ``force`` was not asked for.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a folder", hint="Name a new folder.", path=out)
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not _is_export(out):
        raise UsageError(
            f"{out} holds something that is no export",
            hint="It is not replaced, not even with --force. Choose another --out.",
            path=out,
        )
    if not force:
        raise UsageError(f"{out} holds an export", hint="Add --force to replace it, or choose another --out.", path=out)


def _is_export(folder: Path) -> bool:
    try:
        return MARK in read_json_object(folder / "litebert.json")
    except ConfigError:
        return False


def write_graph(graph: Any, folder: Path, kind: str) -> Path:
    """Write a graph in a format.

    Args:
        graph: A ``ModelProto``.
        folder: Where to.
        kind: ``onnx`` or ``openvino``.

    Returns:
        The file to open.
    """
    path = folder / FILES[kind]
    if kind == "onnx":
        save(graph, path)
        return path
    openvino = needed("openvino")
    with opened(graph) as source:
        model = openvino_core().read_model(source)
        turn_matrices(model)
        for ours, theirs in zip(graph.graph.output, model.outputs, strict=True):
            theirs.get_tensor().set_names({ours.name})  # drops the names of what it was computed from
        try:
            openvino.save_model(model, str(path), compress_to_fp16=False)
        except RuntimeError as error:
            raise RunError(f"cannot write {path.name}: {error}", hint="Is the disk full?", path=path) from error
    return path


def write_companions(subject: Subject, folder: Path, kind: str, details: Mapping[str, Any], *, int8: bool) -> None:
    """Write everything that goes with the graph.

    Args:
        subject: What was exported.
        folder: Where the graph is.
        kind: ``onnx`` or ``openvino``.
        details: For ``litebert.json``: how it was exported and what was measured.
        int8: Whether in int8.
    """
    subject.tokenizer.save_pretrained(folder)
    if subject.tokenizer.kind == "wordpiece":
        _write_wordpiece(subject, folder / "tokenizer.json")
    config = subject.config.to_dict()
    files.write_json(folder / "config.json", {**config, "architectures": [type(subject.model).__name__]})
    files.write_text(folder / "README.md", card(subject, kind, details))
    files.write_text(folder / "example.py", example(subject, kind, int8=int8))
    kept = {key: subject.info[key] for key in ("text", "provenance") if key in subject.info}
    task = {} if subject.task_data is None else {"task": subject.task_data}
    files.write_json(folder / "litebert.json", {"format_version": FORMAT_VERSION, **task, **kept, MARK: dict(details)})


def _write_wordpiece(subject: Subject, path: Path) -> None:
    """Write what ``transformers`` would build from ``vocab.txt`` by itself, for those who have only ``tokenizers``."""
    tokenizer, settings = subject.tokenizer, subject.tokenizer.settings
    vocabulary = {piece: number for number, piece in enumerate(tokenizer.vocabulary)}
    names = {f"{role}_token": tokenizer.specials[role] for role in ("unk", "sep", "cls", "pad", "mask")}
    fast = BertWordPieceTokenizer(
        vocabulary, lowercase=settings.lower, strip_accents=settings.lower and not settings.keep_accents, **names
    )
    fast.save(str(path), pretty=False)


_RUNTIMES = {"onnx": "onnxruntime", "openvino": "openvino"}


def card(subject: Subject, kind: str, details: Mapping[str, Any]) -> str:
    """Return the README of an export."""
    config, runtime = subject.config, _RUNTIMES[kind]
    purpose = "" if subject.task_data is None else f" for `{subject.task_data['name']}`"
    shape = "(batch, choices, length)" if subject.head == "choice" else "(batch, length)"
    parity = details["parity"]
    return f"""---
library_name: {"onnx" if kind == "onnx" else "openvino"}
tags: [albert, litebert, {runtime}]
---

# An ALBERT{purpose} in {details["precision"]}, for {runtime}

{HEADS[subject.head].__name__}: one block of weights {config.hidden_size} wide, applied {
        details["applications"]
    } times and stored once.
Exported by LiteBERT {details["version"]} from `{Path(subject.reference).name}`.

## Run it

```sh
pip install {runtime} tokenizers numpy
python example.py
```

`example.py` needs nothing else. Inputs, int64 {shape}: {
        ", ".join(f"`{name}`" for name in INPUTS)
    }; batch and length are free, length up to
{config.max_position_embeddings} tokens, of which the model is used to {subject.max_length}. Outputs, float32: {
        ", ".join(f"`{name}`" for name in output_names(subject.model))
    }.

## Figures

Measured when it was written, against the float32 network in PyTorch: {
        f"largest difference of an output {parity:.1e}"
        if details["precision"] == "fp32"
        else f"relative error of the outputs {parity:.3f}"
    }.
{_drift(details)}{_metrics(details)}
## Limits

`tokenizer.json` gives the pieces of LiteBERT's own tokenizer but for rare pieces of digits and commas.{
        _notes(kind, details)
    }
"""


def _drift(details: Mapping[str, Any]) -> str:
    if not details.get("drift"):
        return ""
    values = ", ".join(f"{value:.3f}" for value in details["drift"])
    return f"\nRelative error of the states against float32, of the embedding and after each application: {values}.\n"


def _metrics(details: Mapping[str, Any]) -> str:
    if not details.get("metrics"):
        return ""
    rows = "\n".join(
        f"| {m['name']} | {m['metric']} | {m['before']:.4f} | {m['after']:.4f} |" for m in details["metrics"]
    )
    return f"\n| data | metric | float32 in PyTorch | this file |\n|---|---|---|---|\n{rows}\n"


def _notes(kind: str, details: Mapping[str, Any]) -> str:
    if details["precision"] == "int8" and kind == "onnx":
        return " On processors with neither VNNI nor AMX some int8 products saturate in ONNX Runtime; use the float32 export there."
    if details["precision"] == "fp32" and kind == "openvino":
        return " OpenVINO computes in bfloat16 where the processor has it, unless told INFERENCE_PRECISION_HINT=f32 as in `example.py`."
    return ""
