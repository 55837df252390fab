"""Arrays of a safetensors file as NumPy reads them, each checked against its form before it is used.

All checks raise ValueError with the name of the array and what was found, as those of :mod:`segue.data.stored` do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from segue.data.checks import check_offsets, check_range
from segue.errors import first_line
from segue.system.json_files import check_regular

_TYPES = {"F32": "float32", "F64": "float64", "I32": "int32", "I64": "int64", "BOOL": "bool"}
"""Names of types in a file → in NumPy; what a model stores has one of these."""


@dataclass(frozen=True)
class Form:
    """The form of an array.

    Attributes:
        dtype: type of the values: "float32", "int64".
        shape: lengths of the dimensions; None: any.
        least, most: bounds of the values, both included. Floating point is finite in any case.
    """

    dtype: str
    shape: tuple[int | None, ...]
    least: float = -math.inf
    most: float = math.inf


class StoredArrays:
    """The arrays of one file, each checked when it is asked for.

    They are views of the mapped file: nothing is copied, and processes that read the same file share its memory.
    """

    def __init__(self, path: Path) -> None:
        check_regular(path)
        self._path = path
        try:
            with safe_open(path, framework="numpy"):  # which checks that the header is one and fits the file
                pass
        except SafetensorError as error:
            raise ValueError(f"{path.name}: {first_line(error)}") from None
        with path.open("rb") as file:
            self._bytes = mmap(file.fileno(), 0, access=ACCESS_READ)
        self._first = 8 + int.from_bytes(self._bytes[:8], "little")
        self._header: dict[str, Any] = json.loads(self._bytes[8 : self._first])
        self.names: frozenset[str] = frozenset(self._header) - {"__metadata__"}

    @property
    def metadata(self) -> dict[str, str]:
        """The texts that stand beside the arrays."""
        return dict(self._header.get("__metadata__", {}))

    def refuse_others(self, names: Collection[str]) -> None:
        """Raise ValueError for an array that is none of `names`."""
        if others := sorted(self.names - set(names)):
            raise ValueError(f"array {others[0][:100]!r} belongs to no part of the model")

    def read(self, name: str, form: Form) -> npt.NDArray[Any]:
        """One array of a known form."""
        if name not in self.names:
            raise ValueError(f"array '{name}' is missing")
        kind, shape = self._header[name]["dtype"], self._header[name]["shape"]
        fits = len(shape) == len(form.shape) and all(
            wanted in (None, length) for length, wanted in zip(shape, form.shape, strict=True)
        )
        found = _TYPES.get(kind, kind)
        if found != form.dtype or not fits:
            wanted = [length if length is not None else "any" for length in form.shape]
            raise ValueError(f"array '{name}' is {found} {shape}, expected {form.dtype} {wanted}")
        array = self._view(name, np.dtype(found)).reshape(shape)
        _check_values(name, array, form)
        return array

    def _view(self, name: str, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        first, last = self._header[name]["data_offsets"]
        if first == last:
            return np.zeros(0, dtype=dtype)
        return np.frombuffer(self._bytes, dtype, (last - first) // dtype.itemsize, self._first + first)

    def read_all(self, forms: Mapping[str, Form]) -> dict[str, npt.NDArray[Any]]:
        """Several arrays, by name."""
        return {name: self.read(name, form) for name, form in forms.items()}


def check_lists(arrays: Mapping[str, npt.NDArray[Any]], offsets: str, *entries: str) -> None:
    """Check lists that lie behind one another: list r is ``entries[offsets[r]:offsets[r + 1]]``, in each of
    `entries`."""
    for name in entries:
        rows = len(arrays[offsets]) - 1
        check_offsets(f"the numbers in array '{offsets}'", arrays[offsets], rows, len(arrays[name]))


def _check_values(name: str, array: npt.NDArray[Any], form: Form) -> None:
    if not array.size:
        return
    flat = array.reshape(-1)
    check_range(f"array '{name}': its values", flat, form.least, form.most)
    if not (np.isfinite(flat.min()) and np.isfinite(flat.max())):
        raise ValueError(f"array '{name}' holds values that are not finite")
