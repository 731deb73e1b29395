"""``litebert info``: what a model is."""

from __future__ import annotations

from typing import Any

import click

from litebert.cli.output import common_options, print_result, some_of, table

_ORIGINS = {"huggingface": "Hugging Face folder", "google": "Google TensorFlow checkpoint"}


@click.command("info")
@click.argument("model")
@common_options
def command(model: str, as_json: bool, debug: bool) -> None:  # noqa: ARG001
    """Show configuration, parameters, memory, task and provenance of MODEL.

    \b
    Example:
      litebert info albert_base.tar.gz
    """  # noqa: D301
    from litebert.checkpoint.pretrained import read_source
    from litebert.config import count_parameters

    source = read_source(model)
    config = source.config
    shared, unshared = count_parameters(config), count_parameters(config, shared=False)
    heads = sorted({name.split(".")[0] for name in source.tensors} - {"albert"})
    in_heads = sum(tensor.numel() for name, tensor in source.tensors.items() if not name.startswith("albert."))
    task = source.info.get("task") or {}
    data: dict[str, Any] = {
        "model": model, "origin": source.origin, "config": config.to_dict(),
        "parameters": {"shared": shared, "as_if_unshared": unshared, "heads": in_heads},
        "memory_bytes": {"float32": 4 * shared, "bfloat16": 2 * shared},
        "heads": heads, "task": task, "provenance": source.info.get("provenance") or {},
    }  # fmt: skip
    applications = config.num_hidden_layers * config.inner_group_num
    blocks = config.num_hidden_groups * config.inner_group_num
    rows = [
        ("model", model),
        ("read as", _ORIGINS.get(source.origin, "random weights")),
        ("size", f"{applications} applications of {blocks} block{'s' * (blocks > 1)}, {config.hidden_size} wide, "
                 f"{config.num_attention_heads} heads, feed-forward {config.intermediate_size}"),
        ("embedding", f"{config.vocab_size} pieces x {config.embedding_size}, up to {config.max_position_embeddings} tokens"),
        ("activation", config.hidden_act),
        ("dropout", f"hidden {config.hidden_dropout_prob:g}, attention {config.attention_probs_dropout_prob:g}, "
                    f"classifier {config.classifier_dropout_prob:g}"),
        ("parameters", f"{shared:,} in encoder and pooler (as if unshared: {unshared:,})"
                       + (f", {shared + in_heads:,} with its heads" if in_heads else "")),
        ("weights", f"{4 * shared / 1e6:.1f} MB in float32, {2 * shared / 1e6:.1f} MB in bfloat16"),
        ("heads", ", ".join(heads) or "none"),
        ("task", _task_line(task)),
    ]  # fmt: skip
    metrics = data["provenance"].get("metrics", {})
    if metrics:
        rows.append(("on held-out data", ", ".join(f"{k} {v:.4f}" for k, v in metrics.items() if isinstance(v, float))))
    print_result("info", data, table(rows), as_json=as_json, warnings=source.notes)


def _task_line(task: dict[str, Any]) -> str:
    if not task:
        return "none: an encoder to fine-tune"
    labels = task.get("labels", [])
    if not labels and "kind" not in task:
        return str(task.get("name"))
    return f"{task.get('name')} ({task.get('kind', '')}): {some_of(labels, 6)}"
