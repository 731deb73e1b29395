"""A graph loaded into a runtime: arrays in, arrays out. One class for each of OpenVINO and ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np

from litebert.errors import UsageError, nearest
from litebert.inference.backends.openvino_runtime import openvino_core, turn_matrices
from litebert.inference.graph.builder import LARGEST, array_bytes, needed, save

BACKENDS = ("openvino", "onnxruntime")
"""Names of the runtimes."""

Arrays = Mapping[str, np.ndarray]


class Session(Protocol):
    """A graph in a runtime."""

    def __call__(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run it: inputs by name, outputs by name."""


class OnnxRuntimeSession:
    """A graph in ONNX Runtime, on the CPU.

    Args:
        model: File, or a serialised ``ModelProto``.
        threads: Of one run; None for the runtime's own choice.

    Raises:
        MachineError: The package is not installed.
    """

    def __init__(self, model: Path | bytes, threads: int | None = None) -> None:
        ort = needed("onnxruntime")
        options = ort.SessionOptions()
        options.log_severity_level = 3  # errors
        if threads is not None:
            options.intra_op_num_threads = threads
        given = str(model) if isinstance(model, Path) else model
        self._session = ort.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        self._inputs = {one.name for one in self._session.get_inputs()}
        self._outputs = [one.name for one in self._session.get_outputs()]

    def __call__(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run it."""
        found = self._session.run(self._outputs, {k: v for k, v in inputs.items() if k in self._inputs})
        return dict(zip(self._outputs, found, strict=True))


class OpenVinoSession:
    """A graph in OpenVINO, on the CPU.

    Args:
        model: File (ONNX or OpenVINO's), or a serialised ``ModelProto``.
        threads: Of one run; None for the runtime's own choice.
        precision: ``f32``; or ``bf16`` where the processor has it.

    Raises:
        MachineError: The package is not installed.
    """

    def __init__(self, model: Path | bytes, threads: int | None = None, precision: str = "f32") -> None:
        # Without the hint OpenVINO computes in bfloat16 by itself where the processor has it.
        hints: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        if threads is not None:
            hints["INFERENCE_NUM_THREADS"] = threads
        core = openvino_core()
        network = core.read_model(model)
        turn_matrices(network)
        self._request = core.compile_model(network, "CPU", hints).create_infer_request()
        self._inputs = {one.get_any_name() for one in self._request.model_inputs}
        # An output of an ONNX file also has the names of the nodes before it, which have a "/".
        self._outputs = [min(one.get_names(), key=lambda name: "/" in name) for one in self._request.model_outputs]
        self._busy = Lock()  # a request takes one run at a time

    def __call__(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run it."""
        with self._busy:
            found = self._request.infer({k: v for k, v in inputs.items() if k in self._inputs}, share_inputs=True)
            return {name: np.array(found[number]) for number, name in enumerate(self._outputs)}


def check_backend(name: str) -> None:
    """Refuse a name that is no runtime's.

    Raises:
        UsageError: It is not one of ``BACKENDS``.
    """
    if name not in BACKENDS:
        raise UsageError(f"unknown back end {name!r}", hint=nearest(name, BACKENDS))


def open_graph(model: Any, backend: str, *, threads: int | None = None, precision: str = "f32") -> Session:
    """Load a graph that is in memory.

    Args:
        model: A ``ModelProto``.
        backend: One of ``BACKENDS``.
        threads: Of one run.
        precision: For OpenVINO, see there.

    Raises:
        MachineError: The package is not installed.
        UsageError: There is no such runtime.
    """
    check_backend(backend)
    with opened(model) as source:
        return open_session(source, backend, threads=threads, precision=precision)


@contextmanager
def opened(model: Any) -> Iterator[Path | bytes]:
    """Yield a ``ModelProto`` as runtimes take it: serialised, or as a file where it is more than one message holds; it stays whole."""
    if array_bytes(model) <= LARGEST:
        yield model.SerializeToString()
        return
    with tempfile.TemporaryDirectory() as folder:
        save(model, Path(folder) / "model.onnx")
        try:
            yield Path(folder) / "model.onnx"
        finally:  # saving took the arrays out of it, and it may be written next
            needed("onnx.external_data_helper").load_external_data_for_model(model, folder)


def open_session(model: Path | bytes, backend: str, *, threads: int | None = None, precision: str = "f32") -> Session:
    """Load a file or a serialised graph; further arguments and errors as in ``open_graph``."""
    check_backend(backend)
    if backend == "openvino":
        return OpenVinoSession(model, threads, precision)
    return OnnxRuntimeSession(model, threads)
