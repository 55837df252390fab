"""The state of a training, what it reports of its progress, and the epochs that a refit plays."""

from __future__ import annotations

from dataclasses import dataclass, field

from segue.training.epochs import EpochRecord


@dataclass(frozen=True)
class Progress:
    """The progress of a run, reported after every step."""

    epoch: int
    max_epochs: int
    step: int
    steps: int
    events: int
    seconds: float
    loss: float


@dataclass(frozen=True)
class EpochPlan:
    """One epoch of a refit: its learning rate, and the share of the epoch that was played when it was selected."""

    learning_rate: float
    share: float


@dataclass
class TrainingState:
    """The state of a run beside its tensors; saved with every checkpoint."""

    learning_rate: float
    epoch: int = 1
    step: int = 0
    loss_sum: float = 0.0
    events: int = 0
    seconds: float = 0.0
    elapsed: float = 0.0
    best: tuple[float, float] = (-1.0, -1.0)
    best_epoch: int = 0
    finished: bool = False
    records: list[EpochRecord] = field(default_factory=list)
