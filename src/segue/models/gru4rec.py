"""GRU4Rec: a recurrent network over the items of the running session (Hidasi et al. 2016).

Input and output share one item table, with an output bias (Hidasi & Karatzoglou 2018). The preset ``full_softmax``
propagates through the whole session and scores against all items; a state never crosses from one session to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from segue.data.batches import Batch, Window
from segue.data.corpus import Corpus
from segue.nn.encoding import Encoding
from segue.nn.protocol import ModelConfig, Overrides, SessionEncoder
from segue.settings import GraphSettings, PreparationSettings


class GRU4RecConfig(ModelConfig):
    """Sizes and regularisation."""

    window: Window = Window(length=20)
    dim: int = Field(128, ge=1, le=4096)
    """Of item vectors and hidden state: they share one table, so they are equal."""
    layers: int = Field(1, ge=1, le=16)
    dropout_embed: float = Field(0.25, ge=0, lt=1)
    """Share of the input vectors' coordinates that is dropped."""
    dropout_hidden: float = Field(0.25, ge=0, lt=1)
    """Share of the hidden state's coordinates that is dropped, of every layer; never in the recurrence."""


class GRU4Rec(SessionEncoder):
    """x_t = E[v_t]; h_t = GRU(x_t, h_{t-1}) from h_0 = 0; score(i) = h_l · E[i] + b_i."""

    Config = GRU4RecConfig
    config: GRU4RecConfig
    presets: ClassVar[Mapping[str, Overrides]] = {"full_softmax": {}}

    embedding: nn.Embedding
    bias: nn.Parameter
    gru: nn.GRU

    def __init__(self, config: GRU4RecConfig, graph: GraphSettings) -> None:
        super().__init__(config, graph)
        self.dropout_embed = nn.Dropout(config.dropout_embed)
        self.dropout_hidden = nn.Dropout(config.dropout_hidden)

    def fit(self, corpus: Corpus, preparation: PreparationSettings) -> None:
        """Draw the parameters; counts and graphs play no part."""
        self._draw(corpus.n_items, corpus.n_users)

    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        """The inverse of :meth:`arrays`."""
        self._draw(n_items, n_users)
        self.load_state_dict(dict(arrays))

    def encode(self, batch: Batch, state: Tensor | None = None) -> Encoding:
        """The state after the last item of each prefix, and a 1 for the bias: [events, dim + 1].

        Rows are padded on the right, where a causal network does not look. The state after an empty prefix is zero.
        """
        hidden, _ = self.gru(self.dropout_embed(self.embedding(batch.items)))
        last = hidden[batch.row, batch.position.clamp(min=0)] * (batch.position >= 0)[:, None]
        return Encoding(torch.cat([self.dropout_hidden(last), last.new_ones(len(last), 1)], dim=1))

    def item_vectors(self) -> Tensor:
        """[items, dim + 1]: vector and bias."""
        return torch.cat([self.embedding.weight, self.bias[:, None]], dim=1)

    def statistics(self) -> dict[str, Any]:
        """Size of the network."""
        return {"parameters": sum(parameter.numel() for parameter in self.parameters())}

    def _draw(self, n_items: int, n_users: int) -> None:
        self.n_items, self.n_users = n_items, n_users
        dim, layers = self.config.dim, self.config.layers
        between = self.config.dropout_hidden if layers > 1 else 0.0
        self.embedding = nn.Embedding(n_items, dim)
        nn.init.uniform_(self.embedding.weight, -(dim**-0.5), dim**-0.5)
        self.bias = nn.Parameter(torch.zeros(n_items))
        self.gru = nn.GRU(dim, dim, num_layers=layers, batch_first=True, dropout=between)


Model = GRU4Rec
