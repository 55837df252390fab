"""Every model at Last.fm shape: training events/s of what is trained, milliseconds per event of session neighbours.

python benchmarks/models.py [--steps 6] [--models narm sasrec/history]

The default preset of each trained model and others that a comparison plays, with d = 100 where a model has one size;
whole training steps, softmax included.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
from generate import generate
from segue.settings import Nested
from speed import evaluate_test, table, train_steps

DIM = 100
WANTED, WANTED_OF_THE_HEAVY = 500.0, 200.0
HEAVY = ("a_pgnn", "gce_gnn")
BESIDE_DEFAULTS = (
    "hg_gnn/paper", "hg_gnn/authors-code", "gru4rec/official", "gru4rec/official_bpr_max", "hrnn/official",
    "sasrec/history",
)  # fmt: skip
NEIGHBOURS = ("v_sknn", "stan", "vstan", "vsknn_ebr", "vstan_ebr")
WANTED_MILLISECONDS = 0.5
NEIGHBOUR_SESSIONS = 400
PREFIXES, WANTED_GRAPH_MILLISECONDS = 512, 20.0


def trained(corpus: Path, names: list[str], steps: int) -> list[dict[str, Any]]:
    """Each trained model in a process of its own, on all cores."""
    from segue import models
    from segue.compare import named_models
    from segue.contract.encoder import SessionEncoder

    rows = []
    for label, entrant in sorted(named_models(names or [*models.names(), *BESIDE_DEFAULTS]).items()):
        name = entrant["model"]["name"]
        kind = models.load(name)
        if not issubclass(kind, SessionEncoder):
            continue
        size = {"dim": DIM} if "dim" in kind.Config.model_fields else {}
        overrides: Nested = {"model": {**entrant["model"], **size}}
        measured = machine.measure(train_steps, corpus, overrides, steps)
        rows.append(
            {
                "model": label,
                "batch_events": models.with_preset(overrides).training.batch_events,
                "events_per_second": measured.value["events_per_second"],
                "peak_gib": measured.peak_rss_bytes / 2**30,
                "wanted": WANTED_OF_THE_HEAVY if name in HEAVY else WANTED,
            }
        )
        print(rows[-1], flush=True)
    return rows


def neighbours(corpus: Path) -> list[dict[str, Any]]:
    """Scores over all items by session neighbours, on one thread."""
    rows = []
    for preset in NEIGHBOURS:
        overrides: Nested = {"model": {"name": "session_knn", "preset": preset}}
        measured = machine.measure(evaluate_test, corpus, overrides, NEIGHBOUR_SESSIONS, 1)
        each = 1000 / measured.value["scored_per_second"]
        rows.append({"model": f"session_knn/{preset}", "milliseconds_an_event": each, "wanted": WANTED_MILLISECONDS})
    return rows


def session_graphs(corpus_folder: Path) -> list[dict[str, Any]]:
    """Building the graphs of about 512 prefixes, median of twenty batches on one thread."""
    import statistics

    import torch

    from segue.data.corpus import Part, load
    from segue.data.loader import Loader
    from segue.graph.session import prefix_graph

    torch.set_num_threads(1)
    corpus = load(corpus_folder, (Part.TRAIN,))
    batches = Loader(corpus, corpus.train, 20).batches(PREFIXES, (0,))
    seconds = []
    for _, batch in zip(range(20), batches, strict=False):
        began = time.perf_counter()
        prefix_graph(batch.prefixes(), corpus.n_items)
        seconds.append(time.perf_counter() - began)
    return [
        {"prefixes": PREFIXES, "milliseconds": 1000 * statistics.median(seconds), "wanted": WANTED_GRAPH_MILLISECONDS}
    ]


def main() -> None:
    """Generate the log, prepare it, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--models", nargs="+", default=[], help="only these; the page is not written")
    chosen = parser.parse_args()
    from segue.data.preparation.prepare import prepare
    from segue.pipeline.settings import settings_for_log

    with tempfile.TemporaryDirectory(prefix="segue-bench-") as folder:
        log, corpus = Path(folder) / "log.parquet", Path(folder) / "corpus"
        generate(log)
        source, settings = settings_for_log(log, {})
        prepare(source, corpus, settings)
        rows = trained(corpus, chosen.models, chosen.steps)
        near = [] if chosen.models else neighbours(corpus)
        graphs = session_graphs(corpus)
    text = "\n\n".join(
        [
            "# Speed of every model",
            f"Last.fm shape, {DIM} dimensions. Events a second are those of whole training steps on all cores.",
            table(
                rows,
                {"model": "", "batch_events": ",", "events_per_second": ",.0f", "peak_gib": ".2f", "wanted": ",.0f"},
            ),
            "Session neighbours, one thread, scores over all items:",
            table(near, {"model": "", "milliseconds_an_event": ".2f", "wanted": ".1f"}),
            "Graphs of running sessions, one thread:",
            table(graphs, {"prefixes": ",", "milliseconds": ".2f", "wanted": ".0f"}),
        ]
    )
    if not chosen.models:
        machine.write("models", {"trained": rows, "neighbours": near, "session_graphs": graphs}, text + "\n")
    print(text)


if __name__ == "__main__":
    main()
