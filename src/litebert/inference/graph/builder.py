"""An ONNX graph under construction (the format: github.com/onnx/onnx, docs/IR.md): nodes in order, each array stored once."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from litebert.errors import MachineError

OPSET = 20
"""The first with ``Gelu``; LayerNormalization came with 17. Newer ones would shut out older runtimes and gain nothing here."""
_IR_VERSION = 9
"""Of the file format, as opset 20 came with."""
LARGEST = 2**31 - 2**20
"""Bytes that one protobuf message can hold, with room for the nodes."""

Dim = int | str
"""A fixed size, or the name of one that is free."""


def needed(name: str) -> Any:
    """Import an optional package of the extra ``export``.

    Args:
        name: Such as ``onnxruntime``.

    Raises:
        MachineError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise MachineError(f"this needs {package}", hint='Install it: pip install "litebert[export]"') from error


class GraphBuilder:
    """Collects the inputs, nodes, arrays and outputs of a graph.

    Raises:
        MachineError: The package ``onnx`` is not installed.
    """

    def __init__(self) -> None:
        self._onnx = needed("onnx")
        self._nodes: list[Any] = []
        self._arrays: dict[str, Any] = {}
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._values = 0
        self.scope = ""
        self.bytes = 0

    def input(self, name: str, dims: Sequence[Dim]) -> str:
        """Add an int64 input and return its name."""
        self._inputs.append(self._onnx.helper.make_tensor_value_info(name, self._onnx.TensorProto.INT64, list(dims)))
        return name

    def output(self, name: str, value: str, dims: Sequence[Dim], *, integers: bool = False) -> None:
        """Give a float32 value, or one of int64, to the outside under a name."""
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name], name=f"output/{name}"))
        kind = self._onnx.TensorProto.INT64 if integers else self._onnx.TensorProto.FLOAT
        self._outputs.append(self._onnx.helper.make_tensor_value_info(name, kind, list(dims)))

    def has(self, name: str) -> bool:
        """Whether an array of this name is stored."""
        return name in self._arrays

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a stored array."""
        return tuple(self._arrays[name].dims)

    def array(self, name: str, values: np.ndarray | np.generic) -> str:
        """Store an array, unless one of this name is stored already, and return its name."""
        if name not in self._arrays:
            stored = np.ascontiguousarray(values).reshape(np.shape(values))
            self._arrays[name] = self._onnx.numpy_helper.from_array(stored, name)
            self.bytes += stored.nbytes
        return name

    def integers(self, *values: int) -> str:
        """Store a small vector of int64, once for equal ones, and return its name."""
        return self.array("integers_" + "_".join(map(str, values)), np.array(values, dtype=np.int64))

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output and return the output's name; an attribute that is None is left out."""
        return self.add_many(operator, *inputs, outputs=1, **attributes)[0]

    def add_many(self, operator: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add a node with several outputs and return their names."""
        self._values += 1
        name = f"{self.scope}{operator}_{self._values}"
        names = [name if outputs == 1 else f"{name}.{i}" for i in range(outputs)]
        given = {key: value for key, value in attributes.items() if value is not None}
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), names, name=name, **given))
        return names

    def size(self, value: str, axis: int) -> str:
        """Return one dimension of a value as a vector of one int64."""
        return self.add("Shape", value, start=axis, end=axis + 1)

    def model(self, version: str) -> Any:
        """Return the finished ``ModelProto``.

        Args:
            version: Of LiteBERT, for the file's producer.
        """
        helper = self._onnx.helper
        graph = helper.make_graph(self._nodes, "albert", self._inputs, self._outputs, list(self._arrays.values()))
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION, producer_name="litebert",
            producer_version=version,
        )  # fmt: skip


def array_bytes(model: Any) -> int:
    """Return the bytes of all arrays of a ``ModelProto``."""
    return sum(len(array.raw_data) for array in model.graph.initializer)


def save(model: Any, path: Path) -> None:
    """Write a ``ModelProto``; arrays that protobuf cannot hold go into a file beside it.

    Args:
        model: Changed where arrays go into a file of their own.
        path: Of the model; the other file is called the same with ``.data`` after it.
    """
    outside = array_bytes(model) > LARGEST
    needed("onnx").save_model(
        model, str(path), save_as_external_data=outside, all_tensors_to_one_file=True, location=f"{path.name}.data"
    )
