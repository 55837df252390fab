"""The command line. Results go to stdout (with --json as JSON), everything else to stderr.

Exit codes: 0; 2 with one clear line for a user's mistake; 130 on Ctrl-C.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from segue import cli_compare, measuring, pipeline, records
from segue.cli_options import Config, Json, Overwrite, Set, overrides_of
from segue.console import (
    err,
    evaluation_bar,
    out,
    print_json,
    print_metrics,
    print_rows,
    show_messages,
    training_bar,
)
from segue.data import corpus as corpora
from segue.data import sources
from segue.data.check import check_log
from segue.data.corpus import Part
from segue.data.stats import table1
from segue.errors import RequestError, SegueError, UserMistake
from segue.pipeline import Options
from segue.recommender import Recommender
from segue.report import is_table
from segue.settings import Nested, compose
from segue.study.command import study

_INTERRUPTED = 130

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Recommends the next item of a live session to a user it knows.",
)

Resume = Annotated[bool, typer.Option("--resume", help="Continue the unfinished run at OUT.partial.")]
Refit = Annotated[bool, typer.Option("--refit", help="Train again on train + validation for the chosen epochs.")]
Log = Annotated[
    str,
    typer.Argument(
        help="CSV, TSV (also .gz), Parquet file or folder, FILE.duckdb::TABLE, or a known data set: "
        "lastfm:FILE, xing:FILE, reddit:FILE, complete-journey:"
    ),
]
Items = Annotated[Path | None, typer.Option("--items", help="File of item_id, optional name, categorical columns.")]
Users = Annotated[Path | None, typer.Option("--users", help="File of user_id, optional name, categorical columns.")]
Drop = Annotated[bool, typer.Option("--drop-invalid", help="Drop and count rows without id or time.")]


@app.command()
def check(log: Log, config: Config = None, set_: Set = None, as_json: Json = False, drop_invalid: Drop = False) -> None:
    """Report what a log holds and what in it cannot be right.

    Example: `segue check clicks.csv --set columns.item_id=article`
    """
    source = sources.find(log)
    settings = compose(source.settings if source else {}, overrides_of(config, set_, drop_invalid))
    with tempfile.TemporaryDirectory(prefix="segue-check-") as scratch:
        report = check_log(source or log, settings, Path(scratch))
    if as_json:
        print_json(report.as_dict())
    else:
        out.print("\n".join(report.lines()))


@app.command()
def prepare(
    log: Log,
    to: Annotated[Path, typer.Option("--out", help="The corpus folder to write.")],
    items: Items = None,
    users: Users = None,
    config: Config = None,
    set_: Set = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
    drop_invalid: Drop = False,
) -> None:
    """Turn a log into a corpus: sessions, filters, split, vocabularies.

    Example: `segue prepare clicks.csv --out corpus --set sessions.gap=30min`
    """
    overrides = overrides_of(config, set_, drop_invalid)
    manifest = pipeline.prepare_log(log, to, overrides, items=items, users=users, overwrite=overwrite)
    if as_json:
        print_json({"corpus": str(to), **manifest})
    else:
        print_rows(table1(corpora.load(to)), title=str(to))


@app.command()
def stats(
    corpus: Annotated[Path, typer.Argument(help="A prepared corpus.")],
    config: Config = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """The rows of the paper's Table 1 for a corpus.

    Example: `segue stats corpus`
    """
    _note_unused(overrides_of(config, set_), "a corpus")
    rows = table1(corpora.load(corpus))
    print_json(rows) if as_json else print_rows(rows)


@app.command()
def train(
    corpus: Annotated[Path, typer.Argument(help="A prepared corpus.")],
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


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A trained model.")],
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


@app.command()
def recommend(
    model: Annotated[Path, typer.Argument(help="A trained model.")],
    user: Annotated[str | None, typer.Option(help="User id; leave out for an anonymous session.")] = None,
    items: Annotated[str, typer.Option(help="The session, oldest first: a,b,c.")] = "",
    item: Annotated[list[str] | None, typer.Option(help="One item of the session; repeat, oldest first.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many.")] = 10,
    history: Annotated[Path | None, typer.Option(help="File with the user's earlier items, one a line.")] = None,
    exclude: Annotated[str, typer.Option(help="Items never to show: a,b,c.")] = "",
    exclude_seen: Annotated[
        Literal["session", "history"] | None, typer.Option(help="Leave out items seen there.")
    ] = None,
    candidates: Annotated[Path | None, typer.Option(help="File with the only items to rank, one a line.")] = None,
    config: Config = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """The next items for a session, each with a reason.

    Example: `segue recommend model --user anna --items milk,bread -k 5`
    """
    if k < 1:
        raise RequestError(f"-k must be at least 1, found {k}")
    _note_unused(overrides_of(config, set_), "a trained model")
    answer = Recommender.load(model)
    found = answer.recommend(
        user,
        [part for part in items.split(",") if part] + (item or []),
        k,
        [part for part in exclude.split(",") if part],
        _lines(candidates) if candidates else None,
        history=_lines(history) if history else None,
        exclude_seen=exclude_seen,
    )
    if as_json:
        print_json(found.as_dict())
        return
    for warning in found.warnings:
        err.print(warning)
    if found.skipped:
        err.print(f"unknown to the model, skipped: {', '.join(found.skipped)}")
    for place, entry in enumerate(found, start=1):
        out.print(f"{place:3d}  {entry.score:8.3f}  {answer.name(entry.item)}  ({entry.because['text']})")


@app.command()
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


app.command()(cli_compare.tune)
app.command()(cli_compare.compare)
app.command()(study)


def main() -> None:
    """Run, and turn every mistake into one line and an exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # An id from a command line may hold bytes that are no text; they are shown as escapes.
        sys.stdout.reconfigure(errors="backslashreplace")
    show_messages()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    try:
        result = app(arguments or ["--help"], prog_name="segue", standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        return _mistake(
            f"{error.format_message().rstrip('.')}; see {context.command_path if context else 'segue'} --help"
        )
    except UserMistake as error:
        return _mistake(str(error))
    except SegueError as error:
        err.print(f"segue: defect: {error}")
        return 1
    if result == _INTERRUPTED:
        err.print("interrupted; nothing is half-written, and a training run continues with --resume")
    return result if isinstance(result, int) else 0


def _mistake(message: str) -> int:
    err.print("segue: " + " ".join(message.split()))
    return 2


def _note_unused(overrides: Nested, what: str) -> None:
    """Settings that a command takes like every other, but has no use for: checked all the same."""
    compose(overrides)
    if overrides:
        err.print(f"note: {what} carries its own settings; --config and --set change nothing here")


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RequestError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RequestError(f"{path} is not UTF-8 text; write one item id a line") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
