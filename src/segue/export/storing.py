"""Graphs as files."""

from __future__ import annotations

from pathlib import Path

import onnx


def save(model: onnx.ModelProto, path: Path, largest: int) -> None:
    """Write a model; with more than `largest` bytes of weights these go into a file beside it, ``NAME.onnx.data``.

    Raises OSError when it cannot be written, onnx.checker.ValidationError for a graph that is none.
    """
    size = sum(len(weights.raw_data) for weights in model.graph.initializer)
    beside = f"{path.name}.data" if size > largest else None
    onnx.save_model(model, path, save_as_external_data=beside is not None, location=beside)
    onnx.checker.check_model(path, full_check=beside is None)
