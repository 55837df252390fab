"""From a log, or a corpus, to a trained and measured model: the steps in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from segue import models
from segue.artifact.model_folder import read_model, write_model
from segue.artifact.names import CORPUS
from segue.artifact.partial_run import partial_of, unfinished
from segue.contract.needs import check_needs
from segue.data.corpus import Corpus, Part, load
from segue.data.corpus_folder import log_warnings_of, read_manifest
from segue.data.preparation.prepare import prepare
from segue.data.sources import Source
from segue.errors import ArtifactError, CorpusError
from segue.evaluation.measurement import Measurement
from segue.pipeline.choices import PRESET, Choice, LeftOpen
from segue.pipeline.choosing import Trained, choose, read_choices
from segue.pipeline.measurement import measure, write_evaluation
from segue.pipeline.stages import USUAL, Options, stage
from segue.report.evaluation_page import write_report
from segue.settings import Settings
from segue.system.folders import refuse_inputs_inside, refuse_nameless
from segue.system.torch_runtime import pick_device
from segue.training.epochs import read_epochs, training_facts
from segue.training.state import EpochPlan
from segue.version import __version__


def train(corpus_folder: Path, out: Path, settings: Settings, options: Options = USUAL) -> Path:
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


def fit(
    log: Any,
    out: Path,
    settings: Settings,
    options: Options = USUAL,
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
            model, _ = stage("final", everything, settings, partial, options, plan)
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
        model, plan = stage("metrics", corpus, settings, partial, options, None)
    else:
        plan = list(options.plan)
    if options.refit:
        parts.append(Part.VALIDATION)
        corpus = corpus.with_train(parts)
        model, _ = stage("refit", corpus, settings, partial, options, plan)
    made = {**facts, **chosen, "trained_on": _names(parts)}
    first = options.processes.first
    options.processes.agreed(lambda: write_model(partial, model, corpus, settings, made) if first else None)
    return settings, plan, chosen


def _choose(
    partial: Path, corpus: Corpus, settings: Settings, left: LeftOpen, options: Options
) -> tuple[Trained, list[Choice]]:
    """Select with what is left open chosen; what the whole model needs of the corpus is checked before all work."""
    check_needs(models.build(settings), corpus)

    def train(name: str, how: Settings) -> Trained:
        return Trained(how, *stage(name, corpus, how, partial, options, None))

    return choose(partial, corpus, settings, left, train)


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
