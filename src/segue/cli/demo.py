"""`make demo`: real shopping baskets, from the log to a comparison and to two households' different recommendations."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from segue.cli.console import err, out, print_metrics, print_rows, show_messages, training_bar
from segue.compare import Callbacks, ComparisonPlan, Summary, compare
from segue.data.corpus import Corpus, load
from segue.data.preparation.prepare import prepare
from segue.data.stats import table1
from segue.errors import UserMistake
from segue.pipeline.settings import settings_for_log
from segue.report.evaluation_page import write_report
from segue.serving.answer import Answer
from segue.serving.recommender import Recommender
from segue.settings import Nested
from segue.training.epochs import EpochRecord, read_epochs, training_facts
from segue.version import __version__

METRICS = ("HR@5", "HR@10", "HR@20", "MRR@10", "MRR@20", "NDCG@10")
COUNTING: dict[str, Nested] = {
    "popularity": {"model": {"name": "popularity", "preset": "global"}},
    "session popularity": {"model": {"name": "popularity", "preset": "session"}},
    "personal popularity": {"model": {"name": "popularity", "preset": "personal"}},
    "Markov": {"model": {"name": "markov"}},
    "Item-KNN": {"model": {"name": "item_knn"}},
}
# Selection and refit take about as long each; together with install and preparation this stays under 15 minutes.
MINUTES = {"HG-GNN segue": 2.0, "HG-GNN paper": 1.0}
_HOUSEHOLDS = 60


def demo(folder: Path) -> None:
    """Prepare, train, compare, recommend, report. What is finished under `folder` is not repeated."""
    started = time.monotonic()
    corpus_folder = folder / "corpus"
    if not corpus_folder.exists():
        err.print("Complete Journey: real grocery baskets, items are product types")
        source, settings = settings_for_log("complete-journey:", {})
        prepare(source, corpus_folder, settings)
    corpus = load(corpus_folder)
    with training_bar() as progress:
        summary = compare(corpus_folder, folder / "models", _chosen(), ComparisonPlan(seeds=(0,)), Callbacks(progress))
    results = {label: row.measurements[0] for label, row in summary.rows.items()}
    events = results["HG-GNN segue"].events
    out.print(f"\n{events:,} test events, the same for every model; all refitted, in %:")
    print_metrics({label: {name: one.metrics[name] for name in METRICS} for label, one in results.items()})
    recommender = Recommender.load(summary.rows["HG-GNN segue"].runs[0])
    basket, households = _same_basket(recommender, corpus)
    out.print(f"\nThe same basket, two households: {', '.join(recommender.name(item) for item in basket)}")
    for user in households:
        _show(recommender, user, recommender.recommend(user, basket, k=10))
    report = folder / "report.html"
    write_report(
        report,
        title="Segue on Complete Journey",
        measurements=results,
        curves=_curves(summary),
        statistics={**table1(corpus), **training_facts(summary.rows["HG-GNN segue"].runs[0]).statistics},
        notes=[f"segue {__version__}; trained on train + validation, measured on test; history frozen."],
    )
    (folder / "results.json").write_text(json.dumps(summary.as_dict(), indent=1), encoding="utf-8")
    print_rows({"report": str(report), "minutes": f"{(time.monotonic() - started) / 60:.1f}"})


def _chosen() -> dict[str, Nested]:
    networks: dict[str, Nested] = {
        "HG-GNN segue": {"model": {"name": "hg_gnn", "preset": "segue"}},
        "HG-GNN paper": {"model": {"name": "hg_gnn", "preset": "paper"}},
    }
    trained = {label: {**own, "training": {"max_minutes": MINUTES[label]}} for label, own in networks.items()}
    return {**trained, **COUNTING}


def _curves(summary: Summary) -> dict[str, list[EpochRecord]]:
    epochs = {label: read_epochs(row.runs[0]) for label, row in summary.rows.items()}
    return {label: played for label, played in epochs.items() if played}


def _same_basket(recommender: Recommender, corpus: Corpus) -> tuple[list[str], list[str]]:
    """The three items most often bought together as a basket's start, and the two households that differ most on it.

    Of the households with the longest histories, the pair whose top ten share the fewest items is shown.
    """
    starts = corpus.train.offsets[:-1][corpus.train.lengths >= 3]
    triples = np.sort(np.stack([corpus.train.items[starts + place] for place in range(3)], axis=1), axis=1)
    distinct, count = np.unique(triples, axis=0, return_counts=True)
    basket = [corpus.item_ids[item] for item in distinct[count.argmax()]]
    sessions = np.bincount(corpus.train.user, minlength=corpus.n_users)[: corpus.n_users]
    known = [corpus.user_ids[user] for user in np.argsort(-sessions, kind="stable")[:_HOUSEHOLDS]]
    lists = {user: {entry.item for entry in recommender.recommend(user, basket, k=10)} for user in known}
    pair = min(itertools.combinations(known, 2), key=lambda two: len(lists[two[0]] & lists[two[1]]))
    return basket, list(pair)


def _show(recommender: Recommender, user: str, answer: Answer) -> None:
    rows: dict[str, Any] = {
        f"{place:2d}  {recommender.name(entry.item)}": entry.because["text"]
        for place, entry in enumerate(answer, start=1)
    }
    print_rows(rows, title=f"\nhousehold {user}")


def main() -> None:
    """Parse the one option and run."""
    parser = argparse.ArgumentParser(prog="python -m segue.cli.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for corpus, models and report")
    arguments = parser.parse_args()
    show_messages()
    try:
        demo(arguments.out)
    except UserMistake as error:
        err.print(f"segue: {error}", markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        err.print("interrupted; make demo continues where it stopped", markup=False)
        sys.exit(130)


if __name__ == "__main__":
    main()
