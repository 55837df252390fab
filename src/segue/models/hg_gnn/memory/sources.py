"""The sources of the memory: one function with its equation each; what else is known of them stands in
:mod:`segue.contract.memory_sources`.

C, T, O: sessions that hold both items, direct transitions, order by distance, of train sessions *but the running one*;
n: number of train sessions that hold an item, the running one left out; d_i: sum over j of C[i, j]; v_l ... v_1: the
prefix, v_l the last item.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from segue.contract.memory_sources import BASKET_ENTRIES, OWN_SESSIONS, STEPS, MemorySource
from segue.graph.tables import CUT_ROUNDING, SHRINKAGE, closeness
from segue.models.hg_gnn.memory.entries import Entries
from segue.models.hg_gnn.memory.question import Question
from segue.models.hg_gnn.memory.tables import PairTable, PopularityByPeriod


@dataclass(frozen=True)
class Counts:
    """The tables that sources read, by source; n and d of every item, int64 [n_items]."""

    pairs: Mapping[str, PairTable]
    periods: Mapping[str, PopularityByPeriod]
    support: Tensor
    degree: Tensor


def session(asked: Question, counts: Counts) -> Entries:
    """1 / (1 + r) for the prefix item at reversed position r: what is in the session comes again."""
    event, item, cell = asked.cells
    return Entries.present(event, item, 1 / (1 + cell.double()), cell)


def history(asked: Question, counts: Counts) -> Entries:
    """Events of i in the user's history."""
    row, item, count = asked.earlier
    entry, event = asked.of_events(row)
    return Entries.present(event, item.index_select(0, entry), count.index_select(0, entry))


def recent_history(asked: Question, counts: Counts) -> Entries:
    """Sum over the events of i in the user's history of 2^-(age / half-life)."""
    past, batch = asked.past, asked.batch
    row, item, _ = asked.earlier
    # The power splits into a row's part, from its earliest event on, and a factor for each event.
    earliest = torch.zeros_like(batch.user).scatter_reduce_(0, batch.row, batch.time, "amin", include_self=False)
    # A request may claim a time before the history: then nothing has aged.
    age = (earliest[past.row] - past.times).clamp(min=0)
    key = row * asked.n_items + item
    place = torch.searchsorted(key, past.row * asked.n_items + past.items)
    decayed = torch.zeros(len(key), dtype=torch.float64, device=key.device)
    decayed.index_add_(0, place, torch.exp2(-age.double() / asked.half_life))
    later = torch.exp2((earliest[batch.row] - batch.time).double() / asked.half_life)
    entry, event = asked.of_events(row)
    value = decayed.index_select(0, entry) * later.index_select(0, event)
    return Entries.present(event, item.index_select(0, entry), value)


def last_session(asked: Question, counts: Counts) -> Entries:
    """1 for the items of the user's last session."""
    row, of, item, later, _ = asked.past_sessions
    last = (later[of] == 0).nonzero().squeeze(1)
    entry, event = asked.of_events(row.index_select(0, last))
    return Entries.present(event, item.index_select(0, last).index_select(0, entry), torch.ones_like(entry))


def own_sessions(asked: Question, counts: Counts) -> Entries:
    """Sum over the user's last 60 sessions s with i of |s and prefix| / sqrt(|s| + 1): what goes together for them."""
    row, of, item, later, sizes = asked.past_sessions
    place = asked.first_place(row, item)
    # Most past sessions share nothing with any prefix of their row: they are left out before the events are told apart.
    meets = torch.zeros_like(later).index_add_(0, of, place)
    near = ((later < OWN_SESSIONS) & (meets > 0))[of].nonzero().squeeze(1)
    row, of, item, place = (column.index_select(0, near) for column in (row, of, item, place))
    entry, event = asked.of_events(row)
    place, length = place.index_select(0, entry), asked.batch.position.index_select(0, event) + 1
    shared = ((place > 0) & (place <= length)).double()
    # Sessions of one event lie one behind the other: number the (event, session) pairs by where they change.
    session = of.index_select(0, entry)
    changes = (session.diff(prepend=session[:1]) != 0) | (event.diff(prepend=event[:1]) != 0)
    pair = torch.cumsum(changes, 0)
    overlap = torch.zeros(len(pair) + 1, dtype=torch.float64, device=pair.device).index_add_(0, pair, shared)
    value = overlap.index_select(0, pair) / (sizes[session] + 1).double().sqrt()
    return Entries.present(event, item.index_select(0, entry), value)


def transition(asked: Question, counts: Counts) -> Entries:
    """T[v_l, i]: what directly follows the last item."""
    table = counts.pairs["transition"]
    event, first, item, count = _suggested(asked, table, 0)
    return _left(table, event, first, item, count - asked.counted_transitions(event, first, item))


def predecessor(asked: Question, counts: Counts) -> Entries:
    """T[i, v_l]: what the last item directly follows."""
    table = counts.pairs["predecessor"]
    event, second, item, count = _suggested(asked, table, 0)
    return _left(table, event, second, item, count - asked.counted_transitions(event, item, second))


def order(asked: Question, counts: Counts, reversed_position: int = 0) -> Entries:
    """O[v_l, i]: what comes soon after the last item, the sooner the more."""
    table = counts.pairs["order"]
    event, first, item, count = _suggested(asked, table, reversed_position)
    count = count - asked.counted_order(event, first, item)
    return _left(table, event, first, item, count, torch.full_like(item, reversed_position))


def order_before(asked: Question, counts: Counts) -> Entries:
    """O[v_{l-1}, i]: what comes soon after the item before the last."""
    return order(asked, counts, reversed_position=1)


def companion(asked: Question, counts: Counts) -> Entries:
    """C[v_l, i] / sqrt((n_{v_l} + 20) (n_i + 20)): what shares sessions with the last item."""
    events, items = asked.item_at(0)
    return _closeness(asked, counts, events, items, torch.zeros_like(items), torch.full_like(items, BASKET_ENTRIES))


def basket(asked: Question, counts: Counts) -> Entries:
    """Sum over the whole prefix of C[v_j, i] / sqrt((n_{v_j} + 20) (n_i + 20)): what shares sessions with all of it."""
    event, source, cell = asked.cells
    most = (BASKET_ENTRIES // asked.prefixes.mask.sum(1).clamp(min=1)).clamp(min=1)
    return _closeness(asked, counts, event, source, cell, most.index_select(0, event))


def two_steps(asked: Question, counts: Counts) -> Entries:
    """Sum over the last 10 v_j and over m of C[v_j, m] C[m, i] / (d_m sqrt(d_{v_j} d_i)), i other than v_j: what shares
    sessions with that which shares sessions with the prefix. m are the closest to each v_j, and i to each m."""
    event, start, cell = (column[asked.cells[2] < STEPS[0]] for column in asked.cells)
    shared_out = (STEPS[0] // asked.prefixes.mask.sum(1).clamp(min=1)).clamp(min=1)
    first = _companions(asked, counts, event, start, shared_out.index_select(0, event))
    second = _companions(asked, counts, first.event, first.item, torch.full_like(first.item, STEPS[1]))
    start, cell = (column.index_select(0, first.owner).index_select(0, second.owner) for column in (start, cell))
    degree = [_degree(asked, counts, second.event, item) for item in (start, second.item)]
    between = _degree(asked, counts, first.event, first.item)
    reached = first.shared / between.clamp(min=1)
    value = reached.index_select(0, second.owner) * second.shared / (degree[0] * degree[1]).clamp(min=1).sqrt()
    return Entries.present(second.event, second.item, value * (second.item != start), cell)


def recent(asked: Question, counts: Counts, name: str = "recent") -> Entries:
    """Events of i in periods closed before the event, decayed fast: what everybody takes now."""
    item, value, event = counts.periods[name].at(asked.batch.time)
    return Entries.present(event, item, value)


def trend(asked: Question, counts: Counts) -> Entries:
    """Events of i in periods closed before the event, decayed slowly: what everybody has been taking lately."""
    return recent(asked, counts, "trend")


def _suggested(asked: Question, table: PairTable, reversed_position: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the prefix item at this reversed position suggests: event, the item itself, suggested item, count."""
    events, items = asked.item_at(reversed_position)
    item, count, owner = table.rows(items)
    return events.index_select(0, owner), items.index_select(0, owner), item, count


def _left(
    table: PairTable, event: Tensor, source: Tensor, item: Tensor, count: Tensor, cell: Tensor | None = None
) -> Entries:
    """The entries that keep their place in the table without the running session."""
    return Entries.present(event, item, count * (count > table.least[source]), cell)


@dataclass(frozen=True)
class _Companions:
    """Companions of some items, those that have a place without the running session; all [n].

    owner: which of the items it belongs to. shared: sessions with both. value: their closeness.
    """

    event: Tensor
    owner: Tensor
    item: Tensor
    shared: Tensor
    value: Tensor


def _closeness(
    asked: Question, counts: Counts, events: Tensor, sources: Tensor, cells: Tensor, most: Tensor
) -> Entries:
    """C[source, i] / sqrt((n_source + 20) (n_i + 20)) of at most so many companions i of each source, an item of the
    event's prefix at a reversed position."""
    found = _companions(asked, counts, events, sources, most)
    return Entries.present(found.event, found.item, found.value, cells.index_select(0, found.owner))


def _companions(asked: Question, counts: Counts, events: Tensor, sources: Tensor, most: Tensor) -> _Companions:
    """At most so many companions of each source, the closest; the running session, where it was counted, is left
    out."""
    table = counts.pairs["basket"]
    item, shared, owner = table.rows(sources, most + 1)
    event = events.index_select(0, owner)
    n_item, n_source = counts.support.index_select(0, item).double(), counts.support[sources]
    value = closeness(shared, n_item, n_source.index_select(0, owner))
    found = torch.bincount(owner, minlength=len(sources))
    cut = (found > most).nonzero().squeeze(1)
    least = table.least[sources].index_copy(0, cut, value[(torch.cumsum(found, 0) - 1)[cut]])
    if asked.counted:
        of_source = asked.counted_once(events, sources)
        # The source is in one session less for all its companions, so the cut moves along.
        least = least * ((n_source + SHRINKAGE) / (n_source + SHRINKAGE - of_source).double()) ** 0.5
        own, own_source = asked.counted_once(event, item), of_source.index_select(0, owner)
        shared = shared - own * own_source
        value = closeness(shared, n_item - own, n_source.index_select(0, owner) - own_source)
    value = value * (value > least.index_select(0, owner) * (1 + CUT_ROUNDING))
    left = (value > 0).nonzero().squeeze(1)
    columns = (event, owner, item, shared, value)
    return _Companions(*(column.index_select(0, left) for column in columns))


def _degree(asked: Question, counts: Counts, event: Tensor, item: Tensor) -> Tensor:
    """d of some items, without what the running session added: one for each of its other items; float64."""
    degree = counts.degree.index_select(0, item)
    if asked.counted:
        degree = degree - asked.counted_once(event, item) * (asked.counted_items.index_select(0, event) - 1)
    return degree.double()


RECALL: Mapping[MemorySource, Callable[[Question, Counts], Entries]] = {
    "session": session,
    "history": history,
    "recent_history": recent_history,
    "last_session": last_session,
    "own_sessions": own_sessions,
    "transition": transition,
    "predecessor": predecessor,
    "order": order,
    "order_before": order_before,
    "companion": companion,
    "basket": basket,
    "two_steps": two_steps,
    "recent": recent,
    "trend": trend,
}
"""Source → its values f(i) for the events of a batch."""
