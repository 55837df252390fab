"""The card of a model: what it was made of and how good it is, as the files beside it say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segue.errors import first_line
from segue.server.answers import ModelCard
from segue.server.engine import Engine, version_of
from segue.server.evaluations import evaluations_of
from segue.system.json_files import parse_object, read_text
from segue.system.log_lines import line

_MEASURED = (
    "split", "protocol", "history", "events", "sessions", "users", "metrics", "metrics_by_session", "metrics_by_user",
    "slices", "masked", "coverage",
)  # fmt: skip
"""What is shown of an evaluation."""


def card_of(engine: Engine) -> ModelCard:
    """The card of the model that an engine answers with.

    Its evaluations and epochs are files that may come later than the model; once another model is in the folder, they
    are no longer those of this one and are left out.
    """
    artifact, facts = engine.recommender.artifact, engine.facts
    times = artifact.history.times
    folder = artifact.folder
    evaluations = {
        part: {key: measured[key] for key in _MEASURED if measured.get(key) is not None}
        for part, measured in evaluations_of(folder).items()
    }
    epochs = _epochs(folder)
    ours = version_of(folder) == engine.version
    return ModelCard(
        model_version=engine.version,
        name=engine.title,
        sizes=engine.catalogue.sizes,
        times=[int(times.min()), int(times.max())] if len(times) else [],
        trained_on=facts["trained_on"],
        statistics=facts["statistics"],
        choices=facts.get("choices", []),
        evaluations=evaluations if ours else {},
        epochs=epochs if ours else [],
    )


def _epochs(folder: Path) -> list[dict[str, Any]]:
    try:
        return [parse_object(text) for text in read_text(folder / "metrics.jsonl").splitlines()]
    except FileNotFoundError:  # nothing was trained
        return []
    except (OSError, ValueError) as error:
        line("error", "card", why=f"cannot read the epochs of {folder}: {first_line(error)}")
        return []
