"""A synthetic log of Last.fm shape: users, items and sessions of the paper's Table 1, and something to learn.

    python benchmarks/generate.py lastfm.parquet --scale 1

Items fall into clusters of taste and have Zipf popularity; a user likes a few clusters and a session lives
in one of them. The next item follows the current item's own short list of successors, else the session's
cluster, else the popularity of all items. Items never follow themselves, sessions hold 3 to 20 items, users
have at least 5 sessions, so the preparation's default filters take almost nothing.

Columns: user_id, item_id (strings), timestamp (epoch seconds), sorted by user and time. `--scale 10` means
ten times the users and sessions on the same items; the memory it takes stays the same.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.optimize import brentq

SHORTEST, LONGEST = 3, 20  # items in a session
FEWEST_SESSIONS = 5  # fewest sessions of a user
ITEMS_PER_CLUSTER = 200
CLUSTERS_PER_USER = 3
SUCCESSORS = 5
ZIPF = 0.9
FOLLOWS, TASTE = 0.50, 0.42  # where the next item comes from; the rest is popularity

EPOCH_START = 1_108_339_200  # 2005-02-14, as in Last.fm-1K
SPAN_SECONDS = int(4.3 * 365 * 86_400)
SESSION_GAP = 8 * 3_600
SCHEMA = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.int64())])
USERS_PER_BLOCK = 64  # drawn and written together, one row group

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Catalogue:
    """Items in cluster order: cluster c is ``bounds[c]:bounds[c + 1]``.

    Shapes: bounds [clusters + 1], cumulative popularity (0 to 1) [items + 1], successors [items, SUCCESSORS].
    """

    bounds: Ints
    cumulative: Floats
    successors: Ints

    @classmethod
    def draw(cls, rng: np.random.Generator, items: int) -> Catalogue:
        """Zipf popularity dealt out to the items at random, and each item's successors inside its cluster."""
        clusters = max(1, items // ITEMS_PER_CLUSTER)
        bounds = np.linspace(0, items, clusters + 1).astype(np.int64)
        popularity = rng.permutation(1.0 / (np.arange(items) + 10.0) ** ZIPF)
        cumulative = np.concatenate([[0.0], np.cumsum(popularity / popularity.sum())])
        sizes = np.diff(bounds)
        start, size = np.repeat(bounds[:-1], sizes)[:, None], np.repeat(sizes, sizes)[:, None]
        # A step of at least one and less than the cluster's size never leads back to the item itself.
        step = 1 + (rng.random((items, SUCCESSORS)) * (size - 1)).astype(np.int64)
        successors = start + (np.arange(items)[:, None] - start + step) % size
        return cls(bounds, cumulative, successors)

    @property
    def clusters(self) -> int:
        """Number of clusters of taste."""
        return len(self.bounds) - 1

    def popular(self, rng: np.random.Generator, low: Floats, high: Floats) -> Ints:
        """One item for each stretch of the cumulative popularity, [n]."""
        drawn = np.searchsorted(self.cumulative, low + rng.random(len(low)) * (high - low), side="right") - 1
        return np.minimum(drawn, len(self.successors) - 1)

    def of_cluster(self, rng: np.random.Generator, cluster: Ints) -> Ints:
        """One item of each cluster by popularity, [n]."""
        edges = self.cumulative[self.bounds]
        return self.popular(rng, edges[cluster], edges[cluster + 1])

    def following(self, rng: np.random.Generator, current: Ints, cluster: Ints) -> Ints:
        """The next item after `current` in sessions that live in `cluster`, [n]."""
        rank = np.minimum(rng.geometric(0.6, len(current)) - 1, SUCCESSORS - 1)
        source, all_items = rng.random(len(current)), np.zeros(len(current))
        following = np.where(
            source < FOLLOWS,
            self.successors[current, rank],
            np.where(
                source < FOLLOWS + TASTE,
                self.of_cluster(rng, cluster),
                self.popular(rng, all_items, all_items + 1.0),
            ),
        )
        repeats = following == current
        return np.asarray(np.where(repeats, self.successors[current, 0], following))


def generate(
    path: Path,
    *,
    users: int = 992,
    items: int = 38_615,
    sessions: int = 385_135,
    mean_length: float = 8.2,
    scale: int = 1,
    seed: int = 0,
) -> dict[str, float]:
    """Write the log to `path` (Parquet, a row group for each 64 users) and count what was written.

    Args:
        users, sessions: their numbers at scale 1; multiplied by `scale`. At least 5 sessions per user.
        items: size of the catalogue (at least 2); the rarest may not occur in a small log.
        mean_length: items in a session on average, strictly between 3 and 20.
        seed: equal arguments give equal logs.

    Returns:
        rows, users, items (that occur), sessions, mean_length and seconds.
    """
    if items < 2 or users < 1 or scale < 1 or sessions < FEWEST_SESSIONS * users:
        raise ValueError("needs 2 items, 1 user and 5 sessions per user or more")
    began = time.perf_counter()
    rng = np.random.default_rng([seed, 0])
    catalogue = Catalogue.draw(rng, items)
    item_ids = pa.array([f"item_{number:06d}" for number in rng.permutation(items)])
    counts = _sessions_of_users(rng, users * scale, sessions * scale)
    lengths = _length_distribution(mean_length)
    occurs = np.zeros(items, dtype=np.bool_)
    rows = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", store_schema=False) as writer:
        for block, first in enumerate(range(0, len(counts), USERS_PER_BLOCK)):
            block_rng = np.random.default_rng([seed, 1 + block])
            user, item, second = _events(block_rng, catalogue, counts[first : first + USERS_PER_BLOCK], lengths)
            user_ids = pa.array([f"user_{1 + number:06d}" for number in range(first, first + USERS_PER_BLOCK)])
            columns = [user_ids.take(pa.array(user)), item_ids.take(pa.array(item)), pa.array(second)]
            writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))
            occurs[item] = True
            rows += len(user)
    return {
        "rows": rows,
        "users": len(counts),
        "items": int(occurs.sum()),
        "sessions": int(counts.sum()),
        "mean_length": rows / int(counts.sum()),
        "seconds": time.perf_counter() - began,
    }


def _sessions_of_users(rng: np.random.Generator, users: int, sessions: int) -> Ints:
    """Sessions of each user, log-normal with a cap, summing to `sessions`, [users]."""
    activity = np.minimum(rng.lognormal(0.0, 0.9, users), 8.0)
    spread = rng.multinomial(sessions - FEWEST_SESSIONS * users, activity / activity.sum())
    return FEWEST_SESSIONS + spread.astype(np.int64)


def _length_distribution(mean: float) -> Floats:
    """Probabilities of SHORTEST..LONGEST items: geometric, cut off, with the ratio that gives the mean."""
    if not SHORTEST < mean < LONGEST:
        raise ValueError(f"mean_length must lie between {SHORTEST} and {LONGEST}, found {mean}")
    values = np.arange(SHORTEST, LONGEST + 1)

    def probabilities(log_ratio: float) -> Floats:
        weights = np.exp(log_ratio * (values - values.mean()))
        return np.asarray(weights / weights.sum())

    log_ratio = brentq(lambda guess: float(probabilities(guess) @ values) - mean, -30.0, 30.0)
    return probabilities(float(log_ratio))


def _events(rng: np.random.Generator, catalogue: Catalogue, counts: Ints, lengths: Floats) -> tuple[Ints, Ints, Ints]:
    """User within the block, item and second of every event of a block of users, sorted by user and time."""
    user = np.repeat(np.arange(len(counts)), counts)
    length = rng.choice(np.arange(SHORTEST, LONGEST + 1), size=len(user), p=lengths)
    liked = rng.integers(0, catalogue.clusters, (len(counts), CLUSTERS_PER_USER))
    cluster = liked[user, np.minimum(rng.geometric(0.45, len(user)) - 1, CLUSTERS_PER_USER - 1)]
    visited = np.zeros((len(user), LONGEST), dtype=np.int64)
    visited[:, 0] = catalogue.of_cluster(rng, cluster)
    for position in range(1, int(length.max())):
        open_ = np.flatnonzero(length > position)
        visited[open_, position] = catalogue.following(rng, visited[open_, position - 1], cluster[open_])
    item = visited[np.arange(LONGEST) < length[:, None]]
    return np.repeat(user, length), item, _seconds(rng, counts, length)


def _seconds(rng: np.random.Generator, counts: Ints, length: Ints) -> Ints:
    """Epoch second of every event: under 8 h apart inside a session, over 8 h between two, [events]."""
    wait = np.clip(rng.lognormal(np.log(240), 0.8, int(length.sum())), 20, SESSION_GAP - 60).astype(np.int64)
    opening = np.concatenate([[0], np.cumsum(length)[:-1]])
    pause = np.maximum(SPAN_SECONDS / counts - SESSION_GAP - 3_600, 3_600)
    wait[opening] = SESSION_GAP + 60 + rng.exponential(np.repeat(pause, counts)).astype(np.int64)
    since = np.cumsum(wait)
    newcomer = opening[np.cumsum(counts) - counts]
    events = np.diff(np.append(newcomer, len(wait)))
    seconds: Ints = EPOCH_START + since - np.repeat(since[newcomer] - wait[newcomer], events)
    return seconds


def main() -> None:
    """The command line: one JSON object on stdout."""
    parser = argparse.ArgumentParser(description="Write a synthetic log of Last.fm shape.")
    parser.add_argument("out", type=Path, help="the Parquet file to write")
    parser.add_argument("--users", type=int, default=992)
    parser.add_argument("--items", type=int, default=38_615)
    parser.add_argument("--sessions", type=int, default=385_135)
    parser.add_argument("--mean-length", type=float, default=8.2)
    parser.add_argument("--scale", type=int, default=1, help="times as many users and sessions")
    parser.add_argument("--seed", type=int, default=0)
    wanted = vars(parser.parse_args())
    path = wanted.pop("out")
    try:
        written = generate(path, **wanted)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    json.dump({**written, "bytes": path.stat().st_size, "peak_mib": peak_kib / 1024}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
