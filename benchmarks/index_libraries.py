"""Libraries for an index of many items, on the vectors of a trained model; one thread.

    python benchmarks/index_libraries.py MODEL [--items 100000]

Each searches the same items with the session vectors of train for 200 of them, among which the exact 20 best should be.
usearch is measured where it is installed (`pip install usearch`); Segue does not use it.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import machine
from segue.data.arrays import IntArray
from segue.lean.hg_gnn import LeanHGGNN
from segue.lean.index import building, sample
from segue.lean.index.lists import Lists, library, turned
from segue.lean.index.plan import Plan
from segue.lean.item_vectors import ItemVectors
from segue.lean.model import Floats
from segue.serving.index import sessions_of
from segue.serving.recommender import Recommender
from speed import table

FOUND, BEST, SESSIONS = 200, 20, 300
BREADTHS = (0.01, 0.02, 0.08)
EXPANSIONS = (200, 400)
CONNECTIONS, CONSTRUCTION = 16, 64
Search = Callable[[Floats], IntArray]


def write_vectors(folder: Path, items: int, out: Path) -> None:
    """Write the vectors of the first items of a model, and of sessions to measure with and to learn from."""
    recommender = Recommender.load(folder)
    model = recommender.model
    assert isinstance(model, LeanHGGNN)
    asked = [each.asked for each in sessions_of(recommender, slice(2 * SESSIONS)) if each.asked is not None]
    np.save(out / "items.npy", model.vectors[:items])
    np.save(out / "sessions.npy", np.concatenate([model.session_vectors([each]) for each in asked]))


def read_vectors(folder: Path) -> tuple[ItemVectors, Floats, Floats]:
    """The vectors that were written: of items, of sessions to measure with, and of others to learn from."""
    sessions: Floats = np.load(folder / "sessions.npy")
    return ItemVectors(np.load(folder / "items.npy"), None), sessions[:SESSIONS], sessions[SESSIONS:]


def ways(items: ItemVectors, learned_from: Floats) -> Iterator[tuple[str, Callable[[], Iterator[tuple[str, Search]]]]]:
    """What is compared: a name, and what builds it and gives its searches, each with its breadth."""
    turn, plain = building.scale_of(learned_from), np.eye(items.shape[1], dtype=np.float32)
    yield "faiss, lists of bytes, turned", lambda: lists_of(items, turn)
    yield "faiss, lists of bytes, as they are", lambda: lists_of(items, plain)
    yield "faiss, HNSW, turned", lambda: faiss_graph(items, turn)
    if importlib.util.find_spec("usearch") is not None:
        yield "usearch, HNSW of 16 bits, turned", lambda: usearch_graph(items, turn)


def lists_of(items: ItemVectors, scale: Floats) -> Iterator[tuple[str, Search]]:
    """The index that Segue uses."""
    random = np.random.default_rng(0)
    centres, list_of = building.cluster(items, scale, random)
    sampled, probability = sample.draw(np.full(len(items), 1 / len(items)), BEST, random)
    none = np.zeros((0, BEST))
    plan = Plan(
        scale, centres, list_of, sampled.astype(np.int32), probability, none.astype(np.int32), none.astype(np.float32)
    )
    index = Lists(plan, items)
    for breadth in BREADTHS:
        index.breadth = max(1, round(breadth * index.lists))
        yield f"{index.breadth} of {index.lists} lists", lambda vectors: index.search(vectors, FOUND)


def faiss_graph(items: ItemVectors, scale: Floats) -> Iterator[tuple[str, Search]]:
    """A graph of near items."""
    faiss, inverse, rows = library(), np.linalg.inv(scale), turned(items[:], scale)
    index = faiss.IndexHNSWFlat(rows.shape[1], CONNECTIONS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = CONSTRUCTION
    index.add(rows)
    for expansion in EXPANSIONS:
        index.hnsw.efSearch = expansion
        yield f"expansion {expansion}", lambda vectors: index.search(turned(vectors, inverse), FOUND)[1]


def usearch_graph(items: ItemVectors, scale: Floats) -> Iterator[tuple[str, Search]]:
    """The same by the other library."""
    from usearch.index import Index

    inverse, rows = np.linalg.inv(scale), turned(items[:], scale)
    index = Index(ndim=rows.shape[1], metric="ip", dtype="f16", connectivity=CONNECTIONS, expansion_add=CONSTRUCTION)
    index.add(np.arange(len(rows)), rows, threads=1)

    def search(vectors: Floats) -> IntArray:
        found: IntArray = index.search(turned(vectors, inverse), FOUND, threads=1).keys.astype(np.int64)
        return found.reshape(len(vectors), -1)

    for expansion in EXPANSIONS:
        index.expansion_search = expansion
        yield f"expansion {expansion}", search


def measured(folder: Path, number: int) -> list[dict[str, Any]]:
    """The figures of one way, in a process of its own: its memory is that beyond the vectors."""
    vectors, sessions, learned_from = read_vectors(folder)
    best = np.argpartition(-vectors.product(sessions), BEST)[:, :BEST]
    name, build = list(ways(vectors, learned_from))[number]
    rows: list[dict[str, Any]] = []
    before, began = machine.peak_rss_bytes(), time.process_time()
    for breadth, search in build():
        built = rows[0]["build_s"] if rows else time.process_time() - began
        peak = rows[0]["mib"] if rows else (machine.peak_rss_bytes() - before) / 2**20
        began = time.process_time()
        found = [search(session[None])[0] for session in sessions]
        each = 1e3 * (time.process_time() - began) / len(sessions)
        recall = float(np.mean([np.isin(b, f).mean() for b, f in zip(best, found, strict=True)]))
        rows.append({"index": name, "breadth": breadth, "build_s": built, "mib": peak, "recall": recall, "ms": each})
    return rows


def main() -> None:
    """Measure each way, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--items", type=int, default=100_000)
    chosen = parser.parse_args()
    count = 3 + (importlib.util.find_spec("usearch") is not None)
    with tempfile.TemporaryDirectory(prefix="segue-bench-") as scratch:
        machine.measure(write_vectors, chosen.model, chosen.items, Path(scratch))
        found = [machine.measure(measured, Path(scratch), number).value for number in range(count)]
    rows = [row for each in found for row in each]
    columns = {"index": "", "breadth": "", "build_s": ",.1f", "mib": ",.0f", "recall": ".4f", "ms": ".2f"}
    text = "\n\n".join(
        [
            "# Libraries for an index",
            f"`python benchmarks/index_libraries.py MODEL --items {chosen.items}`: the vectors of so many items of a"
            f" model, searched with {SESSIONS} session vectors of train for {FOUND} items each; one thread, processor"
            " time.",
            table(rows, columns),
            f"recall: share of the exact {BEST} best among the items found; ms: per search; mib: memory beyond what the"
            " process had taken before it was built. turned: with distances that are differences of scores, see"
            " [decision 0023](../decisions/0023-an-index-above-some-hundred-thousand-items.md).",
        ]
    )
    machine.write("index-libraries", {"rows": rows, "items": chosen.items}, text)
    print(text)


if __name__ == "__main__":
    main()
