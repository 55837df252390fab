"""SASRec: a causal transformer over items (Kang & McAuley 2018), trained with the cross entropy over all of them.

With that loss it is the strong baseline that its sampled loss kept it from being (Klenitskiy & Vasilev 2023). Preset
``session`` reads the running session alone; ``history`` reads the user's last items before it in the same sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from segue.contract.encoder import SessionEncoder
from segue.contract.model import ModelConfig, Need, Overrides
from segue.data.batches import Batch, Window
from segue.nn.dropout import dropout
from segue.nn.encoding import Encoding
from segue.settings.search_space import Between, Choice, Space

LONGEST = 16_384
"""Most items in one sequence: the number of attention weights is its square."""


class SASRecConfig(ModelConfig):
    """Options of SASRec: sizes and regularisation; ``window.history`` items precede the session (0: none)."""

    window: Window = Window(length=20)
    """Items of the running session, and of the user's earlier sessions, in one sequence."""
    dim: int = Field(128, ge=1, le=8192)
    """Size d of item vectors, positions and everything inside a block."""
    layers: int = Field(2, ge=1, le=64)
    """Number of blocks of attention and feed-forward network."""
    heads: int = Field(1, ge=1, le=64)
    """Heads of every attention; each reads dim / heads coordinates."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of the input, of the attention weights, and of what each half of a block adds, that is dropped."""

    @field_validator("window")
    @classmethod
    def _bounded(cls, window: Window) -> Window:
        if window.length + window.history > LONGEST:
            raise ValueError(f"length + history must not exceed {LONGEST:,}")
        return window

    @field_validator("heads")
    @classmethod
    def _even_share(cls, heads: int, info: ValidationInfo) -> int:
        dim = info.data.get("dim", 0)
        if dim % heads:
            raise ValueError(f"must divide dim = {dim}")
        return heads


class SASRec(SessionEncoder):
    """x⁰ = √d E[v] + P; x ← x + Attention(LN x); x ← x + FFN(LN x); score(i) = LN(x_l) · E[i].

    Layer normalisation comes before each half of a block ("pre-LN", as the paper writes it) and once at the end.

    With a history the sequence is: boundary, items of a session, boundary, ..., boundary, items of the running session.
    Positions count items from the beginning of the running session, backwards and forwards; a boundary shares that of
    the item it precedes. So nothing an event reads depends on what comes after it, and all are encoded in one pass.
    (The authors count positions from the right end of a padded window.)
    """

    Config = SASRecConfig
    config: SASRecConfig
    title: ClassVar[str] = "SASRec"
    item_table: ClassVar[str | None] = "embedding"
    depth: ClassVar[str | None] = "layers"
    presets: ClassVar[Mapping[str, Overrides]] = {
        "session": {"training": {"learning_rate": 1e-3, "weight_decay": 0.0}},
        "history": {
            "model": {"window": {"length": 20, "history": 50}},
            "training": {"learning_rate": 1e-3, "weight_decay": 0.0},
        },
    }
    space: ClassVar[Space] = {
        "model.dim": Choice((32, 64, 128, 256)),
        "model.layers": Choice((1, 2, 3)),
        "model.heads": Choice((1, 2, 4)),
        "model.dropout": Between(0.0, 0.6),
        "training.learning_rate": Between(3e-4, 1e-2, log=True),
    }

    embedding: nn.Embedding
    position: nn.Embedding
    boundary: nn.Parameter
    blocks: nn.ModuleList
    norm: nn.LayerNorm

    @property
    def needs(self) -> frozenset[Need]:
        """Needs a history where it is read."""
        return frozenset({"history"} if self.config.window.history else ())

    def encode(self, batch: Batch, state: Tensor | None = None) -> Encoding:
        """Output of the last block at the last item of each prefix, [events, dim].

        An empty prefix is read at the boundary before it; without a history there is none, and its vector is zero.
        """
        tokens = self._tokens(batch)
        x, mask = self._embedded(tokens), tokens.visible()
        *inner, last = self.blocks
        for block in inner:
            x = block(x, mask)
        # Of the last block only the running sessions and the boundary before them are read: the rest is not computed.
        since = max(tokens.first - 1, 0)
        x = last(x, mask, since)
        column = tokens.first + batch.position - since
        cell = batch.row * x.shape[1] + column.clamp(min=0)
        return Encoding(self.norm(x.flatten(0, 1).index_select(0, cell)) * (column >= 0)[:, None])

    def item_vectors(self) -> Tensor:
        """Item vectors, [items, dim]."""
        return self.embedding.weight

    def _tokens(self, batch: Batch) -> Tokens:
        window = self.config.window
        # Cells beyond the window are padding: whatever their position, nobody looks at them.
        cell = torch.arange(batch.items.shape[1], device=batch.items.device).clamp(max=window.length - 1)
        tokens = Tokens(batch.items, cell.expand_as(batch.items), None, 0)
        return _after_history(tokens, batch, window.history, self.n_items) if window.history else tokens

    def _embedded(self, tokens: Tokens) -> Tensor:
        x = self.embedding(tokens.item.clamp(max=self.n_items - 1))
        if self.config.window.history:
            x = torch.where((tokens.item == self.n_items)[:, :, None], self.boundary, x)
        x = self.config.dim**0.5 * x + self.position(tokens.position)
        return dropout(x, self.config.dropout, self.training)

    def _build_parameters(self) -> None:
        config, dim = self.config, self.config.dim
        self.embedding = nn.Embedding(self.n_items, dim)
        self.position = nn.Embedding(config.window.history + config.window.length, dim)
        drawn = [self.embedding.weight, self.position.weight]
        if config.window.history:
            self.boundary = nn.Parameter(torch.empty(dim))
            drawn.append(self.boundary)
        for table in drawn:
            nn.init.uniform_(table, -(dim**-0.5), dim**-0.5)
        self.blocks = nn.ModuleList(Block(dim, config.heads, config.dropout) for _ in range(config.layers))
        self.norm = nn.LayerNorm(dim)


class Block(nn.Module):
    """Causal self-attention without an output projection, then d → d → d with a ReLU: eq. (2)-(4) of the paper."""

    def __init__(self, dim: int, heads: int, share_dropped: float) -> None:
        super().__init__()
        self.heads, self.share_dropped = heads, share_dropped
        self.norm_attention, self.norm_feed = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.queries, self.keys_values = nn.Linear(dim, dim, bias=False), nn.Linear(dim, 2 * dim, bias=False)
        self.feed = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))

    def forward(self, x: Tensor, mask: Tensor | None, since: int = 0) -> Tensor:
        """Run the block for the cells from `since` on, [rows, cells, dim] → [rows, cells - since, dim].

        `mask` [rows, 1, cells, cells] says which cell sees which; None: each sees its past, for `since` 0 only.
        """
        seen = self.norm_attention(x)
        attended = self._attended(seen[:, since:], seen, mask if mask is None else mask[:, :, since:])
        x = x[:, since:] + dropout(attended, self.share_dropped, self.training)
        return x + dropout(self.feed(self.norm_feed(x)), self.share_dropped, self.training)

    def _attended(self, x: Tensor, seen: Tensor, mask: Tensor | None) -> Tensor:
        queries = self.queries(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
        keys, values = self.keys_values(seen).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        share = self.share_dropped if self.training else 0.0
        heads = scaled_dot_product_attention(queries, keys, values, mask, dropout_p=share, is_causal=mask is None)
        return heads.transpose(1, 2).flatten(2)


class Tokens(NamedTuple):
    """The sequences of a batch: item (``n_items`` is the boundary) and position, [rows, cells].

    `shown`: bool [rows, cells], False for padding on the left; None: there is no padding. `first`: the column in which
    the running sessions begin, the same in all rows.
    """

    item: Tensor
    position: Tensor
    shown: Tensor | None
    first: int

    def visible(self) -> Tensor | None:
        """Mask of which cell sees which, bool [rows, 1, cells, cells]; None where every cell sees exactly its past.

        Padding sees itself, so that no softmax is over nothing.
        """
        if self.shown is None:
            return None
        cells = self.shown.shape[1]
        past = torch.ones(cells, cells, dtype=torch.bool, device=self.shown.device).tril()
        itself = torch.eye(cells, dtype=torch.bool, device=self.shown.device)
        return (past & self.shown[:, None] | itself)[:, None]


def _after_history(session: Tokens, batch: Batch, max_items: int, boundary: int) -> Tokens:
    """Sequences [history, boundary, session], a boundary before each session of the history, padded on the left."""
    past = batch.history(max_items)
    count = torch.bincount(past.row, minlength=len(batch.items))
    end = torch.cumsum(count, 0)
    taken = pad(torch.cumsum(1 + past.begins.long(), 0), (1, 0))
    length = taken[end] - taken[end - count] + 1
    first = int(length.max())
    column = first - 2 - (taken[end][past.row] - taken[1:])
    position = max_items - (end[past.row] - torch.arange(len(past.row), device=past.row.device))
    begins = past.begins.nonzero().squeeze(1)

    # In front of the sessions whatever is no item is a boundary; that padding is one too is not seen.
    item = pad(session.item, (first, 0), value=boundary)
    item[past.row, column] = past.items
    places = pad(session.position + max_items, (first, 0), value=max_items)
    places[past.row, column] = position
    places[past.row[begins], column[begins] - 1] = position[begins]
    shown = torch.arange(item.shape[1], device=item.device) >= first - length[:, None]
    return Tokens(item, places, shown, first)


Model = SASRec
