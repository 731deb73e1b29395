"""What of its curriculum a run ended without: with a time budget the learning rate follows the clock, but depth, masks and sentence
order follow the steps, which were estimated when the run began; a machine that slows down ends the run before they have come.
"""  # noqa: D205

from __future__ import annotations

from litebert.pretrain.batches import BatchPlan
from litebert.pretrain.settings import PretrainSettings

NEAR = 0.01
"""How far the masks may be from their final rate."""


def unreached(settings: PretrainSettings, steps: int, *, applications: int, plan: BatchPlan) -> str:
    """Return a warning that names what a run never came to; empty if it came to everything.

    Args:
        settings: Resolved, with the planned steps.
        steps: Done.
        applications: Of the whole model.
        plan: Batch sizes.
    """
    planned = settings.curriculum.planned_steps
    if planned is None or not 0 < steps < planned:
        return ""
    missed = [
        *_depth(settings, (steps - 1) / planned, applications),
        *_examples(settings, (steps - 1) / planned),
    ]
    if plan.rows(steps - 1) < plan.batch_size:
        missed.append(f"a batch of {plan.batch_size} rows (at last {plan.rows(steps - 1)})")
    if not missed:
        return ""
    return (
        f"the run ended after {steps:,} of the {planned:,} steps its curriculum was planned for, and never came to "
        f"{'; '.join(missed)}. Give it more time, or name the steps it will do with curriculum.planned_steps."
    )


def _depth(settings: PretrainSettings, done: float, applications: int) -> list[str]:
    left = [(until, layers) for until, layers in settings.curriculum.depths if done < until]
    if not left:
        return []
    return [
        f"the model's {applications} applications of the block (trained with {left[0][1]} at last, whole from {left[-1][0]:.0%} on)"
    ]


def _examples(settings: PretrainSettings, done: float) -> list[str]:
    examples = settings.examples
    missed = []
    if examples.sentence_objective != "none" and not examples.has_sentence_loss(done):
        missed.append(f"sentence order (from {examples.sentence_from:.0%} on)")
    at_last, final = examples.masking_rules(done), examples.masking_rules(1.0)
    if at_last.longest < final.longest:
        missed.append(f"masks of several words (from {examples.single_words_until:.0%} on)")
    if abs(at_last.rate - final.rate) > NEAR:
        missed.append(f"{final.rate:.0%} masked positions (at last {at_last.rate:.0%})")
    return missed
