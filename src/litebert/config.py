"""The model's configuration and the presets: numbers only, no torch.

Field names and their meaning are those of a Hugging Face ``config.json`` so that folders interoperate; the numbers of the presets
are Table 1 of the paper (arXiv:1909.11942) as corrected by the released configurations (16 heads for xlarge). Keys that are not
fields are kept in ``extra`` and written back.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from litebert.errors import ConfigError, nearest

Sharing = Literal["all", "attention", "ffn", "none"]

SHARING: tuple[str, ...] = ("all", "attention", "ffn", "none")

ACTIVATIONS: tuple[str, ...] = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh", "linear")
"""``gelu`` is the exact (erf) form, ``gelu_new`` the tanh approximation that Google's code calls "gelu"."""

_POSITIVE_FIELDS = (
    "vocab_size", "embedding_size", "hidden_size", "num_hidden_layers", "num_hidden_groups", "num_attention_heads",
    "intermediate_size", "inner_group_num", "max_position_embeddings", "type_vocab_size",
)  # fmt: skip
_PROBABILITY_FIELDS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout_prob")


@dataclass(frozen=True, kw_only=True)
class AlbertConfig:
    """Describe one ALBERT encoder (paper section 3, Table 1).

    Attributes:
        vocab_size: V, rows of the word embedding.
        embedding_size: E, width of the factorised embedding.
        hidden_size: H, width of the blocks.
        num_hidden_layers: L, how many times a group is applied.
        num_hidden_groups: G, distinct groups; application i uses group ``i * G // L``.
        inner_group_num: Distinct blocks inside a group; the depth in blocks is ``L * inner_group_num``.
        num_attention_heads: Heads; must divide H. Never derived from H.
        intermediate_size: Width of the feed-forward layer.
        hidden_act: One of ``ACTIVATIONS``.
        hidden_dropout_prob: After the embeddings, the attention output and the feed-forward output.
        attention_probs_dropout_prob: On the attention probabilities.
        classifier_dropout_prob: Before a task head.
        max_position_embeddings: Longest sequence in tokens.
        type_vocab_size: Number of segment types.
        initializer_range: Standard deviation of the truncated normal initialisation.
        layer_norm_eps: Epsilon of every layer norm.
        sharing: What the depth shares (paper section 4.5, Table 4). Other than "all", G must equal L.
        embedding_projection: Whether a linear map E -> H exists. None: only when E != H, as in Google's code.
        num_labels: Outputs of a sequence or token head.
        id2label: Names of the outputs.
        extra: Unknown keys of the file this was read from, kept and written back.

    Raises:
        ConfigError: A value is out of range or two fields contradict each other.
    """

    vocab_size: int = 30000
    embedding_size: int = 128
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_hidden_groups: int = 1
    inner_group_num: int = 1
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    classifier_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    bos_token_id: int = 2
    eos_token_id: int = 3
    sharing: Sharing = "all"
    embedding_projection: bool | None = None
    num_labels: int = 2
    id2label: Mapping[int, str] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Validate the fields and fill in those that follow from others."""
        self._check_ranges()
        if self.id2label is not None:
            object.__setattr__(self, "id2label", {int(k): str(v) for k, v in self.id2label.items()})
            object.__setattr__(self, "num_labels", len(self.id2label))
        if self.sharing == "none" or (self.sharing != "all" and self.num_hidden_groups == 1):
            object.__setattr__(self, "num_hidden_groups", self.num_hidden_layers)
        self._check_consistency()

    def _check_ranges(self) -> None:
        for name in _POSITIVE_FIELDS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be a positive integer, got {value!r}")
        for name in _PROBABILITY_FIELDS:
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0.0 <= value < 1.0:
                raise ConfigError(f"{name} must be a number from 0 up to, not including, 1, got {value!r}")
        if not isinstance(self.num_labels, int) or self.num_labels < 1:
            raise ConfigError(f"num_labels must be a positive integer, got {self.num_labels!r}")
        if self.hidden_act not in ACTIVATIONS:
            raise ConfigError(
                f"unknown hidden_act {self.hidden_act!r}", hint=nearest(str(self.hidden_act), ACTIVATIONS)
            )
        if self.sharing not in SHARING:
            raise ConfigError(f"unknown sharing {self.sharing!r}", hint=nearest(str(self.sharing), SHARING))

    def _check_consistency(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"num_attention_heads={self.num_attention_heads} does not divide hidden_size={self.hidden_size}",
                hint="Choose a number of heads that divides the hidden size.",
            )
        if self.num_hidden_groups > self.num_hidden_layers:
            raise ConfigError(
                f"num_hidden_groups={self.num_hidden_groups} exceeds num_hidden_layers={self.num_hidden_layers}",
                hint="A group that is never applied would hold dead weights; use at most one group per layer.",
            )
        if self.sharing != "all" and self.num_hidden_groups != self.num_hidden_layers:
            raise ConfigError(
                f"sharing={self.sharing!r} needs num_hidden_groups == num_hidden_layers, "
                f"got {self.num_hidden_groups} and {self.num_hidden_layers}",
            )
        if self.embedding_projection is False and self.embedding_size != self.hidden_size:
            raise ConfigError(
                f"embedding_projection=False needs embedding_size == hidden_size, "
                f"got {self.embedding_size} and {self.hidden_size}",
            )

    # --- What follows from the fields ------------------------------------------------------------------------------

    @property
    def has_projection(self) -> bool:
        """Whether the embeddings pass through a linear map E -> H."""
        return (
            self.embedding_size != self.hidden_size if self.embedding_projection is None else self.embedding_projection
        )

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Names of the outputs in order, ``LABEL_i`` where none were given."""
        names = self.id2label or {}
        return tuple(names.get(i, f"LABEL_{i}") for i in range(self.num_labels))

    def group_of(self, application: int, depth: int | None = None) -> int:
        """Return the group that application ``i`` of L uses: ``i * G // L``, in integers (checklist A8); L is ``depth`` if given."""
        return application * self.num_hidden_groups // (depth or self.num_hidden_layers)

    def replace(self, **changes: Any) -> AlbertConfig:
        """Return a copy with some fields changed; raises ConfigError for an unknown field."""
        _refuse_unknown(changes)
        if "num_labels" in changes and "id2label" not in changes:
            changes["id2label"] = None
        return dataclasses.replace(self, **changes)

    # --- Presets and files --------------------------------------------------------------------------------------------

    @classmethod
    def preset(cls, name: str, **changes: Any) -> AlbertConfig:
        """Return a preset by name, with changes.

        Args:
            name: ``{base,large,xlarge,xxlarge}-{v1,v2}``, ``tiny``, ``small`` or ``nano``.
            **changes: Fields to override.

        Raises:
            ConfigError: No such preset or field.
        """
        if name not in PRESETS:
            raise ConfigError(f"unknown preset {name!r}", hint=nearest(name, PRESETS))
        _refuse_unknown(changes)
        return cls(**{**PRESETS[name], **changes})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AlbertConfig:
        """Build a configuration from the contents of a Hugging Face ``config.json``.

        Args:
            data: Parsed JSON object. Unknown keys go to ``extra`` (checklist A17).
        """
        known = {f.name for f in dataclasses.fields(cls)} - {"extra"}
        fields = {k: v for k, v in data.items() if k in known and not (v is None and k not in _NULLABLE)}
        if fields.get("id2label"):
            fields["num_labels"] = len(fields["id2label"])
            if all(str(name) == f"LABEL_{i}" for i, name in fields["id2label"].items()):
                del fields["id2label"]  # names that say nothing
        rest = {k: v for k, v in data.items() if k not in known and k not in _WRITTEN_KEYS}
        try:
            return cls(**fields, extra=rest)
        except (TypeError, ValueError, AttributeError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"a field has the wrong type: {error}") from error

    @classmethod
    def from_json_file(cls, path: str | Path) -> AlbertConfig:
        """Read a Hugging Face ``config.json``.

        Raises:
            ConfigError: The file is missing, is no JSON object, or holds an invalid value.
        """
        data = read_json_object(Path(path))
        try:
            return cls.from_dict(data)
        except ConfigError as error:
            raise ConfigError(error.message, hint=error.hint, path=path) from error

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object that ``from_dict`` reads back and ``transformers`` understands."""
        data: dict[str, Any] = {**self.extra, "model_type": "albert"}
        for item in dataclasses.fields(self):
            if item.name not in ("extra", "id2label", "num_labels"):
                data[item.name] = getattr(self, item.name)
        data["id2label"] = {str(i): name for i, name in enumerate(self.labels)}
        data["label2id"] = {name: i for i, name in enumerate(self.labels)}
        return data


_NULLABLE = {"embedding_projection", "id2label"}
_WRITTEN_KEYS = {"model_type", "label2id"}  # written anew by to_dict, so not "extra"


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        ConfigError: The file is missing, unreadable, not UTF-8, not JSON, or not an object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path.name} is missing", path=path) from error
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path.name} cannot be read: {error}", path=path) from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path.name} is not valid JSON: {error.msg}", path=path, line=error.lineno) from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path.name} must hold a JSON object, found {type(data).__name__}", path=path)
    return data


def _refuse_unknown(changes: Mapping[str, Any]) -> None:
    known = {f.name for f in dataclasses.fields(AlbertConfig)}
    for key in changes:
        if key not in known:
            raise ConfigError(f"unknown configuration field {key!r}", hint=nearest(key, known))


def count_parameters(config: AlbertConfig, *, shared: bool = True, pretraining_heads: bool = False) -> int:
    """Return the number of parameters of encoder and pooler in closed form (Table 1; checklist A11).

    Args:
        config: The model.
        shared: False counts every application as if it had weights of its own.
        pretraining_heads: Add the masked-LM head (tied decoder not counted again) and the sentence-order head.
    """
    v, e, h, f = config.vocab_size, config.embedding_size, config.hidden_size, config.intermediate_size
    embeddings = (v + config.max_position_embeddings + config.type_vocab_size) * e + 2 * e
    projection = e * h + h if config.has_projection else 0
    attention = 4 * (h * h + h) + 2 * h
    ffn = 2 * h * f + f + h + 2 * h
    layers = config.num_hidden_layers
    groups = config.num_hidden_groups if shared else layers
    attention_copies = 1 if shared and config.sharing == "attention" else groups
    ffn_copies = 1 if shared and config.sharing == "ffn" else groups
    blocks = config.inner_group_num * (attention_copies * attention + ffn_copies * ffn)
    heads = (h * e + e) + 2 * e + v + (2 * h + 2) if pretraining_heads else 0
    return embeddings + projection + blocks + (h * h + h) + heads


def _released(layers: int, hidden: int, heads: int, *, dropout: float) -> dict[str, Any]:
    return {
        "num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads, "intermediate_size": 4 * hidden,
        "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout,
        "hidden_act": "gelu_new",  # Google's "gelu" is the tanh form for v1 and v2 alike (checklist A6)
    }  # fmt: skip


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "base-v1": _released(12, 768, 12, dropout=0.1),
    "large-v1": _released(24, 1024, 16, dropout=0.1),
    "xlarge-v1": _released(24, 2048, 16, dropout=0.1),
    "xxlarge-v1": _released(12, 4096, 64, dropout=0.0),
    "base-v2": _released(12, 768, 12, dropout=0.0),
    "large-v2": _released(24, 1024, 16, dropout=0.0),
    "xlarge-v2": _released(24, 2048, 16, dropout=0.0),
    "xxlarge-v2": _released(12, 4096, 64, dropout=0.0),
    # Ours, for small machines.
    "small": {"num_hidden_layers": 6, "hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536},
    "tiny": {"num_hidden_layers": 4, "hidden_size": 312, "num_attention_heads": 12, "intermediate_size": 1248},
    "nano": {"num_hidden_layers": 3, "hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 512},
}
"""Presets by name. v1 and v2 differ in dropout only; xxlarge-v1 was trained without (google-research/albert#23)."""
