"""Small runs of the training loop, and what they wrote."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import worlds
from worlds import TRAIN, VALIDATION

from segue.contract.encoder import SessionEncoder
from segue.data.corpus import Corpus
from segue.evaluation.measurement import Measurement
from segue.settings import EvaluationSettings, TrainingSettings
from segue.training import validation
from segue.training.state import EpochPlan
from segue.training.trainer import Trainer


def busy(*parts: worlds.Part, n_items: int = 12) -> Corpus:
    """The busy world with only these parts."""
    corpus = worlds.busy(n_items)
    kept = np.flatnonzero(np.isin(corpus.part, parts))
    return replace(corpus, sessions=corpus.sessions.take(kept), part=corpus.part[kept])


def trainer(
    folder: Path,
    corpus: Corpus | None = None,
    plan: list[EpochPlan] | None = None,
    trained_before: bool = False,
    **keys: Any,
) -> Trainer:
    """GRU4Rec on the busy world, several batches per epoch."""
    corpus = corpus or busy(TRAIN, VALIDATION)
    model = worlds.fitted(worlds.small("gru4rec", "full_softmax"), corpus)
    assert isinstance(model, SessionEncoder)
    given = {"batch_events": 16, "max_epochs": 3, "learning_rate": 0.01, **keys}
    return Trainer(
        model, corpus, TrainingSettings(**given), EvaluationSettings(), folder, plan=plan, trained_before=trained_before
    )


def records(folder: Path, name: str = "metrics") -> list[dict[str, Any]]:
    """The lines of a file of epochs, as they stand there."""
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def scripted(
    monkeypatch: pytest.MonkeyPatch, hits: list[float], ranks: list[float] | None = None
) -> list[dict[str, torch.Tensor]]:
    """Validation gives these HR@10 (and MRR@10) one after another; returns the weights each was measured with."""
    real, seen = validation.evaluate, []

    def evaluate(model: SessionEncoder, *args: Any, **how: Any) -> Any:
        measured = real(model, *args, **how)
        whole = measured.measurement()
        scripted_metrics = {"HR@10": hits[len(seen)], "MRR@10": ranks[len(seen)] if ranks else 0.1}
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return _Measured(measured.rank, measured.events, replace(whole, metrics={**whole.metrics, **scripted_metrics}))

    monkeypatch.setattr(validation, "evaluate", evaluate)
    return seen


class _Measured:
    def __init__(self, rank: Any, events: Any, shown: Measurement) -> None:
        self.rank, self.events, self._shown = rank, events, shown

    def measurement(self) -> Measurement:
        return self._shown
