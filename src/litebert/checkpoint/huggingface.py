"""Hugging Face folders, old and new: ``config.json`` with ``model.safetensors`` (whole or in shards) or ``pytorch_model.bin``.

A pickled file is only ever read through PyTorch's weights-only loader, which executes nothing. Writing gives folders that
``transformers`` loads with equal logits: tensors under its names, an identity map where it insists on a projection E -> H though
E == H, and copies where it has no sharing of parts of a block.
"""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from litebert import files
from litebert.checkpoint.names import (
    DERIVED_HUGGING_FACE,
    TIED_HUGGING_FACE,
    hugging_face_table,
    modern_hugging_face_name,
)
from litebert.checkpoint.source import Source, translate
from litebert.config import AlbertConfig, read_json_object
from litebert.errors import CheckpointError, ConfigError

_PROJECTION = "albert.encoder.embedding_hidden_mapping_in"
_TWO_WAY_HEADS = ("sentence_order", "qa_outputs")
"""Two outputs here whatever ``num_labels`` says; ``transformers`` sizes them by it (checklist G8)."""
_WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def is_hugging_face_folder(folder: Path) -> bool:
    """Whether a folder has a ``config.json`` and one of the known weight files."""
    return (folder / "config.json").is_file() and any((folder / name).is_file() for name in _WEIGHT_FILES)


def read_hugging_face(folder: Path, changes: Mapping[str, Any] | None = None) -> Source:
    """Read a folder.

    Args:
        folder: Local folder.
        changes: Configuration fields to override, e.g. ``hidden_act="gelu_new"`` for the v1 uploads, whose "gelu" Google meant as tanh.

    Raises:
        CheckpointError: Not an ALBERT, or a file is missing, damaged or unsafe.
    """
    data = read_json_object(folder / "config.json")
    if data.get("model_type", "albert") != "albert":
        raise CheckpointError(
            f"this is a {data['model_type']!r} model, not an ALBERT",
            hint="LiteBERT runs ALBERT checkpoints only.",
            path=folder / "config.json",
        )
    foreign = {modern_hugging_face_name(name): tensor for name, tensor in _read_weights(folder).items()}
    for second, first in TIED_HUGGING_FACE.items():
        if second in foreign and first not in foreign:
            foreign[first] = foreign[second]
    config = AlbertConfig.from_dict(data)
    foreign, config = _settle_projection(foreign, config, folder)
    config = config.replace(**changes) if changes else config
    ours, used = translate(hugging_face_table(config), foreign, folder)
    ignored = sorted((DERIVED_HUGGING_FACE & foreign.keys()) | _check_tied(foreign, folder))
    unexpected = sorted(foreign.keys() - used - set(ignored))
    return Source("huggingface", folder, config, ours, unexpected, ignored, read_info(folder), _notes(data))


def _notes(data: Mapping[str, Any]) -> list[str]:
    if data.get("hidden_act") != "gelu" or "litebert" in data:
        return []
    return [
        "hidden_act 'gelu' is read as the exact (erf) form, as transformers does; Google's own v1 checkpoints were trained with the "
        "tanh form: override with hidden_act='gelu_new' for those"
    ]


def _settle_projection(
    foreign: dict[str, Tensor], config: AlbertConfig, folder: Path
) -> tuple[dict[str, Tensor], AlbertConfig]:
    """Decide whether a model with E == H has a projection; drop the identity that ``write`` put in for ``transformers``."""
    weight, bias = foreign.get(f"{_PROJECTION}.weight"), foreign.get(f"{_PROJECTION}.bias")
    if config.embedding_size != config.hidden_size or weight is None or bias is None:
        return foreign, config
    if config.embedding_projection is not False:
        return foreign, config.replace(embedding_projection=True)
    identity = torch.eye(config.hidden_size, dtype=weight.dtype)
    if not torch.equal(weight, identity) or bool(bias.any()):
        raise CheckpointError("config.json says embedding_projection=false, but the weights hold one", path=folder)
    return {k: v for k, v in foreign.items() if not k.startswith(_PROJECTION)}, config


def _check_tied(foreign: Mapping[str, Tensor], folder: Path) -> set[str]:
    """Return the second names of tied tensors; refuse them when they are not what they are tied to (checklist G5, G6)."""
    found = set()
    for second, first in TIED_HUGGING_FACE.items():
        if second not in foreign:
            continue
        if first in foreign and not torch.equal(foreign[second], foreign[first]):
            raise CheckpointError(
                f"{second} differs from {first}: this checkpoint's masked-LM decoder is not tied to the embedding, as ALBERT's is",
                path=folder,
            )
        found.add(second)
    return found


# --- Weights ------------------------------------------------------------------------------------------------------------


def _read_weights(folder: Path) -> dict[str, Tensor]:
    for name in _WEIGHT_FILES:
        path = folder / name
        if not path.is_file():
            continue
        if not name.endswith(".index.json"):
            return _read_file(path)
        tensors: dict[str, Tensor] = {}
        for shard in _shards(path):
            tensors.update(_read_file(shard))
        return tensors
    raise CheckpointError("no model.safetensors or pytorch_model.bin in the folder", path=folder)


def _shards(index: Path) -> list[Path]:
    weight_map = read_json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(v, str) for v in weight_map.values()):
        raise CheckpointError("the index has no usable weight_map", path=index)
    names = sorted(set(weight_map.values()))
    for name in names:
        if Path(name).name != name:
            raise CheckpointError(f"the index points outside its folder: {name!r}", path=index)
        if not (index.parent / name).is_file():
            raise CheckpointError(f"the shard {name} is missing", hint="Download the folder again.", path=index)
    return [index.parent / name for name in names]


def _read_file(path: Path) -> dict[str, Tensor]:
    damaged = f"{path.name} is damaged or not what its name says"
    hint = "Download or copy it again; compare its size and checksum with the source."
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
            raise CheckpointError(f"{damaged}: {error}", hint=hint, path=path) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path.name} is not a plain file of weights: loading it could run code, so it was not loaded",
            hint="Ask its author for model.safetensors.",
            path=path,
        ) from error
    except (
        *(OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError, IndexError),
        *(struct.error, OverflowError, AssertionError, MemoryError),
    ) as error:
        raise CheckpointError(f"{damaged}: {str(error) or type(error).__name__}", hint=hint, path=path) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{path.name} holds something else than named tensors", path=path)
    return {str(name): tensor for name, tensor in state.items()}


def read_info(folder: Path) -> dict[str, Any]:
    """Return the contents of ``litebert.json``, empty if there is none.

    Raises:
        CheckpointError: There is nothing in it.
    """
    path = folder / "litebert.json"
    if not path.is_file():
        return {}
    info = read_json_object(path)
    if not info:
        raise CheckpointError(
            f"{path} is damaged: it is empty", hint="Get it again; without it the folder is an encoder.", path=path
        )
    return info


# --- Writing ------------------------------------------------------------------------------------------------------------


def write_hugging_face(
    model: nn.Module, config: AlbertConfig, folder: Path, *, architecture: str, leave_out: Collection[str] = (),
    stored: torch.dtype | None = None,
) -> None:  # fmt: skip
    """Write ``config.json`` and ``model.safetensors``, each in one step.

    Args:
        model: An encoder, or a model that has one as ``albert``.
        config: Its configuration.
        folder: Made if missing.
        architecture: Class name for the key ``architectures``, the same in ``transformers``.
        leave_out: Tensors, by our names, that mean nothing because they were never loaded nor trained.
        stored: Precision in the file alone; what loads the folder still computes in the model's own. None: the model's own.
    """
    from safetensors.torch import save

    tensors = foreign_state(model, config, leave_out=leave_out)
    if architecture == "AlbertModel":
        tensors = {name.removeprefix("albert."): tensor for name, tensor in tensors.items()}
    if any(hasattr(model, head) for head in _TWO_WAY_HEADS) and config.num_labels != 2:
        config = config.replace(num_labels=2)
    dtype = str(next(iter(tensors.values())).dtype).removeprefix("torch.")  # what transformers loads the folder in
    if stored is not None:
        tensors = {name: tensor.to(stored) for name, tensor in tensors.items()}
    rest = {k: v for k, v in config.to_dict().items() if k not in ("architectures", "dtype", "torch_dtype")}
    data = {"architectures": [architecture], "dtype": dtype, **rest}
    if config.embedding_size == config.hidden_size:
        data["embedding_projection"] = config.has_projection
    try:
        json.dumps(data)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the configuration holds something that JSON cannot: {error}") from error
    files.write_bytes(folder / "model.safetensors", save(tensors, metadata={"format": "pt"}))
    files.write_json(folder / "config.json", data)


def foreign_state(model: nn.Module, config: AlbertConfig, *, leave_out: Collection[str] = ()) -> dict[str, Tensor]:
    """Return all tensors of a model under Hugging Face's names, with memory of their own."""
    prefix = "" if hasattr(model, "albert") else "albert."
    ours = {prefix + name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    table = {entry.ours: entry for entry in hugging_face_table(config)}
    tensors: dict[str, Tensor] = {}
    for name, tensor in ours.items():
        if name not in leave_out:
            tensors.update(table[name].to_theirs(tensor))
    if not config.has_projection:  # transformers always has one
        dtype = next(iter(ours.values())).dtype
        tensors[f"{_PROJECTION}.weight"] = torch.eye(config.hidden_size, dtype=dtype)
        tensors[f"{_PROJECTION}.bias"] = torch.zeros(config.hidden_size, dtype=dtype)
    return tensors
