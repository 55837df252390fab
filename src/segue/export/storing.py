"""Graphs as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from segue.export.graph import Graph

_SMALL = 1024
"""Bytes of an array that stays in the graph: operators read their shapes and axes there."""


def save(graph: Graph, path: Path, largest: int) -> None:
    """Write a graph; with more than `largest` bytes of weights these go into a file beside it, ``NAME.onnx.data``.

    Raises OSError when it cannot be written, onnx.checker.ValidationError for a graph that is none.
    """
    if sum(array.nbytes for array in graph.weights.values()) <= largest:
        model = graph.model()
        onnx.checker.check_model(model, full_check=True)
    else:
        with path.with_name(f"{path.name}.data").open("xb") as file:
            model = graph.model([_beside(file, name, array) for name, array in graph.weights.items()])
    path.write_bytes(model.SerializeToString())
    onnx.checker.check_model(path)


def _beside(file: BinaryIO, name: str, array: npt.NDArray[Any]) -> TensorProto:
    """Weights that stand in a file, which this writes; small ones stay in the graph."""
    if array.nbytes < _SMALL:
        return numpy_helper.from_array(array, name)
    tensor = TensorProto(
        name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
        data_location=TensorProto.EXTERNAL,
    )  # fmt: skip
    place = {"location": Path(file.name).name, "offset": file.tell(), "length": array.nbytes}
    for key, value in place.items():
        tensor.external_data.add(key=key, value=str(value))
    file.write(np.ascontiguousarray(array).data)
    return tensor
