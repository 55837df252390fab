"""GRU4Rec: a recurrent network over the items of the running session (Hidasi et al. 2016).

Input and output share one item table, with an output bias (Hidasi & Karatzoglou 2018). The preset ``full_softmax``
propagates through the whole session and scores against all items. The presets ``official`` and ``official_bpr_max``
train as the authors do: sessions in order of time on parallel slots, one item per step, against the targets of the
batch and items sampled by popularity. A state never crosses from one session to another.
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
from segue.data.corpus import Corpus
from segue.data.schedules import Order
from segue.nn.encoding import Encoding
from segue.nn.recurrent import draw_gates
from segue.nn.sampled import Drawn, PopularitySampler, bpr_max, candidate_scores, cross_entropy, false_negatives
from segue.settings.search_space import Between, Choice, Space

_WHOLE_SESSIONS = {"length": 1000}
_OFFICIAL_TRAINING = {
    "optimizer": "adagrad", "learning_rate": 0.05, "weight_decay": 0.0, "batch_events": 64, "max_epochs": 10,
}  # fmt: skip

_OFFICIAL_SPACE: Space = {
    "model.n_sample": Choice((0, 512, 2048)),
    "model.sample_alpha": Between(0.0, 1.0),
    "training.momentum": Between(0.0, 0.6),
    "training.batch_events": Choice((32, 64, 128, 256)),
}
"""Further ranges that the authors search, with their optimizer."""


class GRU4RecConfig(ModelConfig):
    """Options of GRU4Rec: sizes, regularisation, and how it is trained."""

    window: Window = Window(length=20)
    """Items of the running session that are looked at."""
    dim: int = Field(128, ge=1, le=65_536)
    """Size of item vectors and hidden state; both share one table, so they are equal."""
    layers: int = Field(1, ge=1, le=64)
    """Number of recurrent layers."""
    dropout_embed: float = Field(0.25, ge=0, lt=1)
    """Share of the input vectors' coordinates that is dropped."""
    dropout_hidden: float = Field(0.25, ge=0, lt=1)
    """Share of every layer's hidden state that is dropped; inside the recurrence with bptt "one_step" only."""
    bptt: Literal["full", "one_step"] = "full"
    """Reach of back-propagation. full: through whole sessions, shuffled. one_step: as the authors train, with their
    initial values and order: session-parallel, the state after dropout is carried to the next step as a constant."""
    loss: Literal["full_softmax", "cross_entropy", "bpr_max"] = "full_softmax"
    """Training loss. full_softmax: over all items; the others over the targets of the batch and `n_sample` sampled
    items. In evaluation mode, where nothing is sampled, all items are candidates."""
    n_sample: Drawn = 2048
    """Items sampled per batch, shared by its events."""
    sample_alpha: float = Field(0.5, ge=0, le=1)
    """Power of the support by which items are sampled: 0 all alike, 1 by popularity."""
    logq: float = Field(0.0, ge=0, le=10)
    """Share of a candidate's log frequency that loss "cross_entropy" takes off its score (1: the logQ correction)."""
    bpreg: float = Field(1.0, ge=0, le=1e6)
    """Weight of the penalty that loss "bpr_max" puts on the scores of the negatives."""
    elu: float = Field(0.5, ge=0, le=1e6)
    """Parameter of the elu that scores pass through with loss "bpr_max"; 0: they stay as they are."""
    mask_duplicates: bool = False
    """Whether candidates equal to an event's target are left out of its negatives; the authors keep them."""


class GRU4Rec(SessionEncoder):
    """x_t = E[v_t]; h_t = GRU(x_t, h_{t-1}) from h_0 = 0; score(i) = h_l · E[i] + b_i.

    The presets ``official`` and ``official_bpr_max`` are github.com/hidasib/GRU4Rec_PyTorch_Official (d1fc311);
    docs/paper-map.md says what they do not copy.
    """

    Config = GRU4RecConfig
    config: GRU4RecConfig
    title: ClassVar[str] = "GRU4Rec"
    depth: ClassVar[str | None] = "layers"
    presets: ClassVar[Mapping[str, Overrides]] = {
        "full_softmax": {},
        # The defaults of the authors' code, for data they have no tuned settings for; the logQ correction is in all of
        # their tuned settings with this loss.
        "official": {
            "model": {
                "window": _WHOLE_SESSIONS, "bptt": "one_step", "loss": "cross_entropy", "dim": 100,
                "dropout_embed": 0.0, "dropout_hidden": 0.0, "logq": 1.0,
            },
            "training": _OFFICIAL_TRAINING,
        },
        "official_bpr_max": {
            "model": {
                "window": _WHOLE_SESSIONS, "bptt": "one_step", "loss": "bpr_max", "dim": 100,
                "dropout_embed": 0.0, "dropout_hidden": 0.0,
            },
            "training": _OFFICIAL_TRAINING,
        },
        "paper_conditions": {"training": {"learning_rate": 1e-3, "decay": 0.1, **PAPER_SCHEDULE}},
    }  # fmt: skip
    space: ClassVar[Space] = {
        "model.dim": Choice((64, 100, 128, 256, 512)),
        "model.dropout_embed": Between(0, 0.5),
        "model.dropout_hidden": Between(0, 0.5),
        "training.learning_rate": Between(1e-4, 0.2, log=True),
    }
    spaces: ClassVar[Mapping[str, Space]] = {
        "official": {**space, **_OFFICIAL_SPACE},
        "official_bpr_max": {
            **space,
            **_OFFICIAL_SPACE,
            "model.bpreg": Between(0.0, 2.0),
            "model.elu": Between(0.0, 1.0),
        },
    }

    embedding: nn.Embedding
    bias: nn.Parameter
    gru: nn.GRU
    sampler: PopularitySampler

    def __init__(self, config: GRU4RecConfig) -> None:
        super().__init__(config)
        self.dropout_embed = nn.Dropout(config.dropout_embed)
        self.dropout_hidden = nn.Dropout(config.dropout_hidden)

    @property
    def order(self) -> Order:
        """Session-parallel with bptt "one_step", else shuffled."""
        return "session_parallel" if self.config.bptt == "one_step" else "shuffled"

    @property
    def ranking_loss(self) -> bool:
        """Whether the loss is BPR-max, which penalises the size of scores."""
        return self.config.loss == "bpr_max"

    def fit(self, corpus: Corpus) -> None:
        """Build the parameters; of the log only the support of the items is kept, for sampling negatives."""
        super().fit(corpus)
        if self.config.loss != "full_softmax":
            self.sampler.count(torch.from_numpy(corpus.item_support))

    def encode(self, batch: Batch, state: Tensor | None = None) -> Encoding:
        """The state after the last item of each prefix, and a 1 for the bias: [events, dim + 1].

        Rows are padded on the right, where a causal network does not look. The state after an empty prefix is zero.
        """
        x = self.dropout_embed(self.embedding(batch.items))
        if self.training and self.config.bptt == "one_step":
            hidden, state = self._stepwise(x, batch, state)
            drop: nn.Module = nn.Identity()
        else:
            hidden, state, drop = self.gru(x)[0], None, self.dropout_hidden
        last = drop(hidden[batch.row, batch.position.clamp(min=0)] * (batch.position >= 0)[:, None])
        return Encoding(torch.cat([last, last.new_ones(len(last), 1)], dim=1), state=state)

    def _stepwise(self, x: Tensor, batch: Batch, carried: Tensor | None) -> tuple[Tensor, Tensor]:
        """Run the recurrence from the states that the slots carry; only what dropout leaves of a state goes on.

        Returns the last layer's states [rows, length, dim], and the states to carry on [slots, layers, dim].
        """
        if carried is None:
            carried = x.new_zeros(len(batch.joined.slot), self.config.layers, self.config.dim)
        state = carried.index_select(0, batch.slot) * batch.continues[:, None, None]
        hidden = []
        for cell in range(x.shape[1]):
            after, below = [], x[:, cell]
            for weights, before in zip(self.gru.all_weights, state.unbind(1), strict=True):
                below = self.dropout_hidden(torch.gru_cell(below, before, *weights))
                after.append(below)
            hidden.append(below)
            state = torch.where(batch.mask[:, cell, None, None], torch.stack(after, 1), state)
        return torch.stack(hidden, 1), carried.index_copy(0, batch.slot, state)

    def item_vectors(self) -> Tensor:
        """Vector and bias of every item, [items, dim + 1]."""
        return torch.cat([self.embedding.weight, self.bias[:, None]], dim=1)

    def tables(self) -> list[Tensor]:
        """The item table and the bias of every item."""
        return [*super().tables(), self.bias]

    def loss_of(self, encoding: Encoding, batch: Batch) -> Tensor:
        """Sum over events divided by the number of slots, which shrinks as slots run out at the end of an epoch.

        Without slots it is the mean over events.
        """
        config = self.config
        nominal = len(encoding.state) if encoding.state is not None else len(batch.joined)
        if config.loss == "full_softmax":
            return super().loss_of(encoding, batch) * (len(batch.joined) / nominal)
        scores, positive, left_out = self._candidate_scores(encoding.vectors, batch)
        if config.loss == "cross_entropy":
            return cross_entropy(scores, positive, left_out) / nominal
        return bpr_max(scores, positive, left_out, elu=config.elu, penalty=config.bpreg) / nominal

    def _candidate_scores(self, vectors: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """Scores [events, candidates], the column of each target [events], and which cells are left out."""
        if not self.training:
            return vectors @ self.item_vectors().t(), batch.target, None
        target, positive = batch.joined.target, batch.place
        drawn = self.sampler.draw(self.config.n_sample)
        candidates = torch.cat([target, drawn])
        scores = candidate_scores(vectors[:, :-1], self.embedding.weight, self.bias, candidates)
        if self.config.loss == "cross_entropy" and self.config.logq:
            scores = scores - (self.config.logq * self.sampler.log_weights(target, drawn)).to(scores.dtype)
        return scores, positive, false_negatives(candidates, positive) if self.config.mask_duplicates else None

    def _build_parameters(self) -> None:
        dim, layers = self.config.dim, self.config.layers
        between = self.config.dropout_hidden if layers > 1 else 0.0
        self.embedding = nn.Embedding(self.n_items, dim)
        nn.init.uniform_(self.embedding.weight, -(dim**-0.5), dim**-0.5)
        self.bias = nn.Parameter(torch.zeros(self.n_items))
        self.gru = nn.GRU(dim, dim, num_layers=layers, batch_first=True, dropout=between)
        if self.config.bptt == "one_step":
            self._start_as_the_authors()
        if self.config.loss != "full_softmax":
            self.sampler = PopularitySampler(self.n_items, self.config.sample_alpha)

    def _start_as_the_authors(self) -> None:
        """Initialise the table and every gate on its own with Glorot's uniform values, and the biases with zero."""
        nn.init.xavier_uniform_(self.embedding.weight)
        draw_gates(self.gru)


Model = GRU4Rec
