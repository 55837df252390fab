"""Who knows what goes on after one click? Items in two steps of shared sessions, and models with and without them.

    python benchmarks/one_click.py diginetica log.parquet --set columns.session_id=session_id

Where do the items that follow stand, seen from the last click: did they share a train session with it, or only with an
item that did? And how well does each model rank them? Everything is trained on the train part and measured on
validation; the test part is not opened.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

import machine
from complements import Ground
from drawing import draw, parser_of
from segue.compare import named_models
from segue.contract.encoder import SessionEncoder
from segue.contract.memory_sources import SOURCES
from segue.contract.model import SessionModel
from segue.data.arrays import FloatArray, IntArray
from segue.data.batches import Batch
from segue.data.corpus import Corpus, Part, load
from segue.data.loader import Loader
from segue.evaluation.metrics import hit_rate, reciprocal_rank
from segue.evaluation.significance import cluster_bootstrap
from segue.models.hg_gnn import HGGNN
from segue.models.hg_gnn.presets import POINTED
from segue.pipeline.settings import settings_for_corpus
from segue.pipeline.stages import fitted
from segue.report import markdown
from segue.report.numbers import percent
from segue.report.table import Cell, Table
from segue.settings import Nested, merged

PLACES = ("the click itself", "one step away", "two steps away", "farther")
MODELS = ("hg_gnn/memory", "hg_gnn/segue", "sasrec/session")
_SOURCE, _CHUNK = "two_steps", 256
_LEFT_OUT, _VECTORS = f" without {_SOURCE}", ", its vectors alone"
_WITHOUT: Nested = {
    "model": {"memory": [s for s in SOURCES if s != _SOURCE], "pointer": [s for s in POINTED if s != _SOURCE]}
}


@dataclass(frozen=True)
class Ranked:
    """The ranks of the targets [events] of each seed, and processor seconds of a training."""

    ranks: Sequence[IntArray]
    seconds: float

    def mean(self, metric: Callable[[IntArray, int], FloatArray]) -> FloatArray:
        """The metric at 10 of each event, over the seeds."""
        return np.asarray(np.mean([metric(rank, 10) for rank in self.ranks], 0))


def batches(ground: Ground, length: int) -> Iterator[Batch]:
    """The validation events in order."""
    return Loader(ground.corpus, ground.sessions, length).batches(_CHUNK)


def places_of(corpus: Corpus, last: IntArray, target: IntArray) -> IntArray:
    """Where each target stands, seen from the last click, as a number of :data:`PLACES`; both [events]."""
    train = corpus.train
    session = np.repeat(np.arange(len(train)), train.lengths)
    ones = np.ones(len(session), np.float32)
    held = sparse.csr_array((ones, (session, train.items)), shape=(len(train), corpus.n_items))
    beside = sparse.csr_array(held.T @ held).sign()  # the number of ways does not matter
    found = np.full(len(last), 3)
    for item in np.unique(last).tolist():
        events = np.flatnonzero(last == item)
        wanted = target[events]
        one = beside[[item]]
        two = (one @ beside).toarray()[0][wanted] > 0
        found[events] = np.select([wanted == item, one.toarray()[0][wanted] > 0, two], [0, 1, 2], 3)
    return found


def rank_with(ground: Ground, length: int, score: Callable[[Batch], Tensor]) -> IntArray:
    """Rank of every target, ties against the model."""
    target, found, first = torch.from_numpy(ground.events.target), [], 0
    with torch.inference_mode():
        for batch in batches(ground, length):
            rows = slice(first, first + len(batch))
            found.append(ground.candidates.ranks(score(batch).float(), target[rows], rows)[0].numpy())
            first = rows.stop
    return np.concatenate(found)


def measured(ground: Ground, model: SessionModel) -> dict[str, IntArray]:
    """Ranks of the model, under "", and of its vectors alone where it has counts beside them."""
    length = model.config.window.length
    if isinstance(model, SessionEncoder):
        model.eval()
        model.snapshot()
    found = {"": rank_with(ground, length, model.scores)}
    if isinstance(model, HGGNN) and model.config.embeddings:
        dim, vectors = model.config.dim, model.item_vectors()
        of_vectors = lambda batch: model.encode(batch).vectors[:, :dim] @ vectors[:, :dim].t()  # noqa: E731
        found[_VECTORS] = rank_with(ground, length, of_vectors)
    return found


def trained(corpus_folder: Path, corpus: Corpus, own: Nested, seed: int) -> tuple[SessionModel, float]:
    """A model, trained on the train part, and the processor seconds that this took."""
    settings = settings_for_corpus(corpus_folder, merged(own, {"training": {"seed": seed}}))
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        return fitted(corpus, Path(folder), settings), time.process_time() - began


def run(corpus_folder: Path, shared: Nested, models: Sequence[str], seeds: int) -> tuple[Ground, dict[str, Ranked]]:
    """Every model with every seed; those that read the memory also without the source."""
    corpus = load(corpus_folder, (Part.TRAIN, Part.VALIDATION))
    ground = Ground(corpus)
    found: dict[str, Ranked] = {}
    wanted = {label: merged(shared, own) for label, own in named_models(list(models)).items()}
    wanted |= {
        label + _LEFT_OUT: merged(own, _WITHOUT)
        for label, own in wanted.items()
        if label in ("hg_gnn/memory", "hg_gnn/segue")
    }
    for label, own in sorted(wanted.items()):
        by_seed, seconds = [], 0.0
        for seed in range(seeds):
            model, spent = trained(corpus_folder, corpus, own, seed)
            by_seed.append(measured(ground, model))
            seconds += spent / seeds
            logging.info("%s, seed %d: HR@10 %.4f", label, seed, hit_rate(by_seed[-1][""], 10).mean())
        found |= {label + part: Ranked([ranks[part] for ranks in by_seed], seconds) for part in by_seed[0]}
    return ground, found


def tables(ground: Ground, found: dict[str, Ranked]) -> tuple[str, dict[str, Any]]:
    """The page's tables, and the figures as they are."""
    events = ground.events
    last = ground.sessions.items[events.first + events.position].astype(np.int64)
    place, one = places_of(ground.corpus, last, events.target), events.position == 0
    hits = {label: ranked.mean(hit_rate) for label, ranked in found.items()}
    gains = {label: ranked.mean(reciprocal_rank) for label, ranked in found.items()}
    shares = {
        name: [float((place == number).mean()), float((place[one] == number).mean())]
        + [float(hits[label][place == number].mean()) if (place == number).any() else 0.0 for label in found]
        for number, name in enumerate(PLACES)
    }
    rows = {
        label: [float(each.mean()) for each in (hits[label], gains[label], hits[label][one], gains[label][one])]
        for label in found
    }
    where = Table(("the next item is", "share of events", "after one click", *found), _cells(shares))
    models = _cells(rows)
    for label, ranked in found.items():
        models[label].append(Cell(f"{ranked.seconds:.0f}"))
    columns = ("model", "HR@10", "MRR@10", "HR@10, one click", "MRR@10, one click", "training, CPU s")
    both = [label for label in found if label + _LEFT_OUT in found]
    lines = [_paired(ground, label, hits[label] - hits[label + _LEFT_OUT]) for label in both]
    text = "\n\n".join([markdown.table(Table(columns, models)), markdown.table(where), "\n".join(lines)])
    return text, {"models": rows, "places": shares}


def _cells(rows: dict[str, list[float]]) -> dict[str, list[Cell]]:
    return {label: [Cell(percent(value)) for value in values] for label, values in rows.items()}


def _paired(ground: Ground, label: str, gain: FloatArray) -> str:
    """What the source adds to a model, per user with an interval over users."""
    by_user = ground.by_user(gain)
    low, high = cluster_bootstrap(by_user[:, None])[:, 0]
    return (
        f"- {label}: `{_SOURCE}` adds {100 * gain.mean():+.2f} points of HR@10 over events, "
        f"{100 * by_user.mean():+.2f} [{100 * low:+.2f}, {100 * high:+.2f}] over {len(by_user):,} users"
    )


def main() -> None:
    """Prepare or take up the corpus, train, rank, and write the page."""
    parser = parser_of(__doc__, "name of the data; the page is one-click-NAME in docs/benchmarks")
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--seeds", type=int, default=3)
    chosen = parser.parse_args()
    drawn = draw(chosen, f"one-click-{chosen.name}")
    ground, found = run(drawn.corpus, drawn.shared, chosen.models, chosen.seeds)
    text, figures = tables(ground, found)
    asked = f"{drawn.arguments} --seeds {chosen.seeds} --models {' '.join(chosen.models)}"
    command = f"benchmarks/one_click.py {chosen.name} LOG{asked}"
    heading = f"# After one click: {chosen.name}\n\n{drawn.words} {len(ground.events):,} events of validation, in %."
    text = f"{heading} Made by `{command}`.\n\n{text}\n"
    machine.write(f"one-click-{chosen.name}", figures, text, measured_on=drawn.began_on)
    print(text)


if __name__ == "__main__":
    main()
