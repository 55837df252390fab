"""The commands before training: ``segue check``, ``segue prepare`` and ``segue stats``."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from segue.cli.console import out, print_json, print_rows
from segue.cli.options import Config, Corpus, Drop, Items, Json, Log, Overwrite, Set, Users, note_unused, overrides_of
from segue.data import corpus as corpora
from segue.data.log.check import check_log
from segue.data.preparation import plan as plans
from segue.data.spark.engine import in_spark
from segue.data.stats import table1
from segue.errors import ConfigError
from segue.pipeline.preparing import Wish, fetched, prepare_log
from segue.pipeline.settings import settings_for_log
from segue.report.text import in_one_line
from segue.settings import Nested


class QueryEngine(StrEnum):
    """What computes the corpus. The corpus is the same."""

    DUCKDB = "duckdb"
    SPARK = "spark"


def check(log: Log, config: Config = None, set_: Set = None, as_json: Json = False, drop_invalid: Drop = False) -> None:
    """Report the contents of a log and the mistakes in it.

    Example: `segue check clicks.csv --set columns.item_id=article`
    """
    source, settings = settings_for_log(log, overrides_of(config, set_, drop_invalid))
    with tempfile.TemporaryDirectory(prefix="segue-check-") as scratch:
        report = check_log(source, settings, Path(scratch))
    if as_json:
        print_json(report.as_dict())
    else:
        out.print("\n".join(map(in_one_line, report.lines())))


def prepare(
    log: Log,
    to: Annotated[
        str | None, typer.Option("--out", metavar="PATH", help="The corpus folder to write; s3://… too.")
    ] = None,
    items: Items = None,
    users: Users = None,
    config: Config = None,
    set_: Set = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
    drop_invalid: Drop = False,
    engine: Annotated[
        QueryEngine, typer.Option(help="What computes: duckdb on this machine, spark on this or on many.")
    ] = QueryEngine.DUCKDB,
    with_graph: Annotated[
        bool, typer.Option("--with-graph", help="Count the graph here too; training takes it as it is.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print each step as SQL, with estimates of its rows, and write nothing.")
    ] = False,
    master: Annotated[
        str | None, typer.Option(metavar="URL", help="Where Spark runs: local (the default), spark://HOST:PORT, yarn.")
    ] = None,
) -> None:
    """Turn a log into a corpus: sessions, filters, split, vocabularies.

    Example: `segue prepare clicks.csv --out corpus --set sessions.gap=30min`
    """
    if master is not None and engine is not QueryEngine.SPARK:
        raise ConfigError("--master is for Spark; add --engine spark, or leave it out")
    if plan:
        _print_plan(log, to, overrides_of(config, set_, drop_invalid), engine, as_json)
        return
    if to is None:
        raise ConfigError("no folder to write is named; add --out, such as --out corpus")
    spark = (master or "local") if engine is QueryEngine.SPARK else None
    wish = Wish(items, users, overwrite, spark, with_graph)
    manifest, rows = prepare_log(log, to, overrides_of(config, set_, drop_invalid), wish)
    print_json({"corpus": to, **manifest}) if as_json else print_rows(rows, title=to)


def _print_plan(log: str, to: str | None, overrides: Nested, engine: QueryEngine, as_json: bool) -> None:
    if to is not None:
        raise ConfigError("--plan writes no corpus; leave out --out, or --plan")
    words = in_spark if engine is QueryEngine.SPARK else str
    with fetched(log) as here, tempfile.TemporaryDirectory(prefix="segue-plan-") as scratch:
        source, settings = settings_for_log(here, overrides)
        steps = plans.plan(source, settings, Path(scratch))
    if as_json:
        print_json([{"table": step.name, "rows": step.rows, "sql": words(step.query)} for step in steps])
    else:
        out.print("\n\n".join(f"-- {step.name}: about {step.rows:,} rows\n{words(step.query)}" for step in steps))


def stats(
    corpus: Corpus,
    config: Config = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Show the rows of the paper's Table 1 for a corpus.

    Example: `segue stats corpus`
    """
    note_unused(overrides_of(config, set_), "a corpus")
    rows = table1(corpora.load(corpus))
    print_json(rows) if as_json else print_rows(rows)
