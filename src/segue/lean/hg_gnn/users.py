"""The user vectors q of eq. (8), exact also for users whom the graph does not know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segue.artifact.arrays import Form, StoredArrays
from segue.data.arrays import IntArray
from segue.graph.tables import ITEM, USER, Relation
from segue.lean.hg_gnn.options import HGGNNOptions
from segue.lean.model import Floats
from segue.lean.request import Asked

_LAYER = "hgnn.layers.{}.weight."


class Users:
    """Vectors of known users, and what it takes to form those of others: no item hears them, so one pass is exact."""

    def __init__(self, model: StoredArrays, derived: StoredArrays, options: HGGNNOptions, n_items: int, n_users: int):
        dim = options.dim
        table = Form("float32", (n_users + 1, dim))
        self.options, self.unknown = options, n_users
        self.refined = derived.read("refined.user", table)
        self.start = model.read("hgnn.embedding.user", table)
        of_items = Form("float32", (n_items, dim))
        later = [derived.read(f"input.{layer}.item", of_items) for layer in range(1, options.layers)]
        self.inputs = [model.read("hgnn.embedding.item", of_items), *later][: options.layers]
        self.layers = [_weights(model, layer, options) for layer in range(options.layers)]
        self.hears_items = "graph.interact/offsets" in model.names

    def vectors(self, asked: Sequence[Asked]) -> Floats:
        """Vectors q of the users of some requests, [requests, d]."""
        q = self.refined[[each.user for each in asked]]
        for row, each in enumerate(asked):
            if each.fresh and len(each.past.items):
                q[row] = self._of_history(each.past.items, each.user)
        return q

    def _of_history(self, items: IntArray, start: int) -> Floats:
        """The vector of a user known by a list of items, from a propagated graph."""
        items = items[max(len(items) - self.options.window.history, 0) :]
        heard = items if self.options.multiplicity else np.unique(items)
        user: Floats = self.start[start]
        total = self.options.alphas[0] * user
        for inputs, weights, alpha in zip(self.inputs, self.layers, self.options.alphas[1:], strict=True):
            mean = inputs[heard].sum(0) / np.float32(max(len(heard), 1))
            user = self._layer(weights, mean, user, len(heard))
            total = total + np.float32(alpha) * user
        return total.astype(np.float32)

    def _layer(self, weights: list[tuple[bool, Floats, Floats]], mean: Floats, own: Floats, heard: int) -> Floats:
        """Eq. (5)-(7) for a node that hears items alone, whose vectors have this mean."""
        if not weights:
            return own
        silent = np.zeros_like(mean)
        if self.options.homogeneous:
            heard *= self.hears_items
            mean = (own + np.float32(heard) * mean) / np.float32(1 + heard)
        messages = [
            np.maximum(weight @ np.concatenate([mean if by_items else silent, own]) + bias, 0)
            for by_items, weight, bias in weights
        ]
        total: Floats = np.sum(messages, axis=0)
        return total / np.float32(len(messages)) if self.options.accumulate == "mean" else total


def _weights(model: StoredArrays, layer: int, options: HGGNNOptions) -> list[tuple[bool, Floats, Floats]]:
    """W and b of every relation that leads to users in a layer, and whether it comes from items."""
    prefix, dim = _LAYER.format(layer), options.dim
    forms = {"weight": Form("float32", (dim, 2 * dim)), "bias": Form("float32", (dim,))}
    if options.homogeneous:
        return [(True, model.read(f"{prefix}weight", forms["weight"]), model.read(f"{prefix}bias", forms["bias"]))]
    found = []
    for name in sorted(model.names):
        if not (name.startswith(prefix) and name.endswith(".weight")):
            continue
        relation = _relation(name.removeprefix(prefix).removesuffix(".weight"))
        if relation.destination == USER:
            weight, bias = (model.read(f"{prefix}{relation.name}.{part}", form) for part, form in forms.items())
            found.append((relation.source == ITEM, weight, bias))
    return found


def _relation(name: str) -> Relation:
    try:
        return Relation.named(name)
    except KeyError:
        raise ValueError(f"there is no relation {name!r:.100}") from None
