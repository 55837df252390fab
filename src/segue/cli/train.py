"""The commands that make one model and measure it: ``segue train``, ``segue evaluate`` and ``segue fit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from segue.artifact.names import CORPUS
from segue.cli.cold import draw_of, evaluate_cold
from segue.cli.console import err, print_json, print_metrics, print_rows
from segue.cli.options import Config, Corpus, Drop, Items, Json, Log, Model, Overwrite, Set, Users, overrides_of
from segue.cli.progress import evaluation_bar, training_bar
from segue.cli.shares import refuse_shares
from segue.cli.together import resumes, together
from segue.data.corpus import Part
from segue.data.corpus_folder import log_warnings_of
from segue.evaluation.cold import Draw
from segue.evaluation.measurement import Discovery, Measurement, Metrics
from segue.pipeline import fit as pipeline
from segue.pipeline import measurement
from segue.pipeline.choosing import read_choices
from segue.pipeline.settings import left_open, settings_for_corpus, settings_for_log
from segue.pipeline.stages import Options
from segue.report.numbers import is_nested_table
from segue.serving.request import share_of
from segue.settings import compose
from segue.training.epochs import training_facts

Resume = Annotated[bool, typer.Option("--resume", help="Continue the unfinished run at OUT.partial.")]
Refit = Annotated[bool, typer.Option("--refit", help="Train again on train + validation for the chosen epochs.")]


def train(
    corpus: Corpus,
    to: Annotated[Path, typer.Option("--out", help="The model folder to write.")],
    config: Config = None,
    set_: Set = None,
    as_json: Json = False,
    resume: Resume = False,
    refit: Refit = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a model on a corpus; the epoch is chosen on validation, test sessions are not opened.

    Example: `segue train corpus --out model --set model.preset=paper --set training.max_minutes=20`
    """
    with together() as processes, training_bar() as progress:
        resume = resumes(to, resume, processes)
        settings = processes.agreed(lambda: settings_for_corpus(corpus, overrides_of(config, set_)))
        options = Options(
            resume=resume, overwrite=overwrite, refit=refit, progress=progress, processes=processes
        )  # fmt: skip
        pipeline.train(corpus, to, settings, options)
    if processes.first:
        _show_training(to, as_json)


def _show_training(folder: Path, as_json: bool) -> None:
    facts = training_facts(folder)
    if as_json:
        print_json(facts.as_dict())
        return
    shown = {name: value for name, value in facts.as_dict().items() if name not in ("validation", "statistics")}
    # The statistics of each relation, a dozen figures each, are for the report and for --json.
    print_rows({**shown, **{name: value for name, value in facts.statistics.items() if not is_nested_table(value)}})
    if facts.validation:
        print_metrics({facts.label: facts.validation})
        print_rows({"split": "validation"})


def evaluate(
    model: Model,
    corpus: Annotated[Path | None, typer.Option(help="Its corpus, where that has moved.")] = None,
    split: Annotated[Literal["test", "validation"], typer.Option(help="Which part to measure on.")] = "test",
    history: Annotated[
        Literal["frozen", "rolling"] | None, typer.Option(help="The user's past that the model sees.")
    ] = None,
    discover: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Also measure lists with this share of places for items new to the user."),
    ] = None,
    cold: Annotated[
        bool,
        typer.Option("--cold", help="Measure users and items that a new training of the settings has never met."),
    ] = False,
    cold_users: Annotated[
        float | None, typer.Option(metavar="SHARE", help=f"With --cold: share of the users held out, {Draw.users:g}.")
    ] = None,
    cold_items: Annotated[
        float | None, typer.Option(metavar="SHARE", help=f"With --cold: share of the items held out, {Draw.items:g}.")
    ] = None,
    cold_seed: Annotated[int | None, typer.Option(help=f"With --cold: seed of the draw, {Draw.seed}.")] = None,
    config: Config = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Measure a model: full ranking over all items, every prefix of every session of the part.

    Example: `segue evaluate model --split test --json`
    """
    draw = draw_of(cold, cold_users, cold_items, cold_seed)
    overrides = overrides_of(config, set_)
    if history:
        overrides.setdefault("evaluation", {})["history"] = history
    settings = compose(overrides).evaluation
    how = {key: getattr(settings, key) for key in overrides.get("evaluation", {})}
    if discover is not None:
        how["discover"] = share_of(discover, "--discover")
    if set(overrides) - {"evaluation"}:
        err.say("note: a trained model carries its own settings; of --config and --set, only [evaluation] counts here")
    if draw is not None:
        refuse_shares("evaluate --cold", said=err.quiet)
        evaluate_cold(model, corpus, draw, split, how, as_json=as_json)
        return
    with together() as processes, evaluation_bar() as progress:
        measured = measurement.evaluate_model(
            model, corpus, Part[split.upper()], progress=progress, processes=processes, **how
        )
        processes.agreed(lambda: measurement.write_evaluation(model, measured) if processes.first else None)
    if processes.first:
        _show_evaluation(measured.measurement(), as_json)


def _show_evaluation(result: Measurement, as_json: bool) -> None:
    if as_json:
        print_json(result.as_dict())
        return
    print_metrics({result.model: result.metrics} if result.discovery is None else _beside(result, result.discovery))
    print_rows({key: getattr(result, key) for key in ("split", "protocol", "history", "events", "sessions", "users")})


def _beside(measured: Measurement, discovery: Discovery) -> dict[str, Metrics]:
    """The plain lists beside those that reserve places, over all events and over those of an item new to the user."""
    label = f"--discover {discovery.share:g}"
    shown = {measured.model: measured.metrics, label: discovery.metrics}
    for name, slices in ((measured.model, measured.slices), (label, discovery.slices)):
        new = slices["target"].get("new")
        if new is not None:
            shown[f"{name}, items new to the user"] = {metric: new[metric] for metric in measured.metrics}
    return shown


def fit(
    log: Log,
    to: Annotated[Path, typer.Option("--out", help="The model folder to write.")],
    items: Items = None,
    users: Users = None,
    config: Config = None,
    set_: Set = None,
    as_json: Json = False,
    resume: Resume = False,
    refit: Refit = False,
    final: Annotated[bool, typer.Option("--final", help="Train on everything once test is measured.")] = False,
    overwrite: Overwrite = False,
    drop_invalid: Drop = False,
    no_choose: Annotated[
        bool, typer.Option("--no-choose", help="Choose no setting from the data: the defaults stand.")
    ] = False,
) -> None:
    """From a log to a measured model in one go: prepare, train, evaluate, report.

    What --config and --set leave open of window, half-lives, dim, and whether vectors pay beside the counts, is chosen
    on train and validation, each with a line that says why. Naming model.name or model.preset switches that off.

    Example: `segue fit clicks.csv --out model --refit`
    """
    with training_bar() as progress:
        overrides = overrides_of(config, set_, drop_invalid)
        source, settings = settings_for_log(log, overrides)
        left = None if no_choose else left_open(source, overrides)
        options = Options(
            resume=resume, overwrite=overwrite, refit=refit, final=final, left_open=left, progress=progress
        )
        folder = pipeline.fit(source, to, settings, options, items=items, users=users)
    result = measurement.read_evaluation(folder)
    if as_json:
        warnings = log_warnings_of(folder / CORPUS)
        choices = [choice.as_dict() for choice in read_choices(folder)]
        facts = {**training_facts(folder).as_dict(), "choices": choices}
        print_json({**facts, "evaluation": result.as_dict(), "warnings": warnings})
        return
    print_metrics({result.model: result.metrics})
    err.say(f"model: {folder}   report: {folder / 'report.html'}")
