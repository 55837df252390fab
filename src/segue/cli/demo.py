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
from segue.compare import COUNTING, NETWORKS, compare, curves
from segue.data.corpus import Corpus, load
from segue.data.stats import table1
from segue.errors import UserMistake
from segue.pipeline.fit import prepare_log
from segue.report.evaluation_page import write_report
from segue.serving.answer import Answer
from segue.serving.recommender import Recommender
from segue.settings import Nested
from segue.version import __version__

METRICS = ("HR@5", "HR@10", "HR@20", "MRR@10", "MRR@20", "NDCG@10")
SHOWN = ("popularity", "session popularity", "personal popularity", "Markov", "Item-KNN")
# Selection and refit take about as long each; together with install and preparation this stays under 15 minutes.
MINUTES = {"HG-GNN segue": 2.0, "HG-GNN paper": 1.0}
_HOUSEHOLDS = 60


def demo(folder: Path) -> None:
    """Prepare, train, compare, recommend, report. What is finished under `folder` is not repeated."""
    started = time.monotonic()
    corpus_folder = folder / "corpus"
    if not corpus_folder.exists():
        err.print("Complete Journey: real grocery baskets, items are product types")
        prepare_log("complete-journey:", corpus_folder, {})
    corpus = load(corpus_folder)
    with training_bar() as progress:
        results = compare(corpus_folder, _runs(), folder / "models", progress=progress)
    out.print(f"\n{results['HG-GNN segue']['events']:,} test events, the same for every model; all refitted, in %:")
    print_metrics(results, METRICS)
    recommender = Recommender.load(folder / "models" / "hg-gnn-segue")
    basket, households = _same_basket(recommender, corpus)
    out.print(f"\nThe same basket, two households: {', '.join(recommender.name(item) for item in basket)}")
    for user in households:
        _show(recommender, user, recommender.recommend(user, basket, k=10))
    report = folder / "report.html"
    write_report(
        report,
        title="Segue on Complete Journey",
        evaluations=results,
        curves=curves(results),
        statistics={**table1(corpus), **results["HG-GNN segue"]["training"]["statistics"]},
        notes=[f"segue {__version__}; trained on train + validation, measured on test; history frozen."],
    )
    (folder / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    print_rows({"report": str(report), "minutes": f"{(time.monotonic() - started) / 60:.1f}"})


def _runs() -> dict[str, Nested]:
    trained = {
        label: {**overrides, "training": {"max_minutes": MINUTES[label]}} for label, overrides in NETWORKS.items()
    }
    return {**trained, **{label: COUNTING[label] for label in SHOWN}}


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
