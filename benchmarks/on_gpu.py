"""What ``inference.py`` compares on a GPU: our encoder there, and how fast the machine multiplies matrices."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PRECISION = {"compiled": "fp32", "compiled-bf16": "bf16", "compiled-fp16": "fp16"}
PROGRAMS = tuple(
    f"{kind} {name}" for name in ("fp32", "bf16", "fp16", "compiled-bf16", "compiled-fp16") for kind in ("litebert", "transformers")
)  # fmt: skip


def there() -> bool:
    """Return whether there is a GPU."""
    import torch

    return torch.cuda.is_available()


def litebert(precision: str, folder: Path, device: str) -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Load our encoder with the weights of a folder; it returns pooled first tokens."""
    import torch

    from litebert.checkpoint.pretrained import AlbertForSequenceClassification
    from litebert.inference.engine.plain import plain

    whole = AlbertForSequenceClassification.from_pretrained(folder, strict=False, device=device)
    kind = PRECISION.get(precision, precision)
    model = plain(whole.albert, kind, compiled=precision.startswith("compiled"), firsts_only=True)

    def encode(ids: np.ndarray, mask: np.ndarray, types: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(*(torch.from_numpy(x).to(device) for x in (ids, mask, types))).pooler_output.cpu().numpy()

    return encode


def described() -> dict[str, Any]:
    """Return what the results say of the GPU."""
    import torch

    return {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}


def ceilings(device: str) -> dict[str, float]:
    """Return the matrix-product ceilings of a GPU in GFLOP/s by precision: two matrices of 8192 x 8192, best of 20."""
    import torch

    found = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        one, other = torch.randn(2, 8192, 8192, device=device, dtype=dtype).unbind()
        times = []
        for _ in range(20):
            started = time.perf_counter()
            one @ other
            torch.cuda.synchronize(device)
            times.append(time.perf_counter() - started)
        found[name] = round(2 * 8192**3 / min(times) / 1e9)
    return found
