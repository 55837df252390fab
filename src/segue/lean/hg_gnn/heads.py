"""The linear maps of z = [S ‖ q ‖ x] that say how far each term is believed."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy

import numpy as np
import numpy.typing as npt

from segue.artifact.arrays import Form, StoredArrays
from segue.lean.hg_gnn.encoder import sigmoid
from segue.lean.hg_gnn.options import HGGNNOptions
from segue.lean.model import Floats


class Heads:
    """Gate of the user term, weight of popularity, weights of the memory, gate of the pointer; those that there are."""

    def __init__(self, model: StoredArrays, options: HGGNNOptions) -> None:
        self.options = options
        wanted = {
            "user_gate": options.dim if options.user_term else 0,
            "popularity_weight": int(options.popularity),
            "memory.weight": 2 * len(options.memory),
            "pointer.gate": 1 + len(options.pointer) if options.pointer else 0,
        }
        self.maps = {name: _linear(model, name, options.features, rows) for name, rows in wanted.items() if rows}
        if options.user_term:
            self.user_map = model.read("user_map.weight", Form("float32", (options.dim, options.dim)))

    def moved(self, biases: Mapping[str, Floats]) -> Heads:
        """Heads whose maps are these, with something added to the biases of some."""
        found = copy(self)
        found.maps = {name: (weight, bias + biases.get(name, 0)) for name, (weight, bias) in self.maps.items()}
        return found

    def _of(self, name: str, z: Floats) -> Floats:
        weight, bias = self.maps[name]
        return np.asarray(z @ weight.T + bias)

    def user_term(self, z: Floats, q: Floats) -> Floats:
        """g * (W_u q), [requests, d]."""
        return np.asarray(sigmoid(self._of("user_gate", z)) * (q @ self.user_map.T))

    def popularity(self, z: Floats) -> Floats:
        """k, [requests, 1]."""
        return self._of("popularity_weight", z)

    def memory(self, z: Floats) -> tuple[Floats, Floats]:
        """w_f and w'_f of every source that is asked, [requests, sources] each; 0 where a source only points."""
        by_count, by_presence = (np.zeros((len(z), len(self.options.sources)), dtype=np.float32) for _ in range(2))
        if self.options.memory:
            weights, asked = self._of("memory.weight", z), len(self.options.memory)
            by_count[:, :asked], by_presence[:, :asked] = weights[:, ::2], weights[:, 1::2]
        return by_count, by_presence

    def pointer(self, z: Floats, silent: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Log share of the softmax [requests], and the gate g_f of every source that is asked [requests, sources].

        silent: where a source suggests nothing, bool [requests, sources]; it is closed there.
        """
        pointing = [self.options.sources.index(source) for source in self.options.pointer]
        logits = self._of("pointer.gate", z)
        logits[:, 1:][silent[:, pointing]] = -np.inf
        top = logits.max(1, keepdims=True)
        log_gate = logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True))
        gates = np.zeros(silent.shape, dtype=np.float32)
        gates[:, pointing] = np.exp(log_gate[:, 1:])
        return log_gate[:, 0], gates


def _linear(model: StoredArrays, name: str, features: int, rows: int) -> tuple[Floats, Floats]:
    weight = model.read(f"{name}.weight", Form("float32", (rows, features)))
    return weight, model.read(f"{name}.bias", Form("float32", (rows,)))
