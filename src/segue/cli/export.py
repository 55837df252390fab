"""The command ``segue export``: a trained model for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.cli.console import err, out, print_json
from segue.cli.options import Config, Json, Model, Set, note_unused, overrides_of


def export(
    model: Model,
    onnx: Annotated[Path, typer.Option(metavar="DIR", help="The new folder for the ONNX graphs and their manifest.")],
    config: Config = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Write a trained model as ONNX graphs: a session encoder and a scorer, with a manifest of what they read.

    Example: `segue export model --onnx exported`
    """
    from segue.export.folder import export as write

    note_unused(overrides_of(config, set_), "a trained model")
    exported = write(model, onnx)
    err.say(f"not in the graphs: {'; '.join(exported.manifest['left_out'])}")
    if as_json:
        print_json(exported.manifest)
        return
    kind = exported.manifest["model"]
    out.print(
        f"{onnx}: {kind['name']}/{kind['preset']}, {exported.size / 1e6:,.1f} MB, opset {exported.manifest['opset']}"
    )
