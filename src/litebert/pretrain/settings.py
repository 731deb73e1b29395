"""Everything a pretraining run depends on, as one validated object."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from litebert.errors import ConfigError
from litebert.pretrain.examples import ExampleSettings, with_preset
from litebert.settings import Settings, build_settings
from litebert.train.schedules import scaled_learning_rate, scaled_steps
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


class PretrainTrainingSettings(TrainingSettings):
    """How to optimise, and the batch that rates and steps are meant for."""

    reference_batch_size: int | None = Field(default=None, gt=0)
    """Rows of a step that learning_rate, matrix_learning_rate, steps and warmup_steps are meant for. With another batch_size the rates
    change by the root of the quotient and the steps so that as many rows are seen; while the batch grows, the rate follows it. What
    the command line gives is taken as it is, unless it names this reference too. None: nothing is scaled."""
    scaled_from: int | None = Field(default=None, gt=0)
    """The reference that rates and steps were converted from, filled in when they are; the reference is batch_size from then on."""

    def scaled(self, keep: Collection[str] = ()) -> Self:
        """Return the settings with rates and steps for ``batch_size`` (google-research/albert#111; checklist E4); twice is once.

        Args:
            keep: Fields that stay as they are.

        Raises:
            ConfigError: The warm-up does not fit into steps that stay.
        """
        reference, batch = self.reference_batch_size, self.batch_size
        if reference is None or reference == batch:
            return self
        changed: dict[str, Any] = {"reference_batch_size": batch, "scaled_from": reference}
        for name in {"learning_rate", "matrix_learning_rate"} - {*keep}:
            changed[name] = scaled_learning_rate(batch, base_rate=getattr(self, name), base_batch=reference)
        for name in {"steps", "warmup_steps"} - {*keep}:
            steps = getattr(self, name)
            changed[name] = steps and scaled_steps(batch, base_steps=steps, base_batch=reference)
        try:
            return build_settings(type(self), {**self.model_dump(), **changed})
        except ConfigError as error:
            raise ConfigError(
                f"scaled from {reference} to {batch} rows a step, {error.message}",
                hint="Give the warm-up too, for example --set training.warmup_steps=100, or leave the steps to the recipe.",
            ) from error

    @property
    def scaling(self) -> str:
        """What was scaled, in words; empty if nothing was."""
        if self.scaled_from is None:
            return ""
        return f"rates and steps scaled from {self.scaled_from:,} to {self.batch_size:,} rows a step by the square-root rule"


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
    training: PretrainTrainingSettings = PretrainTrainingSettings(keep_best=False, on_failure="rewind")
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

    def scaled(self, keep: Collection[str] = ()) -> Self:
        """Return the settings with rates and steps for the batch size, see ``training.reference_batch_size``.

        Args:
            keep: Fields of ``training`` that stay as they are.
        """
        return self.model_copy(update={"training": self.training.scaled(keep)})

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
