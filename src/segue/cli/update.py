"""The command ``segue update``: a model trained on with a new log, where it is not worse than before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.cli.console import err, out, print_json, print_metrics
from segue.cli.options import Drop, Items, Json, MachineSet, Model, Overwrite, Users
from segue.cli.progress import training_bar
from segue.errors import RequestError
from segue.report.text import in_one_line
from segue.settings.overrides import read_overrides
from segue.settings.units import milliseconds
from segue.system.exit_codes import Exit


def update(
    model: Model,
    log: Annotated[str, typer.Option("--log", help="The new log, in a form that segue fit reads.")],
    to: Annotated[Path, typer.Option("--out", help="The model folder to write, with a corpus of its own.")],
    items: Items = None,
    users: Users = None,
    corpus: Annotated[Path | None, typer.Option(help="The model's corpus, where that has moved.")] = None,
    newest: Annotated[
        str | None,
        typer.Option(
            help="Time before the newest event whose sessions are compared on, as 6h; else the newest third of the new"
            " sessions, of one day at most."
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Most passes over the sessions that are learned.")] = 3,
    replay: Annotated[float, typer.Option(min=0, max=1, help="Share of old sessions that are learned again.")] = 0.2,
    drop_invalid: Drop = False,
    machine: MachineSet = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Grow a model's corpus by a new log and train it on; MODEL is only read.

    The new model is written where it is not worse than MODEL on the newest sessions. Exit code 3 where it is worse, or
    the log holds nothing new; no model is written then. OUT may be MODEL itself, with --overwrite.

    Example: `segue update model --log today.csv --out model-2`
    """
    from segue.pipeline.settings import settings_for_log
    from segue.updating.source import Source
    from segue.updating.update import How, Updated
    from segue.updating.update import update as updated

    try:
        span = None if newest is None else milliseconds(newest)
    except ValueError as error:
        raise RequestError(f"--newest: {error}") from None
    chosen = read_overrides(None, machine or [])
    source = Source(settings_for_log(log, {})[0], items, users, span, drop_invalid)
    with training_bar() as progress:
        found: Updated = updated(model, source, to, How(corpus, overwrite, epochs, replay, progress, chosen))
    if as_json:
        print_json(found.as_dict())
    else:
        if found.compared is not None:
            print_metrics({"before": found.compared.before, "after": found.compared.after})
        for line in found.words:
            out.print(in_one_line(line))
    if found.verdict != "promoted":
        err.say(
            f"segue: {found.reason}; no model was written, {model} stays",
            "error",
            event="unchanged",
            exit_code=Exit.UNCHANGED,
        )
        raise typer.Exit(Exit.UNCHANGED)
    err.say(f"model: {to}")
