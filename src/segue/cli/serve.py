"""The command ``segue serve``: a trained model behind HTTP."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from segue.cli.console import err, out
from segue.cli.options import LiveItems, LiveWeights, Model, refuse_unless_live, state_of
from segue.errors import ConfigError
from segue.report.text import in_one_line

_NEEDED = ("prometheus_client", "starlette", "uvicorn", "uvloop", "httptools")


def serve(
    model: Model,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of the machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that answer.")] = 1,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the live events; by default MODEL.state.")
    ] = None,
    store: Annotated[
        str, typer.Option(metavar="sqlite|redis://HOST:PORT/DB", help="Where live events are kept.")
    ] = "sqlite",
    live: Annotated[
        bool, typer.Option("--live", help="Add every event to the counts of the model's memory; new items with them.")
    ] = False,
    live_weights: LiveWeights = None,
    live_items: LiveItems = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File of tokens, one per line; events, reload and deletion need one then.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings of the server as TOML, under [server].")] = None,
) -> None:
    """Answer requests over HTTP until Ctrl-C or SIGTERM; SIGHUP takes the model that is in the folder now.

    Example: `segue serve model --port 8000`, then open its address
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"serving needs more packages ({', '.join(missing)}): pip install 'segue[serve]'")
    from segue.server.run import Plan, Ready
    from segue.server.run import serve as run
    from segue.server.settings import read_settings
    from segue.server.store.opening import check_store
    from segue.server.tokens import exposed, read_tokens

    refuse_unless_live(live, live_weights=live_weights, live_items=live_items)
    check_store(store)
    settings = read_settings(config)
    read_tokens(token_file)
    if token_file is not None and (warning := exposed(token_file)) is not None:
        err.say(warning, "warning")
    folder = state or state_of(model)

    def ready(at: Ready) -> None:
        plural = "" if workers == 1 else "s"
        out.print(in_one_line(f"{at.address} serves {model}, version {at.version}, {workers} worker{plural}"))

    run(Plan(model, host, port, workers, folder, store, token_file, settings, live, live_weights, live_items), ready)
