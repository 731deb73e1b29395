"""What a load matched and what it did not: nothing is skipped in silence (checklist G10)."""

from __future__ import annotations

from dataclasses import dataclass, field

from litebert.errors import CheckpointError

HEADS = {
    "predictions": "masked-LM head",
    "sentence_order": "sentence-order head",
    "classifier": "classifier",
    "qa_outputs": "span head",
    "span": "conditional span head",
    "vector_classifier": "classifier of vectors",
}
"""What users call the parts outside the encoder, by the first word of the tensor's name."""

POOLER = "albert.pooler."
"""A part of the encoder that files of models without a use for it lack (``transformers`` leaves it out of them)."""


@dataclass
class LoadReport:
    """The outcome of loading tensors into a model, by our tensor names (foreign ones where we have none).

    Attributes:
        source: Where the tensors came from.
        loaded: Copied into the model.
        missing: In the model, not in the file: they keep their random initial values.
        unexpected: In the file, of no use to any part of this model.
        mismatched: In both, with different shapes: (name, shape in the file, shape in the model).
        ignored: In the file and rightly left: optimiser slots, derived buffers, heads this model does not have.
        needless: In the model, not in the file, and without influence on its outputs: the pooler under a head over tokens.
    """

    source: str
    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    needless: list[str] = field(default_factory=list)

    @property
    def new_parts(self) -> list[str]:
        """Heads, and the pooler, that keep random initial values, in words."""
        names = {name.split(".")[0] for name in self.missing} | {name.split(".")[0] for name, _, _ in self.mismatched}
        pooler = ["pooler"] if any(name.startswith(POOLER) for name in self.missing) else []
        return pooler + [words for part, words in HEADS.items() if part in names]

    def summary(self) -> str:
        """Return one line: how many of each, and which heads start from random values."""
        counts = f"{len(self.loaded)} tensors loaded, {len(self.missing)} missing, {len(self.unexpected)} unexpected"
        counts += f", {len(self.mismatched)} of another shape, {len(self.ignored)} ignored"
        fresh = f"; starts from random values: {', '.join(self.new_parts)}" if self.new_parts else ""
        return f"{self.source}: {counts}{fresh}"

    def to_dict(self) -> dict[str, object]:
        """Return the report for JSON."""
        return {
            "source": self.source,
            "loaded": self.loaded,
            "missing": self.missing,
            "unexpected": self.unexpected,
            "mismatched": [{"name": n, "file": list(a), "model": list(b)} for n, a, b in self.mismatched],
            "ignored": self.ignored,
            "needless": self.needless,
        }

    def check(self, *, strict: bool = True, new_heads: bool = True) -> None:
        """Refuse a load that cannot be meant.

        Args:
            strict: Refuse missing or mismatched encoder tensors and unexpected ones.
            new_heads: Allow heads and the pooler to be missing or of another shape, as when fine-tuning starts.

        Raises:
            CheckpointError: Nothing matched at all; or, if strict, a part of the encoder did not.
        """
        if not any(name.startswith("albert.") for name in self.loaded):
            raise CheckpointError(
                f"no tensor in {self.source} matches this model, so nothing would be loaded",
                hint="Check that the configuration belongs to the weights. To start from random weights, say so: random:PRESET.",
                path=self.source,
            )
        if not strict:
            return
        bad = [n for n in self.missing if (n.startswith("albert.") and not n.startswith(POOLER)) or not new_heads]
        bad_shapes = [m for m in self.mismatched if m[0].startswith("albert.") or not new_heads]
        problems = []
        if bad_shapes:
            name, file, model = bad_shapes[0]
            problems.append(
                f"{len(bad_shapes)} tensors have another shape, e.g. {name}: {file} in the file, {model} in the model"
            )
        if bad:
            problems.append(f"{len(bad)} tensors are missing, e.g. {bad[0]}")
        if self.unexpected:
            problems.append(
                f"{len(self.unexpected)} tensors are not part of an ALBERT of this configuration, e.g. {self.unexpected[0]}"
            )
        if problems:
            raise CheckpointError(
                f"the weights do not fit the configuration: {'; '.join(problems)}",
                hint="Check that the configuration and the weights belong together, or load with strict=False to see the report.",
                path=self.source,
            )
