"""One training of a model: selecting the epoch on validation, or playing epochs that were selected before."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch

from segue import models
from segue.contract.encoder import SessionEncoder
from segue.contract.model import SessionModel
from segue.contract.needs import check_needs
from segue.data.corpus import Corpus, Part, Sessions
from segue.data.engine import spilling
from segue.distributed.processes import ALONE, Processes
from segue.evaluation.full_ranking import evaluate
from segue.pipeline.choices import LeftOpen
from segue.settings import Settings
from segue.system.log_lines import telling
from segue.system.torch_runtime import SMALLER, enough_memory, pick_device, threads
from segue.training.epochs import EpochRecord, read_epochs
from segue.training.state import EpochPlan, Progress
from segue.training.trainer import Trainer

logger = logging.getLogger("segue")
KEEPS_SETTINGS = "give it more memory, or train a smaller model anew with segue fit: here the model keeps its settings"
"""What to do about too little memory where a command works with the settings of a model that is there."""


class Start(Protocol):
    """Where a training begins that is not the first one."""

    def begin(self, model: SessionModel, corpus: Corpus) -> None:
        """Give a fitted model its first weights."""

    def learned(self, corpus: Corpus) -> Sessions:
        """The sessions of train that weights are learned from; counts and graph are those of all."""


@dataclass(frozen=True)
class Options:
    """Options of a run: how it treats existing folders, and the parts that it is trained on."""

    resume: bool = False
    overwrite: bool = False
    refit: bool = False
    """Train again on train + validation for the chosen epochs."""
    left_open: LeftOpen | None = None
    """What :func:`fit` chooses, see :func:`segue.pipeline.settings.left_open`; None: all is as the settings say."""
    plan: Sequence[EpochPlan] | None = None
    """Epochs of the refit that a search has chosen already; nothing is selected again."""
    final: bool = False
    """After the test metrics are reported, train once more on everything."""
    progress: Callable[[Progress], None] | None = None
    on_epoch: Callable[[EpochRecord], None] | None = None
    """Called with the record of every epoch of the selection; an exception that it raises ends the run."""
    start: Start | None = None
    """Where weights begin, and which sessions are learned; None: at new ones, and all."""
    on_little_memory: str = SMALLER
    """What to do about too little memory."""
    processes: Processes = ALONE
    """Those that :func:`train` shares the work with; all of them call it with the same arguments."""


USUAL = Options()
"""Nothing resumed, replaced or played again."""


@dataclass(frozen=True)
class Selection:
    """The result of training on the train part alone.

    Attributes:
        metrics: validation metrics of the best epoch.
        plan: the epochs that a refit plays. epochs: the records of all epochs. Both are empty where nothing is trained.
    """

    metrics: Mapping[str, float]
    plan: list[EpochPlan]
    epochs: list[EpochRecord]


def select(corpus: Corpus, folder: Path, settings: Settings, options: Options = USUAL) -> Selection:
    """Train on the train part and measure on validation; `folder` receives the checkpoint and the metrics alone.

    Args:
        corpus: a corpus loaded with its train and validation parts alone.

    Raises CorpusError when there is nothing to validate on.
    """
    model, plan = stage("metrics", corpus, settings, folder, options, None)
    epochs = read_epochs(folder)
    best = [record for record in epochs if record.best]
    if best:
        return Selection(best[-1].validation, plan, epochs)
    how = settings.evaluation
    measured = evaluate(model, corpus, Part.VALIDATION, history=how.history, mask_session=how.mask_session)
    return Selection(measured.measurement().metrics, plan, epochs)


def fitted(corpus: Corpus, folder: Path, settings: Settings, options: Options = USUAL) -> SessionModel:
    """The model itself, trained like :func:`select` does; `folder` is for the run's own files, and of no use later."""
    return selected(corpus, folder, settings, options)[0]


def selected(
    corpus: Corpus, folder: Path, settings: Settings, options: Options = USUAL
) -> tuple[SessionModel, list[EpochPlan]]:
    """Like :func:`fitted`, with the epochs that :func:`played` plays on more data."""
    pick_device(settings.training.device)
    return stage("metrics", corpus, settings, folder, options, None)


def played(
    name: Literal["refit", "final"],
    corpus: Corpus,
    folder: Path,
    settings: Settings,
    plan: list[EpochPlan],
    options: Options = USUAL,
) -> SessionModel:
    """A model trained for the epochs that were selected before; its train part has grown since."""
    return stage(name, corpus, settings, folder, options, plan)[0]


def stage(
    name: str, corpus: Corpus, settings: Settings, partial: Path, options: Options, plan: list[EpochPlan] | None
) -> tuple[SessionModel, list[EpochPlan]]:
    """Build a model on the train part of `corpus` and train it: selecting when `plan` is None, else playing `plan`."""
    step, label = {"refit": "refit", "final": "final fit"}.get(name, "training"), models.label(settings)
    logger.info("%s: %s", step, label, extra=telling("stage", stage=step, model=label))
    torch.manual_seed(settings.training.seed)
    model = models.build(settings)
    check_needs(model, corpus)
    processes = options.processes
    works = processes.first or isinstance(model, SessionEncoder)
    if not (processes.alone or isinstance(model, SessionEncoder)):
        logger.info("%s only counts: rank 0 does that alone", label)
    with threads(settings.training.threads), enough_memory(f"training {label}", options.on_little_memory):
        processes.agreed(lambda: _fit(model, corpus, partial) if works else None)
        if options.start is not None:
            options.start.begin(model, corpus)
        if not isinstance(model, SessionEncoder):
            return model, []
        trainer = Trainer(
            model, corpus, settings.training, settings.evaluation, partial,
            plan=plan, name=name, progress=options.progress, on_epoch=options.on_epoch if plan is None else None,
            sessions=options.start.learned(corpus) if options.start is not None else None,
            processes=processes, trained_before=options.start is not None,
        )  # fmt: skip
        epochs = trainer.run(resume=options.resume)
    return model.cpu(), epochs


def _fit(model: SessionModel, corpus: Corpus, partial: Path) -> None:
    with spilling(partial / "scratch"):
        model.fit(corpus)
