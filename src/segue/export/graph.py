"""A thin way to write ONNX graphs as one writes NumPy: values with operators, and functions of several of them.

The operators are those of https://onnx.ai/onnx/operators/, opset 18; NumPy arrays and numbers become constants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

OPSET = 18
IR_VERSION = 8
"""Version of the file format that came with the opset: runtimes from the same time on read it."""
Constant = npt.NDArray[Any] | np.generic | float | int | bool


class Value:
    """What an operator, an input or a constant gives: a tensor that is known when the graph runs."""

    __array_ufunc__ = None  # so that an array on the left leaves the operation to the value

    def __init__(self, graph: Graph, name: str, dtype: npt.DTypeLike) -> None:
        self.graph, self.name, self.dtype = graph, name, np.dtype(dtype)

    def _with(
        self, kind: str, other: Value | Constant, *, swap: bool = False, dtype: npt.DTypeLike | None = None
    ) -> Value:
        other = self.graph.value(other, self.dtype)
        return self.graph.op(kind, *((other, self) if swap else (self, other)), dtype=dtype)

    def __add__(self, other: Value | Constant) -> Value:
        return self._with("Add", other)

    def __radd__(self, other: Constant) -> Value:
        return self._with("Add", other, swap=True)

    def __sub__(self, other: Value | Constant) -> Value:
        return self._with("Sub", other)

    def __rsub__(self, other: Constant) -> Value:
        return self._with("Sub", other, swap=True)

    def __mul__(self, other: Value | Constant) -> Value:
        return self._with("Mul", other)

    def __rmul__(self, other: Constant) -> Value:
        return self._with("Mul", other, swap=True)

    def __truediv__(self, other: Value | Constant) -> Value:
        """Division; of whole numbers the quotient is cut towards zero."""
        return self._with("Div", other)

    def __rtruediv__(self, other: Constant) -> Value:
        return self._with("Div", other, swap=True)

    def __mod__(self, other: Value | Constant) -> Value:
        """Remainder of whole numbers with the sign of the divisor, as in Python."""
        return self._with("Mod", other)

    def __matmul__(self, other: Value | Constant) -> Value:
        return self._with("MatMul", other)

    def __lt__(self, other: Value | Constant) -> Value:
        return self._with("Less", other, dtype=bool)

    def __gt__(self, other: Value | Constant) -> Value:
        return self._with("Greater", other, dtype=bool)

    def __ge__(self, other: Value | Constant) -> Value:
        return self._with("GreaterOrEqual", other, dtype=bool)

    def equals(self, other: Value | Constant) -> Value:
        """Whether cells are equal, bool."""
        return self._with("Equal", other, dtype=bool)

    def __and__(self, other: Value) -> Value:
        return self._with("And", other)

    def __or__(self, other: Value) -> Value:
        return self._with("Or", other)

    def to(self, dtype: npt.DTypeLike) -> Value:
        """These values in another type."""
        if self.dtype == np.dtype(dtype):
            return self
        return self.graph.op("Cast", self, dtype=dtype, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def map(self, kind: str) -> Value:
        """A function of every cell by its name in ONNX, such as "Exp"."""
        return self.graph.op(kind, self)

    def take(self, rows: Value) -> Value:
        """The rows of these numbers, which may have any shape."""
        return self.graph.op("Gather", self, rows, axis=0)

    def column(self, *axes: int) -> Value:
        """The value with further axes of length 1 at these places."""
        return self.graph.op("Unsqueeze", self, np.array(axes, dtype=np.int64))

    def reshape(self, *shape: int) -> Value:
        """The value in another shape; -1: what is left."""
        return self.graph.op("Reshape", self, np.array(shape, dtype=np.int64))

    def sum(self, axis: int, *, keep: bool = False) -> Value:
        """Sum over an axis."""
        return self.graph.op("ReduceSum", self, np.array([axis]), keepdims=int(keep))

    def max(self, axis: int, *, keep: bool = False) -> Value:
        """Largest cell over an axis."""
        return self.graph.op("ReduceMax", self, np.array([axis]), keepdims=int(keep))

    def any(self, axis: int) -> Value:
        """Whether any cell over an axis is true."""
        return self.to(np.int64).max(axis) > 0

    def length(self, axis: int = 0) -> Value:
        """Number of cells along an axis, int64 without axes."""
        return self.graph.op("Shape", self, start=axis, end=axis + 1, dtype=np.int64).reshape()


class Graph:
    """A graph under construction."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes] | str, tuple[Value, npt.NDArray[Any]]] = {}

    def input(self, name: str, dtype: npt.DTypeLike, shape: Sequence[str | int]) -> Value:
        """A further input; a name in the shape is a length that varies."""
        self.inputs.append(_info(name, dtype, shape))
        return Value(self, name, dtype)

    def stored(self, name: str, array: npt.NDArray[Any]) -> Value:
        """A table of the model, under a name of its own."""
        array = np.ascontiguousarray(array)
        return self._constants.setdefault(name, (Value(self, name, array.dtype), array))[0]

    def value(self, given: Value | Constant, dtype: npt.DTypeLike | None = None) -> Value:
        """What is given as a value; a number gets the type, an array has its own."""
        if isinstance(given, Value):
            return given
        array = np.asarray(given) if isinstance(given, np.ndarray | np.generic) else np.asarray(given, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        name = f"constant_{len(self._constants)}"
        return self._constants.setdefault(key, (Value(self, name, array.dtype), array))[0]

    def op(self, kind: str, *inputs: Value | Constant, dtype: npt.DTypeLike | None = None, **attributes: Any) -> Value:
        """The first output of an operator; its type is that of the first input unless `dtype` says otherwise."""
        return self.ops(kind, *inputs, outputs=1, dtype=dtype, **attributes)[0]

    def ops(
        self, kind: str, *inputs: Value | Constant, outputs: int, dtype: npt.DTypeLike | None = None, **attributes: Any
    ) -> list[Value]:
        """All outputs of an operator; those after the first are of whole numbers."""
        given = [self.value(each) for each in inputs]
        names = [f"{kind.lower()}_{len(self._nodes)}_{number}" for number in range(outputs)]
        self._nodes.append(helper.make_node(kind, [each.name for each in given], names, **attributes))
        first = Value(self, names[0], given[0].dtype if dtype is None else dtype)
        return [first, *(Value(self, name, np.int64) for name in names[1:])]

    def finish(self, outputs: Mapping[str, tuple[Value, Sequence[str | int]]]) -> Self:
        """The graph with its outputs, each with its shape."""
        for name, (value, shape) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [value.name], [name]))
            self.outputs.append(_info(name, value.dtype, shape))
        return self

    @property
    def weights(self) -> dict[str, npt.NDArray[Any]]:
        """The constants and tables by their names."""
        return {value.name: array for value, array in self._constants.values()}

    def model(self, weights: Sequence[onnx.TensorProto] | None = None) -> onnx.ModelProto:
        """The finished graph as a model, with :attr:`weights` in it or given in another form."""
        if weights is None:
            weights = [numpy_helper.from_array(array, name) for name, array in self.weights.items()]
        graph = helper.make_graph(self._nodes, self.name, self.inputs, self.outputs, weights)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="segue"
        )


def _info(name: str, dtype: npt.DTypeLike, shape: Sequence[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def dtype_of(info: onnx.ValueInfoProto) -> str:
    """Name of the type of an input or output, such as "int64"."""
    return str(helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type))


def shape_of(info: onnx.ValueInfoProto) -> list[str | int]:
    """Shape of an input or output: lengths, and names of those that vary."""
    return [each.dim_param or each.dim_value for each in info.type.tensor_type.shape.dim]
