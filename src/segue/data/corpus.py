"""The corpus: what every model, evaluator and server reads, and nothing else.

A folder of Parquet and one ``manifest.json``::

    manifest.json         format, fingerprint, settings, what each step of the preparation removed, checksums
    items.parquet         item_id (string, byte order = item number), name, then categorical columns
    users.parquet         user_id (string), known (bool), name, then categorical columns; known users first
    train.parquet         one row per session: session, user, session_id (the log's own; null where sessions were cut),
                          items list<int32>, times list<int64> (epoch ms)
    validation.parquet    like train.parquet
    test.parquet          like train.parquet; never opened by training
    graph/                with ``--with-graph``: the tables of the graph, see :mod:`segue.graph.stored`

Sessions are numbered through all parts in the order (user, start, first event), so a user's sessions are neighbours
and "history + prefix" of any event is one contiguous slice of the flat arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segue.data.arrays import IntArray, offsets_of
from segue.data.checks import check_sessions
from segue.data.corpus_folder import damage_named, read_manifest, read_tables


class Part(IntEnum):
    """Which part of the split a session belongs to."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2

    @property
    def file(self) -> str:
        """Name of the Parquet file that holds the part."""
        return f"{self.name.lower()}.parquet"


@dataclass(frozen=True)
class Sessions:
    """Sessions as flat arrays (CSR): session s is ``items[offsets[s]:offsets[s + 1]]``.

    Shapes: items, times [events]; offsets [sessions + 1]; user, number [sessions]. Times are epoch milliseconds.
    ``number`` is the session's number in the corpus (-1 for a request from outside).
    """

    items: npt.NDArray[np.int32]
    times: IntArray
    offsets: IntArray
    user: npt.NDArray[np.int32]
    number: IntArray

    def __len__(self) -> int:
        return len(self.user)

    @property
    def lengths(self) -> IntArray:
        """Items in each session, [sessions]."""
        return np.diff(self.offsets)

    def take(self, chosen: IntArray) -> Sessions:
        """The chosen sessions, in the given order."""
        lengths = self.lengths[chosen]
        offsets = offsets_of(lengths)
        cells = np.repeat(self.offsets[chosen] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Sessions(self.items[cells], self.times[cells], offsets, self.user[chosen], self.number[chosen])

    def keep_events(self, keep: npt.NDArray[np.bool_], min_length: int) -> Sessions:
        """Only the marked events, then only sessions that still have `min_length` of them."""
        lengths = np.add.reduceat(keep, self.offsets[:-1], dtype=np.int64) if len(self) else self.lengths
        kept = Sessions(self.items[keep], self.times[keep], offsets_of(lengths), self.user, self.number)
        return kept.take(np.flatnonzero(lengths >= min_length))


@dataclass(frozen=True)
class Corpus:
    """Vocabularies and sessions.

    Attributes:
        items: table [n_items] with item_id and what the items file gave; row number = item.
        users: table [known users + others]; users that no train or validation session knows come last.
        sessions: all loaded sessions, sorted by (user, start).
        part: Part of each session, int8 [sessions].
        n_users: known users, those with a row in an embedding table.
        manifest: the manifest as written.
        folder: where it was read from; None for one that was made in memory.
    """

    items: pa.Table
    users: pa.Table
    sessions: Sessions
    part: npt.NDArray[np.int8]
    n_users: int
    manifest: dict[str, Any]
    folder: Path | None = None

    @property
    def n_items(self) -> int:
        """Size of the candidate axis."""
        return int(self.items.num_rows)

    @property
    def fingerprint(self) -> str:
        """sha256 over the prepared data: equal fingerprints mean equal vocabularies and sessions."""
        return str(self.manifest["fingerprint"])

    def select(self, part: Part) -> Sessions:
        """The sessions of one part."""
        return self.sessions.take(np.flatnonzero(self.part == part))

    @cached_property
    def train(self) -> Sessions:
        """The train sessions, the only ones that models and graphs are made from."""
        return self.select(Part.TRAIN)

    @cached_property
    def item_support(self) -> IntArray:
        """Number of train events of each item, [n_items]."""
        return np.bincount(self.train.items, minlength=self.n_items).astype(np.int64)

    @cached_property
    def item_ids(self) -> list[str]:
        """The ids of the items; the index of an id is the item number."""
        return list(self.items.column("item_id").to_pylist())

    @cached_property
    def user_ids(self) -> list[str]:
        """The ids of the users, known users first; the index of an id is the user number."""
        return list(self.users.column("user_id").to_pylist())

    @cached_property
    def repeats_in_sessions(self) -> bool:
        """Whether any train session holds an item twice; `evaluation.mask_session = "auto"` depends on it."""
        session = np.repeat(np.arange(len(self.train)), self.train.lengths)
        keys = session * self.n_items + self.train.items
        return bool(len(np.unique(keys)) < len(keys))

    def with_train(self, parts: Sequence[Part]) -> Corpus:
        """This corpus with the given parts counted as train: for ``--refit`` and ``--final``."""
        part = np.where(np.isin(self.part, [int(p) for p in parts]), np.int8(Part.TRAIN), self.part)
        return replace(self, part=part.astype(np.int8))


def load(folder: Path, parts: Sequence[Part] = tuple(Part)) -> Corpus:
    """Read the named parts of a prepared corpus. Files of other parts are not opened.

    Every file is compared with its checksum, and every value is checked before it is used.

    Raises CorpusError when the folder is no corpus, is of another format, or a file is damaged.
    """
    manifest = read_manifest(folder)
    with damage_named(folder):
        items, users, tables = read_tables(folder, manifest, [part.name.lower() for part in parts])
        part = np.repeat(np.array([int(p) for p in parts], dtype=np.int8), [len(table) for table in tables])
        sessions = _from_table(pa.concat_tables(tables).combine_chunks())
        order = np.argsort(sessions.number, kind="stable")
        if not (np.diff(sessions.number[order], prepend=-1) > 0).all():
            raise ValueError("a session is in two parts, or has a number below 0")
        sessions = sessions.take(order)
        flat = (sessions.items, sessions.times, sessions.offsets, sessions.user)
        check_sessions(*flat, n_items=len(items), n_users=len(users))
    return Corpus(items, users, sessions, part[order], manifest["sizes"]["known_users"], manifest, folder)


def _from_table(table: pa.Table) -> Sessions:
    items, times = (_chunk(table, name) for name in ("items", "times"))
    offsets = np.asarray(items.offsets, dtype=np.int64)
    if not np.array_equal(offsets - offsets[0], np.asarray(times.offsets, dtype=np.int64) - times.offsets[0].as_py()):
        raise ValueError("a session has not as many times as items")
    return Sessions(
        items=np.asarray(items.flatten(), dtype=np.int32),
        times=np.asarray(times.flatten(), dtype=np.int64),
        offsets=offsets - offsets[0],
        user=np.asarray(_chunk(table, "user"), dtype=np.int32),
        number=np.asarray(_chunk(table, "session"), dtype=np.int64),
    )


def _chunk(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks else pa.array([], type=column.type)
