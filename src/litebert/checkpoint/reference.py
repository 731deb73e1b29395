"""Model references: what a user may write wherever a MODEL is asked for, and where it leads.

1. a bundled name; 2. a LiteBERT or Hugging Face folder; 3. a Google TensorFlow folder, archive, ``.index`` file or TF-Hub folder;
4. a hub id such as ``albert/albert-base-v2``; and ``random:PRESET`` or ``random:config.json`` for random weights, said aloud.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from litebert.checkpoint.archive import extract_model_archive
from litebert.checkpoint.huggingface import is_hugging_face_folder
from litebert.checkpoint.tensor_bundle import find_bundle
from litebert.config import PRESETS, AlbertConfig
from litebert.errors import CheckpointError, MachineError, UsageError, nearest

_BUNDLED = Path(__file__).parent.parent / "resources" / "models"
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*(@[\w./-]+)?\Z")
_ARCHIVES = (".tar.gz", ".tgz", ".tar", ".tar.xz", ".tar.bz2", ".zip")
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.bin"]
RANDOM = "random:"


@dataclass(frozen=True)
class Location:
    """Where a reference leads.

    Attributes:
        kind: Format found there.
        folder: Folder with configuration, weights and vocabulary; None for random weights.
        prefix: Path of a TensorFlow bundle without ``.index``.
        config_file: ``config.json`` or ``albert_config.json``.
        config: The configuration for random weights.
    """

    kind: Literal["huggingface", "google", "random"]
    folder: Path | None = None
    prefix: Path | None = None
    config_file: Path | None = None
    config: AlbertConfig | None = None


def bundled_models() -> list[str]:
    """Return the names of the models that ship with the package."""
    if not _BUNDLED.is_dir():
        return []
    return sorted(p.name for p in _BUNDLED.iterdir() if is_hugging_face_folder(p))


@contextmanager
def located(reference: str | Path) -> Iterator[Location]:
    """Follow a model reference to files on this machine; what was unpacked for it vanishes when the block ends.

    Args:
        reference: See the head of this file.

    Yields:
        The location.

    Raises:
        UsageError: It leads nowhere.
        CheckpointError: It leads to something that is not a model.
        MachineError: It is a hub id and the hub cannot be reached.
    """
    text = str(reference)
    if text.startswith(RANDOM):
        yield _random(text.removeprefix(RANDOM))
        return
    path = local_path(reference)
    if text in bundled_models():
        yield _in_folder(_BUNDLED / text)
    elif path.is_dir():
        yield _in_folder(path)
    elif path.is_file() and path.name.lower().endswith(_ARCHIVES):
        with tempfile.TemporaryDirectory(prefix="litebert-") as temporary:
            yield _in_folder(extract_model_archive(path, Path(temporary)))
    elif path.name.endswith(".index") and path.is_file():
        yield _google(path.with_suffix(""))
    elif path.with_name(path.name + ".index").is_file():
        yield _google(path)
    elif path.is_file():
        raise UsageError(
            f"no model at {text!r}, which is a file of another kind",
            hint="MODEL stands before FILE: litebert predict MODEL FILE. " + _what_exists(text), path=path,
        )  # fmt: skip
    elif _HUB_ID.match(text) and not text.lower().endswith((*_ARCHIVES, ".index")):
        yield _in_folder(_download(text))
    else:
        raise UsageError(f"no model at {text!r}", hint=_what_exists(text))


def local_path(reference: str | Path) -> Path:
    """Return the path a reference would have on this machine.

    Raises:
        UsageError: No file can have it, or may be looked for there.
    """
    try:
        path = Path(reference).expanduser()
        path.is_dir()
        path.with_name(f"{path.name or 'x'}.index").is_file()
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: ~ of nobody
        text = str(reference)
        raise UsageError(f"no model at {text[:200]!r}: {str(error)[:200]}", hint=_what_exists(text[:200])) from error
    return path


def _what_exists(text: str) -> str:
    known = [*bundled_models(), *(RANDOM + name for name in PRESETS)]
    return (
        "A model is a folder, a Google archive or checkpoint, a hub id such as albert/albert-base-v2, or a name. "
        + nearest(text, known)
    )


def _random(name: str) -> Location:
    path = Path(name)
    config = AlbertConfig.from_json_file(path) if path.suffix == ".json" else AlbertConfig.preset(name)
    return Location("random", config=config)


def _in_folder(folder: Path) -> Location:
    if is_hugging_face_folder(folder):
        return Location("huggingface", folder, config_file=folder / "config.json")
    if any(folder.glob("*.index")) or (folder / "variables").is_dir():
        return _google(find_bundle(folder), folder)
    found = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
    if any((folder / name).is_file() for name in ("model.onnx", "openvino_model.xml")):
        raise CheckpointError(
            f"{folder} is an export, which only its runtime opens",
            hint="Its example.py runs it. Here use the model it was made from, with --backend onnxruntime or openvino.",
            path=folder,
        )
    raise CheckpointError(
        f"{folder} holds no model: found {found}",
        hint="Expected config.json with model.safetensors, or albert_config.json with *.index and *.data-* files.",
        path=folder,
    )


def _google(prefix: Path, folder: Path | None = None) -> Location:
    folder = folder or prefix.parent
    places = [folder, folder / "assets", prefix.parent]
    configs = [p / "albert_config.json" for p in places] + sorted(folder.glob("*config*.json"))
    return Location("google", folder, prefix, next((c for c in configs if c.is_file()), None))


def _download(reference: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    name, _, revision = reference.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=_HUB_FILES))
    except RepositoryNotFoundError as error:
        raise UsageError(f"the hub has no model {name!r}", hint=_what_exists(name)) from error
    except HFValidationError as error:
        raise UsageError(f"no model at {name!r}, and the hub allows no such name", hint=_what_exists(name)) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise MachineError(
            f"{name!r} is no folder here, and the hub cannot be reached for it",
            hint="Check the path or the network; with HF_HUB_OFFLINE=1 only models downloaded before are found.",
        ) from error
    except Exception as error:
        if type(error).__module__.split(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2", "requests"):
            raise MachineError(f"{name!r} is no folder here, and the hub cannot be reached for it: {error}") from error
        raise
