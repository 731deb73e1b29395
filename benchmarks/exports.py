"""How large exported graphs are and how close they answer, from base to xxlarge; random weights, for the sizes do not depend on them.

    litebert bench exports [--presets base-v2,large-v2,xlarge-v2,xxlarge-v2] [--formats onnx,openvino] [--precisions fp32,int8]

Each row is one ``litebert export``: the bytes of the graph's files, the bytes of what ONNX Runtime writes after folding constants (where a
matrix that is transposed or cast once for each application would come back twelve times), and the largest difference to PyTorch (for int8
the relative error). Writes benchmarks/results/exports.json row by row.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from command_line import CommandFailed, answered
from results_folder import RESULTS

from litebert.files import write_json
from litebert.train.run_folder import environment

RESULT = RESULTS / "exports.json"


def folded(model: Path) -> float:
    """Return the megabytes of a graph after ONNX Runtime has folded its constants."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as name:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(name) / "folded.onnx")
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "folded.data")
        options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
        onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        return megabytes(sum(path.stat().st_size for path in Path(name).iterdir()))


def megabytes(size: int) -> float:
    """Return bytes in millions."""
    return round(size / 1e6, 2)


def exported(preset: str, kind: str, head: str, *, int8: bool) -> dict[str, Any]:
    """Export once."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out"
        flags = ["--format", kind, "--head", head, "--out", str(out), *(["--int8"] if int8 else [])]
        found = answered(["export", f"random:{preset}", *flags])["data"]
        row = {
            "preset": preset, "format": kind, "precision": "int8" if int8 else "fp32", "megabytes": megabytes(sum(found["sizes"].values())),
            "difference": found["parity"], "seconds": round(found["seconds"], 1),
        }  # fmt: skip
        return row | ({"folded_megabytes": folded(out / "model.onnx")} if kind == "onnx" else {})


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", default="base-v2,large-v2,xlarge-v2,xxlarge-v2")
    parser.add_argument("--formats", default="onnx,openvino")
    parser.add_argument("--precisions", default="fp32,int8")
    parser.add_argument("--head", default="pretraining", help="pretraining carries the vocabulary's scores as well")
    arguments = parser.parse_args(argv)
    rows = kept()
    for preset in arguments.presets.split(","):
        for kind in arguments.formats.split(","):
            for precision in arguments.precisions.split(","):
                try:
                    row = exported(preset, kind, arguments.head, int8=precision == "int8")
                except CommandFailed as error:
                    raise SystemExit(str(error)) from None
                print(row, flush=True)
                rows[preset, kind, row["precision"]] = row
                write_json(RESULT, {
                    "command": "litebert bench exports", "head": arguments.head, "rows": list(rows.values()), "environment": environment(),
                })  # fmt: skip


def kept() -> dict[tuple[str, str, str], dict[str, Any]]:
    """Return the rows of earlier runs."""
    rows = json.loads(RESULT.read_text())["rows"] if RESULT.is_file() else []
    return {(row["preset"], row["format"], row["precision"]): row for row in rows}


if __name__ == "__main__":
    main()
