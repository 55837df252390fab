"""From a log, or a corpus, to a trained and measured model: the steps in order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Protocol

import torch

from segue import models
from segue.artifact.model_folder import read_model, write_model
from segue.artifact.names import CORPUS
from segue.artifact.partial_run import partial_of, unfinished
from segue.contract.model import SessionEncoder, SessionModel
from segue.contract.needs import check_needs
from segue.data.corpus import Corpus, Part, Sessions, load
from segue.data.corpus_folder import log_warnings_of, read_manifest
from segue.data.engine import spilling
from segue.data.preparation.prepare import prepare
from segue.data.sources import Source
from segue.distributed.processes import ALONE, Processes
from segue.errors import ArtifactError, CorpusError
from segue.evaluation.full_ranking import evaluate
from segue.evaluation.measurement import Measurement
from segue.pipeline.choices import PRESET, Choice, LeftOpen
from segue.pipeline.choosing import Trained, choose, read_choices
from segue.pipeline.measurement import measure, write_evaluation
from segue.report.evaluation_page import write_report
from segue.settings import Settings
from segue.system.folders import refuse_inputs_inside, refuse_nameless
from segue.system.log_lines import telling
from segue.system.torch_runtime import enough_memory, pick_device, threads
from segue.training.epochs import EpochRecord, read_epochs, training_facts
from segue.training.state import EpochPlan, Progress
from segue.training.trainer import Trainer
from segue.version import __version__

logger = logging.getLogger("segue")


_KEPT = "give it more memory, or train a smaller model anew: an update keeps the settings of its model"


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
    processes: Processes = ALONE
    """Those that :func:`train` shares the work with; all of them call it with the same arguments."""


def train(corpus_folder: Path, out: Path, settings: Settings, options: Options = Options()) -> Path:
    """Train on a prepared corpus; test sessions are not even opened. Returns `out`, a finished model.

    Of several processes the first one alone writes; the others need the corpus and a place for passing files.

    Args:
        settings: complete ones, see :func:`segue.pipeline.settings.settings_for_corpus`.
    """
    processes = options.processes
    processes.agreed(lambda: pick_device(settings.training.device))
    if options.left_open is not None:
        raise ValueError("only a fit from a log chooses settings; a training is as its settings say")
    origin = {"corpus": str(corpus_folder.resolve())}
    with ExitStack() as stack:

        def begin() -> Path:
            if processes.first:
                return stack.enter_context(_run(out, settings, options, origin, corpus_folder))
            return Path(stack.enter_context(TemporaryDirectory(prefix="segue-rank-")))

        partial = processes.agreed(begin)
        corpus = processes.agreed(lambda: load(corpus_folder, (Part.TRAIN, Part.VALIDATION)))
        processes.check_same(_common(corpus, settings, options))
        _train_into(partial, corpus, settings, options, origin)
        processes.agreed(stack.close)
    return out


def _common(corpus: Corpus, settings: Settings, options: Options) -> dict[str, Any]:
    """What must be the same in all processes of a training."""
    versions = {"the version of Segue": __version__, "the version of PyTorch": str(torch.__version__)}
    asked = {"--resume": options.resume, "--refit": options.refit}
    sections = settings.model_dump(mode="json").items()
    named = {f"{section}.{key}": value for section, keys in sections for key, value in keys.items()}
    return {**versions, "the fingerprint of the corpus": corpus.fingerprint, **asked, **named}


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


def select(corpus: Corpus, folder: Path, settings: Settings, options: Options = Options()) -> Selection:
    """Train on the train part and measure on validation; `folder` receives the checkpoint and the metrics alone.

    Args:
        corpus: a corpus loaded with its train and validation parts alone.

    Raises CorpusError when there is nothing to validate on.
    """
    model, plan = _stage("metrics", corpus, settings, folder, options, None)
    epochs = read_epochs(folder)
    best = [record for record in epochs if record.best]
    if best:
        return Selection(best[-1].validation, plan, epochs)
    how = settings.evaluation
    measured = evaluate(model, corpus, Part.VALIDATION, history=how.history, mask_session=how.mask_session)
    return Selection(measured.measurement().metrics, plan, epochs)


def fitted(corpus: Corpus, folder: Path, settings: Settings, options: Options = Options()) -> SessionModel:
    """The model itself, trained like :func:`select` does; `folder` is for the run's own files, and of no use later."""
    return selected(corpus, folder, settings, options)[0]


def selected(
    corpus: Corpus, folder: Path, settings: Settings, options: Options = Options()
) -> tuple[SessionModel, list[EpochPlan]]:
    """Like :func:`fitted`, with the epochs that :func:`played` plays on more data."""
    pick_device(settings.training.device)
    return _stage("metrics", corpus, settings, folder, options, None)


def played(
    name: Literal["refit", "final"],
    corpus: Corpus,
    folder: Path,
    settings: Settings,
    plan: list[EpochPlan],
    options: Options = Options(),
) -> SessionModel:
    """A model trained for the epochs that were selected before; its train part has grown since."""
    return _stage(name, corpus, settings, folder, options, plan)[0]


def fit(
    log: Any,
    out: Path,
    settings: Settings,
    options: Options = Options(),
    *,
    items: Any = None,
    users: Any = None,
) -> Path:
    """Run all steps: prepare, choose, train, measure on test, report. The corpus stays in ``out/corpus``.

    Args:
        log: a path, a frame or a known data set. settings: complete ones; both come from
            :func:`segue.pipeline.settings.settings_for_log`.
        items, users: names and categorical columns, one row per id: a path or a frame.
    """
    pick_device(settings.training.device)
    sources = {"log": log, "items": items, "users": users}
    read = {name: _name_of(source) for name, source in sources.items() if source is not None}
    with _run(out, settings, options, read, *sources.values()) as partial:
        folder = partial / CORPUS
        if not folder.exists():
            prepare(log, folder, settings, items=items, users=users)
        _check_measurable(folder)
        corpus, facts = load(folder, (Part.TRAIN, Part.VALIDATION)), {"corpus": CORPUS}
        settings, plan, chosen = _train_into(partial, corpus, settings, options, facts)
        measurement = write_evaluation(partial, measure(read_model(partial)))
        _write_report(partial, measurement)
        if options.final:
            everything = load(folder).with_train(list(Part))
            model, _ = _stage("final", everything, settings, partial, options, plan)
            write_model(partial, model, everything, settings, {**facts, **chosen, "trained_on": _names(Part)})
    return out


def _train_into(
    partial: Path, corpus: Corpus, settings: Settings, options: Options, facts: Mapping[str, Any]
) -> tuple[Settings, list[EpochPlan], dict[str, Any]]:
    """Select on validation, refit where the options say so, write the model.

    Returns what a later fit needs: settings, epochs, and what was chosen, for the facts of its model.
    """
    parts, chosen = [Part.TRAIN], {}
    if options.left_open is not None:
        trained, choices = _choose(partial, corpus, settings, options.left_open, options)
        settings, model, plan = trained.settings, trained.model, trained.plan
        chosen = {"choices": [choice.as_dict() for choice in choices]}
    elif options.plan is None:
        model, plan = _stage("metrics", corpus, settings, partial, options, None)
    else:
        plan = list(options.plan)
    if options.refit:
        parts.append(Part.VALIDATION)
        corpus = corpus.with_train(parts)
        model, _ = _stage("refit", corpus, settings, partial, options, plan)
    made = {**facts, **chosen, "trained_on": _names(parts)}
    first = options.processes.first
    options.processes.agreed(lambda: write_model(partial, model, corpus, settings, made) if first else None)
    return settings, plan, chosen


def _choose(
    partial: Path, corpus: Corpus, settings: Settings, left: LeftOpen, options: Options
) -> tuple[Trained, list[Choice]]:
    """Select with what is left open chosen; what the whole model needs of the corpus is checked before all work."""
    check_needs(models.build(settings), corpus)

    def train(stage: str, how: Settings) -> Trained:
        return Trained(how, *_stage(stage, corpus, how, partial, options, None))

    return choose(partial, corpus, settings, left, train)


def _stage(
    name: str, corpus: Corpus, settings: Settings, partial: Path, options: Options, plan: list[EpochPlan] | None
) -> tuple[SessionModel, list[EpochPlan]]:
    """Build a model on the train part of `corpus` and train it: selecting when `plan` is None, else playing `plan`."""
    stage, label = {"refit": "refit", "final": "final fit"}.get(name, "training"), models.label(settings)
    logger.info("%s: %s", stage, label, extra=telling("stage", stage=stage, model=label))
    torch.manual_seed(settings.training.seed)
    model = models.build(settings)
    check_needs(model, corpus)
    processes = options.processes
    works = processes.first or isinstance(model, SessionEncoder)
    if not (processes.alone or isinstance(model, SessionEncoder)):
        logger.info("%s only counts: rank 0 does that alone", label)
    advice = {} if options.start is None else {"advice": _KEPT}
    with threads(settings.training.threads), enough_memory(f"training {models.label(settings)}", **advice):
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
        played = trainer.run(resume=options.resume)
    return model.cpu(), played


def _fit(model: SessionModel, corpus: Corpus, partial: Path) -> None:
    with spilling(partial / "scratch"):
        model.fit(corpus)


def _run(
    out: Path, settings: Settings, options: Options, facts: dict[str, str], *inputs: Any
) -> AbstractContextManager[Path]:
    """The folder of this run, see :func:`segue.artifact.partial_run.unfinished`; it holds none of what is read."""
    refuse_nameless(out, ArtifactError)
    for folder in (out, partial_of(out)) if options.overwrite else ():
        refuse_inputs_inside(folder, *inputs)
    if options.plan is not None and not options.refit:
        raise ValueError("a plan of epochs is played on train + validation; ask for a refit")
    if options.plan is not None and options.left_open is not None:
        raise ValueError("a plan of epochs belongs to settings that are chosen already")
    plan = {"plan": [asdict(epoch) for epoch in options.plan]} if options.plan is not None else {}
    left = {} if options.left_open is None else {"left_open": sorted(options.left_open.settings)}
    if options.left_open is not None and options.left_open.memory is not None:
        left["left_open"].append(PRESET)
    flags = {"refit": options.refit, "final": options.final, **plan, **left}
    started_with = {"settings": settings.model_dump(mode="json"), **facts, **flags}
    return unfinished(out, started_with, resume=options.resume, overwrite=options.overwrite)


def _name_of(source: Any) -> str:
    """The name of a source: a path unchanged, the name of a known data set, or the type of a frame."""
    if isinstance(source, Source):
        return source.name
    return str(source) if isinstance(source, str | Path) else type(source).__name__


def _check_measurable(corpus_folder: Path) -> None:
    if not read_manifest(corpus_folder)["sizes"]["test_sessions"]:
        raise CorpusError(
            "no test session is left to measure on: the items of all of them are unseen in train;"
            " weaken the filters, raise split.test, or use segue prepare and segue train"
        )


def _names(parts: Iterable[Part]) -> list[str]:
    return [part.name.lower() for part in parts]


def _write_report(partial: Path, measurement: Measurement) -> None:
    facts = training_facts(partial)
    write_report(
        partial / "report.html",
        title=f"Segue {__version__}: {facts.label}",
        measurements={facts.label: measurement},
        curves={facts.label: read_epochs(partial)},
        statistics=facts.statistics,
        notes=[
            f"Trained on {' + '.join(facts.trained_on)}; measured on {measurement.split}, {measurement.protocol}.",
            *(f"Chosen: {choice.line}." for choice in read_choices(partial)),
            *(f"Warning about the log: {warning}." for warning in log_warnings_of(partial / CORPUS)),
        ],
    )
