"""Losses of sentence vectors, each a sum over the B examples of a batch; all vectors have length 1.

Contrastive with in-batch negatives (van den Oord et al. 2018; SimCSE, arXiv:2104.08821, eq. 5), squared error of the cosine
(Sentence-BERT, arXiv:1908.10084), a teacher's vectors and similarities (distillation), and any of them over prefixes of the vectors
(Matryoshka representation learning, arXiv:2205.13147).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def contrastive(anchors: Tensor, others: Tensor, identities: Tensor, temperature: float) -> Tensor:
    """Return how hard it is to tell each anchor's own text among all, and each text's own anchor.

    Args:
        anchors: (B, H).
        others: (B + N, H); the first B belong to the anchors, the rest to none.
        identities: (B,), the same number for anchors whose texts are no negatives of each other; or (B, 2 + K), numbers of the anchor,
            of its own text and of those that belong to none, -1 where there are fewer: a text is no negative of anchors that it
            equals or that have the same text, nor the other way round.
        temperature: What cosines are divided by.
    """
    count = len(anchors)
    scores = anchors @ others.T / temperature  # (B, B + N)
    numbers = identities if identities.dim() == 2 else identities[:, None].expand(-1, 2)
    anchor, own, none = numbers[:, 0], numbers[:, 1], numbers[:, 2:]
    same = (anchor[:, None] == anchor) | (own[:, None] == own) | (anchor[:, None] == own)  # (B, B), anchors by texts
    same &= ~torch.eye(count, dtype=torch.bool, device=anchors.device)
    named = none[none >= 0]  # in the order of the rest of others, if they have numbers
    also = (
        (anchor[:, None] == named) | (own[:, None] == named)
        if len(named)
        else same.new_zeros(count, len(others) - count)
    )
    forward = scores.masked_fill(torch.cat([same, also], dim=1), -torch.inf)
    backward = scores[:, :count].T.masked_fill(same.T, -torch.inf)
    gold = torch.arange(count, device=anchors.device)
    return (F.cross_entropy(forward, gold, reduction="sum") + F.cross_entropy(backward, gold, reduction="sum")) / 2


def similarity_error(first: Tensor, second: Tensor, gold: Tensor) -> Tensor:
    """Return the squared differences of the cosines of (B, H) and (B, H) from (B,) values of 0 to 1."""
    return ((first * second).sum(dim=-1) - gold).square().sum()


def teacher_error(vectors: Tensor, teacher: Tensor) -> Tensor:
    """Return how far vectors and the cosines between them are from a teacher's.

    Args:
        vectors: (B, H).
        teacher: (B, D); where D is not H only the cosines between the vectors are compared.
    """
    count = len(vectors)
    between = (vectors @ vectors.T - teacher @ teacher.T).square().sum() / max(count - 1, 1)  # the diagonal is 0
    direct = (vectors - teacher).square().sum() if vectors.shape == teacher.shape else vectors.new_zeros(())
    return direct + between


def over_sizes(loss: Callable[[Callable[[Tensor], Tensor]], Tensor], sizes: Sequence[int]) -> Tensor:
    """Return the mean of a loss over prefixes of the vectors.

    Args:
        loss: Given what cuts vectors.
        sizes: Of the prefixes.
    """
    return torch.stack([loss(lambda x, size=size: cut(x, size)) for size in sizes]).mean()  # type: ignore[misc]


def cut(vectors: Tensor, size: int) -> Tensor:
    """Return the first ``size`` numbers of vectors (..., H), at length 1 again."""
    return vectors if size >= vectors.shape[-1] else F.normalize(vectors[..., :size], dim=-1)
