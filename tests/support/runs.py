"""Runs from settings as a user writes them: through the door that the command line uses, then the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segue.data.preparation import prepare as preparation
from segue.pipeline import fit as pipeline
from segue.pipeline.settings import settings_for_corpus, settings_for_log
from segue.pipeline.stages import Options
from segue.settings import Nested


def prepare(log: Any, out: Path, overrides: Nested, **files: Any) -> dict[str, Any]:
    """``segue prepare``."""
    source, settings = settings_for_log(log, overrides)
    return preparation.prepare(source, out, settings, **files)


def train(corpus: Path, out: Path, overrides: Nested, options: Options | None = None) -> Path:
    """``segue train``."""
    return pipeline.train(corpus, out, settings_for_corpus(corpus, overrides), options or Options())


def fit(log: Any, out: Path, overrides: Nested, options: Options | None = None, **files: Any) -> Path:
    """``segue fit``."""
    source, settings = settings_for_log(log, overrides)
    return pipeline.fit(source, out, settings, options or Options(), **files)
