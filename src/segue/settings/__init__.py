"""The settings of a run: typed sections, composed from defaults, presets, files and assignments."""

from segue.settings.sections import (
    ColumnsSettings,
    CsvSettings,
    EvaluationSettings,
    FiltersSettings,
    GraphSettings,
    ModelSettings,
    Nested,
    PreparationSettings,
    SessionsSettings,
    Settings,
    SplitSettings,
    TrainingSettings,
    compose,
    merged,
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
