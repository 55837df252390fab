"""The model of what is left: tables counted anew, learned arrays as they were without the rows of who is gone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor

from segue import models
from segue.contract.model import SessionModel
from segue.data.arrays import IntArray
from segue.data.corpus import Corpus
from segue.forgetting.remaining import Remaining
from segue.graph.attributes import values_of
from segue.graph.tables import ITEM, USER
from segue.settings import Settings


def without_rows(
    old: SessionModel, fresh: SessionModel, settings: Settings, whole: Corpus, new: Corpus, left: Remaining
) -> SessionModel:
    """A model of the new corpus.

    Args:
        old: the trained model. fresh: one of the same settings that was fitted on the new corpus and not trained.
        whole, new: the corpora of the two, in memory.
    """
    learned = taken_out(old, whole, new, left)
    model = models.build(settings)
    model.restore({**fresh.arrays(), **learned}, new.n_items, new.n_users)
    return model


def taken_out(old: SessionModel, whole: Corpus, new: Corpus, left: Remaining) -> dict[str, Tensor]:
    """The learned arrays with the rows that are left, by name."""
    rows, arrays = old.rows, old.arrays()
    kept = {axis: kept_rows(axis, whole, new, left) for axis in set(rows.values())}
    found = {}
    for name in sorted(old.learned):
        array = arrays[name]
        found[name] = array[torch.from_numpy(kept[rows[name]])].contiguous() if name in rows else array
    return found


def gone_rows(old: SessionModel, whole: Corpus, new: Corpus, left: Remaining) -> Mapping[str, IntArray]:
    """Array → the rows that are not kept, for the arrays that have rows."""
    sizes = {ITEM: whole.n_items, USER: whole.n_users + 1}
    found = {}
    for name, axis in old.rows.items():
        size = sizes[axis] if axis in sizes else len(_values(axis, whole))
        found[name] = np.setdiff1d(np.arange(size), kept_rows(axis, whole, new, left))
    return found


def kept_rows(axis: str, whole: Corpus, new: Corpus, left: Remaining) -> IntArray:
    """The rows that stay, ascending, of an array with a row for each of something; see ``SessionModel.rows``."""
    if axis == ITEM:
        return left.items
    if axis == USER:
        return np.append(left.known_rows, whole.n_users)  # the row of everybody unknown
    values = _values(axis, whole)
    stays = pc.is_in(values, value_set=_values(axis, new))
    return np.flatnonzero(stays.to_numpy(zero_copy_only=False))


def _values(axis: str, corpus: Corpus) -> pc.Array:
    """The values of an attribute, ``item:COLUMN`` or ``user:COLUMN``, that have a row."""
    owner, _, column = axis.partition(":")
    table = corpus.items if owner == ITEM else corpus.users.slice(0, corpus.n_users)
    return values_of(table.column(column))
