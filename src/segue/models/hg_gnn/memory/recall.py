"""The memory's counts, stored with the model, and their lookup for the events of a batch. Nothing here is learned."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from segue.contract.memory_sources import FACTS, FARTHEST_FACT, PAIR_TABLES, PERIOD_TABLES, SOURCES, TABLE, MemorySource
from segue.data.batches import Batch, Prefixes, Window
from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.data.stored import Layout, check_rows
from segue.graph.half_lives import HalfLives
from segue.graph.tables import EdgeTables, closeness
from segue.models.hg_gnn.memory.entries import Entries, Recalled
from segue.models.hg_gnn.memory.facts import facts_of
from segue.models.hg_gnn.memory.question import Question
from segue.models.hg_gnn.memory.sources import RECALL, Counts
from segue.models.hg_gnn.memory.tables import LARGEST_COUNT, PairTable, PopularityByPeriod

logger = logging.getLogger("segue")

_SAMPLED_EVENTS = 20_000
"""Train events that the centre and spread of the facts are taken from."""
_JUDGED_EVENTS, _FEWEST_JUDGED = 4_000, 1_000
"""Train events that a dear source is judged by, and how few are too few to judge it."""
_CONSTANT = 1e-6
"""A fact that spreads no further than this is the same for all events and is left as it is."""


class Recall(nn.Module):
    """All counts of the memory.

    Buffers: the tables; support and degree int64 [n_items], sessions that hold an item, and the sum of those that it
    shares with each other item; half_life of the decayed history in ms; centre and spread of the
    facts, float64 [8]; speaks int64 [sources], 1 where a source is on.
    """

    support: Tensor
    degree: Tensor
    half_life: Tensor
    centre: Tensor
    spread: Tensor
    speaks: Tensor

    def __init__(
        self,
        pairs: Mapping[str, PairTable],
        periods: Mapping[str, PopularityByPeriod],
        support: Tensor,
        degree: Tensor,
        half_life: float,
        history_items: int,
    ) -> None:
        super().__init__()
        self.pairs, self.periods = nn.ModuleDict(pairs), nn.ModuleDict(periods)
        self.register_buffer("support", support)
        self.register_buffer("degree", degree)
        self.register_buffer("half_life", torch.tensor(half_life, dtype=torch.float64))
        self.register_buffer("centre", torch.zeros(FACTS, dtype=torch.float64))
        self.register_buffer("spread", torch.ones(FACTS, dtype=torch.float64))
        self.register_buffer("speaks", torch.ones(len(SOURCES), dtype=torch.int64))
        self.n_items, self.history_items = len(support), history_items

    @classmethod
    def count(
        cls,
        corpus: Corpus,
        tables: EdgeTables,
        half_lives: HalfLives,
        *,
        top: int,
        window: Window,
        dear_share: float = 0.0,
    ) -> Self:
        """Take the counts of train from the graph's, count by period, and measure the facts.

        Args:
            tables: with at least top + 1 counts per item.
            top: items kept per item, or per period, and count.
            dear_share: share of train events whose next item a dear source alone must recall to be on.
        """
        train = corpus.train
        close = tables.top_cooccurrence(top + 1).kept
        source = np.repeat(np.arange(corpus.n_items), close.lengths)
        strengths = closeness(close.values, tables.item_sessions[source], tables.item_sessions[close.ids])
        pairs = {
            "transition": PairTable.of(tables.top_transitions(top + 1).kept, top),
            "predecessor": PairTable.of(tables.top_predecessors(top + 1), top),
            "order": PairTable.of(tables.top_order(top + 1), top),
            "basket": PairTable.of(close, top, strengths),
        }
        periods = {
            name: PopularityByPeriod.count(train.items, train.times, corpus.n_items, half_life, top)
            for name, half_life in (("recent", half_lives.recent), ("trend", half_lives.trend))
        }
        support, degree = (torch.from_numpy(each) for each in (tables.item_sessions, tables.cooccurrence.total))
        recall = cls(pairs, periods, support, degree, half_lives.history, window.history)
        recall._measure(Loader(corpus, train, window.length))
        if dear_share:
            recall._judge(Loader(corpus, train, window.length), dear_share)
        return recall

    @classmethod
    def like(cls, state: Mapping[str, Tensor], n_items: int, history: int) -> Self:
        """An empty memory with the shapes that the stored `state` holds."""
        pairs = {name: PairTable.like(state, f"recall.pairs.{name}.") for name in PAIR_TABLES}
        periods = {name: PopularityByPeriod.like(state, f"recall.periods.{name}.") for name in PERIOD_TABLES}
        nothing = torch.zeros(n_items, dtype=torch.int64)
        return cls(pairs, periods, nothing, nothing.clone(), 1.0, history)

    @staticmethod
    def layouts(n_items: int) -> dict[str, Layout]:
        """The form of every stored array of the memory."""
        kinds = {f"pairs.{name}": PairTable for name in PAIR_TABLES} | {
            f"periods.{n}": PopularityByPeriod for n in PERIOD_TABLES
        }
        tables = {
            f"recall.{place}.{field}": layout
            for place, kind in kinds.items()
            for field, layout in kind.layouts(n_items).items()
        }
        tiny = torch.finfo(torch.float64).tiny
        return tables | {
            "recall.support": Layout(torch.int64, (n_items,), 0, LARGEST_COUNT),
            "recall.degree": Layout(torch.int64, (n_items,), 0, LARGEST_COUNT),
            "recall.half_life": Layout(torch.float64, (), tiny),
            "recall.centre": Layout(torch.float64, (FACTS,)),
            "recall.spread": Layout(torch.float64, (FACTS,), tiny),
            "recall.speaks": Layout(torch.int64, (len(SOURCES),), 0, 1),
        }

    @staticmethod
    def check_rows(state: Mapping[str, Tensor]) -> None:
        """Check the lists of the stored tables, after their layouts; raises ValueError."""
        for name in PAIR_TABLES:
            check_rows(state, *(f"recall.pairs.{name}.{field}" for field in PairTable.FIELDS[:3]))
        for name in PERIOD_TABLES:
            check_rows(state, *(f"recall.periods.{name}.{field}" for field in PopularityByPeriod.FIELDS[2:]))

    @property
    def counts(self) -> Counts:
        """The tables as the sources read them."""
        pairs = cast("Mapping[str, PairTable]", self.pairs)
        return Counts(pairs, cast("Mapping[str, PopularityByPeriod]", self.periods), self.support, self.degree)

    @torch.no_grad()
    def forward(
        self, batch: Batch, prefixes: Prefixes, sources: frozenset[MemorySource]
    ) -> tuple[dict[MemorySource, Recalled], Tensor]:
        """What each of `sources` suggests, and the facts x of each event, standardised, [events, 8]."""
        asked = self._asked(batch, prefixes)
        needed: frozenset[MemorySource] = sources | {"transition"}  # the facts tell how many successors are known
        entries = {name: self._entries(asked, name) for name in needed}
        found = {name: Recalled.of(entries[name], len(asked), self.n_items, sums=TABLE[name].sums) for name in sources}
        facts = (facts_of(asked, entries["transition"].event, self.support) - self.centre) / self.spread
        return found, facts.clamp(-FARTHEST_FACT, FARTHEST_FACT)

    def _asked(self, batch: Batch, prefixes: Prefixes) -> Question:
        return Question(batch, prefixes, self.n_items, self.half_life, self.history_items)

    def _entries(self, asked: Question, name: MemorySource) -> Entries:
        """What a source suggests; nothing where it is off."""
        if not self.speaks[SOURCES.index(name)]:
            return Entries.none(self.support.device)
        return RECALL[name](asked, self.counts)

    @torch.no_grad()
    def _measure(self, loader: Loader) -> None:
        """Measure centre and spread of the facts over train events drawn at random, always the same ones, and switch
        off the sources that suggest nothing for any of them: their weights could not be learned."""
        found: list[Tensor] = []
        spoken: set[MemorySource] = set()
        for batch in loader.batches(512, (0,)):
            asked = self._asked(batch, batch.prefixes())
            found.append(facts_of(asked, self._entries(asked, "transition").event, self.support))
            spoken |= {name for name in SOURCES if name not in spoken and len(self._entries(asked, name))}
            if sum(map(len, found)) >= _SAMPLED_EVENTS:
                break
        if not found:
            return
        facts = torch.cat(found)
        spread = facts.std(0, correction=0)
        self.centre.copy_(facts.mean(0))
        self.spread.copy_(torch.where(spread > _CONSTANT, spread, 1.0))
        self.speaks.copy_(torch.tensor([name in spoken for name in SOURCES]))
        if silent := [name for name in SOURCES if name not in spoken]:
            logger.info("memory: off, since train gives them nothing to say: %s", ", ".join(silent))

    @torch.no_grad()
    def _judge(self, loader: Loader, least: float) -> None:
        """Switch off a dear source that recalls too little which no other source recalls; say either."""
        alone, events = dict.fromkeys((name for name in SOURCES if TABLE[name].dear), 0), 0
        for batch in loader.batches(512, (0,)):
            asked = self._asked(batch, batch.prefixes())
            found = {name: self._found(asked, name) for name in SOURCES}
            for name in alone:
                others = torch.stack([hit for other, hit in found.items() if other != name])
                alone[name] += int((found[name] & ~others.any(0)).sum())
            events += len(batch)
            if events >= _JUDGED_EVENTS:
                break
        if events < _FEWEST_JUDGED:
            return
        for name, number in alone.items():
            on = number >= least * events
            self.speaks[SOURCES.index(name)] *= on
            logger.info(
                "memory: %s is %s: it alone recalls what follows %.1f %% of %s train events; model.dear_share = %g",
                name, "on" if on else "off", 100 * number / events, f"{events:,}", least,
            )  # fmt: skip

    def _found(self, asked: Question, name: MemorySource) -> Tensor:
        """Whether a source recalls the target of each event, bool [events]."""
        entries, target = self._entries(asked, name), asked.batch.target
        hit = entries.event[entries.item == target.index_select(0, entries.event)]
        return torch.zeros_like(target, dtype=torch.bool).index_fill(0, hit, True)
