"""The index of past sessions as stored tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from segue.data.checks import LATEST
from segue.data.stored import Layout, check_arrays, check_rows
from segue.nn.neighbours.index import SessionIndex


def stored(index: SessionIndex) -> dict[str, Tensor]:
    """Everything that has to be stored, as tensors."""
    return {name: torch.from_numpy(getattr(index, name)) for name in SessionIndex.__annotations__}


def index_of(arrays: Mapping[str, Tensor], n_items: int, **beside: Layout) -> SessionIndex:
    """Take back what :func:`stored` returned.

    Args:
        beside: the arrays that stand beside these.

    Raises ValueError when an array has another form, or there are others.
    """
    own = {
        "offsets": Layout(torch.int64, (None,)),
        "item": Layout(torch.int32, (None,), 0, n_items - 1),
        "place": Layout(torch.int32, (None,), 1),
        "end": Layout(torch.int64, (None,), -LATEST, LATEST),
        "user": Layout(torch.int32, (None,), 0),
    }
    check_arrays(arrays, {**own, **beside})
    check_rows(arrays, "offsets", "item", "place")
    index = SessionIndex(*(arrays[name].numpy() for name in SessionIndex.__annotations__))
    index.check()
    return index
