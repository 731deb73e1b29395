"""How answers are computed, as one validated object."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from litebert.settings import Settings

Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]
Matrix = Literal["qkv", "output", "widen", "narrow"]


class EngineSettings(Settings):
    """How a loaded model answers. Field docstrings become the configuration reference."""

    precision: Precision = "auto"
    """fp32: exact; bf16: products and states in bfloat16; fp16: the same in half precision, for GPUs; int8: for CPUs, with ranges
    learnt from text (a processor without the instructions takes the next more exact one it has, and says so); auto: bf16 where the
    machine multiplies it, the model is wide enough to gain, and its states stay within 3% of fp32 on bundled text; else fp32.
    auto never takes int8: its ranges would have to be learnt, which takes seconds at each load, and the states of
    litebert-small-en and models fine-tuned from it were 3 to 9% away, outside that gate."""
    backend: Literal["torch", "openvino", "onnxruntime"] = "torch"
    """What computes the encoder on a CPU: our own packed blocks in PyTorch, or another runtime (the extra ``export``)."""
    calibration: str | None = None
    """For int8: file of texts like those that will be read, labelled or not, to learn the ranges from; None: bundled prose."""
    keep: tuple[Matrix, ...] | Literal["auto"] = ()
    """For int8: matrices of the block that stay in float. auto: those without which the last states are more than 5% from those of fp32
    on the calibration text, the one that helps most first, as in an export; finding them may double the time to load."""
    depth: int | None = Field(default=None, gt=0)
    """Applications of the shared block; fewer are faster. None: as many as the model was trained with."""
    patience: int | None = Field(default=None, gt=0)
    """Stop an input as soon as its answer has stayed the same over so many applications in a row; best if trained with elastic=true."""
    budget_ms: float | None = Field(default=None, gt=0)
    """Milliseconds that an input of ``budget_tokens`` may take: the depth that fits is measured when the model is loaded."""
    budget_tokens: int = Field(default=128, gt=0)
    """Length of the input that ``budget_ms`` speaks of."""
    tokens: int = Field(default=4096, gt=0)
    """Tokens computed in one pass; an input longer than that is computed alone."""
    window: int = Field(default=2048, gt=0)
    """Records that are read ahead and computed in order of length; answers come in the order of the input. 1: each record is answered
    before the next is read."""
    deterministic: bool = False
    """Compute every input alone, so that an answer does not depend, not even in its last digit, on what else was asked."""
    threads: int | None = Field(default=None, gt=0)
    """Threads of the computation; None: as many as PyTorch takes, and no more than the processors whose time this process may use."""
    compile: bool = False
    """Compile the one block (torch.compile), once for all lengths: for GPUs; it takes part of a minute at the first texts. On a CPU it
    takes the place of the packed block, which is faster."""

    @property
    def pass_tokens(self) -> int:
        """Tokens in one pass, as the batches are cut."""
        return 1 if self.deterministic else self.tokens
