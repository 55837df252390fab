"""The command ``segue forget``: a model without some people, and the proof of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.cli.console import err, out, print_json
from segue.cli.id_file import read_ids
from segue.cli.options import Json, MachineSet, Model, Overwrite, state_of
from segue.cli.progress import training_bar
from segue.data.checks import read_table
from segue.errors import UserMistake
from segue.report.text import in_one_line
from segue.serving.vocabulary import Vocabulary
from segue.settings.overrides import read_overrides
from segue.system.exit_codes import Exit


def forget(
    model: Model,
    to: Annotated[Path, typer.Option("--out", help="The model folder to write, with a corpus of its own.")],
    user: Annotated[list[str] | None, typer.Option("--user", help="Id of a person. May be repeated.")] = None,
    users_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Ids, one per line, or CSV with a column user_id.")
    ] = None,
    corpus: Annotated[Path | None, typer.Option(help="Its corpus, where that has moved.")] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of a server's live events, which they leave too.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(metavar="STORE", help="sqlite (with --state) or redis://HOST:PORT/DB.")
    ] = None,
    retrain: Annotated[bool, typer.Option("--retrain", help="Train the weights anew, without them.")] = False,
    machine: MachineSet = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a model without some people, and prove that nothing of them is left in its folder; MODEL is only read.

    Exit code 1 where that is not proved; no model is written then.

    Example: `segue forget model --user anna --out model-2 --state model.state`
    """
    from segue.forgetting.forget import How
    from segue.forgetting.forget import forget as without
    from segue.forgetting.live import Live
    from segue.forgetting.result import NotForgotten

    people = [*(user or []), *(_listed(users_file, model) if users_file else [])]
    chosen = read_overrides(None, machine or [])
    live = Live(state, store or "sqlite") if state is not None or store is not None else None
    try:
        with training_bar() as progress:
            found = without(model, people, to, How(corpus, overwrite, retrain, live, progress, chosen))
    except NotForgotten as error:
        err.say(f"segue: {error}", "error", event="unproved", exit_code=Exit.DEFECT)
        raise typer.Exit(Exit.DEFECT) from None
    if live is None and (beside := state_of(model)).exists():
        err.say(f"note: {beside} holds live events of this model; name it with --state to take them out there too")
    if as_json:
        print_json(found.as_dict())
        return
    for line in found.words:
        out.print(in_one_line(line))
    err.say(f"model: {to}")


def _listed(path: Path, model: Path) -> list[str]:
    """The ids of a file. Raises UserMistake where it, or the model's users, cannot be read."""
    try:
        known = read_table(model / "users.parquet", ("user_id",)).column("user_id").to_pylist()
    except (OSError, ValueError) as error:
        raise UserMistake(f"the users of {model} cannot be read ({error}); name a trained model") from None
    return read_ids(path, Vocabulary([each for each in known if each is not None]), "user_id")
