"""The commands before training: ``segue check``, ``segue prepare`` and ``segue stats``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from segue.cli.console import out, print_json, print_rows
from segue.cli.options import Config, Corpus, Drop, Items, Json, Log, Overwrite, Set, Users, note_unused, overrides_of
from segue.data import corpus as corpora
from segue.data.log.check import check_log
from segue.data.preparation import prepare as preparation
from segue.data.stats import table1
from segue.pipeline.settings import settings_for_log
from segue.report.text import in_one_line


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
    source, settings = settings_for_log(log, overrides_of(config, set_, drop_invalid))
    manifest = preparation.prepare(source, to, settings, items=items, users=users, overwrite=overwrite)
    if as_json:
        print_json({"corpus": str(to), **manifest})
    else:
        print_rows(table1(corpora.load(to)), title=str(to))


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
