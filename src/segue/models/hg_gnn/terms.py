"""The separate terms that the scores of a batch are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from segue.contract.memory_sources import MemorySource
from segue.data.batches import Prefixes
from segue.models.hg_gnn.memory.entries import Recalled
from segue.models.hg_gnn.session_encoder import Reading
from segue.nn.encoding import Encoding


@dataclass(frozen=True)
class Terms:
    """The terms of a batch.

    Attributes:
        encoding: the sum of all terms, which ranks.
        reading: S of eq. (18) and its parts; None without embeddings. by_user: what the user's terms add to S, by
            name: "user_term" g * (W_u q), "add_user" q; [events, d] each.
        recalled: entries of the memory by source. values: what each adds to a score. pointed: its probability.
        p, alias, prefixes: refined vectors of the distinct items, the row of each cell among them, the prefixes.
    """

    encoding: Encoding
    reading: Reading | None
    by_user: Mapping[str, Tensor]
    recalled: Mapping[MemorySource, Recalled]
    values: Mapping[MemorySource, Tensor]
    pointed: Mapping[MemorySource, Tensor]
    p: Tensor
    alias: Tensor
    prefixes: Prefixes
