"""A stage of the demo: so many households drawn by seed, every model trained on them, a table and two lists."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segue import models
from segue.cli.console import err, out, print_metrics, training_bar
from segue.cli.demo import lists
from segue.compare import compare, curves
from segue.data.corpus import Corpus, load
from segue.data.preparation.subsample import draw_corpus
from segue.data.stats import table1
from segue.pipeline.fit import prepare_log
from segue.report.evaluation_page import write_report
from segue.serving.recommender import Recommender
from segue.settings import Nested
from segue.system.atomic import write_text
from segue.version import __version__

SOURCE = "complete-journey:categories"
SEGUE, PAPER, POPULARITY = "HG-GNN segue", "HG-GNN paper", "Popularity"
METRICS = ("HR@5", "HR@10", "HR@20", "MRR@10", "NDCG@10")
HEADLINE = "HR@10"
LEVEL = 0.01
"""Two models whose HR@10 differs by less are called level here; ``segue compare`` tests such differences."""
_DRAWN_BY = 0

Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Stage:
    """One pass of the demo.

    Attributes:
        title: its headline.
        households: how many are drawn by seed.
        shown: recommendations shown per household.
    """

    title: str
    households: int
    shown: int

    def folder(self, to: Path) -> Path:
        """The folder of this stage's corpus and models in the folder of the demo."""
        return to / f"{self.households}-households"


def runs() -> dict[str, Nested]:
    """Label → settings of the models that the demo compares.

    Both presets of HG-GNN are trained by the schedule of preset `segue`, which lowers the learning rate when validation
    stops improving. The schedule of preset `paper` lowers it after three epochs, however few steps these have; on the
    few households of a demo it would stop the training before anything is learned (docs/decisions/0013-the-demo.md).
    """
    alike = dict(models.load("hg_gnn").presets["segue"]["training"])
    return {
        SEGUE: {"model": {"name": "hg_gnn", "preset": "segue"}},
        PAPER: {"model": {"name": "hg_gnn", "preset": "paper"}, "training": alike},
        "Personal popularity": {"model": {"name": "popularity", "preset": "personal"}},
        "Item-KNN": {"model": {"name": "item_knn"}},
        "Markov chain": {"model": {"name": "markov"}},
        POPULARITY: {"model": {"name": "popularity", "preset": "global"}},
    }


def prepared(folder: Path) -> Path:
    """The corpus of all households in `folder`, prepared unless it is there."""
    if not folder.exists():
        err.print("preparing a year of real grocery baskets (Complete Journey, 84.51°)")
        with _without_details():
            prepare_log(SOURCE, folder, {})
    return folder


def run(stage: Stage, whole: Path, to: Path) -> Results:
    """Draw the households, train and measure every model, print table and lists; nothing finished is repeated."""
    folder = stage.folder(to)
    drawn = folder / "corpus"
    if not drawn.exists():
        with _without_details():
            draw_corpus(load(whole), drawn, stage.households, seed=_DRAWN_BY)
    corpus = load(drawn)
    results = _compared(drawn, folder / "models")
    _print_table(stage, corpus, results)
    lists.show(Recommender.load(Path(results[SEGUE]["training"]["model"])), corpus, stage.shown)
    return results


def _compared(corpus: Path, folder: Path) -> Results:
    """Label → evaluation on test, with the facts of the training: every model selected, refitted and measured alike."""
    with training_bar() as progress:
        return compare(corpus, runs(), folder, progress=progress)


def _print_table(stage: Stage, corpus: Corpus, results: Results) -> None:
    sizes, events = corpus.manifest["sizes"], results[SEGUE]["events"]
    baskets = sizes["train_sessions"] + sizes["validation_sessions"]
    out.print(f"\n{stage.title}: {corpus.n_users:,} households, {baskets:,} baskets to learn from, and")
    out.print(f"{corpus.n_items:,} product categories. {events:,} times each model says what comes next in a")
    out.print("later basket. HR@10, in %: how often the right category is among its first ten.\n")
    best_first = sorted(results, key=lambda label: -results[label]["metrics"][HEADLINE])
    print_metrics({label: results[label] for label in best_first}, METRICS)
    for label in (SEGUE, PAPER):
        training = results[label]["training"]
        out.print(f"{label}: epoch {training['best_epoch']} of {training['epochs']} was the best on validation.")
    out.print("Both presets of HG-GNN were trained by the schedule of preset segue.")
    out.print(_verdict(results))


def _verdict(results: Results) -> str:
    """One sentence on what the paper's model adds to plain popularity, which never looks at who asks."""
    gain = results[PAPER]["metrics"][HEADLINE] - results[POPULARITY]["metrics"][HEADLINE]
    if abs(gain) < LEVEL:
        return f"{PAPER} was trained until validation stopped improving, and is level with plain popularity here."
    return f"{PAPER} finds {abs(100 * gain):.1f} points {'more' if gain > 0 else 'less'} than plain popularity."


def write_page(report: Path, stage: Stage, to: Path, results: Results) -> None:
    """Write `report` with the figures of a stage, and ``results.json`` beside it."""
    corpus = load(stage.folder(to) / "corpus")
    evaluations = {label: dict(result) for label, result in results.items()}
    write_report(
        report,
        title="Segue on Complete Journey",
        evaluations=evaluations,
        curves=curves(results),
        statistics={**table1(corpus), **results[SEGUE]["training"]["statistics"]},
        notes=[
            f"segue {__version__}; {stage.households} households drawn by seed {_DRAWN_BY}; trained on train +"
            " validation, measured on test; history frozen."
        ],
    )
    write_text(report.with_name("results.json"), json.dumps(evaluations, indent=1) + "\n")


@contextmanager
def _without_details() -> Iterator[None]:
    """Silence the counts that a preparation logs: a dozen lines per corpus that a first look can do without."""
    logger = logging.getLogger("segue")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
