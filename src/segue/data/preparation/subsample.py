"""A smaller corpus: a random subsample of users with all their sessions, prepared anew under the same settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segue.data.corpus import Corpus, load
from segue.data.corpus_folder import read_manifest
from segue.data.preparation.prepare import prepare
from segue.settings import ColumnsSettings, Settings


def subsample_users(ids: Sequence[str], users: int, seed: int) -> list[str]:
    """The first `users` of the ids by md5 of id and seed: equal on every machine and for any order of the ids."""
    query = "SELECT id FROM (SELECT unnest(?) AS id) ORDER BY md5(id || ':' || ?), id LIMIT ?"
    return [row[0] for row in duckdb.execute(query, [list(ids), str(seed), users]).fetchall()]


def few_users(given: Path, sample: Path, users: int, *, seed: int) -> Path:
    """The corpus `given` where it has at most `users` known users; else `sample`, so many of them, drawn once."""
    if read_manifest(given)["sizes"]["known_users"] <= users:
        return given
    if not sample.exists():
        subsample_corpus(load(given), sample, users, seed=seed)
    return sample


def subsample_corpus(whole: Corpus, out: Path, users: int, *, seed: int) -> None:
    """Write the corpus of `users` known users to `out`.

    Sessions stay as they are in `whole`; filters and split are applied again, as items get rarer with fewer users.
    """
    known = [user for user in whole.user_ids[: whole.n_users] if user is not None]
    chosen = pa.array(subsample_users(known, users, seed))
    is_chosen = pc.is_in(whole.users.column("user_id"), value_set=chosen).to_numpy()
    sessions = whole.sessions.take(np.flatnonzero(is_chosen[whole.sessions.user]))
    owner = np.repeat(sessions.user, sessions.lengths)
    log = pa.table(
        {
            "user_id": whole.users.column("user_id").take(pa.array(owner)),
            "item_id": whole.items.column("item_id").take(pa.array(sessions.items)),
            "timestamp": pa.array(sessions.times).cast(pa.timestamp("ms", tz="UTC")),
            "session_id": pa.array(np.repeat(sessions.number, sessions.lengths)).cast(pa.string()),
        }
    )
    settings_of_whole = Settings.parse(whole.manifest["settings"])
    settings = settings_of_whole.model_copy(
        update={
            "columns": ColumnsSettings(null_words=()),
            "filters": settings_of_whole.filters.model_copy(update={"event_types": None}),
        }
    )
    prepare(log, out, settings, items=whole.items, users=whole.users.drop_columns(["known"]))
