"""The commands that make one model and measure it: ``segue train``, ``segue evaluate`` and ``segue fit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from segue.cli.console import err, evaluation_bar, print_json, print_metrics, print_rows, training_bar
from segue.cli.options import Config, Corpus, Drop, Items, Json, Log, Model, Overwrite, Set, Users, overrides_of
from segue.data.corpus import Part
from segue.pipeline import fit as pipeline
from segue.pipeline import measurement as measuring
from segue.pipeline.fit import Options
from segue.report.evaluation_page import is_table
from segue.settings import compose
from segue.training import epochs as records

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
    with training_bar() as progress:
        options = Options(resume=resume, overwrite=overwrite, refit=refit, progress=progress)
        folder = pipeline.train(corpus, to, overrides_of(config, set_), options)
    facts = records.training_facts(folder)
    if as_json:
        print_json(facts)
        return
    validation, statistics = facts.pop("validation"), facts.pop("statistics")
    # Those of each relation, a dozen figures each, are for the report and for --json.
    print_rows({**facts, **{name: value for name, value in statistics.items() if not is_table(value)}})
    if validation:
        print_metrics({facts["label"]: {"metrics": validation}}, list(validation))
        print_rows({"split": "validation"})


def evaluate(
    model: Model,
    corpus: Annotated[Path | None, typer.Option(help="Its corpus, where that has moved.")] = None,
    split: Annotated[Literal["test", "validation"], typer.Option(help="Which part to measure on.")] = "test",
    history: Annotated[
        Literal["frozen", "rolling"] | None, typer.Option(help="What of the user's past is seen.")
    ] = None,
    config: Config = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Measure a model: full ranking over all items, every prefix of every session of the part.

    Example: `segue evaluate model --split test --json`
    """
    overrides = overrides_of(config, set_)
    if history:
        overrides.setdefault("evaluation", {})["history"] = history
    settings = compose(overrides).evaluation
    how = {key: getattr(settings, key) for key in overrides.get("evaluation", {})}
    if set(overrides) - {"evaluation"}:
        err.print(
            "note: a trained model carries its own settings; of --config and --set, only [evaluation] counts here"
        )
    with evaluation_bar() as progress:
        measured = measuring.evaluate_model(model, corpus, Part[split.upper()], progress=progress, **how)
    result = measuring.write_evaluation(model, measured)
    if as_json:
        print_json(result)
        return
    print_metrics({result["model"]: result}, list(result["metrics"]))
    print_rows({key: result[key] for key in ("split", "protocol", "history", "events", "sessions", "users")})


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
) -> None:
    """From a log to a measured model in one go: prepare, train, evaluate, report.

    Example: `segue fit clicks.csv --out model --refit`
    """
    with training_bar() as progress:
        options = Options(resume=resume, overwrite=overwrite, refit=refit, final=final, progress=progress)
        folder = pipeline.fit(log, to, overrides_of(config, set_, drop_invalid), options, items=items, users=users)
    result = measuring.read_evaluation(folder)
    if as_json:
        print_json({**records.training_facts(folder), "evaluation": result})
        return
    print_metrics({result["model"]: result}, list(result["metrics"]))
    err.print(f"model: {folder}   report: {folder / 'report.html'}")
