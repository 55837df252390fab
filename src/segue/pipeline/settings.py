"""The door: the user's overrides become the complete settings of a run, once; behind it only ``Settings`` travel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segue import models
from segue.data import sources
from segue.data.corpus_folder import read_manifest
from segue.data.sources import Source
from segue.errors import ConfigError
from segue.pipeline.choices import CHOSEN, EPOCHS, LeftOpen
from segue.settings import Nested, Settings, merged
from segue.settings.overrides import dotted_keys
from segue.system.paths import named

_OF_COUNTS = tuple(f"model.{key}" for key in ("window", "history_half_life", "trend_half_life", "memory", "pointer"))
"""Options of HG-GNN that preset `memory` has too, inner keys and `memory_items` included."""
_FIXED_BY_PREPARATION = ("columns", "sessions", "filters", "split")


def settings_for_log(log: Any, overrides: Nested) -> tuple[Any, Settings]:
    """The log, or the known data set that a name such as ``lastfm:FILE`` stands for, and the settings of a run on it.

    The settings of a known data set lie beneath the user's. Raises ConfigError for a mistake in `overrides`, LogError
    for an unknown data set.
    """
    source: Source | None = sources.find(log) if isinstance(log, str) else None
    if isinstance(log, str):
        log = named(log)
    return source or log, models.with_preset(merged(source.settings if source else {}, overrides))


def left_open(source: Any, overrides: Nested) -> LeftOpen | None:
    """What ``segue fit`` may choose; None where the user named a model or a preset: then all is as asked.

    Whether vectors pay is open where no option of the model is set but those that the counts alone have too.

    Args:
        source: the log or known data set as :func:`settings_for_log` returns it. overrides: the user's, as given there.
    """
    asked = merged(source.settings if isinstance(source, Source) else {}, overrides)
    keys = dotted_keys(asked)
    if keys & {"model.name", "model.preset"}:
        return None
    settings = frozenset(CHOSEN) - keys
    if not keys & {"training.max_epochs", "training.patience"}:
        settings |= {EPOCHS}
    if any(key.startswith("model.") and not key.startswith(_OF_COUNTS) for key in keys):
        return LeftOpen(settings)
    return LeftOpen(settings, models.with_preset(merged(asked, {"model": {"preset": "memory"}})))


def settings_for_corpus(corpus: Path, overrides: Nested) -> Settings:
    """The settings of a run on a corpus: its preparation is fixed; the preset and the user decide the rest.

    Raises ConfigError for a mistake in `overrides`, or when they ask for another preparation.
    """
    # Corpora of an earlier Segue lack the keys that came since; they were prepared with the defaults of these.
    prepared_with = Settings.parse(read_manifest(corpus)["settings"]).model_dump(mode="json")
    wanted = models.with_preset(overrides).model_dump(mode="json")
    for section in _FIXED_BY_PREPARATION:
        for key in overrides.get(section, {}):
            if wanted[section][key] != prepared_with[section][key]:
                raise ConfigError(
                    f"setting '{section}.{key}' was fixed when the corpus {corpus} was prepared"
                    f" ({prepared_with[section][key]!r}); prepare another corpus to change it"
                )
    return models.with_preset({**overrides, **{section: prepared_with[section] for section in _FIXED_BY_PREPARATION}})
