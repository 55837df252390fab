"""From a log, or a corpus, to a trained and measured model: the steps in order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from segue import models
from segue.artifact.model_folder import CORPUS, read_model, write_model
from segue.artifact.partial_run import partial_of, unfinished
from segue.contract.model import SessionEncoder, SessionModel
from segue.contract.needs import check_needs
from segue.data import sources
from segue.data.corpus import Corpus, Part, load, read_manifest
from segue.data.engine import spilling
from segue.data.preparation.prepare import prepare
from segue.errors import ArtifactError, ConfigError, CorpusError
from segue.evaluation.full_ranking import Evaluation, evaluate
from segue.pipeline.measurement import measure, write_evaluation
from segue.report.evaluation_page import write_report
from segue.settings import Nested, Settings, compose
from segue.system.folders import refuse_inputs_inside, refuse_nameless
from segue.system.torch_runtime import enough_memory, pick_device, threads
from segue.training.epochs import read_epochs, training_facts
from segue.training.trainer import EpochPlan, Progress, Trainer
from segue.version import __version__

logger = logging.getLogger("segue")

_OF_THE_CORPUS = ("columns", "sessions", "filters", "split")


@dataclass(frozen=True)
class Options:
    """How a run treats what is already there, and what it is trained on."""

    resume: bool = False
    overwrite: bool = False
    refit: bool = False
    """Train again on train + validation for the chosen epochs."""
    plan: Sequence[EpochPlan] | None = None
    """Of a refit: epochs that a search has chosen already; nothing is selected again."""
    final: bool = False
    """After the test metrics are reported, train once more on everything."""
    progress: Callable[[Progress], None] | None = None
    on_epoch: Callable[[dict[str, Any]], None] | None = None
    """Told the record of every epoch of the selection; what it raises ends the run."""


def prepare_log(
    log: Any,
    out: Path,
    overrides: Nested,
    *,
    items: Path | None = None,
    users: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Prepare a log, a frame, or a known data set (``lastfm:FILE``) whose own settings lie beneath the user's."""
    source = sources.find(log) if isinstance(log, str) else None
    settings = compose(source.settings if source else {}, overrides)
    return prepare(source or log, out, settings, items=items, users=users, overwrite=overwrite)


def train(corpus_folder: Path, out: Path, overrides: Nested, options: Options = Options()) -> Path:
    """Train on a prepared corpus; test sessions are not even opened. Returns `out`, a finished model."""
    settings = settings_for(corpus_folder, overrides)
    pick_device(settings.training.device)
    place = {"corpus": str(corpus_folder.resolve())}
    with _run(out, settings, options, place, corpus_folder) as partial:
        _train_into(partial, load(corpus_folder, (Part.TRAIN, Part.VALIDATION)), settings, options, place)
    return out


@dataclass(frozen=True)
class Selection:
    """What training on the train part alone has shown.

    Attributes:
        metrics: on validation, of the best epoch. plan: what a refit plays. epochs: as in ``metrics.jsonl``; both
            empty where nothing is trained.
    """

    metrics: dict[str, float]
    plan: list[EpochPlan]
    epochs: list[dict[str, Any]]


def select(corpus: Corpus, folder: Path, settings: Settings, options: Options = Options()) -> Selection:
    """Train on the train part and measure on validation; nothing but checkpoint and metrics is kept, in `folder`.

    Args:
        corpus: its train and validation parts alone.

    Raises CorpusError when there is nothing to validate on.
    """
    model, plan = _stage("metrics", corpus, settings, folder, options, None)
    epochs = read_epochs(folder)
    best = [record for record in epochs if record["best"]]
    if best:
        return Selection(dict(best[-1]["validation"]), plan, epochs)
    how = settings.evaluation
    measured = evaluate(model, corpus, Part.VALIDATION, history=how.history, mask_session=how.mask_session)
    return Selection(dict(measured.as_dict()["metrics"]), plan, epochs)


def fit(
    log: Any,
    out: Path,
    overrides: Nested,
    options: Options = Options(),
    *,
    items: Path | None = None,
    users: Path | None = None,
) -> Path:
    """Everything: prepare, train, measure on test, report. The corpus is kept in ``out/corpus``."""
    asked = models.with_preset(overrides)
    pick_device(asked.training.device)
    given = {"log": log, "items": items, "users": users}
    read = {name: _called(source) for name, source in given.items() if source is not None}
    with _run(out, asked, options, read, *given.values()) as partial:
        folder = partial / CORPUS
        if not folder.exists():
            prepare_log(log, folder, overrides, items=items, users=users)
        _check_measurable(folder)
        settings = settings_for(folder, overrides)
        corpus = load(folder, (Part.TRAIN, Part.VALIDATION))
        plan = _train_into(partial, corpus, settings, options, {"corpus": CORPUS})
        measured = measure(read_model(partial))
        write_evaluation(partial, measured)
        _write_report(partial, measured)
        if options.final:
            everything = load(folder).with_train(list(Part))
            model, _ = _stage("final", everything, settings, partial, options, plan)
            write_model(partial, model, everything, settings, {"corpus": CORPUS, "trained_on": _names(Part)})
    return out


def settings_for(corpus_folder: Path, overrides: Nested) -> Settings:
    """The settings of a run on a corpus: what prepared it is given; the rest is the preset's and the user's.

    Raises ConfigError for a mistake in `overrides`, or when they ask for another preparation.
    """
    given = read_manifest(corpus_folder)["settings"]
    asked = models.with_preset(overrides).model_dump(mode="json")
    for section in _OF_THE_CORPUS:
        for key in overrides.get(section, {}):
            if asked[section][key] != given[section][key]:
                raise ConfigError(
                    f"setting '{section}.{key}' was fixed when the corpus {corpus_folder} was prepared"
                    f" ({given[section][key]!r}); prepare another corpus to change it"
                )
    return models.with_preset({**overrides, **{section: given[section] for section in _OF_THE_CORPUS}})


def _train_into(
    partial: Path, corpus: Corpus, settings: Settings, options: Options, facts: dict[str, Any]
) -> list[EpochPlan]:
    """Select on validation, refit if asked, write the model. Returns what a later fit should play."""
    parts = [Part.TRAIN]
    if options.plan is None:
        model, plan = _stage("metrics", corpus, settings, partial, options, None)
    else:
        plan = list(options.plan)
    if options.refit:
        parts.append(Part.VALIDATION)
        corpus = corpus.with_train(parts)
        model, _ = _stage("refit", corpus, settings, partial, options, plan)
    write_model(partial, model, corpus, settings, {**facts, "trained_on": _names(parts)})
    return plan


def _stage(
    name: str, corpus: Corpus, settings: Settings, partial: Path, options: Options, plan: list[EpochPlan] | None
) -> tuple[SessionModel, list[EpochPlan]]:
    """Build a model on the train part of `corpus` and train it: selecting when `plan` is None, else playing `plan`."""
    logger.info("%s: %s", {"metrics": "training", "refit": "refit", "final": "final fit"}[name], models.label(settings))
    torch.manual_seed(settings.training.seed)
    model = models.build(settings)
    check_needs(model, corpus)
    with threads(settings.training.threads), enough_memory(f"training {models.label(settings)}"):
        with spilling(partial / "scratch"):
            model.fit(corpus)
        if not isinstance(model, SessionEncoder):
            return model, []
        trainer = Trainer(
            model, corpus, settings.training, settings.evaluation, partial,
            plan=plan, name=name, progress=options.progress, on_epoch=options.on_epoch if plan is None else None,
        )  # fmt: skip
        played = trainer.run(resume=options.resume)
    return model.cpu(), played


def _run(
    out: Path, settings: Settings, options: Options, facts: dict[str, str], *inputs: Any
) -> AbstractContextManager[Path]:
    """The folder of this run, see :func:`segue.artifact.partial_run.unfinished`; it holds none of what is read."""
    refuse_nameless(out, ArtifactError)
    for folder in (out, partial_of(out)) if options.overwrite else ():
        refuse_inputs_inside(folder, *inputs)
    if options.plan is not None and not options.refit:
        raise ValueError("a plan of epochs is played on train + validation; ask for a refit")
    given = {"plan": [asdict(epoch) for epoch in options.plan]} if options.plan is not None else {}
    flags = {"refit": options.refit, "final": options.final, **given}
    started_with = {"settings": settings.model_dump(mode="json"), **facts, **flags}
    return unfinished(out, started_with, resume=options.resume, overwrite=options.overwrite)


def _called(source: Any) -> str:
    """A path as it was given; a frame has no name but its type's."""
    return str(source) if isinstance(source, str | Path) else type(source).__name__


def _check_measurable(corpus_folder: Path) -> None:
    if not read_manifest(corpus_folder)["sizes"]["test_sessions"]:
        raise CorpusError(
            "no test session is left to measure on: the items of all of them are unseen in train;"
            " weaken the filters, raise split.test, or use segue prepare and segue train"
        )


def _names(parts: Iterable[Part]) -> list[str]:
    return [part.name.lower() for part in parts]


def _write_report(partial: Path, measured: Evaluation) -> None:
    result, facts = measured.as_dict(), training_facts(partial)
    label = facts["label"]
    write_report(
        partial / "report.html",
        title=f"Segue {__version__}: {label}",
        evaluations={label: result},
        curves={label: read_epochs(partial)},
        statistics=facts["statistics"],
        notes=[f"Trained on {' + '.join(facts['trained_on'])}; measured on {result['split']}, {result['protocol']}."],
    )
