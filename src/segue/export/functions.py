"""Functions of several values of a graph, as NumPy has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from onnx import numpy_helper

from segue.export.graph import Constant, Value


def where(condition: Value, yes: Value | Constant, no: Value | Constant) -> Value:
    """Cells of `yes` where the condition holds, else of `no`; at least one of them is a value."""
    dtype = next(each.dtype for each in (yes, no) if isinstance(each, Value))
    graph = condition.graph
    return graph.op("Where", condition, graph.value(yes, dtype), graph.value(no, dtype), dtype=dtype)


def smaller(a: Value, b: Value | Constant) -> Value:
    """The smaller one of two, by cell."""
    return a.graph.op("Min", a, a.graph.value(b, a.dtype))


def larger(a: Value, b: Value | Constant) -> Value:
    """The larger one of two, by cell."""
    return a.graph.op("Max", a, a.graph.value(b, a.dtype))


def joined(values: Sequence[Value], axis: int = 0) -> Value:
    """Values one after the other along an axis."""
    return values[0].graph.op("Concat", *values, axis=axis)


def counting(n: Value) -> Value:
    """The whole numbers from 0 to n - 1, [n]."""
    return n.graph.op("Range", np.int64(0), n, np.int64(1), dtype=np.int64)


def places(mask: Value) -> tuple[Value, Value]:
    """Row and column of the true cells of a matrix, in order."""
    graph = mask.graph
    found = graph.op("NonZero", mask, dtype=np.int64)
    return found.take(graph.value(0, np.int64)), found.take(graph.value(1, np.int64))


def kept(mask: Value, *columns: Value) -> list[Value]:
    """The entries of columns [n] where mask [n] is true."""
    return [mask.graph.op("Compress", column, mask, axis=0) for column in columns]


def distinct(keys: Value) -> tuple[Value, Value]:
    """The distinct keys in order, and the place of each key among them."""
    values, _, place, _ = keys.graph.ops("Unique", keys, outputs=4, sorted=1)
    return values, place


def zeros(dtype: npt.DTypeLike, *shape: Value) -> Value:
    """Zeros of a shape that is known when the graph runs."""
    lengths = joined([each.reshape(1) for each in shape])
    blank = numpy_helper.from_array(np.zeros(1, dtype=dtype))
    return shape[0].graph.op("ConstantOfShape", lengths, value=blank, dtype=dtype)


def sums(place: Value, values: Value, n: Value) -> Value:
    """Sum of the values of each place, [n]."""
    return values.graph.op("ScatterElements", zeros(values.dtype, n), place, values, axis=0, reduction="add")


def sigmoid(x: Value) -> Value:
    """1 / (1 + e^-x)."""
    return x.map("Sigmoid")
