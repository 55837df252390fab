"""What is added to the weights that training has learned, where counts are live: learned from events as they come.

Training weighs counts that know all train sessions but the running one, and vectors that have seen the train events.
Live counts know the past alone, and many items are new. So the same weights fit them less well, and what is added here
is learned in the setting in which it is used: a list is asked for before each event, then the event teaches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from segue.contract.memory_sources import TABLE
from segue.data.arrays import FloatArray
from segue.errors import ConfigError, first_line
from segue.lean.hg_gnn.model import ScoredHGGNN
from segue.lean.hg_gnn.options import HGGNNOptions
from segue.lean.hg_gnn.terms import Cells, Entries, add_memory
from segue.lean.model import Floats
from segue.system.json_files import read_object

FORMAT = "segue-live-weights-1"
_LARGEST = 20.0
_RATE, _START = 0.1, 10.0
"""Learning rate of AdaGrad, and what its sums of squares start with: a few events change little."""


class LiveWeights:
    """What is added to a model's biases, and the scale of its vectors.

    s(i) = e^a S' · p_i⁰ + (k + δ) log share_i + Σ_f [(w_f + δ_f) log(1 + c_f f(i)) + (w'_f + δ'_f) 1[f(i) > 0]], and
    each logit of the pointer's gate has an addition of its own. All values are 0 where nothing was learned.

    Attributes:
        names: of the values. values: float64. events: how many events they were learned from.
    """

    def __init__(self, options: HGGNNOptions) -> None:
        self._options = options
        sources, gate = options.memory, ("softmax", *options.pointer) if options.pointer else ()
        self._parts: Mapping[str, Sequence[str]] = {
            "vectors": ["vectors"] if options.embeddings else [],
            "popularity": ["popularity"] if options.popularity else [],
            "count": [f"count of {source}" for source in sources],
            "presence": [f"presence of {source}" for source in sources],
            "gate": [f"gate of {source}" for source in gate],
        }
        self.names = [name for part in self._parts.values() for name in part]
        self.values: FloatArray = np.zeros(len(self.names))
        self.events = 0
        self._squares: FloatArray = np.full(len(self.names), _START)

    @classmethod
    def read(cls, path: Path, options: HGGNNOptions) -> Self:
        """What :meth:`as_dict` wrote. Raises ConfigError for another file, or one of other terms."""
        found = cls(options)
        try:
            stored = read_object(path)
            if stored.get("format") != FORMAT:
                raise ValueError(f"it has format {stored.get('format')!r:.60}, this Segue reads {FORMAT!r}")
            weights, events = stored.get("weights"), stored.get("events")
            if not isinstance(weights, dict) or not isinstance(events, int):
                raise ValueError("it lacks weights or events")
            if set(weights) != set(found.names):
                other = sorted(set(weights) ^ set(found.names))[0]
                raise ValueError(f"its terms are not those of the model: '{other:.60}' is in one of them alone")
            values = [weights[name] for name in found.names]
            if not all(type(value) in (int, float) and abs(value) <= _LARGEST for value in values):
                raise ValueError(f"a weight is no number between -{_LARGEST:g} and {_LARGEST:g}")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"the live weights {path} cannot be used ({first_line(error)}); make them with segue replay MODEL LOG"
                " --live --learn FILE"
            ) from None
        found.values, found.events = np.array(values, dtype=np.float64), events
        return found

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape."""
        values = dict(zip(self.names, self.values.tolist(), strict=True))
        return {"format": FORMAT, "events": self.events, "weights": values}

    @property
    def scale(self) -> Floats:
        """What every coordinate of the vectors is multiplied with, [coordinates]."""
        of_vectors = [float(np.exp(self._part("vectors")[0]))] * self._options.dim if self._options.embeddings else []
        return np.array([*of_vectors, *[1.0] * self._options.popularity], dtype=np.float32)

    @property
    def biases(self) -> dict[str, Floats]:
        """What is added to the biases of the maps in :class:`segue.lean.hg_gnn.heads.Heads`."""
        memory = np.stack([self._part("count"), self._part("presence")], 1).ravel()
        found = {
            "popularity_weight": self._part("popularity"), "memory.weight": memory, "pointer.gate": self._part("gate"),
        }  # fmt: skip
        return {name: bias.astype(np.float32) for name, bias in found.items() if len(bias)}

    def learn(self, scored: ScoredHGGNN, target: int) -> None:
        """Go one step of AdaGrad towards giving `target` more probability; `scored` holds one request."""
        slope = self.slope(scored, target)
        self._squares += slope**2
        self.values = np.clip(self.values - _RATE * slope / np.sqrt(self._squares), -_LARGEST, _LARGEST)
        self.events += 1

    def slope(self, scored: ScoredHGGNN, target: int) -> FloatArray:
        """The derivative of -log p(target) by every value.

        With σ the softmax of s, p = g_0 σ + Σ g_f f / Σ f, and r = g_0 σ_target / p_target, the share of the softmax in
        what the target got: by s(i) it is r (σ_i - 1[i = target]), by a logit of the gate g_f less its share in
        p_target.
        """
        model, terms, believed = scored.model, scored.terms, scored.terms.believed
        assert believed is not None
        options, entries = self._options, Entries(terms.recalled)
        s = np.asarray(model._dense(model.queries(terms)), dtype=np.float32)
        popularity = model._dense(np.eye(len(terms.vectors[0]), dtype=np.float32)[-1:])[0]
        of_vectors = s[0] - terms.vectors[0, -1] * popularity if options.popularity else s[0].copy()
        add_memory(s.reshape(-1), Cells.of_all_items(entries, s.shape[1]), entries, believed, options.sources)
        sigma = np.exp(s[0].astype(np.float64) - s[0].max())
        sigma /= sigma.sum()
        softmax = float(np.exp(believed.log_dense[0])) if believed.log_dense is not None else 1.0
        given = {"softmax": softmax * sigma[target]}
        for number, (source, suggested) in enumerate(terms.recalled[0].items()):
            if believed.gates is not None and source in options.pointer:
                at = suggested.values[suggested.items == target].sum()
                given[source] = believed.gates[0, number] * at / (believed.totals[0, number] or 1.0)
        p = sum(given.values())
        by_score = sigma
        by_score[target] -= 1
        by_score *= given["softmax"] / p
        slope = [float(by_score @ of_vectors)] if options.embeddings else []
        slope += [float(by_score @ popularity)] if options.popularity else []
        of_sources = [(terms.recalled[0][source], TABLE[source].scale) for source in options.memory]
        slope += [float(by_score[each.items] @ np.log1p(scale * each.values)) for each, scale in of_sources]
        slope += [float(by_score[each.items].sum()) for each, _ in of_sources]
        if believed.gates is not None:
            gates = dict(zip(options.sources, believed.gates[0].tolist(), strict=True)) | {"softmax": softmax}
            slope += [gates[name] - given[name] / p for name in ("softmax", *options.pointer)]
        return np.array(slope)

    def _part(self, name: str) -> FloatArray:
        first = 0
        for part, names in self._parts.items():
            if part == name:
                return self.values[first : first + len(names)]
            first += len(names)
        raise KeyError(name)
