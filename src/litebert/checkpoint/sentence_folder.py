"""The files by which ``sentence-transformers`` knows how an encoder's states become a sentence vector: mean, then length 1.

Written and read as that library lays its folders out: ``modules.json`` lists a transformer, a pooling and a normalisation.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from litebert import files
from litebert.config import read_json_object
from litebert.errors import CheckpointError

MODULES = "modules.json"
_POOLING = "1_Pooling"
_TYPE = "sentence_transformers.models."


def write_sentence_files(folder: Path, *, hidden_size: int, max_length: int) -> None:
    """Write the files beside a model's.

    Args:
        folder: With the encoder.
        hidden_size: Of the vectors.
        max_length: Tokens of one input.
    """
    modules = [("", "Transformer"), (_POOLING, "Pooling"), ("2_Normalize", "Normalize")]
    listed = [{"idx": i, "name": str(i), "path": path, "type": _TYPE + kind} for i, (path, kind) in enumerate(modules)]
    pooling = {
        "word_embedding_dimension": hidden_size, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False,
    }  # fmt: skip
    files.write_json(folder / _POOLING / "config.json", pooling)
    files.write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    files.write_json(folder / MODULES, listed)


def check_sentence_files(folder: Path) -> int | None:
    """Check that a folder of ``sentence-transformers`` makes its vectors as we do.

    Args:
        folder: Of the model; without ``modules.json`` nothing is checked.

    Returns:
        The tokens it reads of one input, if it says so.

    Raises:
        CheckpointError: Its vectors are made in another way than by a mean over the tokens.
    """
    if not (folder / MODULES).is_file():
        return None
    import json

    try:
        modules = json.loads((folder / MODULES).read_text(encoding="utf-8"))
        kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
        poolings = [str(m["path"]) for m, kind in zip(modules, kinds, strict=True) if kind == "Pooling"]
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise CheckpointError(f"{MODULES} is damaged: {error}", path=folder / MODULES) from error
    other = [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")]
    pooling: Mapping[str, Any] = {}
    for name in poolings:
        if not (folder / name / "config.json").is_file():
            raise CheckpointError(
                f"{MODULES} names {name!r}, which has no config.json", hint="Get the whole folder again.", path=folder
            )
        pooling = read_json_object(folder / name / "config.json")
    modes = [
        name.removeprefix("pooling_mode_")
        for name, on in pooling.items()
        if name.startswith("pooling_mode_") and on is True
    ]
    mode = pooling.get("pooling_mode")
    if isinstance(mode, str):
        modes = [mode]
    if other or modes not in ([], ["mean_tokens"], ["mean"]):
        raise CheckpointError(
            f"the vectors of {folder.name} are made by {', '.join([*modes, *other])}, not by a mean over the tokens",
            hint="Only mean pooling is known here.", path=folder,
        )  # fmt: skip
    found = folder / "sentence_bert_config.json"
    length = read_json_object(found).get("max_seq_length") if found.is_file() else None
    return length if isinstance(length, int) and length > 2 else None
