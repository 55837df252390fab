"""The Python API: train and load models on files and frames."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segue.errors import ConfigError
from segue.serving.recommender import Recommender
from segue.settings import Nested
from segue.settings.overrides import read_overrides
from segue.system.paths import named_path

if TYPE_CHECKING:
    from segue.serving.index import IndexSettings

Settings = Mapping[str, Mapping[str, Any]] | str | Path | None


def fit(
    log: Any,
    settings: Settings = None,
    *,
    out: str | Path | None = None,
    items: Any = None,
    users: Any = None,
    refit: bool = True,
    final: bool = False,
    overwrite: bool = False,
    choose: bool = True,
) -> Recommender:
    """Prepare, train and measure on a log; returns the model, ready to recommend.

    Args:
        log: a path as for ``segue fit``, or a pandas, Polars or Arrow frame with user_id, item_id and timestamp.
        settings: nested keys such as ``{"sessions": {"gap": "30min"}}``, or the path of a TOML file.
        out: folder of the model. Unset: a temporary one, gone with the model; ``model.save(folder)`` keeps it.
        items, users: names and categorical columns, one row per id: a path as for ``segue fit``, or a frame.
        refit: train again on train + validation once the epoch is chosen. final: after the test, train on everything.
        overwrite: replace an existing `out`.
        choose: choose window, half-lives, dim and whether vectors pay on train and validation, where `settings` leave
            them open and name no model or preset.

    Raises UserMistake with one line that says what to do.
    """
    from segue.pipeline import fit as pipeline  # with torch, which a model that answers does without
    from segue.pipeline.settings import left_open, settings_for_log
    from segue.pipeline.stages import Options

    scratch = None if out is not None else tempfile.TemporaryDirectory(prefix="segue-model-")
    folder = Path(scratch.name) / "model" if scratch else named_path(out or "")
    overrides = _nested(settings)
    source, complete = settings_for_log(str(log) if isinstance(log, Path) else log, overrides)
    left = left_open(source, overrides) if choose else None
    pipeline.fit(
        source,
        folder,
        complete,
        Options(refit=refit, final=final, overwrite=overwrite, left_open=left),
        items=_named(items),
        users=_named(users),
    )
    return Recommender.load(folder, keep_alive=scratch)


def load(folder: str | Path, *, index: IndexSettings | None = None) -> Recommender:
    """Load a trained model. Raises ArtifactError when it is missing, damaged or of another format.

    Args:
        index: when an index finds the best items of a large catalogue, in place of scoring every item for every answer.
            Unset: never.
    """
    return Recommender.load(folder, index=index)


def _named(source: Any) -> Any:
    return named_path(source) if isinstance(source, str | Path) else source


def _nested(settings: Settings) -> Nested:
    if isinstance(settings, (str, Path)):
        return read_overrides(named_path(settings))
    if settings is not None and not isinstance(settings, Mapping):
        kind = type(settings).__name__
        raise ConfigError(f"settings are a {kind}; give {{'SECTION': {{KEY: VALUE}}}}, or the path of a TOML file")
    nested = dict(settings or {})
    for section, values in nested.items():
        if not isinstance(values, Mapping):
            raise ConfigError(
                f"setting '{section}' stands outside a section; write it as {{'SECTION': {{KEY: VALUE}}}}"
            )
    return {section: dict(values) for section, values in nested.items()}
