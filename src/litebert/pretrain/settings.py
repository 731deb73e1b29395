"""Everything a pretraining run depends on, as one validated object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from litebert.pretrain.examples import ExampleSettings, with_preset
from litebert.settings import Settings
from litebert.train.settings import TrainingSettings


class CurriculumSettings(Settings):
    """What changes while a run goes on. Parts of the run are parts of ``planned_steps``."""

    first_batch_size: int | None = Field(default=None, gt=0)
    """Rows of the first step; the batch grows linearly to training.batch_size. None: no ramp."""
    batch_until: float = Field(default=0.5, ge=0, le=1)
    """Part of the run in which the batch grows."""
    depths: tuple[tuple[float, int], ...] = ()
    """Fewer applications of the block at first, since sharing makes depth free to change: pairs of a part of the run and the
    applications until then, such as [[0.1, 1], [0.4, 3]]; after the last the model's own."""
    planned_steps: int | None = Field(default=None, gt=0)
    """Steps these parts refer to; filled in when a run begins, and kept when it is made longer."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        parts = [part for part, _ in self.depths]
        if parts != sorted(parts) or any(not 0 < part <= 1 or layers < 1 for part, layers in self.depths):
            raise ValueError(
                "depths must be pairs of growing parts of the run, up to 1, and applications of at least 1"
            )
        return self


class PretrainSettings(Settings):
    """Everything a pretraining run depends on. Field docstrings become the configuration reference."""

    corpus: str
    """Folder that litebert corpus build wrote."""
    held_out: str | None = None
    """Corpus folder of text that is never trained on, for the evaluations; None: no evaluation."""
    model: str = "random:small"
    """Model reference to start from; random:PRESET or random:FILE.json for random weights."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Model configuration fields to change. Trained weights can be grown: num_hidden_layers at will, hidden_size by a whole factor,
    max_position_embeddings upwards; see pretrain/warm_start.py."""
    examples: ExampleSettings = ExampleSettings()
    """How examples are made."""
    curriculum: CurriculumSettings = CurriculumSettings()
    """What changes on the way."""
    training: TrainingSettings = TrainingSettings(keep_best=False, on_failure="rewind")
    """How to optimise; batch sizes are rows."""
    sentence_weight: float = Field(default=1.0, gt=0)
    """Weight of the sentence loss beside the masked-LM loss; 1 in Google's total_loss."""
    evaluation_rows: int = Field(default=512, gt=0)
    """Held-out rows in one evaluation, the same every time."""
    verify: bool = True
    """Compare the corpus with its checksums before training on it."""
    attention: Literal["auto", "eager", "sdpa"] = "auto"
    """Backend of the block; auto: explicit products on a CPU, fused kernels on a GPU."""
    compile: bool | Literal["auto"] = "auto"
    """Compile the one block (torch.compile); auto: where a compiler is there and the run is long enough to pay for it."""
    workers: int | None = Field(default=None, ge=0)
    """Processes that make batches ahead; None: two on a GPU, none on a CPU, where making a batch takes under 1% of a step."""
    device: str = "auto"
    """cpu, cuda, ...; auto takes a GPU when there is one."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        training, first = self.training, self.curriculum.first_batch_size
        block = self.block
        if training.batch_size % block or (first is not None and first % block):
            raise ValueError(
                f"training.batch_size={training.batch_size} and curriculum.first_batch_size={first} must be multiples of "
                f"training.micro_batch_size={block}"
            )
        if first is not None and first > training.batch_size:
            raise ValueError(f"curriculum.first_batch_size={first} exceeds training.batch_size={training.batch_size}")
        return self

    @property
    def block(self) -> int:
        """Rows of a micro-batch, the unit that processes share out."""
        smallest = min(self.training.batch_size, self.curriculum.first_batch_size or self.training.batch_size)
        return self.training.micro_batch_size or smallest


def with_defaults(data: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what pretraining sets otherwise than fine-tuning does, and the preset's values.

    Args:
        data: Settings as merged from recipe and flags.
    """
    training = {"keep_best": False, "on_failure": "rewind", **data.get("training", {})}
    return {**data, "training": training, "examples": with_preset(data.get("examples", {}))}
