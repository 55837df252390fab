"""NARM: a recurrent encoder read twice, at its last state and by attention over all of them (Li et al. 2017).

Every position of a session is an event, and all are encoded in one pass: the recurrent states are shared, and the
attention of an event sees the states up to its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from segue.contract.encoder import SessionEncoder
from segue.contract.model import ModelConfig, Overrides
from segue.contract.paper_schedule import PAPER_SCHEDULE
from segue.data.batches import Batch, Window
from segue.nn.encoding import Encoding
from segue.nn.recurrent import Reset, StepGRU, gate_function, gru
from segue.settings.search_space import Between, Choice, Space


class NARMConfig(ModelConfig):
    """Options of NARM: sizes, regularisation and the form of the attention."""

    window: Window = Window(length=20)
    """Items of the running session that are looked at."""
    dim: int = Field(50, ge=1, le=8192)
    """Size d of item vectors."""
    hidden: int = Field(100, ge=1, le=8192)
    """Size H of the recurrent state."""
    attention: Literal["softmax", "raw"] = "softmax"
    """Weights of the recurrent states: "softmax" as in the authors' program, "raw" as the paper writes them."""
    gru_reset: Reset = "after"
    """Place of the reset gate: "after" the recurrent product, as torch has it, or "before", as in the authors' program
    and in Cho et al. (2014)."""
    hard_sigmoid: bool = False
    """Whether gates and attention use Theano's piecewise linear sigmoid, clip(x / 5 + 1 / 2, 0, 1), as the authors'
    program does."""
    dropout_embed: float = Field(0.25, ge=0, lt=1)
    """Share of the input vectors' coordinates that is dropped."""
    dropout_session: float = Field(0.5, ge=0, lt=1)
    """Share of the coordinates of c = [c_l, c_g] that is dropped before the decoder."""


class NARM(SessionEncoder):
    """h_t = GRU(E[v_t], h_{t−1}); a_j = vᵀ σ(A₁ h_l + A₂ h_j); score(i) = E[i] · B [c_l, c_g].

    c_g = h_l, the last state; c_l = Σ_j a_j h_j. With attention "softmax" the a_j of a prefix pass a softmax first.

    Preset ``official`` is github.com/lijingsdu/sessionRec_NARM (8842334); docs/paper-map.md says what it does not copy.
    """

    Config = NARMConfig
    config: NARMConfig
    title: ClassVar[str] = "NARM"
    item_table: ClassVar[str | None] = "embedding"
    presets: ClassVar[Mapping[str, Overrides]] = {
        # The authors' patience of 100 epochs never ends their 30.
        "official": {
            "model": {"gru_reset": "before", "hard_sigmoid": True},
            "training": {
                "learning_rate": 1e-3, "batch_events": 512, "weight_decay": 0.0, "max_epochs": 30, "patience": 30,
            },
        },
        "paper_conditions": {
            "model": {"dim": 128, "hidden": 128},
            "training": {
                "learning_rate": 1e-3,
                "batch_events": 512,
                "weight_decay": 0.0,
                "decay": 0.1,
                **PAPER_SCHEDULE,
            },
        },
    }  # fmt: skip
    space: ClassVar[Space] = {
        "model.dim": Choice((32, 50, 64, 96, 128, 256)),
        "model.hidden": Choice((64, 100, 128, 256)),
        "model.attention": Choice(("softmax", "raw")),
        "model.dropout_embed": Between(0.0, 0.5),
        "model.dropout_session": Between(0.0, 0.7),
        "training.learning_rate": Between(3e-4, 1e-2, log=True),
    }

    embedding: nn.Embedding
    gru: nn.GRU | StepGRU
    of_last: nn.Linear
    of_each: nn.Linear
    energy: nn.Linear
    decoder: nn.Linear

    def __init__(self, config: NARMConfig) -> None:
        super().__init__(config)
        self.dropout_embed = nn.Dropout(config.dropout_embed)
        self.dropout_session = nn.Dropout(config.dropout_session)

    def encode(self, batch: Batch, state: Tensor | None = None) -> Encoding:
        """Decoded session of each event, B [c_l, c_g]: [events, dim]; zero after an empty prefix.

        Rows are padded on the right, where a causal network does not look.
        """
        hidden, _ = self.gru(self.dropout_embed(self.embedding(batch.items)))
        rows, length, width = hidden.shape
        cell = batch.row * length + batch.position.clamp(min=0)
        last = hidden.reshape(rows * length, width).index_select(0, cell) * (batch.position >= 0)[:, None]
        local = self._local(hidden, last, batch)
        return Encoding(self.decoder(self.dropout_session(torch.cat([local, last], dim=1))))

    def item_vectors(self) -> Tensor:
        """Item vectors, [items, dim]."""
        return self.embedding.weight

    def _local(self, hidden: Tensor, last: Tensor, batch: Batch) -> Tensor:
        """Local vector c_l [events, hidden] from the states [rows, length, hidden] and the last one of each event."""
        seen = torch.arange(hidden.shape[1], device=hidden.device) <= batch.position[:, None]
        each = self.of_each(hidden).index_select(0, batch.row)
        attended = gate_function(self.of_last(last)[:, None] + each, hard=self.config.hard_sigmoid)
        weight = self.energy(attended).squeeze(2)
        if self.config.attention == "softmax":
            weight = torch.softmax(weight.masked_fill(~seen, torch.finfo(weight.dtype).min), dim=1)
        # An empty prefix sees nothing: its weights are zero here, not the quotient 0 / 0.
        weight = weight * seen
        return torch.bmm(weight[:, None], hidden.index_select(0, batch.row)).squeeze(1)

    def _build_parameters(self) -> None:
        dim, hidden = self.config.dim, self.config.hidden
        self.embedding = nn.Embedding(self.n_items, dim)
        self.gru = gru(dim, hidden, reset=self.config.gru_reset, hard=self.config.hard_sigmoid)
        self.of_last = nn.Linear(hidden, hidden, bias=False)
        self.of_each = nn.Linear(hidden, hidden, bias=False)
        self.energy = nn.Linear(hidden, 1, bias=False)
        self.decoder = nn.Linear(2 * hidden, dim, bias=False)
        if not self.embedding.weight.is_meta:  # a tensor without values has none to start from
            self._initialise_as_the_authors()

    def _initialise_as_the_authors(self) -> None:
        """Initialise from N(0, 2 / n), n the rows of each matrix in the authors' layout; recurrent matrices orthogonal.

        Biases are 0. The item table is an exception, since its rows are the items: with 2 / items it would start so
        near to zero that the other weights have little to work with, the more so the larger the catalogue. It is the
        output table too, so its variance is 2 / dim, by its number of inputs there.
        """
        dim, hidden = self.config.dim, self.config.hidden
        of_gru = dict(self.gru.named_parameters())
        rows = {
            self.embedding.weight: dim,
            of_gru["weight_ih_l0"]: dim,
            self.of_last.weight: hidden,
            self.of_each.weight: hidden,
            self.energy.weight: 1,
            self.decoder.weight: dim,
        }
        for weight, n in rows.items():
            nn.init.normal_(weight, std=(2 / n) ** 0.5)
        for gate in of_gru["weight_hh_l0"].detach().chunk(3):
            nn.init.orthogonal_(gate)
        for name, bias in of_gru.items():
            if name.startswith("bias"):
                nn.init.zeros_(bias)


Model = NARM
