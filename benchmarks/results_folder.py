"""Where the figures go: beside the programs, or where ``litebert bench --results`` says."""

import os
from pathlib import Path

RESULTS = Path(os.environ.get("LITEBERT_RESULTS") or Path(__file__).parent / "results")
