"""What OpenVINO (2026.4) has to be told: one core for the process, and matrices in the layout its kernels read."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from litebert.inference.graph.builder import needed


@cache
def openvino_core() -> Any:
    """Load OpenVINO, once for the process and for good.

    On processors with AMX every core gives the thread that makes it a stack for signals and puts the one before back when it goes. Two
    cores that go in the order they came leave a stack that is freed already, and the next Ctrl-C ends in a segmentation fault.

    Returns:
        An ``openvino.Core``.

    Raises:
        MachineError: The package is not installed.
    """
    return needed("openvino").Core()


def turn_matrices(model: Any) -> int:
    """Store the float matrices of products as (out, in).

    ONNX's MatMul takes a matrix as (in, out). From that OpenVINO makes (out, in) for each use by itself, and in bfloat16 packs every
    result anew: twelve copies of the block of ALBERT-base, 456 MB instead of 128. So the one constant is turned, and its uses say so.

    Args:
        model: An ``openvino.Model``; changed in place. int8 matrices stay as they are: OpenVINO shares those.

    Returns:
        How many products were changed.
    """
    operators = needed("openvino.opset13")
    turned: dict[str, Any] = {}
    count = 0
    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul" or node.get_attributes().get("transpose_b"):
            continue
        matrix = node.input_value(1).get_node()
        if matrix.get_type_name() != "Constant" or len(matrix.shape) != 2:
            continue
        name = matrix.get_friendly_name()
        if name not in turned:
            turned[name] = operators.constant(np.ascontiguousarray(matrix.data.T), name=name)
        product = operators.matmul(node.input_value(0), turned[name], False, True, name=node.get_friendly_name())
        for target in list(node.output(0).get_target_inputs()):
            target.replace_source_output(product.output(0))
        count += 1
    model.validate_nodes_and_infer_types()
    return count
