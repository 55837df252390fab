"""The proof: what a finished folder without some people is tried with, before it gets its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from safetensors.torch import load_file
from torch import Tensor

from segue.artifact.model_folder import Artifact, load_model
from segue.artifact.names import ANSWERS
from segue.audit.rebuild import refit, tables
from segue.data.arrays import IntArray
from segue.data.corpus import Corpus, Part, load
from segue.forgetting.result import Check
from segue.forgetting.traces import Searched, is_distinctive, search

_LEAST = 16
"""Bytes of a row of numbers that is looked for: four numbers are nowhere by chance."""


def no_trace(folder: Path, ids: Sequence[str], rows: Sequence[bytes], others: Sequence[str]) -> Check:
    """No file of a folder holds an id, or a row of numbers that was theirs; `others` are ids of those who stay."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    found = search(files, folder, ids, rows, others)
    numbers = {"files": found.files, "bytes": found.bytes, "texts": found.texts, "rows": len(rows)}
    read = f"{found.files:,} files, {found.bytes:,} bytes and {found.texts:,} different texts in them"
    rows_said = f"{len(rows):,} rows of numbers were looked for" if rows else "the model stores no row of theirs"
    told = "; ".join(found.traces) or f"{read}: nothing; {rows_said}{_reservations(found, ids)}"
    return Check("ids and rows", not found.traces, told, numbers)


def _reservations(found: Searched, ids: Sequence[str]) -> str:
    short = sum(not is_distinctive(each) for each in ids)
    said = ""
    if short:
        said += (
            f"; {short:,} of {len(ids):,} ids are short, a plain word or a number, which other texts hold by chance:"
            " these were compared with every user that a file names, and with no other text"
        )
    if found.namesakes:
        said += f"; {found.namesakes:,} items are called as a person is, and stay: they are items of others"
    return said


def own_rows(arrays: Mapping[str, Tensor], gone: Mapping[str, IntArray]) -> list[bytes]:
    """The bytes of the rows that are gone, of those that nobody else has and that are not one number throughout."""
    found = set[bytes]()
    for name, rows in gone.items():
        array = arrays[name].numpy() if name in arrays else np.zeros(0, dtype=np.float32)
        if array.ndim < 2 or array.dtype.kind != "f" or array[0].nbytes < _LEAST or not len(rows):
            continue
        flat = np.ascontiguousarray(array.reshape(len(array), -1))
        as_bytes = flat.view(np.dtype((np.void, flat.shape[1] * flat.itemsize))).ravel()
        mine = np.zeros(len(flat), dtype=np.bool_)
        mine[rows] = True
        own = ~np.isin(as_bytes[rows], as_bytes[~mine]) & (flat[rows] != flat[rows, :1]).any(1)
        found |= {row.tobytes() for row in flat[rows[own]]}
    return sorted(found)


def stored_arrays(artifact: Artifact) -> dict[str, Tensor]:
    """All arrays of a model folder with rows of somebody: its own, and those for answers."""
    path = artifact.folder / ANSWERS
    return {**artifact.model.arrays(), **(load_file(path) if path.exists() else {})}


def counted_anew(folder: Path, trained_on: Sequence[Part]) -> list[Check]:
    """What is stored is what the corpus in the folder gives: everything is read from the disk, and counted again."""
    artifact = load_model(folder)
    corpus = load(folder / artifact.facts["corpus"])
    own = corpus.with_train(trained_on)
    found = tables(artifact.model, refit(own, artifact.settings), artifact.settings, corpus, trained_on)
    history, train = artifact.history, own.train
    same = all(np.array_equal(getattr(history, of), getattr(train, of)) for of in ("items", "times", "offsets", "user"))
    same = same and artifact.items.equals(corpus.items) and artifact.users.equals(corpus.users)
    vocabulary = f"{corpus.n_items:,} items, {corpus.n_users:,} known users, {len(history):,} sessions"
    return [
        Check("counts", found.verdict == "clean", f"counted again from the corpus without them: {found.found}"),
        Check(
            "history and vocabulary",
            same,
            f"{vocabulary}: those of the corpus" if same else f"{vocabulary}: not those of the corpus",
        ),
    ]


def others_stay(whole: Corpus, new: Corpus, ids: Iterable[str | None], test_events: int) -> Check:
    """Every event of others is in the new corpus, with user, item, time and part, and in train and validation at the
    same place of the same session; no event besides, and no item that train and validation do not hold.

    Args:
        test_events: those that may be missing, for their items have gone.
    """
    gone = set(ids)
    stays = np.array([user not in gone for user in whole.user_ids], dtype=np.bool_)
    before, after = _events(whole, stays), _events(new, np.ones(len(new.users), dtype=np.bool_))
    missing = before.join(after, before.column_names, join_type="left anti")
    added = after.join(before, before.column_names, join_type="left anti")
    fitted = int((np.asarray(missing.column("part")) != int(Part.TEST)).sum())
    in_fitted = new.sessions.items[np.repeat(new.part != Part.TEST, new.sessions.lengths)]
    idle = new.n_items - len(np.unique(in_fitted))
    holds = not fitted and not idle and not len(added) and len(before) - len(after) == test_events
    found = f"all {len(after):,} of others are there, with user, item, time, part and session; every item is theirs"
    if test_events:
        found += f", but {test_events:,} test events of items that nobody else has in train or validation"
    numbers = {"events": len(after), "test_events_without_item": test_events}
    if not holds:
        found = (
            f"{len(missing):,} events of others are missing ({fitted:,} of them not in test), {len(added):,} came,"
            f" {idle:,} items are nobody's"
        )
    return Check("events of others", holds, found, numbers)


def _events(corpus: Corpus, stays: npt.NDArray[np.bool_]) -> pa.Table:
    """Every event of the users that stay, by ids. Users without an id are all one.

    Columns: user, item, time, part; start of the session and place in it, 0 for test, whose sessions may lose events.
    """
    sessions, events = corpus.sessions, np.arange(len(corpus.sessions.items))
    owner = np.repeat(np.arange(len(sessions)), sessions.lengths)
    kept = np.flatnonzero(stays[sessions.user[owner]])
    owner, first = owner[kept], sessions.offsets[owner[kept]]
    fitted = corpus.part[owner] != Part.TEST
    ids = corpus.users.column("user_id").combine_chunks().fill_null("")
    return pa.table({
        "user": ids.take(pa.array(sessions.user[owner])),
        "item": corpus.items.column("item_id").combine_chunks().take(pa.array(sessions.items[kept])),
        "time": sessions.times[kept],
        "part": corpus.part[owner].astype(np.int64),
        "start": sessions.times[first] * fitted,
        "place": (events[kept] - first) * fitted,
    })  # fmt: skip
