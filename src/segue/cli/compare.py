"""The commands that run many trainings: ``segue tune`` and ``segue compare``."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from segue import compare as comparison
from segue import tuning
from segue.cli.console import err, out, print_json, print_rows
from segue.cli.options import Config, Corpus, Json, Set, overrides_of
from segue.cli.progress import search_bars
from segue.compare.summary import POPULARITY, Summary
from segue.data.corpus_folder import read_manifest
from segue.data.preparation.subsample import few_users
from segue.errors import ConfigError, CorpusError
from segue.pipeline.settings import settings_for_corpus
from segue.settings import Nested, merged
from segue.settings.overrides import dotted_keys
from segue.system.atomic import write_text, writing

_SEEDS = 100
QUICK_USERS = 300
"""Users of ``segue compare --quick``."""

Search = Annotated[
    Literal["tpe", "paper-grid"],
    typer.Option(help="tpe: the model's declared space. paper-grid: dim x learning rate x layers of arXiv 2107.03813."),
]
Anew = Annotated[bool, typer.Option("--overwrite", help="Begin anew instead of continuing what is at OUT.")]


def tune(
    corpus: Corpus,
    to: Annotated[Path, typer.Option("--out", help="The folder for the study; best.toml goes there.")],
    model: Annotated[str | None, typer.Option(help="NAME or NAME/PRESET; hg_gnn unless the settings say so.")] = None,
    search: Search = "tpe",
    trials: Annotated[int, typer.Option(min=1, help="Limit of trials.")] = 40,
    minutes: Annotated[float | None, typer.Option(help="Limit of minutes that trials take in total.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search; training.seed is a training's.")] = 0,
    config: Config = None,
    set_: Set = None,
    as_json: Json = False,
    overwrite: Anew = False,
) -> None:
    """Search a model's settings for the best HR@10 on validation; test sessions are not opened.

    The first trial is the preset; hopeless trials are stopped early; settings of --config or --set stay fixed. The same
    command continues a study that was stopped, with higher --trials or --minutes also a finished one.

    Example: `segue tune corpus --model gru4rec --minutes 30 --out tuned` and then
    `segue train corpus --config tuned/best.toml --out model`
    """
    if minutes is not None and not 0 < minutes < math.inf:
        raise ConfigError(f"--minutes must be a number of minutes above 0, found {minutes:g}")
    overrides = overrides_of(config, set_)
    if model is not None:
        (own,) = comparison.named_models([model]).values()
        overrides = merged(overrides, own)
    settings = settings_for_corpus(corpus, overrides)
    budget = tuning.Budget(trials, minutes, search, seed)
    with search_bars() as (progress, trial):
        result = tuning.tune(
            corpus, to, settings, budget, fixed=dotted_keys(overrides),
            overwrite=overwrite, progress=progress, watch=partial(trial, model or "search"),
        )  # fmt: skip
    if as_json:
        print_json(json.loads((to / "trials.json").read_text(encoding="utf-8")))
        return
    rows = {"validation HR@10": f"{result.value:.4f}", **result.point, "trials": len(result.trials)}
    print_rows({**rows, "seconds": f"{result.seconds:.0f}"})
    err.say(f"settings: {to / 'best.toml'}")


def compare(
    corpus: Corpus,
    to: Annotated[Path, typer.Option("--out", help="The folder for models, results.json, results.md, report.html.")],
    models: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME or NAME/PRESET, separated by commas or repeated; the first is compared with each other one. "
            "Unset: the default preset of every model, hg_gnn first."
        ),
    ] = None,
    minutes: Annotated[float, typer.Option(min=0, help="Minutes to tune each model; 0: unchanged presets.")] = 10,
    no_tune: Annotated[bool, typer.Option("--no-tune", help="Unchanged presets: --minutes 0.")] = False,
    trials: Annotated[int, typer.Option(min=1, help="Most trials to tune each model.")] = 40,
    search: Search = "tpe",
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help=f"Fast: {QUICK_USERS} users drawn into a corpus beside OUT, --no-tune, one seed, popularity added.",
        ),
    ] = False,
    seeds: Annotated[
        str | None, typer.Option(help="Number of seeds (5: 0 to 4), or a list: 0,7,9. Unset: 3; with --quick, 1.")
    ] = None,
    history: Annotated[
        Literal["frozen", "rolling"], typer.Option(help="The user's past that every model sees.")
    ] = "frozen",
    show: Annotated[bool, typer.Option("--show", help="Show the table of finished models; run nothing.")] = False,
    config: Config = None,
    set_: Set = None,
    as_json: Json = False,
    overwrite: Anew = False,
) -> None:
    """Compare models: the same tuning budget, refit on train + validation, several seeds, tests over users, one table.

    Finished work is never repeated: the same command continues, also with more models or seeds. A model that the corpus
    does not suit is left out, with the reason in the table.

    Example: `segue compare corpus --models hg_gnn,hg_gnn/paper,item_knn --minutes 20 --seeds 5 --out comparison`
    """
    overrides = overrides_of(config, set_)
    if not math.isfinite(minutes):
        raise ConfigError(f"--minutes must be a number of minutes, found {minutes:g}")
    chosen = comparison.named_models(_names(models))
    minutes = 0.0 if no_tune or quick else minutes
    asked = _seeds(seeds if seeds is not None else "1" if quick else "3")
    plan = comparison.ComparisonPlan(minutes, trials, search, asked, history, overrides)
    if quick and not show:
        chosen = {**chosen, **comparison.named_models([POPULARITY])}
        corpus = _few_users(corpus, to)
    summary = comparison.standing(to) if show else _run(corpus, to, chosen, plan, overwrite=overwrite)
    if as_json:
        print_json(summary.as_dict())
        return
    out.print(comparison.markdown(summary), end="")
    if not show:
        err.say(f"report: {to / 'report.html'}")


def _few_users(corpus: Path, to: Path) -> Path:
    """The corpus of the quick form: fewer users and never fewer epochs, since a starved model says nothing."""
    out_folder = to.resolve()  # also of a path such as "."
    name = f"{out_folder.name}-corpus-{QUICK_USERS}-{read_manifest(corpus)['fingerprint'][:8]}"
    return few_users(corpus, out_folder.parent / name, QUICK_USERS, seed=0)


def _run(
    corpus: Path, to: Path, chosen: dict[str, Nested], plan: comparison.ComparisonPlan, *, overwrite: bool
) -> Summary:
    """Compare, and write the tables whenever they change and the page at the end."""
    write = partial(_write_tables, to)
    with search_bars() as (progress, trial):
        callbacks = comparison.Callbacks(progress, trial)
        summary = comparison.compare(corpus, to, chosen, plan, callbacks, on_change=write, overwrite=overwrite)
    write(summary)
    if not summary.rows:
        reasons = "; ".join(f"{label}: {reason}" for label, reason in summary.failed.items())
        raise CorpusError(f"no model could be measured ({reasons})")
    comparison.write_page(to / "report.html", summary)
    return summary


def _write_tables(to: Path, summary: Summary) -> None:
    with writing(to):
        write_text(to / "results.json", json.dumps(summary.as_dict(), indent=1) + "\n")
        write_text(to / "results.md", comparison.markdown(summary))


def _names(models: list[str] | None) -> list[str]:
    """The names in --models, which may be repeated or name several; an empty list stands for all models."""
    names = [part.strip() for entry in models or [] for part in entry.split(",") if part.strip()]
    if models is not None and not names:
        raise ConfigError("--models names no model; leave it out to compare all")
    return names


def _seeds(text: str) -> tuple[int, ...]:
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError:
        seeds = []
    many = seeds[0] if len(seeds) == 1 else len(seeds)
    if not seeds or min(seeds) < 0 or max(seeds) >= 2**63 or len(set(seeds)) < len(seeds) or not 0 < many <= _SEEDS:
        raise ConfigError(
            f"--seeds: expected how many (1 to {_SEEDS}), or different whole numbers such as 0,7,9; found {text!r}"
        )
    return tuple(range(seeds[0])) if len(seeds) == 1 else tuple(seeds)
