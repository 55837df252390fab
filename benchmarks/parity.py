"""The counting models on the public session sets, beside known figures.

    python benchmarks/parity.py FOLDER

FOLDER holds diginetica/, tmall/ and nowplaying/, the splits that the anonymous session-based papers share, each with
``train_sessions.parquet`` (items: list<int32>) and ``test_events.parquet`` (prefix: list<int32>, target: int32), items
numbered from 1. The figures were computed by other code on the same files, every item a candidate; ties counted against
the model, or broken by some order of the items where a row is allowed more than 0.02 points. Where ours differ by more
than is allowed, the exit code is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import machine
from segue import models
from segue.contract.model import SessionModel
from segue.data.arrays import IntArray, offsets_of
from segue.data.corpus import Corpus, Part, Sessions
from segue.data.corpus_folder import FORMAT
from segue.evaluation.full_ranking import evaluate
from segue.evaluation.metrics import averages

METRICS = ("HR@5", "MRR@5", "HR@10", "MRR@10", "HR@20", "MRR@20")
SIZES = {"diginetica": (719_470, 43_097, 60_858), "tmall": (351_268, 40_727, 25_898)} | {
    "nowplaying": (825_304, 60_416, 89_824)
}  # train events, items, test events


@dataclass(frozen=True)
class Method:
    """A counting method: its settings, and by how many points its metrics may differ."""

    options: dict[str, Any]
    allowed: float = 0.02
    first_come: bool = False
    """Whether ties go to the item that train holds first, like in the code behind the figures."""


STAN = {"name": "session_knn", "preset": "stan", "snh": None}  # the sets have no times
METHODS = {
    "popularity": Method({"name": "popularity", "preset": "global"}),
    "session popularity": Method({"name": "popularity", "preset": "session"}),
    "Item-KNN, last item, cosine": Method({"name": "item_knn", "preset": "public"}),
    "session items by recency": Method({"name": "popularity", "preset": "repeat_last"}),
    "Markov, ties to the first seen": Method({"name": "markov", "fill": "none"}, first_come=True),
    "sequential rules": Method({"name": "markov", "preset": "sequential_rules", "fill": "none"}, 0.3, first_come=True),
    "V-SKNN": Method({"name": "session_knn", "preset": "v_sknn"}, 0.5),
    "STAN without times": Method(STAN, 0.5),
    "STAN without times, with idf": Method(STAN | {"idf": 1.0}, 0.5),
}
REFERENCE = {
    "diginetica": {
        "popularity": (0.33, 0.16, 0.58, 0.19, 0.93, 0.21),
        "session popularity": (19.23, 13.41, 20.68, 13.62, 21.08, 13.65),
        "Item-KNN, last item, cosine": (16.93, 9.11, 25.16, 10.20, 34.86, 10.87),
        "session items by recency": (19.51, 13.58, 20.72, 13.75, 21.09, 13.77),
        "Markov, ties to the first seen": (19.80, 11.32, 27.25, 12.32, 33.61, 12.77),
        "sequential rules": (21.89, 12.24, 30.95, 13.45, 40.38, 14.10),
        "V-SKNN": (27.77, 15.76, 38.66, 17.20, 50.32, 18.01),
        "STAN without times": (28.81, 16.26, 39.54, 17.69, 51.25, 18.50),
        "STAN without times, with idf": (29.06, 16.33, 39.86, 17.77, 51.56, 18.58),
    },
    "tmall": {
        "popularity": (1.29, 0.84, 1.68, 0.88, 1.97, 0.90),
        "session popularity": (34.20, 21.21, 42.19, 22.30, 45.76, 22.56),
        "Item-KNN, last item, cosine": (4.46, 2.45, 6.28, 2.69, 8.61, 2.85),
        "session items by recency": (31.05, 16.76, 41.73, 18.22, 45.78, 18.53),
        "Markov, ties to the first seen": (7.37, 5.37, 8.53, 5.53, 9.32, 5.59),
        "sequential rules": (9.39, 6.28, 11.88, 6.60, 14.27, 6.77),
        "V-SKNN": (19.13, 12.79, 23.46, 13.37, 28.09, 13.69),
        "STAN without times": (21.45, 13.81, 25.75, 14.38, 30.28, 14.69),
        "STAN without times, with idf": (21.53, 13.91, 25.81, 14.48, 30.32, 14.79),
    },
    "nowplaying": {
        "popularity": (0.70, 0.49, 1.41, 0.58, 1.80, 0.60),
        "session popularity": (5.98, 4.33, 6.97, 4.46, 7.79, 4.52),
        "Item-KNN, last item, cosine": (6.32, 3.35, 9.79, 3.81, 13.85, 4.09),
        "session items by recency": (5.91, 4.71, 6.88, 4.84, 7.79, 4.91),
        "Markov, ties to the first seen": (9.64, 6.85, 11.37, 7.08, 13.10, 7.20),
        "sequential rules": (10.66, 7.16, 13.36, 7.52, 16.60, 7.75),
        "V-SKNN": (11.17, 6.33, 16.24, 7.00, 21.62, 7.38),
    },
}


@dataclass(frozen=True)
class Row:
    """One method on one set: our figures and the known ones, in points, in the order of METRICS."""

    data: str
    method: str
    ours: tuple[float, ...]
    reference: tuple[float, ...]
    seconds: float
    allowed: float

    @property
    def difference(self) -> float:
        """The largest difference of any metric, in points, both rounded to the two digits that are known."""
        return max(abs(round(o, 2) - r) for o, r in zip(self.ours, self.reference, strict=True))

    @property
    def agrees(self) -> bool:
        return self.difference <= self.allowed + 1e-9


def read(folder: Path) -> Corpus:
    """One public set as a corpus: every session a user of its own, since none is named; times are the order alone."""
    train = pq.read_table(folder / "train_sessions.parquet").column("items").combine_chunks()
    events = pq.read_table(folder / "test_events.parquet")
    test_items, test_lengths = _whole_sessions(
        events.column("prefix").combine_chunks(), np.asarray(events.column("target"))
    )
    items = np.concatenate([np.asarray(train.flatten()), test_items]).astype(np.int32) - 1
    lengths = np.concatenate([np.asarray(train.value_lengths()), test_lengths]).astype(np.int64)
    number = np.arange(len(lengths))
    offsets = offsets_of(lengths)
    sessions = Sessions(items, np.arange(len(items), dtype=np.int64), offsets, number.astype(np.int32), number)
    part = np.where(number < len(train), np.int8(Part.TRAIN), np.int8(Part.TEST))
    fingerprint = hashlib.sha256(items.tobytes() + offsets.tobytes()).hexdigest()
    return Corpus(
        items=pa.table({"item_id": [str(item + 1) for item in range(int(items.max()) + 1)]}),
        users=pa.table({"user_id": [f"session {n}" for n in number], "known": part == Part.TRAIN}),
        sessions=sessions,
        part=part,
        n_users=len(train),
        manifest={"format": FORMAT, "fingerprint": fingerprint},
    )


def _whole_sessions(prefixes: pa.ListArray, targets: IntArray) -> tuple[IntArray, IntArray]:
    """The sessions behind the test events, flat items and lengths: each event is given with its prefix, longest first.

    An event goes on with the session before it when prefix and target together are the prefix of that one.
    """
    flat, lengths = np.asarray(prefixes.flatten()), np.asarray(prefixes.value_lengths()).astype(np.int64)
    offsets = offsets_of(lengths)
    begins = np.ones(len(targets), dtype=np.bool_)
    for event in range(1, len(targets)):
        before, own = flat[offsets[event - 1] : offsets[event]], flat[offsets[event] : offsets[event + 1]]
        same = len(before) == len(own) + 1 and before[-1] == targets[event] and np.array_equal(before[:-1], own)
        begins[event] = not same
    sessions = np.flatnonzero(begins)
    whole = [np.append(flat[offsets[e] : offsets[e + 1]], targets[e]) for e in sessions]
    return np.concatenate(whole), lengths[sessions] + 1


def measure(data: str, corpus: Corpus) -> list[Row]:
    """All methods on one set, each fitted on its train sessions and measured on every test event."""
    rows = []
    for name in REFERENCE[data]:
        method, began = METHODS[name], time.perf_counter()
        model = models.build(models.with_preset({"model": dict(method.options)}))
        model.fit(corpus)
        if method.first_come:
            order_by_first_seen(model, corpus)
        found = averages(evaluate(model, corpus, Part.TEST, mask_session=False).rank)
        ours = tuple(100 * found[metric] for metric in METRICS)
        rows.append(Row(data, name, ours, REFERENCE[data][name], time.perf_counter() - began, method.allowed))
        print(f"{data}, {name}: {rows[-1].seconds:.0f} s", file=sys.stderr)
    return rows


def order_by_first_seen(model: SessionModel, corpus: Corpus) -> None:
    """Break ties between the counts of a Markov model: the pair that a reader of train meets first ranks first."""
    train, n_items = corpus.train, corpus.n_items
    session = np.repeat(np.arange(len(train)), train.lengths)
    reach = range(1, model.config.model_dump()["steps"] + 1)
    earlier = [np.flatnonzero(session[distance:] == session[:-distance]) for distance in reach]
    later = [before + distance for before, distance in zip(earlier, reach, strict=True)]
    before, after = np.concatenate(earlier), np.concatenate(later)
    # Reading from left to right, each event ends its pairs, the nearest first.
    read = np.lexsort((-before, after))
    keys = train.items[before].astype(np.int64) * n_items + train.items[after]
    first = np.unique(keys[read], return_index=True)[1]  # in the order in which the model stores its pairs
    arrays = model.arrays()
    step = 1 / math.lcm(*reach)  # different counts lie no closer
    values = arrays["values"] - torch.from_numpy(first / len(read) * step)
    model.restore({**arrays, "values": values}, n_items, corpus.n_users)


def check_sizes(data: str, corpus: Corpus) -> None:
    """Stop when the files are not the ones behind the figures."""
    test = corpus.select(Part.TEST)
    found = (int((corpus.train.lengths - 1).sum()), corpus.n_items, int((test.lengths - 1).sum()))
    if found != SIZES[data]:
        raise SystemExit(f"{data}: expected {SIZES[data]} train events, items and test events, found {found}")


def table(rows: list[Row]) -> str:
    """Markdown: for each row our figures over the known ones."""
    lines = [
        "# Parity on the public session sets",
        "",
        "All items are candidates, ties count against the model, every prefix of every test session is an event; in "
        "percent. A row is ok when no metric differs by more points than it is allowed. Made by "
        "`python benchmarks/parity.py FOLDER`.",
        "",
        "What is left of a difference in Item-KNN is ties: equal fractions are equal similarities here, while the code "
        "behind the known figures, C / sqrt(supp_i * supp_j) in double precision, lets the last bit decide between "
        "some of them. Those of Markov are met once equal counts rank as first seen in train; sequential rules are "
        "asked the same way. The code behind the figures of these and of the session neighbours does not count ties "
        "against the model, and not all of its settings are known: they are allowed more, and what is left of their "
        "differences has not been traced.",
        "",
        f"| set | method | | {' | '.join(METRICS)} | largest difference | allowed | ok | fit and evaluation |",
        f"|---|---|---|{'---:|' * len(METRICS)}---:|---:|---|---:|",
    ]
    for row in rows:
        ours, known = (" | ".join(f"{value:.2f}" for value in values) for values in (row.ours, row.reference))
        verdict = "yes" if row.agrees else "**no**"
        lines.append(
            f"| {row.data} | {row.method} | ours | {ours} | {row.difference:.2f} | {row.allowed:g} | {verdict} "
            f"| {row.seconds:.0f} s |"
        )
        lines.append(f"| | | reference | {known} | | | | |")
    lines += ["", "Settings, beside the defaults of each preset:", ""]
    lines += [f"- {name}: `{_options(method)}`" for name, method in METHODS.items()]
    return "\n".join(lines)


def _options(method: Method) -> str:
    return ", ".join(f"model.{key} = {value}" for key, value in method.options.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with diginetica/, tmall/ and nowplaying/")
    parser.add_argument("--only", choices=sorted(REFERENCE), help="one set; the results are printed, not written")
    arguments = parser.parse_args()
    rows: list[Row] = []
    for data in [arguments.only] if arguments.only else REFERENCE:
        corpus = read(arguments.folder / data)
        check_sizes(data, corpus)
        rows += measure(data, corpus)
    page = table(rows)
    print(page)
    if not arguments.only:
        results = [vars(row) | {"difference": row.difference, "agrees": row.agrees} for row in rows]
        machine.write("parity", {"metrics": METRICS, "rows": results}, page)
    return 0 if all(row.agrees for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
