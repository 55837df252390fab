"""Speed of answers: processor time of one, answers per processor second, start of the command; one thread.

python benchmarks/serving.py [--keep FOLDER] [--million]

With --keep the corpora and models stay in a folder, and a later run takes those that it finds there. With --million a
catalogue of a million items is measured in place of the others, with an index and without: to train takes half an hour
and 10 GB.

The model is trained for a moment on a generated log: its answers cost what those of a good one do.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import machine
from generate import generate
from segue.settings import Nested

if TYPE_CHECKING:
    from segue.serving.recommender import Recommender
from speed import table

DIM = 128
CATALOGUES = {3_000: 40_000, 38_615: 385_135}
"""Items → sessions of the log."""
MILLION = 1_050_000
"""Items of the log of a million: the rarest do not occur in it."""
LARGE: dict[int, dict[str, int]] = {MILLION: {"users": 20_000, "sessions": 2_000_000}}
"""Items → users and sessions of a log so large that its model is trained with fewer events, and that no item is left
out of it."""
TRAINING: Nested = {"model": {"dim": DIM}, "training": {"max_epochs": 1, "pass_events": 20_000, "batch_events": 2_048}}
FEW_EVENTS: Nested = {
    "model": {"dim": DIM},
    "training": {
        "max_epochs": 1,
        "pass_events": 2_048,
        "batch_events": 512,
        "pass_steps": 0,
    },
}
ALL_ITEMS: Nested = {
    "filters": {"min_item_support": 1},
    "split": {"protocol": "global_time", "validation": 0.0005, "test": 0.0005},
}
REQUESTS, REPEATS, TOGETHER = 256, 7, 64
PAUSE = 0.01
"""Seconds between two answers at 100 requests per second."""
MIB = 2**20
WANTED = {
    3_000: {"many_per_second": 3_000.0},
    38_615: {"plain_ms": 1.5, "explained_ms": 3.0, "many_per_second": 1_000.0},
}
UNITS = {"plain_ms": "one, ms", "explained_ms": "one with reasons, ms", "many_per_second": "many, per second"}


def train(folder: Path, items: int) -> Path:
    """A model of a generated log with so many items; the one that is there, where there is one."""
    from segue.data.preparation.prepare import prepare
    from segue.pipeline import fit as pipeline
    from segue.pipeline.settings import settings_for_corpus, settings_for_log
    from segue.pipeline.stages import Options

    log, corpus, out = folder / f"log-{items}.parquet", folder / f"corpus-{items}", folder / f"model-{items}"
    if out.exists():
        return out
    large = items in LARGE
    if not corpus.exists():
        generate(log, items=items, **(LARGE[items] if large else {"sessions": CATALOGUES[items]}))
        source, settings = settings_for_log(log, ALL_ITEMS if large else {})
        prepare(source, corpus, settings)
    training = FEW_EVENTS if large else TRAINING
    return pipeline.train(corpus, out, settings_for_corpus(corpus, training), Options())


def fastest(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Least processor seconds of a call: others share the machine, and what they take is not the call's."""
    call()
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        seconds.append(time.process_time() - began)
    return min(seconds)


def answers(folder: Path, kept: Path | None = None) -> dict[str, Any]:
    """Processor time of answers to sessions of train, cut at a random place. kept: folder of an index, if any."""
    import numpy as np

    from segue.serving.index import IndexSettings
    from segue.serving.recommender import Recommender

    began = time.process_time()
    model = Recommender.load(folder, index=IndexSettings(folder=kept) if kept is not None else None)
    load, found = time.process_time() - began, model.artifact.history
    random, requests = np.random.default_rng(0), []
    for session in random.integers(0, len(found), REQUESTS):
        items = found.items[found.offsets[session] : found.offsets[session + 1]]
        shown = [model.known_items.ids[item] for item in items[: random.integers(1, len(items) + 1)]]
        user = model.known_users.ids[found.user[session]]
        requests.append({"user": user, "items": shown, "explain": False})

    def one(request: dict[str, Any], explain: bool) -> float:
        return 1e3 * fastest(lambda: model.recommend(**{**request, "explain": explain}))

    blocks = [requests[first : first + TOGETHER] for first in range(0, REQUESTS, TOGETHER)]
    many = sum(fastest(partial(answer_all, model, block)) for block in blocks)
    vectors, event = random.random((DIM + 1, len(model.known_items)), np.float32), random.random(DIM + 1, np.float32)
    return {
        "items": len(model.known_items),
        "index": model.index_facts,
        "load_s": load,
        "plain_ms": statistics.median(one(request, False) for request in requests[:64]),
        "rested_ms": statistics.median(rested(partial(model.recommend, **request)) for request in requests[:64]),
        "explained_ms": statistics.median(one(request, True) for request in requests[:64]),
        "many_per_second": REQUESTS / many,
        "floor_ms": 1e3 * fastest(lambda: event @ vectors, 50),
    }


def rested(call: Callable[[], object]) -> float:
    """Processor ms of a call after a pause: what lay in the caches of the processor has gone."""
    time.sleep(PAUSE)
    began = time.process_time()
    call()
    return 1e3 * (time.process_time() - began)


def answer_all(model: Recommender, requests: list[dict[str, Any]]) -> int:
    """Answer some requests; the number of their answers."""
    return sum(1 for _ in model.recommend_many(requests))


def through_torch(folder: Path) -> float:
    """Median processor ms of one answer without reasons through torch, as every answer was before."""
    import torch

    from segue.artifact.model_folder import read_model
    from segue.lean import folder as lean
    from segue.serving.recommender import Recommender
    from segue.serving.through_torch import ThroughTorch

    torch.set_num_threads(1)
    model = Recommender(lean.load(folder)[0], ThroughTorch(read_model(folder).model))
    sessions = [model.known_items.ids[place : place + 5] for place in range(32)]
    user = model.known_users.ids[0]
    return 1e3 * statistics.median(
        fastest(partial(model.recommend, user, session, explain=False)) for session in sessions
    )


def command_seconds(folder: Path) -> float:
    """Processor seconds of ``segue recommend`` from its start to its end."""

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    command = [sys.executable, "-m", "segue", "recommend", str(folder), "--items", "item_000001"]
    seconds = []
    for _ in range(REPEATS):
        began = spent()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(spent() - began)
    return min(seconds)


def row(folder: Path, items: int) -> dict[str, Any]:
    """Everything that is measured of one catalogue."""
    model = train(folder, items)
    measured = machine.measure(answers, model)
    torch_ms = machine.measure(through_torch, model).value
    found = {**measured.value, "torch_ms": torch_ms, "command_s": command_seconds(model)}
    found["times_torch"] = torch_ms / found["plain_ms"]
    found["of_floor"] = found["plain_ms"] / found["floor_ms"]
    found["peak_mib"] = measured.peak_rss_bytes / MIB
    return {**found, "wanted": ", ".join(f"{UNITS[name]} {value:,g}" for name, value in WANTED[items].items())}


def million(folder: Path) -> None:
    """Measure a million items without an index and with one, write the page."""
    model, rows = train(folder, MILLION), []
    for name, kept in (("every item is scored", None), ("index", folder / "kept")):
        if kept is not None:
            machine.measure(answers, model, kept)  # makes the index
        measured = machine.measure(answers, model, kept)
        rows.append({"how": name, **measured.value, "peak_mib": measured.peak_rss_bytes / MIB})
    index = rows[-1]["index"]
    columns = {
        "how": "", "items": ",.0f", "plain_ms": ".2f", "rested_ms": ".2f", "explained_ms": ".2f",
        "many_per_second": ",.0f",
        "floor_ms": ".2f", "load_s": ".2f", "peak_mib": ",.0f",
    }  # fmt: skip
    text = "\n\n".join(
        [
            "# Speed of answers with a million items",
            "`python benchmarks/serving.py --million` trains preset `segue` (d = 128) for a moment on a generated log"
            " and answers sessions of it. All times are processor time on one thread, the least of several.",
            table(rows, columns),
            "Columns are those of [speed of answers](serving.md); peak holds the files of the model that were read,"
            " which workers share. Answers with reasons score every item in both rows.",
            f"Index: {index}",
        ]
    )
    machine.write("serving-million", {"answers": rows}, text)
    print(text)


def main() -> None:
    """Train the models, measure, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--million", action="store_true")
    chosen = parser.parse_args()
    keep = chosen.keep
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="segue-bench-") as scratch:
        if chosen.million:
            million(keep or Path(scratch))
            return
        rows = [row(keep or Path(scratch), items) for items in CATALOGUES]
    columns = {
        "items": ",.0f", "plain_ms": ".2f", "rested_ms": ".2f", "explained_ms": ".2f", "many_per_second": ",.0f",
        "torch_ms": ".2f",
        "times_torch": ".1f", "floor_ms": ".2f", "of_floor": ".1f", "load_s": ".2f", "command_s": ".2f",
        "peak_mib": ",.0f", "wanted": "",
    }  # fmt: skip
    text = "\n\n".join(
        [
            "# Speed of answers",
            "`python benchmarks/serving.py` trains preset `segue` (d = 128) for a moment on generated logs of Last.fm"
            " shape and answers sessions of them. All times are processor time on one thread, the least of several.",
            "## Answers per processor second",
            table(rows, columns),
            "plain, explained: one answer of ten items by `recommend`, without and with reasons. rested: a plain one"
            " 10 ms after the one before, as where 100 requests per second come in, measured once each. many: answers"
            " of `recommend_many` per processor second, without reasons. torch: one plain answer by torch, the only"
            " way before. floor: the product of one vector with all item vectors alone. load: `segue.load` with a warm"
            " file cache; command: `segue recommend` from start to end; peak: memory of the process that answers.",
        ]
    )
    machine.write("serving", {"answers": rows}, text)
    print(text)


if __name__ == "__main__":
    main()
