"""A-PGNN: a gated graph network over all of a user's behaviour, with attention to earlier sessions (Zhang et al. 2020).

The graph of an event joins the user's earlier sessions and the prefix; a vector of the user takes part in every message
and in the read-out. No other user's sessions. Events of one session share most of their graph, so batches of whole
sessions train several times faster than those of single events.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from segue.contract.encoder import SessionEncoder
from segue.contract.model import ModelConfig, Need, Overrides
from segue.contract.paper_schedule import PAPER_SCHEDULE
from segue.data.batches import Batch, UserWindow
from segue.graph.propagation import Csr, neighbour_mean
from segue.models.a_pgnn.graph import BehaviourGraph, behaviour_graph
from segue.nn.encoding import Encoding
from segue.nn.losses import softmax_loss
from segue.nn.recurrent import Reset, gru_cell
from segue.settings.search_space import Between, Choice, Space


class APGNNConfig(ModelConfig):
    """Options of A-PGNN: sizes, how far it looks back, and how messages are weighted."""

    window: UserWindow = UserWindow(length=20)
    """Items of the running session, and of the user's earlier sessions, that enter the graph."""
    dim: int = Field(100, ge=1, le=4096)
    """Size d of item vectors and node states."""
    dim_user: int = Field(50, ge=1, le=4096)
    """Size d' of user vectors."""
    steps: int = Field(1, ge=1, le=8)
    """Propagation steps, all with the same weights."""
    max_sessions: int = Field(50, ge=1, le=10_000)
    """Earlier sessions in the graph, the latest ones, within the items of ``window.history``."""
    norm: Literal["row", "code"] = "row"
    """Weights of messages. row: in-messages are the mean over preceding clicks, out-messages over following ones. code:
    as the authors' program computes them, where every node divides itself among its listeners: Σ over following v of
    x_v / (clicks before v), and the other way round."""
    gru_reset: Reset = "after"
    """Place of the reset gate of a propagation step: "after" the recurrent product, as torch has it, or "before", as in
    the authors' program and in Cho et al. (2014)."""
    initial: Literal["uniform", "authors"] = "uniform"
    """Initial values. uniform: all in ±1/√d. authors: the gates and the attention's matrices from Glorot's uniform
    values, biases of the two gates 1, of the candidate and of both poolings 0."""
    first_sessions: bool = True
    """Whether the events of a user's first session are trained on; in the authors' program, which has no row without
    history, that session is only ever history."""
    layer_norm: bool = False
    """Whether the output of the attention is normalised; the authors do so for Xing alone."""
    mask_users: float = Field(0.01, ge=0, lt=1)
    """Share of train sessions shown as those of an unknown user without history, which teaches that user's row."""


class PersonalPropagation(nn.Module):
    """One step: h' = GRU([A_in (W_in h + U_in e_u) ‖ A_out (W_out h + U_out e_u)], h), with biases."""

    def __init__(self, dim: int, dim_user: int, norm: Literal["row", "code"], reset: Reset) -> None:
        super().__init__()
        self.norm = norm
        self.incoming, self.outgoing = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.user_in, self.user_out = (nn.Linear(dim_user, dim, bias=False) for _ in range(2))
        self.gru = gru_cell(2 * dim, dim, reset=reset)

    def forward(self, h: Tensor, user: Tensor, graph: BehaviourGraph) -> Tensor:
        """Node states [nodes, d] and users of rows [rows, d'] → [nodes, d]."""
        x_in = self.incoming(h) + self.user_in(user).index_select(0, graph.row)
        x_out = self.outgoing(h) + self.user_out(user).index_select(0, graph.row)
        before, after = graph.predecessors, graph.successors
        if self.norm == "row":
            heard = [neighbour_mean(x_in, before), neighbour_mean(x_out, after)]
        else:
            heard = [_shared_out(x_in, after, before), _shared_out(x_out, before, after)]
        state: Tensor = self.gru(torch.cat(heard, dim=1), h)
        return state


def _shared_out(x: Tensor, speakers: Csr, listeners: Csr) -> Tensor:
    """Σ over the speakers of a node of x / (listeners of the speaker), [nodes, d]."""
    share = x / listeners.offsets.diff().clamp(min=1)[:, None]
    return neighbour_mean(share, speakers) * speakers.offsets.diff()[:, None]


class Pooling(nn.Module):
    """[Σ_i c_i y_i ‖ W_1 y_last] with c_i = v · σ(W_1 y_last + W_2 y_i + b), not normalised."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.of_last = nn.Linear(dim, dim, bias=False)
        self.of_each = nn.Linear(dim, dim)
        self.query = nn.Parameter(torch.empty(dim))

    def forward(self, y: Tensor, mask: Tensor) -> Tensor:
        """Pool padded y [events, n, d] where `mask`, left-aligned → [events, 2 d]; zeros without any cell."""
        if not mask.any():
            return y.new_zeros(len(y), 2 * y.shape[2])
        cells = torch.arange(len(y), device=y.device) * y.shape[1] + (mask.sum(1) - 1).clamp(min=0)
        last = self.of_last(y.flatten(0, 1).index_select(0, cells) * mask[:, :1])
        weight = (torch.sigmoid(last[:, None] + self.of_each(y)) @ self.query) * mask
        return torch.cat([torch.bmm(weight[:, None], y).squeeze(1), last], dim=1)


class SessionAttention(nn.Module):
    """O = softmax(Q Kᵀ / √d) V + X; Q = relu(X W_q), K = relu(F W_k), V = relu(F W_v). One head, no dropout."""

    def __init__(self, dim: int, *, layer_norm: bool) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.normalise = nn.LayerNorm(dim) if layer_norm else nn.Identity()

    def forward(self, x: Tensor, pooled: Tensor, sessions: Tensor, known: Tensor) -> Tensor:
        """Attend from X [events, clicks, d] to F = ``pooled[sessions]`` [events, sessions, d] → O, shaped as X.

        Without sessions O = X."""
        heard = torch.zeros_like(x)
        if known.any():
            key, value = (_padded(torch.relu(part(pooled)), sessions) for part in (self.key, self.value))
            logits = torch.relu(self.query(x)) @ key.transpose(1, 2) / math.sqrt(x.shape[2])
            logits = logits.masked_fill(~known[:, None], torch.finfo(x.dtype).min)
            heard = (logits.softmax(2) * known[:, None]) @ value
        result: Tensor = self.normalise(heard + x)
        return result


def _padded(table: Tensor, index: Tensor) -> Tensor:
    """Rows of a table by index, [events, n] → [events, n, d]."""
    return table.index_select(0, index.flatten()).view(*index.shape, table.shape[1])


class APGNN(SessionEncoder):
    """score(i) = E[i] · B [P(O) ‖ P'(F) ‖ e_u]; O: the prefix attending to F, the maxima of earlier sessions.

    Preset ``official`` is github.com/CRIPAC-DIG/A-PGNN (0623c3d) as its README runs it, with transitions counted
    (``adj_all``); docs/paper-map.md says what it does not copy.
    """

    Config = APGNNConfig
    config: APGNNConfig
    title: ClassVar[str] = "A-PGNN"
    depth: ClassVar[str | None] = "steps"
    presets: ClassVar[Mapping[str, Overrides]] = {
        # Not the authors': their program lost a transposition, so in and out are swapped and the weights not those of
        # their equations ("code"); it has no row for unknown users, and fails on them; it shuffles single events.
        "official": {
            "model": {
                "norm": "row", "mask_users": 0.01, "gru_reset": "before", "initial": "authors", "first_sessions": False,
            },
            "training": {
                "batch_events": 50, "weight_decay": 0.0, "max_epochs": 30, "patience": 30, "shuffle": "sessions",
            },
        },
        "paper_conditions": {"training": {"batch_events": 512, **PAPER_SCHEDULE}},
    }  # fmt: skip
    space: ClassVar[Space] = {
        "model.dim": Choice((32, 64, 96, 100, 128, 256)),
        "model.dim_user": Choice((16, 32, 50, 64, 128)),
        "model.steps": Choice((1, 2, 3, 4)),
        "model.max_sessions": Choice((20, 50)),
        "model.layer_norm": Choice((False, True)),
        "training.learning_rate": Between(1e-4, 1e-2, log=True),
        "training.weight_decay": Choice((0.0, 1e-6, 1e-5, 1e-4)),
    }

    embedding: nn.Embedding
    users: nn.Embedding
    propagation: PersonalPropagation
    attention: SessionAttention
    current: Pooling
    earlier: Pooling
    transform: nn.Linear

    @property
    def needs(self) -> frozenset[Need]:
        """Needs known users with earlier sessions."""
        return frozenset({"history"})

    def encode(self, batch: Batch, state: Tensor | None = None) -> Encoding:
        """B [P(O) ‖ P'(F) ‖ e_u], [events, d]; P(O) is zero after an empty prefix, P'(F) without history."""
        if self.training and self.config.mask_users:
            masked = torch.rand(len(batch.user), device=batch.user.device) < self.config.mask_users
            batch = batch.anonymise(masked, self.n_users)
        user = self.users(batch.user)
        graph = self._graph(batch)
        h: Tensor = self.embedding(graph.item)
        for _ in range(self.config.steps):
            h = self.propagation(h, user, graph)
        pooled = _maxima(h.index_select(0, graph.member), graph.session, graph.n_sessions)
        mask = batch.prefixes().mask
        clicks = torch.zeros(mask.shape, dtype=torch.int64, device=mask.device).masked_scatter(mask, graph.node)
        x = _padded(h, clicks) * mask[:, :, None] if len(h) else h.new_zeros(*mask.shape, h.shape[1])
        current = self.current(self.attention(x, pooled, graph.sessions, graph.known), mask)
        earlier = self.earlier(_padded(pooled, graph.sessions), graph.known)
        return Encoding(self.transform(torch.cat([current, earlier, user.index_select(0, batch.row)], dim=1)))

    def item_vectors(self) -> Tensor:
        """Item vectors as they are before propagation, [items, d]."""
        return self.embedding.weight

    def loss_of(self, encoding: Encoding, batch: Batch) -> Tensor:
        """Mean cross entropy over the events; in training without ``first_sessions`` over those with a history."""
        if not self.training or self.config.first_sessions:
            return super().loss_of(encoding, batch)
        earlier, of = _with_history(batch), len(_with_history(batch.joined))
        kept = Encoding(encoding.vectors.index_select(0, earlier))
        return softmax_loss(kept, self.item_vectors(), batch.target.index_select(0, earlier), of=of)

    def _graph(self, batch: Batch) -> BehaviourGraph:
        config = self.config
        # A prefix changes the means of its own nodes, and with "code" the shares that their neighbours hear at once.
        spread = config.steps - (config.norm == "row")
        return behaviour_graph(
            batch, self.n_items, max_items=config.window.history, max_sessions=config.max_sessions, spread=spread
        )

    def _build_parameters(self) -> None:
        config, dim = self.config, self.config.dim
        self.embedding, self.users = nn.Embedding(self.n_items, dim), nn.Embedding(self.n_users + 1, config.dim_user)
        self.propagation = PersonalPropagation(dim, config.dim_user, config.norm, config.gru_reset)
        self.attention = SessionAttention(dim, layer_norm=config.layer_norm)
        self.current, self.earlier = Pooling(dim), Pooling(dim)
        self.transform = nn.Linear(4 * dim + config.dim_user, dim, bias=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(dim**-0.5), dim**-0.5)
        if isinstance(self.attention.normalise, nn.LayerNorm):
            self.attention.normalise.reset_parameters()
        if config.initial == "authors":
            self._start_as_the_authors()

    def _start_as_the_authors(self) -> None:
        """Initialise what the authors leave to their framework, whose GRU has one matrix for both gates."""
        dim = self.config.dim
        for name, parameter in self.propagation.gru.named_parameters():
            gates, candidate = parameter.detach()[: 2 * dim], parameter.detach()[2 * dim :]
            if name.startswith("weight"):
                nn.init.uniform_(gates, -((6 / (5 * dim)) ** 0.5), (6 / (5 * dim)) ** 0.5)
                nn.init.uniform_(candidate, -((6 / (4 * dim)) ** 0.5), (6 / (4 * dim)) ** 0.5)
            else:
                nn.init.constant_(gates, float(name == "bias_ih"))
                nn.init.zeros_(candidate)
        for part in (self.attention.query, self.attention.key, self.attention.value):
            nn.init.xavier_uniform_(part.weight)
        for pooling in (self.current, self.earlier):
            nn.init.zeros_(pooling.of_each.bias)


def _with_history(batch: Batch) -> Tensor:
    """The events of a batch before which their user has a session, [events with a history]."""
    return (batch.past_sessions > 0)[batch.row].nonzero().squeeze(1)


def _maxima(x: Tensor, session: Tensor, n_sessions: int) -> Tensor:
    """The largest value of each session in each coordinate, [sessions, d]; no session is empty."""
    lowest = x.new_full((n_sessions, x.shape[1]), -torch.inf)
    return lowest.scatter_reduce(0, session[:, None].expand_as(x), x, "amax")


Model = APGNN
