"""A stage of the demo: so many households drawn by seed, every model trained on them, a table and two lists."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from segue.cli.console import err, out, print_metrics
from segue.cli.demo import lists
from segue.cli.progress import training_bar
from segue.compare import Callbacks, ComparisonPlan, compare
from segue.data.corpus import Corpus, load
from segue.data.corpus_folder import read_manifest
from segue.data.preparation.prepare import prepare
from segue.data.preparation.subsample import subsample_corpus
from segue.data.stats import table1
from segue.errors import CorpusError, UserMistake
from segue.evaluation.measurement import Measurement
from segue.pipeline.settings import settings_for_log
from segue.report.evaluation_page import write_report
from segue.serving.recommender import Recommender
from segue.settings import Nested
from segue.system.atomic import UNFINISHED, write_text
from segue.system.holding import sweep
from segue.system.replacing import owner_of
from segue.training.epochs import read_epochs, training_facts
from segue.version import __version__

SOURCE = "complete-journey:categories"
SEGUE, PAPER, POPULARITY = "HG-GNN segue", "HG-GNN paper", "Popularity"
METRICS = ("HR@5", "HR@10", "HR@20", "MRR@10", "NDCG@10")
HEADLINE = "HR@10"
LEVEL = 0.01
"""Two models whose HR@10 differs by less are called level here; ``segue compare`` tests such differences."""
MODEL = "model"
"""Name under which the model to look at stands in the folder of the demo."""
_DRAWN_BY = 0
_PAPER_TRAINING = {
    "learning_rate": 3e-3, "schedule": "plateau", "decay": 0.3, "patience": 5, "epoch_steps": 0, "pass_steps": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """A model of the demo: its folder, and what was measured of it on test."""

    folder: Path
    measurement: Measurement


Results = Mapping[str, Result]
"""Label of a model → its result."""


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

    Preset `paper` is trained until validation stops improving, with a learning rate that falls where it does. Its own
    schedule takes at least 4,100 steps, longer than the first minute of a demo (docs/decisions/0013-the-demo.md), and
    the few passes of preset `segue`, which knows the counts from the start, would starve it.
    """
    return {
        SEGUE: {"model": {"name": "hg_gnn", "preset": "segue"}},
        PAPER: {"model": {"name": "hg_gnn", "preset": "paper"}, "training": _PAPER_TRAINING},
        "Personal popularity": {"model": {"name": "popularity", "preset": "personal"}},
        "Item-KNN": {"model": {"name": "item_knn"}},
        "Markov chain": {"model": {"name": "markov"}},
        POPULARITY: {"model": {"name": "popularity", "preset": "global"}},
    }


def refuse_foreign_folder(to: Path, planned: Sequence[Stage]) -> None:
    """Raise UserMistake when `to` is a file, or a folder that holds more than a demo writes; sweep it otherwise."""
    if not to.exists():
        return
    if not to.is_dir():
        raise UserMistake(f"{to} is a file; choose another --out")
    ours = {
        "corpus",
        "report.html",
        "results.json",
        MODEL,
        f"{MODEL}.state",
        *(stage.folder(to).name for stage in planned),
    }
    for path in sorted(to.iterdir()):
        owner = owner_of(path) or path
        if owner.name.removesuffix(UNFINISHED) not in ours:
            raise UserMistake(f"{to} holds {path.name}, which no demo wrote; choose another --out")
    corpus = to / "corpus"
    if corpus.exists() and read_manifest(corpus)["log"].get("source") != SOURCE.partition(":")[0]:
        raise UserMistake(f"{corpus} is not the corpus of a demo; choose another --out")
    sweep(to, lambda path: path.parts[0].removesuffix(UNFINISHED) in ours)


def prepared(folder: Path) -> Path:
    """The corpus of all households in `folder`, prepared unless it is there."""
    if not folder.exists():
        err.say("preparing a year of real grocery baskets (Complete Journey, 84.51°)")
        with _without_details():
            source, settings = settings_for_log(SOURCE, {})
            prepare(source, folder, settings)
    return folder


def run(stage: Stage, whole: Path, to: Path) -> Results:
    """Draw the households, train and measure every model, print table and lists; nothing finished is repeated."""
    folder = stage.folder(to)
    drawn = folder / "corpus"
    if not drawn.exists():
        with _without_details():
            subsample_corpus(load(whole), drawn, stage.households, seed=_DRAWN_BY)
    corpus = load(drawn)
    results = _compared(drawn, folder / "models")
    _print_table(stage, corpus, results)
    lists.show(Recommender.load(results[SEGUE].folder), corpus, stage.shown)
    return results


def _compared(corpus: Path, folder: Path) -> Results:
    """Every model selected, refitted and measured alike, with one seed. Raises CorpusError naming one that failed."""
    with training_bar() as progress:
        summary = compare(corpus, folder, runs(), ComparisonPlan(seeds=(0,)), Callbacks(progress))
    for label, reason in summary.failed.items():
        raise CorpusError(f"{label} could not be measured: {reason}")
    return {label: Result(row.runs[0], row.measurements[0]) for label, row in summary.rows.items()}


def _print_table(stage: Stage, corpus: Corpus, results: Results) -> None:
    sizes, events = corpus.manifest["sizes"], results[SEGUE].measurement.events
    baskets = sizes["train_sessions"] + sizes["validation_sessions"]
    out.print(f"\n{stage.title}: {corpus.n_users:,} households, {baskets:,} baskets to learn from, and")
    out.print(f"{corpus.n_items:,} product categories. {events:,} times each model says what comes next in a")
    out.print("later basket. HR@10, in %: how often the right category is among its first ten.\n")
    best_first = sorted(results, key=lambda label: -results[label].measurement.metrics[HEADLINE])
    metrics = {label: results[label].measurement.metrics for label in best_first}
    print_metrics({label: {name: values[name] for name in METRICS} for label, values in metrics.items()})
    for label in (SEGUE, PAPER):
        training = training_facts(results[label].folder)
        out.print(f"{label}: epoch {training.best_epoch} of {training.epochs} was the best on validation.")
    out.print("HG-GNN paper was trained until validation stopped improving, not by the paper's longer schedule.")
    out.print(_verdict({label: result.measurement.metrics[HEADLINE] for label, result in results.items()}))


def _verdict(headline: Mapping[str, float]) -> str:
    """One sentence on what the paper's model adds to plain popularity, which never looks at who asks."""
    gain = headline[PAPER] - headline[POPULARITY]
    if abs(gain) < LEVEL:
        return f"{PAPER} was trained until validation stopped improving, and is level with plain popularity here."
    return f"{PAPER} finds {abs(100 * gain):.1f} points {'more' if gain > 0 else 'less'} than plain popularity."


def write_page(report: Path, stage: Stage, to: Path, results: Results) -> None:
    """Write `report` with the figures of a stage, and ``results.json`` beside it."""
    corpus = load(stage.folder(to) / "corpus")
    measurements = {label: result.measurement for label, result in results.items()}
    epochs = {label: read_epochs(result.folder) for label, result in results.items()}
    write_report(
        report,
        title="Segue on Complete Journey",
        measurements=measurements,
        curves={label: played for label, played in epochs.items() if played},
        statistics={**table1(corpus), **training_facts(results[SEGUE].folder).statistics},
        notes=[
            f"segue {__version__}; {stage.households} households drawn by seed {_DRAWN_BY}; trained on train +"
            " validation, measured on test; history frozen."
        ],
    )
    write_text(
        report.with_name("results.json"),
        json.dumps({label: one.as_dict() for label, one in measurements.items()}, indent=1) + "\n",
    )


def show_as(short: Path, model: Path) -> Path:
    """Let a short name lead to a model, so that it can be served by that name; returns the name."""
    target = Path(os.path.relpath(model, short.parent))
    if not short.is_symlink() or short.readlink() != target:
        short.unlink(missing_ok=True)
        short.symlink_to(target, target_is_directory=True)
    return short


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
