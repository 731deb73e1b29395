"""Google's TensorFlow checkpoints and TF-Hub folders, read without TensorFlow.

Names and shapes: ``modeling.py``, ``run_pretraining.py``, ``run_classifier.py``, ``run_squad_v1.py`` of google-research/albert.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from litebert.checkpoint.names import IGNORED_GOOGLE_SUFFIXES, google_table
from litebert.checkpoint.source import Source, translate
from litebert.checkpoint.tensor_bundle import read_bundle
from litebert.config import PRESETS, AlbertConfig, read_json_object
from litebert.errors import CheckpointError

_PER_APPLICATION = re.compile(r"group_\d+_\d+/layer_\d+/")
_TF2_OBJECT = ".ATTRIBUTES/VARIABLE_VALUE"
_HUB_PREFIX = "module/"
_WORD = "bert/embeddings/word_embeddings"
_ACTIVATIONS = {"gelu": "gelu_new", None: "linear", "": "linear"}
"""Google's ``get_activation``: its "gelu" is the tanh approximation (checklist A6); nothing means linear."""


def read_google(prefix: Path, config_file: Path | None, changes: Mapping[str, Any] | None = None) -> Source:
    """Read a checkpoint.

    Args:
        prefix: Path of the bundle without ``.index``.
        config_file: ``albert_config.json``; None to recognise a released size by the shapes of its tensors.
        changes: Configuration fields to override.

    Raises:
        CheckpointError: Damaged, not fully shared, or of a size that needs its configuration file.
    """
    foreign: dict[str, Tensor] = {}
    ignored: list[str] = []

    def wanted(name: str) -> bool:
        if name.endswith(IGNORED_GOOGLE_SUFFIXES):
            ignored.append(name)
            return False
        return True

    for name, array in read_bundle(prefix, names=wanted).items():
        foreign[name.removeprefix(_HUB_PREFIX)] = torch.from_numpy(array)
    _refuse_foreign_layout(foreign, prefix)
    notes = []
    if config_file is not None:
        config = google_config(read_json_object(config_file))
    else:
        config, name = _recognise(foreign, prefix)
        notes.append(f"no albert_config.json: recognised as {name} by the shapes of its tensors")
    config = config.replace(**changes) if changes else config
    ours, used = translate(google_table(config), foreign, prefix)
    if "classifier.weight" in ours and not (changes and {"num_labels", "id2label"} & changes.keys()):
        config = config.replace(num_labels=ours["classifier.weight"].shape[0])
    return Source("google", prefix.parent, config, ours, sorted(foreign.keys() - used), sorted(set(ignored)), {}, notes)


def google_config(data: Mapping[str, Any]) -> AlbertConfig:
    """Translate the contents of ``albert_config.json``; unknown keys are kept (checklist A17)."""
    act = data.get("hidden_act", "gelu")
    act = _ACTIVATIONS.get(act.lower() if isinstance(act, str) else act, act)
    return AlbertConfig.from_dict({**data, "hidden_act": act})


def _refuse_foreign_layout(foreign: Mapping[str, Tensor], prefix: Path) -> None:
    unshared = next((name for name in foreign if _PER_APPLICATION.search(name)), None)
    if unshared is not None:
        raise CheckpointError(
            f"this checkpoint has weights of its own for every application ({unshared}): it is not a fully shared ALBERT",
            hint="It was probably trained under TensorFlow 2 by mistake (google-research/albert#241); LiteBERT does not read it.",
            path=prefix,
        )
    if _WORD in foreign:
        return
    tf2 = any(_TF2_OBJECT in name for name in foreign)
    raise CheckpointError(
        f"no {_WORD} among its {len(foreign)} tensors: this is not a Google ALBERT checkpoint",
        hint="It was saved by TensorFlow 2's object saver; export it with TensorFlow 1 names." if tf2 else None,
        path=prefix,
    )


def _recognise(foreign: Mapping[str, Tensor], prefix: Path) -> tuple[AlbertConfig, str]:
    vocab, e = foreign[_WORD].shape
    kernel = foreign.get("bert/encoder/transformer/group_0/inner_group_0/ffn_1/intermediate/dense/kernel")
    size = None if kernel is None else tuple(kernel.shape)
    for name in ("base-v2", "large-v2", "xlarge-v2", "xxlarge-v2"):
        preset = PRESETS[name]
        if (e, size) == (128, (preset["hidden_size"], preset["intermediate_size"])):
            return AlbertConfig.preset(name, vocab_size=vocab), name
    raise CheckpointError(
        "there is no albert_config.json, and the tensors have the shape of no released size",
        hint="Put the model's albert_config.json beside it; the number of heads and applications cannot be read off the tensors.",
        path=prefix,
    )
