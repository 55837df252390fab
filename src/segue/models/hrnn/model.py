"""H-RNN: a network over a user's sessions that starts the network over the items of the running one.

Quadrana et al. (2017). Trained session by session: full back-propagation inside a session, and through the one step of
the user's network that leads into it; before that the user's state is a constant. Both networks have one layer, the
only depth at which the paper's start of a session from its user is unambiguous.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from segue.contract.encoder import SessionEncoder
from segue.contract.model import Need, Overrides
from segue.data.batches import Batch, History, Store, long_tensor, look_back
from segue.data.corpus import Corpus, Sessions
from segue.data.schedules import Order
from segue.models.hrnn.config import PRESETS, SPACE, SPACES, HRNNConfig
from segue.nn.encoding import Encoding
from segue.nn.recurrent import StepGRU, draw_gates, gru, gru_cell
from segue.nn.sampled import PopularitySampler, candidate_scores, false_negatives, top1
from segue.settings.search_space import Space

_USERS_AT_ONCE = 1024


class HRNN(SessionEncoder):
    """c_m = GRU_user(s_m, c_{m-1}); a session starts from tanh(W c_m + b), the first from 0; score(i) = s · E[i] + b_i.

    Evaluation and serving read the user's history anew, with the weights as they are, or take the state at the end of
    train from the snapshot where the history is exactly the user's train sessions.

    Presets ``official`` and ``official_all`` are github.com/mquad/hgru4rec (13f9fbe); docs/paper-map.md says what they
    do not copy.
    """

    Config = HRNNConfig
    config: HRNNConfig
    title: ClassVar[str] = "H-RNN"
    presets: ClassVar[Mapping[str, Overrides]] = PRESETS
    space: ClassVar[Space] = SPACE
    spaces: ClassVar[Mapping[str, Space]] = SPACES

    embedding: nn.Embedding
    bias: nn.Parameter
    gru: nn.GRU | StepGRU
    end_state: Tensor
    """User state c after the last train session, [users + 1, dim]; the last row, of unknown users, means nothing."""
    n_sessions: Tensor
    """Number of sessions behind `end_state`, [users + 1]; -1: `end_state` does not belong to the present weights."""

    def __init__(self, config: HRNNConfig) -> None:
        super().__init__(config)
        self.dropout_user, self.dropout_init, self.dropout_session = (
            nn.Dropout(p) for p in (config.dropout_user, config.dropout_init, config.dropout_session)
        )
        self._train: Sessions | None = None
        self._snapshot = False

    @property
    def needs(self) -> frozenset[Need]:
        """Needs users with a history: without one this is GRU4Rec."""
        return frozenset({"history"})

    @property
    def order(self) -> Order:
        """User by user: a row is a session, and a slot plays a user's sessions in order of time."""
        return "user_sequential"

    @property
    def ranking_loss(self) -> bool:
        """Whether the loss is TOP1, which is one half where all scores are in order."""
        return self.config.loss == "top1"

    def fit(self, corpus: Corpus) -> None:
        """Build the parameters. The train sessions are kept, to compute the users' states at their end."""
        super().fit(corpus)
        if self.config.loss == "top1":
            self.sampler.count(torch.from_numpy(corpus.item_support))
        self._train = corpus.train

    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """Bounds of what is stored beside the parameters."""
        return {"n_sessions": (-1, math.inf)}

    @property
    def learned(self) -> frozenset[str]:
        """The parameters, and the users' states, which follow from them."""
        return super().learned | {"end_state", "n_sessions"}

    def arrays(self) -> dict[str, Tensor]:
        """All parameters and buffers; the users' states are those of these parameters."""
        self._remember_users()
        return super().arrays()

    def snapshot(self) -> None:
        """Read every user's train sessions once."""
        self._remember_users()
        self._snapshot = True

    def forget_snapshot(self) -> None:
        """Drop the snapshot: the history of each batch is read again."""
        self._snapshot = False

    def after_step(self) -> None:
        """Mark the users' states as out of date: the parameters have changed."""
        self.n_sessions.fill_(-1)

    def encode(self, batch: Batch, state: Tensor | None = None) -> Encoding:
        """The session state after the last item of each prefix, and a 1 for the bias: [events, dim + 1].

        The state carried on in training, [slots, 2 dim], holds the session state at the end and the user state before
        the session, so that the step of the user's network that joins them is learned at the start of the next session.
        """
        user, started = self._users(batch, state)
        items, fed = batch.items, batch.mask.sum(1)
        if self.training and self.config.feed_last:
            items, fed = _with_last_target(batch, fed)
        hidden = self._session(items, user, started)
        last = hidden[batch.row, batch.position + 1]
        if not self.config.carry_dropped:
            last = self.dropout_session(last)
        vectors = torch.cat([last, last.new_ones(len(last), 1)], 1)
        if not self.training:
            return Encoding(vectors)
        end = torch.cat([_after(hidden, fed), user], 1)
        before = end.new_zeros(len(batch.joined.slot), end.shape[1]) if state is None else state
        return Encoding(vectors, state=before.index_copy(0, batch.slot, end))

    def _users(self, batch: Batch, carried: Tensor | None) -> tuple[Tensor, Tensor]:
        """User state c before each row's session [rows, dim], and whether a session came before it [rows, 1]."""
        if carried is not None:
            session, before = carried.index_select(0, batch.slot).chunk(2, 1)
            started = batch.continues[:, None]
            return self._advance(session, before) * started, started
        started = (batch.past[:, 1] > batch.past[:, 0])[:, None]
        known = ~batch.fresh & (batch.past_sessions == self.n_sessions.index_select(0, batch.user))
        unread = torch.nonzero(~known | self.training | (not self._snapshot)).squeeze(1)
        history = look_back(batch.store, batch.past.index_select(0, unread), self.config.window.history)
        user = self.end_state.index_select(0, batch.user).clone()
        return user.index_copy(0, unread, self._read(history, len(unread))), started

    def _read(self, history: History, rows: int) -> Tensor:
        """User state c after all sessions of each row's history, from c_0 = 0, [rows, dim].

        The m-th sessions of all rows are read at once."""
        user = self.bias.new_zeros(rows, self.config.dim)
        first = history.begins.nonzero().squeeze(1)
        length = torch.diff(first, append=first.new_tensor([len(history.items)]))
        row = history.row.index_select(0, first)
        number = torch.arange(len(row), device=row.device) - torch.searchsorted(row, row)
        order = torch.argsort(number, stable=True)
        for place, part in enumerate(torch.split(order, torch.bincount(number).tolist())):
            cell = torch.arange(int(length[part].max()), device=part.device)
            mask = cell < length[part, None]
            items = history.items[torch.where(mask, first[part, None] + cell, 0)]
            before = user.index_select(0, row[part])
            hidden = self._session(items, before, float(place > 0))
            end = _after(hidden, length[part] - int(not self.config.feed_last))
            user = user.index_copy(0, row[part], self._advance(end, before))
        return user

    def _advance(self, session: Tensor, user: Tensor) -> Tensor:
        """Advance the user state by one session: c_m = GRU_user(s_m, c_{m-1})."""
        advanced: Tensor = self.dropout_user(self.user_gru(session, user))
        return advanced

    def _session(self, items: Tensor, user: Tensor, started: Tensor | float) -> Tensor:
        """States [rows, length + 1, dim] after 0, 1, ... items; a user's first session (`started` 0) starts from 0."""
        start = self.dropout_init(torch.tanh(self.start(user))) * started
        x, everyone = self.embedding(items), self.config.variant == "all"
        if isinstance(self.gru, StepGRU):
            hidden = self.gru(x, start[None], self.user_gates(user) if everyone else None)[0]
        elif not everyone:
            hidden = self.gru(x, start[None])[0]
        else:
            # The user's state is a further input, which the candidate state does not see.
            x = torch.cat([x, user[:, None].expand(-1, x.shape[1], -1)], 2)
            by_item, *rest = self.gru.all_weights[0]
            by_user = functional.pad(self.user_gates.weight, (0, 0, 0, self.config.dim))
            weights = [torch.cat([by_item, by_user], 1), *rest]
            hidden = torch.gru(x, start[None], weights, True, 1, 0.0, self.training, False, True)[0]
        return torch.cat([start[:, None], hidden], 1)

    def item_vectors(self) -> Tensor:
        """Vector and bias of every item, [items, dim + 1]."""
        return torch.cat([self._output_table(), self.bias[:, None]], dim=1)

    def tables(self) -> list[Tensor]:
        """The item table or tables and the bias of every item."""
        return [*super().tables(), self.bias, *([] if self.config.shared else [self.output])]

    def loss_of(self, encoding: Encoding, batch: Batch) -> Tensor:
        """Mean over events, times the share of slots that still play, which shrinks as slots run out."""
        joined = batch.joined
        live = len(joined.slot) / len(encoding.state) if encoding.state is not None else 1.0
        if self.config.loss == "full_softmax":
            return super().loss_of(encoding, batch) * live
        vectors, target = encoding.vectors, batch.target
        if not self.training:
            return top1(vectors @ self.item_vectors().t(), target) / len(joined)
        candidates = torch.cat([joined.target, self.sampler.draw(self.config.n_sample)])
        positive = batch.place
        scores = candidate_scores(vectors[:, :-1], self._output_table(), self.bias, candidates)
        return top1(scores, positive, false_negatives(candidates, positive)) * (live / len(joined))

    def _output_table(self) -> Tensor:
        return self.embedding.weight if self.config.shared else self.output

    @torch.no_grad()
    def _remember_users(self) -> None:
        """Fill `end_state` from the train sessions, where they are kept; a restored model has it already."""
        if self._train is None:
            return
        train, training = self._train, self.training
        self.eval()
        store = Store.of(train, self.bias.device)
        begin = long_tensor(train.offsets[np.searchsorted(train.user, np.arange(self.n_users + 1))])
        past = torch.stack([begin[:-1], begin[1:]], 1).to(self.bias.device)
        for users in torch.split(torch.arange(self.n_users, device=past.device), _USERS_AT_ONCE):
            history = look_back(store, past.index_select(0, users), self.config.window.history)
            self.end_state.index_copy_(0, users, self._read(history, len(users)))
        self.n_sessions[:-1] = torch.from_numpy(np.bincount(train.user, minlength=self.n_users)[: self.n_users])
        self.train(training)

    def _build_parameters(self) -> None:
        config, dim = self.config, self.config.dim
        self.embedding = nn.Embedding(self.n_items, 3 * dim if config.one_hot else dim)
        nn.init.uniform_(self.embedding.weight, -(dim**-0.5), dim**-0.5)
        if not config.shared:
            self.output = nn.Parameter(torch.empty(self.n_items, dim).uniform_(-(dim**-0.5), dim**-0.5))
        self.bias = nn.Parameter(torch.zeros(self.n_items))
        carried = config.dropout_session if config.carry_dropped else 0.0
        self.gru = gru(None if config.one_hot else dim, dim, reset=config.gru_reset, dropout=carried)
        self.user_gru = gru_cell(dim, dim, reset=config.gru_reset)
        self.start = nn.Linear(dim, dim)
        if config.variant == "all":
            self.user_gates = nn.Linear(dim, 2 * dim, bias=False)
        if config.initial == "authors":
            self._start_as_the_authors()
        if config.loss == "top1":
            self.sampler = PopularitySampler(self.n_items, config.sample_alpha)
        self.register_buffer("end_state", torch.zeros(self.n_users + 1, dim))
        self.register_buffer("n_sessions", torch.full((self.n_users + 1,), -1))

    def _start_as_the_authors(self) -> None:
        """Draw all matrices from Glorot's uniform values, gate by gate; biases are 0."""
        read = self.embedding.weight.detach().chunk(3 if self.config.one_hot else 1, dim=1)
        for matrix in (*read, *([] if self.config.shared else [self.output]), self.start.weight):
            nn.init.xavier_uniform_(matrix)
        nn.init.zeros_(self.start.bias)
        draw_gates(self.gru)
        draw_gates(self.user_gru)
        if self.config.variant == "all":
            for gate in self.user_gates.weight.detach().chunk(2):
                nn.init.xavier_uniform_(gate)


def _after(hidden: Tensor, fed: Tensor) -> Tensor:
    """The state after `fed` [rows] items, from hidden [rows, length + 1, dim]."""
    return hidden[torch.arange(len(fed), device=fed.device), fed]


def _with_last_target(batch: Batch, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Rows with the target of their last event appended to their items, and the number of items in each."""
    last = torch.cumsum(torch.bincount(batch.row, minlength=len(cells)), 0) - 1
    items = functional.pad(batch.items, (0, 1))
    return items.scatter(1, cells[:, None], batch.target[last][:, None]), cells + 1


Model = HRNN
