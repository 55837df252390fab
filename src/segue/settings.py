"""The sections of one run's TOML, composed.

Precedence: defaults, then what the model's preset asks for, then ``--config FILE.toml``, then ``--set key=value``.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
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

from segue.config import Config, nearest
from segue.errors import ConfigError

_UNITS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_LARGEST_QUANTITY = 10**15
"""ms: thirty thousand years; bytes: a thousand TB. Sums of a few of them are exact in float64 and int64."""
_SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def milliseconds(text: str) -> int:
    """``"8h"`` → 28,800,000. Units: ms, s, min, h, d. Raises ValueError otherwise."""
    return int(_quantity(text, _UNITS, "a duration such as '30min' or '8h'"))


def size_in_bytes(text: str) -> int:
    """``"4GiB"`` → 4,294,967,296. Raises ValueError otherwise."""
    return int(_quantity(text, _SIZES, "a size such as '4GiB'"))


def _quantity(text: str, units: Mapping[str, int], wanted: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", text)
    if not match or match[2] not in units or float(match[1]) <= 0:
        raise ValueError(f"expected {wanted} (units {', '.join(units)})")
    amount = float(match[1]) * units[match[2]]
    smallest = next(iter(units))
    if not 1 <= amount <= _LARGEST_QUANTITY:
        raise ValueError(f"expected {wanted}, from 1{smallest} to {_LARGEST_QUANTITY:.0e}{smallest}")
    return amount


def _checked(convert: Any) -> AfterValidator:
    def check(text: str) -> str:
        convert(text)
        return text

    return AfterValidator(check)


Duration = Annotated[str, _checked(milliseconds)]
Size = Annotated[str, _checked(size_in_bytes)]


def _share(value: float) -> float:
    if not SMALLEST_SHARE <= value <= 1 - SMALLEST_SHARE:
        raise ValueError(f"a share must lie between {SMALLEST_SHARE:g} and {1 - SMALLEST_SHARE:.9f}")
    return value


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


SMALLEST_SHARE = 1e-9
"""Sessions are counted in exact fractions with denominators up to a billion."""
Fraction = Annotated[float, Field(gt=0.0, lt=1.0), AfterValidator(_share)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""Of events, sessions or users."""
Neighbours = Annotated[int, Field(ge=1, le=10_000)]
"""Entries kept per item. More than that is the whole catalogue, quadratic in memory."""


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


def read_overrides(config: Path | None = None, assignments: Sequence[str] = ()) -> Nested:
    """The user's own wishes as nested keys: the TOML file, then each ``section.key=value`` over it.

    Raises ConfigError for a missing file, broken TOML, or an assignment without section or value.
    """
    nested: Nested = _read_toml(config) if config else {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        keys = path.strip().split(".")
        if not equals or len(keys) < 2 or not all(keys):
            raise ConfigError(f"--set {assignment!r}: expected SECTION.KEY=VALUE, such as training.seed=1")
        _assign(nested, keys, _toml_value(text.strip()))
    for section in nested:
        if section not in Settings.model_fields:
            raise ConfigError(f"unknown section '{section}': {nearest(section, list(Settings.model_fields))}")
    return nested


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


def _assign(nested: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    table = nested
    for place, key in enumerate(keys[:-1], start=1):
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {'.'.join(keys)}: '{'.'.join(keys[:place])}' has a value already, it is no table")
    table[keys[-1]] = value


def _read_toml(path: Path) -> Nested:
    try:
        nested = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the settings file {path}: {os.strerror(error.errno or 0)}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the settings file {path} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the settings file {path} is not valid TOML: {error}") from None
    for section, values in nested.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: '{section}' stands outside a section; write it under [section]")
    return nested


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # no TOML, or TOML beyond what Python reads: numbers of thousands of digits
        return text
