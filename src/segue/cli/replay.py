"""The command ``segue replay``: a log played against a trained model, as a server would have lived it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from segue.cli.console import err, print_json, print_metrics, print_rows
from segue.cli.options import (
    Config,
    Json,
    LiveItems,
    LiveWeights,
    Model,
    Set,
    note_unused,
    overrides_of,
    refuse_unless_live,
)
from segue.cli.progress import evaluation_bar
from segue.errors import UserMistake
from segue.settings import merged
from segue.system.atomic import write_text, writing


def replay(
    model: Model,
    log: Annotated[
        str | None, typer.Argument(help="A log of later events; left out: the test part of the model's own corpus.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live/--frozen", help="Whether every event is added to the counts of the model's memory.")
    ] = False,
    live_weights: LiveWeights = None,
    live_items: LiveItems = None,
    learn: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --live, let each event teach the live weights, and write them here."),
    ] = None,
    history: Annotated[
        Literal["frozen", "rolling"] | None,
        typer.Option(
            help="Whether sessions that have ended become history: rolling, as with the server, is the default of a "
            "log and of --live; the model's evaluation.history that of its test part."
        ),
    ] = None,
    config: Config = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Ask for a list before each event of a log, then take the event; measures the lists.

    Rows that are no events are left out and counted. Settings of --config and --set, such as columns, are for reading
    the log; what they leave open is read as the model's own log was.

    Example: `segue replay model later.csv --live`
    """
    from segue.pipeline.settings import settings_for_log
    from segue.replay.events import of_log, of_test_part
    from segue.replay.run import play
    from segue.server.engine import Engine

    refuse_unless_live(live, live_weights=live_weights, live_items=live_items, learn=learn)
    if learn is not None:
        _check_place(learn)
    overrides = overrides_of(config, set_)
    engine = Engine(model, live=live, live_weights=live_weights, live_items=live_items)
    settings = engine.settings
    policy: Literal["frozen", "rolling"] = history or (
        "rolling" if live or log is not None else settings.evaluation.history
    )
    if log is None:
        note_unused(overrides, "the test part of a model")
        stream = of_test_part(engine.recommender.artifact, with_validation=live or policy == "rolling")
    else:
        reading = settings.model_dump(mode="json", include={"columns", "csv", "preparation"})
        stream = of_log(*settings_for_log(log, merged(reading, overrides)))
    with evaluation_bar() as progress:
        mask = settings.evaluation.mask_session
        result = play(engine, stream, history=policy, mask_session=mask, learn=learn is not None, progress=progress)
    found = result.as_dict()
    if learn is not None and engine.live is not None:
        with writing(learn):
            write_text(learn, json.dumps(engine.live.live.weights.as_dict(), indent=1) + "\n")
    for warning in result.warnings:
        err.say(f"warning: {warning}", "warning")
    if as_json:
        print_json(found)
        return
    for reason, rows in result.dropped.items():
        err.say(f"{rows:,} rows left out: {reason}", "warning", rows=rows, reason=reason)
    print_metrics({f"{result.model}, {result.mode}": found["metrics"]})
    shown = ("source", "history", "masked", "events", "measured", "unknown")
    print_rows({name: found[name] for name in shown})


def _check_place(learn: Path) -> None:
    """Refuse a file that cannot be written before the replay, not after it."""
    if learn.is_dir():
        raise UserMistake(f"--learn {learn} is a folder; name a file")
    if not learn.parent.is_dir():
        raise UserMistake(f"--learn {learn}: there is no folder {learn.parent}; make it, or choose another file")
