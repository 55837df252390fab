"""The sections of one run's TOML, composed.

Precedence: defaults, then what the model's preset asks for, then ``--config FILE.toml``, then ``--set key=value``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)

from segue.settings.base import Config
from segue.settings.units import Count, Duration, Fraction, Size


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,2})?", name):
        raise ValueError("use auto, cpu or cuda (cuda:1 for the second GPU)")
    return name


def _auto_or_bool(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """One message, where pydantic has one for each member of the union."""
    try:
        return validate(value)
    except ValidationError:
        raise ValueError("expected auto, true or false") from None


class ColumnsSettings(Config):
    """Which columns of the source hold what."""

    user_id: str = "user_id"
    item_id: str = "item_id"
    timestamp: str = "timestamp"
    session_id: str | None = None
    """Unset: a column called session_id is used where there is one."""
    event_type: str | None = None
    """Unset: a column called event_type is used where there is one."""


class SessionsSettings(Config):
    """From events to sessions."""

    gap: Duration = "8h"
    """An idle time strictly longer than this opens a new session. Ignored where sessions are given."""
    min_length: int = Field(3, ge=2, le=1_000_000)
    max_length: int = Field(20, ge=2, le=1_000_000)
    keep: Literal["last", "first", "drop"] = "last"
    """Of a session longer than max_length: its last or first items, or none of it."""
    drop_repeats: bool = True
    """Drop immediate repeats of an item."""


class FiltersSettings(Config):
    """What is left out, in the order of docs/guide: event types, top items, support, short sessions, rare users."""

    min_item_support: Count = 5
    min_user_sessions: Count = 5
    top_items: Count | None = None
    event_types: tuple[str, ...] | None = None
    rare_users: Literal["drop", "train"] = "drop"
    """"train": sessions without a user, or of rare users, feed the item relations and the unknown-user row."""


class SplitSettings(Config):
    """Train, validation, test."""

    protocol: Literal["user_80_20", "global_time"] = "user_80_20"
    test: Fraction = 0.2
    validation: Fraction = 0.1


class GraphSettings(Config):
    """The heterogeneous global graph."""

    sample_size: Count = 12
    """S: the most frequent transitions kept per item and direction. More than there are items: all."""
    top_k_similar: Count = 20
    """K: similar items kept per item, eq. (2)."""
    relations: tuple[Literal["adjacent_in", "adjacent_out", "similar", "interact", "interacted_by"], ...] = (
        "adjacent_in",
        "adjacent_out",
        "similar",
        "interact",
        "interacted_by",
    )
    attributes: tuple[str, ...] = ()
    """Columns of the items or users file that become attribute nodes, "item.COLUMN" or "user.COLUMN"."""
    max_users_per_item: Count | None = None
    """Bound on the users a popular item listens to (its most frequent ones). Unset: all."""


class ModelSettings(Config):
    """Which model, and its own options: the keys that its configuration class declares."""

    model_config = ConfigDict(extra="allow")

    name: str = "hg_gnn"
    preset: str | None = None
    """Unset: the model's first preset (hg_gnn: "segue")."""

    @property
    def options(self) -> dict[str, Any]:
        """The keys beside name and preset, as written."""
        return dict(self.model_extra or {})


class TrainingSettings(Config):
    """The one training loop."""

    optimizer: Literal["adam", "adamw", "adagrad"] = "adam"
    momentum: float = Field(0.0, ge=0, lt=1)
    """Of adagrad: how much of a row's last step is in its next one."""
    batch_events: int = Field(512, ge=1, le=100_000_000)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-5, ge=0)
    schedule: Literal["constant", "step", "plateau"] = "constant"
    """step: × decay every decay_every epochs; plateau: × decay after an epoch without a better validation HR@10."""
    decay: float = Field(0.1, gt=0, lt=1)
    decay_every: int = Field(3, ge=1, le=1_000_000)
    max_epochs: int = Field(30, ge=1, le=1_000_000)
    max_minutes: float | None = Field(None, gt=0)
    patience: int = Field(5, ge=1, le=1_000_000)
    checkpoint_minutes: float = Field(10.0, ge=0)
    """Minutes between checkpoints inside an epoch (one is always written at its end); 0: after every step."""
    seed: int = Field(0, ge=0, lt=2**63)
    threads: int = Field(0, ge=0, le=1024)
    """0: all."""
    device: Annotated[str, AfterValidator(_device)] = "auto"
    shuffle: Literal["sessions", "events"] = "sessions"

    @field_validator("momentum")
    @classmethod
    def _of_adagrad(cls, momentum: float, info: ValidationInfo) -> float:
        if momentum and info.data.get("optimizer", "adagrad") != "adagrad":
            raise ValueError("only optimizer 'adagrad' takes a momentum; set momentum = 0")
        return momentum


class EvaluationSettings(Config):
    """How a model is measured."""

    history: Literal["frozen", "rolling"] = "frozen"
    mask_session: Annotated[Literal["auto"] | bool, WrapValidator(_auto_or_bool)] = "auto"
    """auto: mask items of the running session where train sessions never repeat an item."""


class PreparationSettings(Config):
    """Resources of preparation and graph construction."""

    memory_limit: Size | None = None
    """Cap of the query engine; it spills to disk beyond. Unset: half of the memory the process may use."""
    drop_invalid: bool = False
    """Drop and count rows with null ids or times instead of refusing the log."""


class Settings(Config):
    """One run."""

    columns: ColumnsSettings = ColumnsSettings()
    sessions: SessionsSettings = SessionsSettings()
    filters: FiltersSettings = FiltersSettings()
    split: SplitSettings = SplitSettings()
    graph: GraphSettings = GraphSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    preparation: PreparationSettings = PreparationSettings()


Nested = dict[str, dict[str, Any]]
"""Section → key → value, or a table of keys where a setting has keys of its own (``model.window.length``)."""


def compose(*layers: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Settings from nested keys, later layers over earlier ones. Raises ConfigError on the first mistake."""
    return Settings.parse(merged(*layers))


def merged(*layers: Mapping[str, Mapping[str, Any]]) -> Nested:
    """Nested keys, later layers over earlier ones; nothing is checked."""
    nested: Nested = {}
    for layer in layers:
        for section, values in layer.items():
            nested[section] = _over(nested.get(section, {}), values)
    return nested


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` wins key by key, also inside tables that both have."""
    both = {key: _over(below[key], value) for key, value in above.items() if _are_tables(below.get(key), value)}
    return {**below, **above, **both}


def _are_tables(*values: Any) -> bool:
    return all(isinstance(value, Mapping) for value in values)
