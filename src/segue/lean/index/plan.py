"""What an index is made of: learned once from a model and some sessions, kept in a small file, filled at every load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from segue.artifact.arrays import Form, StoredArrays
from segue.data.arrays import FloatArray
from segue.lean.model import Floats
from segue.system.atomic import aside

_FORMAT = "segue-index-1"
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Plan:
    """How the items lie in lists, a sample of them, and the best items of some sessions, to measure with.

    Attributes:
        scale: symmetric, [coordinates, coordinates]; items lie in lists as their vectors times this matrix do.
        centres: of the lists, [lists, coordinates]. list_of: of each item, int32 [items].
        sampled, probability: items that are sampled, ascending int32 [m], and the probability of each, float64 [m].
        best, best_scores: the best items of each session, exactly, int32 [sessions, k], and their scores.
    """

    scale: Floats
    centres: Floats
    list_of: npt.NDArray[np.int32]
    sampled: npt.NDArray[np.int32]
    probability: FloatArray
    best: npt.NDArray[np.int32]
    best_scores: Floats

    def write(self, path: Path, of: str) -> None:
        """Keep the plan in a file. of: what it was made for. Raises OSError and SafetensorError."""
        arrays = {field.name: np.ascontiguousarray(getattr(self, field.name)) for field in fields(self)}
        with aside(path) as new:
            save_file(arrays, new, {"format": _FORMAT, "of": of})

    @classmethod
    def read(cls, path: Path, of: str, n_items: int, coordinates: int) -> Self:
        """A plan that was kept. Raises OSError where there is none, ValueError for one that is damaged, of another
        model, or of another version."""
        file = StoredArrays(path)
        found = file.metadata
        if found.get("format") != _FORMAT or found.get("of") != of:
            raise ValueError("it was made for another model, or by another version of Segue")
        centres = file.read("centres", Form("float32", (None, coordinates)))
        best = file.read("best", Form("int32", (None, None), 0, n_items - 1))
        forms: Mapping[str, Form] = {
            "scale": Form("float32", (coordinates, coordinates)),
            "list_of": Form("int32", (n_items,), 0, len(centres) - 1),
            "sampled": Form("int32", (None,), 0, n_items - 1),
            "probability": Form("float64", (None,), _TINY, 1),
            "best_scores": Form("float32", best.shape),
        }
        plan = cls(centres=centres, best=best, **file.read_all(forms))
        if len(plan.sampled) != len(plan.probability) or not (np.diff(plan.sampled) > 0).all():
            raise ValueError("its sample is no ascending list of items with a probability each")
        return plan
