"""Learned weights: trained a second time, and a third time beside markers in validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from segue.audit.arrays import Arrays, identical
from segue.audit.finding import Finding
from segue.audit.markers import marked
from segue.audit.rebuild import refit, scratch
from segue.contract.encoder import SessionEncoder
from segue.data.corpus import Corpus, Part
from segue.errors import ModelError
from segue.settings import Settings
from segue.system.torch_runtime import threads
from segue.training.state import EpochPlan
from segue.training.trainer import Trainer

NAME = "learned weights"
_CHECKED = "whether learned weights, which counting does not give again, follow from train alone"
_OTHERS = "but the stored weights are others: other threads, another device, or other sessions made them"


def untried(model: SessionEncoder) -> Finding:
    """The finding where nothing is trained again."""
    learned = len(model.learned)
    return Finding(
        NAME, _CHECKED, "cannot",
        f"{learned} arrays are learned; training the model again takes its time and is done with --retrain",
        {"arrays": learned},
    )  # fmt: skip


def retrained(stored: SessionEncoder, settings: Settings, corpus: Corpus, trained_on: Sequence[Part]) -> Finding:
    """Train from train alone, then play the same epochs beside markers in validation: no bit may differ.

    Validation chooses the epoch, which is its purpose; the epochs are therefore chosen once and then only played. Test
    sessions are not given to either: the trainer refuses a corpus that holds any.

    Args:
        corpus: with all parts, as the split has them.
    """
    if list(trained_on) != [Part.TRAIN]:
        return Finding(
            NAME, _CHECKED, "cannot",
            "the model was trained on validation too: only test lies after its cut, and training refuses a corpus that"
            " holds test sessions",
        )  # fmt: skip
    without_test = _without_test(corpus)
    weights, plan = _trained(without_test, settings, None)
    beside, _ = _trained(marked(without_test, [Part.VALIDATION]), settings, plan)
    if not identical(weights, beside):
        weights, _ = _trained(without_test, settings, plan)  # selecting may itself move a random state
    if not identical(weights, beside):
        apart = [name for name in weights if not torch.equal(weights[name], beside[name])]
        return Finding(
            NAME, _CHECKED, "leak", f"markers in validation changed {', '.join(apart[:3])}", {"arrays": apart}
        )
    same = identical(weights, stored.arrays())
    found = f"trained twice, epochs: {len(plan)}; markers stood in validation the second time, and no bit differs; " + (
        "and the stored weights are these, bit by bit" if same else _OTHERS
    )
    return Finding(NAME, _CHECKED, "clean" if same else "cannot", found, {"epochs": len(plan), "as_stored": same})


def _trained(corpus: Corpus, settings: Settings, plan: list[EpochPlan] | None) -> tuple[Arrays, list[EpochPlan]]:
    """The arrays of a training on one thread of the processor, and the epochs that it chose."""
    model = refit(corpus, settings)
    if not isinstance(model, SessionEncoder):
        raise ModelError(f"{model.title} has nothing to learn and was given to training")
    own = settings.training.model_copy(update={"device": "cpu", "max_minutes": None})
    with scratch() as folder, threads(1):
        folder.mkdir()
        played = Trainer(model, corpus, own, settings.evaluation, folder, plan=plan, name="metrics").run()
    return {name: array.clone() for name, array in model.arrays().items()}, plan or played


def _without_test(corpus: Corpus) -> Corpus:
    kept = np.flatnonzero(corpus.part != Part.TEST)
    return replace(corpus, sessions=corpus.sessions.take(kept), part=corpus.part[kept])
