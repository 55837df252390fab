"""The forms in which models answer without torch, by the name that a model folder gives."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from segue.artifact.arrays import StoredArrays
from segue.lean.model import Answering

FORMS = {
    "hg_gnn": "segue.lean.hg_gnn.model:LeanHGGNN",
    "item_knn": "segue.lean.item_rows:LeanItemKNN",
    "item_weights": "segue.lean.item_rows:LeanItemWeights",
    "markov": "segue.lean.markov:LeanMarkov",
    "popularity": "segue.lean.popularity:LeanPopularity",
    "session_knn": "segue.lean.session_knn:LeanSessionKNN",
}
"""Name of the form → module and class."""


def build(
    form: str, model: StoredArrays, derived: StoredArrays, options: Mapping[str, Any], n_items: int, n_users: int
) -> Answering:
    """The lean model of a form.

    Args:
        model: the model's own arrays. derived: what is constant in every answer.
        options: the complete options of the model.

    Raises ValueError for an unknown form, or arrays that do not fit it.
    """
    if form not in FORMS:
        raise ValueError(f"there is no form of answers {form!r:.60}")
    module, _, name = FORMS[form].partition(":")
    answering: Answering = getattr(import_module(module), name)(model, derived, options, n_items, n_users)
    return answering
