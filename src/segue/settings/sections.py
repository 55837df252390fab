"""The sections of one run's settings, but for those of its log."""

from __future__ import annotations

import re
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
from segue.settings.log_sections import ColumnsSettings, CsvSettings
from segue.settings.units import Count, Duration, Fraction, Size, Words


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


class SessionsSettings(Config):
    """How events become sessions."""

    gap: Duration = "8h"
    """An idle time strictly longer than this opens a new session. It is ignored where the log has session ids, but for
    rows without one under `sessions.missing`."""
    missing: Literal["refuse", "gap"] = "refuse"
    """What becomes of rows without a session id where other rows have one: "refuse" takes them for mistakes, "gap" cuts
    each user's into sessions by `sessions.gap`."""
    min_length: int = Field(3, ge=2, le=1_000_000)
    """Fewest items of a session. Shorter sessions are left out, once the events of rare items are gone."""
    max_length: int = Field(20, ge=2, le=1_000_000)
    """Most items of a session; `sessions.keep` says what becomes of a longer one."""
    keep: Literal["last", "first", "drop"] = "last"
    """What becomes of a session longer than max_length: "last" and "first" keep that many of its last or first items,
    "drop" leaves the whole session out."""
    drop_repeats: bool = True
    """True removes an event whose item is also the item of the event just before it in the session."""


class FiltersSettings(Config):
    """What is left out of the log. Each filter is applied once, in this order: event types, top items, item support,
    short sessions, rare users."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    min_item_support: Count = 5
    """Fewest events of an item; the events of rarer items are left out."""
    min_user_sessions: Count = 5
    """Fewest sessions of a user; `filters.rare_users` says what becomes of the sessions of users with fewer."""
    top_items: Count | None = None
    """Number of most frequent items to keep, counted before sessions are formed. Unset: all items."""
    event_types: tuple[str, ...] | None = None
    """Event types to keep, such as ["view", "purchase"], or [1, 2] where they are numbers. Each of them must occur in
    the log. Unset: all of them."""
    rare_users: Literal["drop", "train"] = "drop"
    """What becomes of sessions without a user, or of a user with too few sessions: "drop" leaves them out, "train" lets
    them teach the relations between items and the vector of unknown users."""
    scope: Literal["all", "train"] = "all"
    """Which events the filters count: "all" those of the whole log, as the paper's preparations do, so that what is in
    test decides in part which items and users train has; "train" those of train and validation alone. Test is then
    the last share of all sessions, short ones included, and set apart before anything is counted."""


class SplitSettings(Config):
    """How sessions are divided into train, validation and test."""

    protocol: Literal["user_80_20", "global_time"] = "user_80_20"
    """Order in which the parts follow one another: "user_80_20" divides the sessions of each user by their start, as
    the paper does; "global_time" divides all sessions together by their end, so that no training session is from the
    future of a tested one."""
    test: Fraction = 0.2
    """Share of the sessions that are test, the last ones of their order."""
    validation: Fraction = 0.1
    """Share of the remaining sessions that are validation, again the last ones. Where at least three sessions remain
    (for the user, or under "global_time" for the whole log), at least one is validation."""


class GraphSettings(Config):
    """How the heterogeneous global graph is built from the train sessions."""

    sample_size: Count = 12
    """S of the paper: the most frequent transitions kept per item and direction. A number above that of the items keeps
    all of them."""
    top_k_similar: Count = 20
    """K of the paper: similar items kept per item, eq. (2)."""
    relations: tuple[Literal["adjacent_in", "adjacent_out", "similar", "interact", "interacted_by"], ...] = (
        "adjacent_in",
        "adjacent_out",
        "similar",
        "interact",
        "interacted_by",
    )
    """Relations that the graph has: two of transitions between items, one of similar items, and two between users and
    items."""
    attributes: tuple[str, ...] = ()
    """Columns of the items or users file that become attribute nodes, "item.COLUMN" or "user.COLUMN"."""
    max_users_per_item: Count | None = None
    """Most users that send messages to one item, its most frequent ones. Unset: all of its users."""

    @property
    def relation_names(self) -> tuple[str, ...]:
        """Names of all relations of the graph, those of `attributes` included."""
        nodes = [name.replace(".", ":", 1) for name in self.attributes]
        return (*self.relations, *(f"{way}:{node}" for node in nodes for way in ("has", "held_by")))


class ModelSettings(Config):
    """Which model, and its own options: the keys that its configuration class declares."""

    model_config = ConfigDict(extra="allow")

    name: str = "hg_gnn"
    """Name of the model, one of the models listed below."""
    preset: str | None = None
    """Name of a preset of the model: settings that stand over the defaults and below the user's own. Unset: the model's
    first preset (for hg_gnn "segue")."""

    @property
    def options(self) -> dict[str, Any]:
        """The keys beside name and preset, as written."""
        return dict(self.model_extra or {})


class TrainingSettings(Config):
    """How a trained model learns; models that only count take no notice of this section."""

    optimizer: Literal["adam", "adamw", "adagrad"] = "adam"
    """Rule of the updates: "adam" adds weight decay to the gradient, "adamw" applies it apart from the gradient,
    "adagrad" is Adagrad with momentum that touches only those rows of tables that have a gradient."""
    momentum: float = Field(0.0, ge=0, lt=1)
    """Share of a row's last step that its next step repeats; for optimizer "adagrad" alone."""
    batch_events: int = Field(512, ge=1, le=100_000_000)
    """Approximate number of events (a prefix and its target) per training step. Models that carry a state from batch to
    batch play about this number of events side by side."""
    learning_rate: float = Field(1e-3, gt=0)
    """Learning rate of the first epoch."""
    weight_decay: float = Field(1e-5, ge=0)
    """Strength of the pull of all parameters towards zero (L2); 0 is none."""
    schedule: Literal["constant", "step", "plateau"] = "constant"
    """When the learning rate is multiplied by `training.decay`: "constant" never, "step" after every
    `training.decay_every` epochs, "plateau" after an epoch without a better validation HR@10."""
    decay: float = Field(0.1, gt=0, lt=1)
    """Factor by which the schedule lowers the learning rate."""
    decay_every: int = Field(3, ge=1, le=1_000_000)
    """Epochs between two decays of schedule "step"."""
    epoch_steps: int = Field(0, ge=0, le=1_000_000_000)
    """Steps that count as one epoch for `training.decay_every` and `training.max_epochs`, so that a schedule made for a
    long log also fits a short one. Where a pass over the train part is shorter, one epoch is as many passes as come
    nearest to that number of steps. Where these are two or more, no training stops before its first such epoch;
    `training.patience` counts the single passes after it, and schedule "step" also lowers the rate after every second
    of them in a row without a better validation HR@10. 0: an epoch is a pass."""
    pass_steps: int = Field(0, ge=0, le=1_000_000_000)
    """Fewest steps of a pass over the train part. Where batches of `training.batch_events` are too large for that, they
    are made as much smaller as it takes, but not smaller than 16 events. 0: batches are what `training.batch_events`
    says."""
    pass_events: int = Field(0, ge=0, le=1_000_000_000_000)
    """Approximate most events of a pass. A longer log is read in part, other sessions drawn in every pass; what a model
    counts, it still counts over the whole log. 0: a pass reads everything."""
    validation_events: int = Field(0, ge=0, le=1_000_000_000_000)
    """Approximate most events of validation that passes are compared on, those of users drawn once; the best pass is
    measured on all events in the end. 0: every pass is measured on all events."""
    max_epochs: int = Field(30, ge=1, le=1_000_000)
    """Most epochs of a training."""
    max_minutes: float | None = Field(None, gt=0)
    """Minutes after which a training that still looks for its best epoch stops, validation included. A refit takes
    about as long again. Unset: no limit."""
    patience: int = Field(5, ge=1, le=1_000_000)
    """Epochs in a row without a better validation HR@10 (MRR@10 decides a tie) after which training stops; passes after
    the first epoch where several passes are one epoch (`training.epoch_steps`)."""
    checkpoint_minutes: float = Field(10.0, ge=0)
    """Minutes between checkpoints inside an epoch; one more is written at its end. 0: a checkpoint after every step."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Seed of the first parameters, of dropout, of sampled items and of the order of the batches."""
    threads: int = Field(0, ge=0, le=1024)
    """Processor threads that PyTorch computes with. 0: as many as PyTorch would take by itself, but no more than the
    process has cores."""
    device: Annotated[str, AfterValidator(_device), Words('"auto", "cpu", "cuda" or "cuda:N"')] = "auto"
    """Device that computes: "cpu", "cuda", or one GPU such as "cuda:1". "auto" takes the GPU where there is one."""
    split_items: bool = False
    """Whether the processes that train together (torchrun) share the item vectors by rows, each with its part of them
    and of what the optimizer keeps for them. For sasrec, narm and sr_gnn."""
    shuffle: Literal["sessions", "events"] = "sessions"
    """What is put into random order in every epoch: "sessions" keeps the events of a session in one batch, "events"
    spreads the single events over all batches, as the papers do."""

    @field_validator("momentum")
    @classmethod
    def _only_of_adagrad(cls, momentum: float, info: ValidationInfo) -> float:
        if momentum and info.data.get("optimizer", "adagrad") != "adagrad":
            raise ValueError("only optimizer 'adagrad' takes a momentum; set momentum = 0")
        return momentum


class EvaluationSettings(Config):
    """How a model is measured."""

    history: Literal["frozen", "rolling"] = "frozen"
    """Earlier sessions of the user that a model may look back at: "frozen" those of the train part, "rolling" every
    session that ended before the measured one began."""
    mask_session: Annotated[Literal["auto"] | bool, WrapValidator(_auto_or_bool)] = "auto"
    """Whether items of the running session are left out of the ranking. "auto" leaves them out where no train session
    holds an item twice."""


class PreparationSettings(Config):
    """Resources of the preparation and of graph construction."""

    memory_limit: Size | None = None
    """Most memory of the query engine, such as "4GiB"; beyond it the engine spills to disk. Unset: half of the memory
    that the process may use."""
    drop_invalid: bool = False
    """True leaves out, and counts, rows that are no events: a null id or time, a time that cannot be read, a repeated
    header, a line with too few or too many fields or a broken quote. False refuses a log with such rows."""


class Settings(Config):
    """All settings of one run, by section."""

    columns: ColumnsSettings = ColumnsSettings()
    """Names of the source's columns."""
    csv: CsvSettings = CsvSettings()
    """How text files are read."""
    sessions: SessionsSettings = SessionsSettings()
    """How events become sessions."""
    filters: FiltersSettings = FiltersSettings()
    """What is left out of the log."""
    split: SplitSettings = SplitSettings()
    """How sessions are divided into train, validation and test."""
    graph: GraphSettings = GraphSettings()
    """How the graph is built."""
    model: ModelSettings = ModelSettings()
    """Which model, and its options."""
    training: TrainingSettings = TrainingSettings()
    """How a trained model learns."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """How a model is measured."""
    preparation: PreparationSettings = PreparationSettings()
    """Resources of the preparation."""
