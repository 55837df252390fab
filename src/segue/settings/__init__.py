"""The settings of a run: typed sections, composed from defaults, presets, files and assignments."""

from segue.settings.layers import Nested, compose, merged
from segue.settings.log_sections import ColumnsSettings, CsvSettings
from segue.settings.sections import (
    EvaluationSettings,
    FiltersSettings,
    GraphSettings,
    ModelSettings,
    PreparationSettings,
    SessionsSettings,
    Settings,
    SplitSettings,
    TrainingSettings,
)

__all__ = [
    "ColumnsSettings",
    "CsvSettings",
    "EvaluationSettings",
    "FiltersSettings",
    "GraphSettings",
    "ModelSettings",
    "Nested",
    "PreparationSettings",
    "SessionsSettings",
    "Settings",
    "SplitSettings",
    "TrainingSettings",
    "compose",
    "merged",
]
