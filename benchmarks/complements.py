"""What does another model know that a base model does not? Blends of their scores, measured on validation.

    python benchmarks/complements.py news interactions.parquet --users 3000
    python benchmarks/complements.py groceries complete-journey: --users 600

Before a source, a reading or a layer is built into a model, a blend with a model that has it says what it may be worth:
score = log p_base + a · g, with g the other model's log-softmax, or log(1 + s / median s) where its scores are counts.
The weight a of each half of the users is the best one of the other half, so that no user is measured with a weight that
they helped to choose. All models are trained on the train part, with one seed; the test part is not opened.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import machine
from drawing import draw, parser_of
from segue.artifact.model_folder import load_model
from segue.artifact.names import MANIFEST
from segue.compare import named_models
from segue.compare.note import folder_name
from segue.contract.encoder import SessionEncoder
from segue.contract.model import SessionModel
from segue.data.arrays import FloatArray, IntArray
from segue.data.corpus import Corpus, Part, load
from segue.data.loader import Loader
from segue.evaluation.candidates import Candidates
from segue.evaluation.full_ranking import evaluation_sessions
from segue.evaluation.metrics import hit_rate
from segue.evaluation.significance import cluster_bootstrap
from segue.evaluation.slices import Events, events_of
from segue.pipeline.fit import train
from segue.pipeline.settings import settings_for_corpus
from segue.report import markdown
from segue.report.numbers import percent
from segue.report.table import Cell, Table
from segue.settings import Nested

BASE = "hg_gnn/memory"
OTHERS = (
    "hg_gnn/segue", "sasrec/session", "ease/session", "ease/history", "slist/session", "item_knn/history",
    "session_knn/v_sknn", "markov/first_order", "popularity/personal",
)  # fmt: skip
WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
_CHUNK = 256
_COLUMNS = ("alone, HR@10", "blend, HR@10", "gain per user", "95 % interval", "weights")


class Ground:
    """The validation events that all models are measured on."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.sessions, _ = evaluation_sessions(corpus, Part.VALIDATION)
        self.events: Events = events_of(self.sessions)
        self.candidates = Candidates(self.sessions, self.events, not corpus.repeats_in_sessions)
        users = np.random.default_rng(0).permutation(corpus.n_users + 1)
        self.half: IntArray = users[self.events.user] % 2

    def log_scores(self, model: SessionModel) -> Tensor:
        """The model's scores on a logarithmic scale, float32 [events, items]."""
        loader = Loader(self.corpus, self.sessions, model.config.window.length)
        with torch.inference_mode():
            if isinstance(model, SessionEncoder):
                model.eval()
                model.snapshot()
                return torch.cat([torch.log_softmax(model.scores(b).float(), 1) for b in loader.batches(_CHUNK)])
            scores = torch.cat([model.scores(batch).float() for batch in loader.batches(_CHUNK)]).clamp_(min=0)
            return scores.div_(scores[scores > 0].median()).log1p_()

    def hits(self, scores: Tensor) -> FloatArray:
        """Whether each target is among the first ten, [events]."""
        return np.concatenate([hit_rate(rank, 10) for rank in self._ranks(scores)])

    def _ranks(self, scores: Tensor) -> Iterator[IntArray]:
        target = torch.from_numpy(self.events.target)
        for first in range(0, len(target), _CHUNK):
            rows = slice(first, min(first + _CHUNK, len(target)))
            yield self.candidates.ranks(scores[rows], target[rows], rows)[0].numpy()

    def by_user(self, values: FloatArray) -> FloatArray:
        """The mean of each user's events, [users with an event]."""
        _, user, size = np.unique(self.events.user, return_inverse=True, return_counts=True)
        return np.asarray(np.bincount(user, values) / size)


@dataclass(frozen=True)
class Blend:
    """One model beside the base: HR@10 alone and blended, and what the blend gains over the base."""

    alone: float
    blended: float
    gain: float
    low: float
    high: float
    weights: tuple[float, float]


def blend(ground: Ground, base: Tensor, other: Tensor) -> Blend:
    """Add the other model's scores with the weight that serves the other half of the users best."""
    hits = {weight: ground.hits(base + weight * other) for weight in WEIGHTS}
    halves = [ground.half == half for half in (0, 1)]
    best = [max(WEIGHTS, key=lambda weight: hits[weight][chosen].mean()) for chosen in halves[::-1]]
    blended = np.where(halves[0], hits[best[0]], hits[best[1]])
    gain = ground.by_user(blended - hits[0.0])
    low, high = cluster_bootstrap(gain[:, None])[:, 0]
    alone = ground.hits(other).mean()
    return Blend(float(alone), float(blended.mean()), float(gain.mean()), float(low), float(high), (best[0], best[1]))


def trained(corpus: Path, folder: Path, label: str, own: Nested) -> SessionModel:
    """The model, trained on the train part unless it is there already."""
    out = folder / folder_name(label)
    if not (out / MANIFEST).exists():
        train(corpus, out, settings_for_corpus(corpus, own))
    return load_model(out).model


def page(name: str, drawn: str, command: str, base: str, alone: float, blends: dict[str, Blend]) -> str:
    """The Markdown page."""
    rows = {label: _cells(found) for label, found in blends.items()}
    return f"""# What other models know that {base} does not: {name}

{drawn} Validation, HR@10 in %; {base} alone: {percent(alone)}. Made by `{command}`.

Each row is a blend of {base} with another model, its weight chosen on the other half of the users: about what building
that model's knowledge in may be worth. Gains are means over users, in points, with a bootstrap over users.

{markdown.table(Table(("model", *_COLUMNS), rows))}
"""


def _cells(found: Blend) -> list[Cell]:
    gain, low, high = (f"{100 * value:+.2f}" for value in (found.gain, found.low, found.high))
    weights = ", ".join(f"{weight:g}" for weight in found.weights)
    return [Cell(text) for text in (percent(found.alone), percent(found.blended), gain, f"[{low}, {high}]", weights)]


def run(corpus: Path, folder: Path, base: str, others: Sequence[str]) -> tuple[float, dict[str, Blend]]:
    """HR@10 of the base, and its blend with every other model."""
    ground = Ground(load(corpus, (Part.TRAIN, Part.VALIDATION)))
    own = named_models([base, *others])
    scores = ground.log_scores(trained(corpus, folder, base, own[base]))
    blends = {}
    for label in others:
        blends[label] = blend(ground, scores, ground.log_scores(trained(corpus, folder, label, own[label])))
        logging.info("%s: %s", label, blends[label])
    return float(ground.hits(scores).mean()), blends


def main() -> None:
    """Prepare or take up the corpus, train, blend, and write the page."""
    parser = parser_of(__doc__, "name of the data; the page is complements-NAME in docs/benchmarks")
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--others", nargs="+", default=list(OTHERS))
    chosen = parser.parse_args()
    drawn = draw(chosen, f"complements-{chosen.name}")
    alone, blends = run(drawn.corpus, drawn.folder, chosen.base, chosen.others)
    own = f" --base {chosen.base}" if chosen.base != BASE else ""
    own += " --others " + " ".join(chosen.others) if chosen.others != list(OTHERS) else ""
    command = f"benchmarks/complements.py {chosen.name} LOG{drawn.arguments}{own}"
    text = page(chosen.name, drawn.words, command, chosen.base, alone, blends)
    results = {"base": chosen.base, "HR@10": alone, "blends": {label: vars(found) for label, found in blends.items()}}
    machine.write(f"complements-{chosen.name}", results, text, measured_on=drawn.began_on)
    print(text)


if __name__ == "__main__":
    main()
