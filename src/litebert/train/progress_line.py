"""What a progress line says beside the bar: the loss, how fast it goes, and what the last evaluation found."""

from __future__ import annotations

from collections.abc import Mapping


def progress_text(
    loss: float, figures: Mapping[str, float], held_out: Mapping[str, float], *, names: Mapping[str, str], best: float | None
) -> str:  # fmt: skip
    """Return the text.

    Args:
        loss: Running mean of the training loss.
        figures: Of the step: ``gradient_norm``, and ``tokens_per_second`` with ``mfu``, or ``examples_per_second``.
        held_out: Figures of the last evaluation; empty before the first.
        names: What to call those of them that are shown; empty for the best main figure alone.
        best: The best main figure so far.
    """
    parts = [f"loss {loss:.3f}"]
    if "gradient_norm" in figures:
        parts.append(f"norm {figures['gradient_norm']:.2f}")
    if figures.get("tokens_per_second"):
        parts.append(f"{figures['tokens_per_second']:.0f} tokens/s")
    else:
        parts.append(f"{figures.get('examples_per_second', 0):.0f} examples/s")
    if "mfu" in figures:
        parts.append(f"MFU {figures['mfu']:.0%}")
    shown = [f"{told} {held_out[name]:.3f}" for name, told in names.items() if name in held_out]
    if shown:
        parts.append(f"held-out {', '.join(shown)}")
    elif best is not None and not names:
        parts.append(f"best {best:.4f}")
    return " ".join(parts)
