"""Everything that the scores of a batch are made of, kept apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from segue.data.batches import Prefixes
from segue.models.hg_gnn.config import Source
from segue.models.hg_gnn.recall import Recalled
from segue.models.hg_gnn.session_encoder import Reading
from segue.nn.encoding import Encoding


@dataclass(frozen=True)
class Terms:
    """The terms of a batch.

    Attributes:
        encoding: what ranks.
        reading: S of eq. (18) and its parts. user_vectors: g * (W_u q), [events, d], where the user term is on.
        recalled: entries of the memory by source. values: what each adds to a score. pointed: its probability.
        p, alias, prefixes: refined vectors of the distinct items, the place of each cell, the prefixes.
    """

    encoding: Encoding
    reading: Reading
    user_vectors: Tensor | None
    recalled: Mapping[Source, Recalled]
    values: Mapping[Source, Tensor]
    pointed: Mapping[Source, Tensor]
    p: Tensor
    alias: Tensor
    prefixes: Prefixes
