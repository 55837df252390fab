"""The command ``segue study``: each table and figure of the paper, and ``all`` for a page of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from segue.cli.console import err, out, print_json
from segue.cli.options import Config, Corpus, Json, Set, overrides_of
from segue.cli.progress import training_bar
from segue.errors import ConfigError, UserMistake
from segue.paper.plan import QUICK_MINUTES, QUICK_USERS, RUNS, Plan, Protocol
from segue.system.holding import held, sweep

Name = Literal["table1", "table2", "table3", "table4", "table5", "figure3", "figure4", "figure5", "all"]


def study(
    name: Annotated[Name, typer.Argument(help="A table or figure of the paper, or all of them on one page.")],
    corpus: Corpus,
    to: Annotated[Path, typer.Option("--out", help="Folder for results and models; finished models are used again.")],
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help=f"Fast: {QUICK_USERS} users drawn by seed, {QUICK_MINUTES:g} min per run, nothing tuned or refitted.",
        ),
    ] = False,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=100, help="Number of trainings per run.")] = 1,
    minutes: Annotated[
        float | None, typer.Option("--minutes", help="Limit of minutes per training, and per search.")
    ] = None,
    protocol: Annotated[
        Protocol | None,
        typer.Option(
            "--protocol",
            help="table2: settings by preset (with --quick), tuned alike (else), or the paper's grid.",
        ),
    ] = None,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="table2: most trials per model.")] = None,
    config: Config = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """The paper's tables and figures on any corpus: NAME.md, NAME.json, NAME.html, and SVG; resumes by repetition.

    Example: `segue study table4 corpus --out study --quick`
    """
    # The search for settings takes long to import, and most commands do without.
    from segue.paper.index import PAGE, SHEETS, Builder, everything
    from segue.paper.table2 import comparison

    if (protocol or trials) and name not in ("table2", "all"):
        raise ConfigError(f"--protocol and --trials are table2's; {name} takes the presets as they are")
    compared = partial(comparison, protocol=protocol, trials=trials)
    builders: dict[str, Builder] = {**SHEETS, "table2": compared}
    with held(to, UserMistake), training_bar() as progress:
        for folder in RUNS:
            sweep(to / folder, lambda path: True)
        plan = Plan(corpus, to, quick, seeds, minutes, overrides_of(config, set_), progress)
        if name == "all":
            sheets = everything(plan, builders)
        else:
            sheets = [builders[name](plan)]
            sheets[0].write(to)
    if as_json:
        found = [sheet.as_dict() for sheet in sheets]
        print_json(found if name == "all" else found[0])
        return
    for sheet in sheets:
        out.print(sheet.markdown())
    err.say(f"written: {to / (PAGE if name == 'all' else f'{name}.html')}")
