"""From a log, or a corpus, to a trained and measured model: the steps in order."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from segue import models
from segue.artifact import load_model, publish, refuse_existing, seal, write_model, write_text, writing
from segue.data import sources
from segue.data.corpus import Corpus, Part, load, read_manifest
from segue.data.prepare import prepare
from segue.errors import ArtifactError, ConfigError, CorpusError
from segue.evaluation import Evaluation, evaluate
from segue.nn.protocol import SessionEncoder, SessionModel
from segue.report import write_report
from segue.settings import Nested, Settings, compose
from segue.training import EpochPlan, Progress, Trainer
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
    final: bool = False
    """After the test metrics are reported, train once more on everything."""
    progress: Callable[[Progress], None] | None = None


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
    place = {"corpus": str(corpus_folder.resolve())}
    partial = _start(out, {"settings": settings.model_dump(mode="json"), **place}, options)
    _train_into(partial, load(corpus_folder, (Part.TRAIN, Part.VALIDATION)), settings, options, place)
    return _finish(partial, out)


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
    source = str(log) if isinstance(log, (str, Path)) else type(log).__name__
    partial = _start(out, {"overrides": overrides, "log": source}, options)
    folder = partial / "corpus"
    if not folder.exists():
        prepare_log(log, folder, overrides, items=items, users=users)
    settings = settings_for(folder, overrides)
    plan = _train_into(partial, load(folder, (Part.TRAIN, Part.VALIDATION)), settings, options, {"corpus": "corpus"})
    measured = evaluate_model(partial, folder)
    write_evaluation(partial, measured)
    if options.final:
        everything = load(folder).with_train(list(Part))
        model, _ = _stage("final", everything, settings, partial, options, plan)
        write_model(partial, model, everything, settings, {"corpus": "corpus", "trained_on": _names(Part)})
    _write_report(partial, measured)
    return _finish(partial, out)


def evaluate_model(folder: Path, corpus_folder: Path | None = None, part: Part = Part.TEST, **how: Any) -> Evaluation:
    """Measure a trained model on one part of its corpus.

    Args:
        folder: the model. corpus_folder: by default the one it was trained on.
        how: `history`, `mask_session`, `progress`, as for :func:`segue.evaluation.evaluate`.

    Raises ArtifactError when the model was trained on that part, or does not know the corpus' vocabulary.
    """
    artifact = load_model(folder) if (folder / "manifest.json").exists() else _load_partial(folder)
    facts = artifact.facts
    trained_on = [Part[name.upper()] for name in facts["trained_on"]]
    if part in trained_on:
        raise ArtifactError(f"{folder} was trained on the {part.name.lower()} part; it cannot be measured there")
    corpus = load(corpus_folder or folder / facts["corpus"]).with_train(trained_on)
    same = corpus.fingerprint == facts["corpus_fingerprint"] or (
        corpus.items.column("item_id").equals(artifact.items.column("item_id"))
        and corpus.users.column("user_id").equals(artifact.users.column("user_id"))
    )
    if not same:
        raise ArtifactError(f"{folder} was trained on another corpus (its items or users differ); pass its own")
    settings = artifact.settings.evaluation
    options = {"history": settings.history, "mask_session": settings.mask_session, **how}
    return evaluate(artifact.model, corpus, part, label=model_label(artifact.settings), **options)


def write_evaluation(folder: Path, measured: Evaluation) -> dict[str, Any]:
    """Keep a measurement beside the model: ``evaluation/SPLIT.json`` and ``SPLIT.ranks.parquet``."""
    result = measured.as_dict()
    with writing(folder):
        (folder / "evaluation").mkdir(exist_ok=True)
        write_text(folder / "evaluation" / f"{result['split']}.json", json.dumps(result, indent=1) + "\n")
        measured.write_ranks(folder / "evaluation" / f"{result['split']}.ranks.parquet")
    return result


def settings_for(corpus_folder: Path, overrides: Nested) -> Settings:
    """The settings of a run on a corpus: what prepared it is given; the rest is the preset's and the user's."""
    given = read_manifest(corpus_folder)["settings"]
    for section in _OF_THE_CORPUS:
        for key, value in overrides.get(section, {}).items():
            if key in given[section] and given[section][key] != (list(value) if isinstance(value, tuple) else value):
                raise ConfigError(
                    f"setting '{section}.{key}' was fixed when the corpus {corpus_folder} was prepared"
                    f" ({given[section][key]!r}); prepare another corpus to change it"
                )
    return models.with_preset({**overrides, **{section: given[section] for section in _OF_THE_CORPUS}})


def model_label(settings: Settings) -> str:
    """``hg_gnn/segue``."""
    preset = settings.model.preset or next(iter(models.load(settings.model.name).presets), "")
    return f"{settings.model.name}/{preset}" if preset else settings.model.name


def check_needs(model: SessionModel, corpus: Corpus) -> None:
    """Raise CorpusError when the corpus lacks what the model says it needs."""
    train_sessions = corpus.train
    if not len(train_sessions):
        raise CorpusError("the corpus has no train sessions; prepare it with weaker filters")
    if "history" in model.needs and corpus.n_users == 0:
        raise CorpusError("the model needs users with a history; the corpus knows no user")


def _train_into(
    partial: Path, corpus: Corpus, settings: Settings, options: Options, facts: dict[str, Any]
) -> list[EpochPlan]:
    """Select on validation, refit if asked, write the model. Returns what a later fit should play."""
    if settings.training.threads:
        torch.set_num_threads(settings.training.threads)
    model, plan = _stage("metrics", corpus, settings, partial, options, None)
    parts = [Part.TRAIN]
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
    logger.info("%s: %s", {"metrics": "training", "refit": "refit", "final": "final fit"}[name], model_label(settings))
    torch.manual_seed(settings.training.seed)
    model = models.build(settings)
    check_needs(model, corpus)
    model.fit(corpus, settings.preparation)
    if not isinstance(model, SessionEncoder):
        return model, []
    trainer = Trainer(
        model, corpus, settings.training, settings.evaluation, partial, plan=plan, name=name, progress=options.progress
    )
    played = trainer.run(resume=options.resume)
    return model.cpu(), played


def _start(out: Path, run: dict[str, Any], options: Options) -> Path:
    """The folder of the unfinished run. What it was started with has to stay the same when it is resumed."""
    refuse_existing(out, overwrite=options.overwrite)
    partial = out.with_name(out.name + ".partial")
    run = json.loads(json.dumps({**run, "refit": options.refit, "final": options.final}))
    note = partial / "run.json"
    if options.resume:
        if not note.exists():
            raise ArtifactError(f"nothing to resume: there is no unfinished run at {partial}")
        if json.loads(note.read_text(encoding="utf-8")) != run:
            raise ArtifactError(f"the unfinished run at {partial} was started with other settings; repeat them exactly")
        return partial
    if partial.exists() and not options.overwrite:
        raise ArtifactError(f"an unfinished run is at {partial}; continue it with --resume or drop it with --overwrite")
    with writing(partial):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write_text(note, json.dumps(run, indent=1) + "\n")
    return partial


def _finish(partial: Path, out: Path) -> Path:
    """Drop what only a resumed run needs, seal, rename."""
    for leftover in [*partial.glob("*.checkpoint"), partial / "run.json"]:
        leftover.unlink(missing_ok=True)
    seal(partial)
    publish(partial, out)
    return out


def _names(parts: Iterable[Part]) -> list[str]:
    return [part.name.lower() for part in parts]


def _load_partial(folder: Path) -> Any:
    """A model that is written but not yet sealed: seal it for the reading."""
    seal(folder)
    return load_model(folder)


def _write_report(partial: Path, measured: Evaluation) -> None:
    result = measured.as_dict()
    records = partial / "metrics.jsonl"
    curve = [json.loads(line) for line in records.read_text().splitlines()] if records.exists() else []
    config = json.loads((partial / "config.json").read_text(encoding="utf-8"))
    label = str(result["model"])
    write_report(
        partial / "report.html",
        title=f"Segue {__version__}: {label}",
        evaluations={label: result},
        curves={label: curve},
        statistics=config["statistics"],
        notes=[f"Trained on {' + '.join(config['trained_on'])}; measured on {result['split']}, {result['protocol']}."],
    )


def read_evaluation(folder: Path, split: str = "test") -> dict[str, Any]:
    """A measurement that :func:`write_evaluation` kept."""
    path = folder / "evaluation" / f"{split}.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot read {path} ({error}); measure again with: segue evaluate {folder}") from None


def training_facts(folder: Path) -> dict[str, Any]:
    """What a trained model was made of, for people and scripts."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    path = folder / "metrics.jsonl"
    epochs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    best = [epoch for epoch in epochs if epoch["best"]]
    return {
        "model": str(folder),
        "label": model_label(Settings.parse(config["settings"])),
        "trained_on": config["trained_on"],
        "epochs": len(epochs),
        "best_epoch": best[-1]["epoch"] if best else len(epochs),
        "seconds": round(sum(epoch["seconds"] for epoch in epochs), 1),
        "validation": best[-1]["validation"] if best else {},
        "statistics": config["statistics"],
    }
