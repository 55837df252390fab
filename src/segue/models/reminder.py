"""Reminders around a session model: the history counts without being modelled (Latifi et al. 2021).

The inner model sees the session and is trained as it is without reminders; the scores of the user's earlier items are
raised afterwards, see :mod:`segue.nn.reminders`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import field_validator
from torch import Tensor

from segue.contract.encoder import SessionEncoder
from segue.contract.model import ModelConfig, Need, Overrides, SessionModel
from segue.data.batches import Batch, UserWindow
from segue.data.corpus import Corpus
from segue.data.schedules import Order
from segue.errors import ConfigError
from segue.nn.encoding import Added, Encoding, ScoreParts
from segue.nn.reminders import Reminding, added_reminders, parts_of
from segue.settings import ModelSettings, Settings
from segue.settings.search_space import Between, Space


class ReminderConfig(ModelConfig):
    """Options of reminders: the inner model, and how much the user's earlier items are raised."""

    window: UserWindow = UserWindow(length=20)
    """Items of the running session, as many as for the inner model, and earlier items that reminders come from."""
    inner: ModelSettings
    """Inner model: name, preset and options of a trained model, as they would stand under [model]."""
    remind: Reminding = Reminding(sessions=3, base=7.0)
    """Sessions that reminders look back at, and the weight of each part of the score."""

    @field_validator("inner")
    @classmethod
    def _another(cls, inner: ModelSettings) -> ModelSettings:
        if "name" not in inner.model_fields_set:
            raise ValueError("name the inner model, such as {name = 'gru4rec'}")
        if inner.name == "reminder":
            raise ValueError("reminders cannot go around reminders; name the inner model of those")
        return inner


class Reminder(SessionEncoder):
    """score(i) = w_base · p(i) / max p + w_recency · recency(i) + w_similarity · similarity(i).

    p(i) / max p = exp(s_i - max s) for the scores s of the inner model: its probability over the largest.
    """

    Config = ReminderConfig
    config: ReminderConfig
    title: ClassVar[str] = "Reminder"
    wraps: ClassVar[str | None] = "inner"
    presets: ClassVar[Mapping[str, Overrides]] = {
        f"{name}_r": {"model": {"inner": {"name": name}}} for name in ("gru4rec", "narm", "sr_gnn")
    }
    space: ClassVar[Space] = {
        "model.remind.sessions": Between(1, 10),
        "model.remind.recency": Between(0.0, 3.0),
        "model.remind.similarity": Between(0.0, 3.0),
    }

    def __init__(self, config: ReminderConfig, inner: SessionModel) -> None:
        super().__init__(config)
        name = config.inner.name
        if not isinstance(inner, SessionEncoder):
            raise ConfigError(f"setting 'model.inner.name': reminders go around a trained model, '{name}' only counts")
        if inner.config.window.length != config.window.length:
            raise ConfigError(
                f"setting 'model.window.length': {name} looks at the last {inner.config.window.length} items,"
                f" found {config.window.length}; make them equal"
            )
        self.inner = inner

    @classmethod
    def from_settings(cls, settings: Settings, inner: SessionModel | None = None) -> Self:
        """Reminders around the inner model."""
        assert inner is not None, "the option inner has no default"
        return cls(ReminderConfig.parse(settings.model.options, "model"), inner)

    @property
    def needs(self) -> frozenset[Need]:
        """Needs a history, and whatever the inner model needs."""
        return self.inner.needs | {"history"}

    @property
    def attribute_columns(self) -> tuple[str, ...]:
        """Columns that the inner model reads."""
        return self.inner.attribute_columns

    @property
    def order(self) -> Order:
        """Training order of the inner model."""
        return self.inner.order

    @property
    def ranking_loss(self) -> bool:
        """Whether the loss of the inner model only compares scores."""
        return self.inner.ranking_loss

    def fit(self, corpus: Corpus) -> None:
        """Fit the inner model."""
        self.inner.fit(corpus)
        self.n_items, self.n_users = corpus.n_items, corpus.n_users

    def encode(self, batch: Batch, state: Tensor | None = None) -> Encoding:
        """Encoding of the inner model; reminders join the finished scores."""
        return self.inner.encode(batch, state)

    def item_vectors(self) -> Tensor:
        """Item vectors of the inner model."""
        return self.inner.item_vectors()

    def loss_of(self, encoding: Encoding, batch: Batch) -> Tensor:
        """Loss of the inner model: the reminders have nothing to learn."""
        return self.inner.loss_of(encoding, batch)

    def snapshot(self) -> None:
        """Take the snapshot of the inner model."""
        self.inner.snapshot()

    def forget_snapshot(self) -> None:
        """Drop the snapshot of the inner model."""
        self.inner.forget_snapshot()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameter groups of the inner model."""
        return self.inner.parameter_groups()

    def tables(self) -> list[Tensor]:
        """Tables of the inner model."""
        return self.inner.tables()

    def after_step(self) -> None:
        """Adjust the parameters of the inner model."""
        self.inner.after_step()

    def scores(self, batch: Batch) -> Tensor:
        """Scores of all items, [events, items]; float64, so that no probability is too small to keep its order."""
        logits = self.inner.scores(batch).double()
        scores = self.config.remind.base * (logits - logits.amax(1, keepdim=True)).exp()
        added = self._reminders(batch)
        return scores.index_put((added.event, added.item), added.value, accumulate=True)

    def parts(self, batch: Batch, items: Tensor) -> ScoreParts:
        """Two parts: what the user's earlier items add, and the rest."""
        return parts_of(self.scores(batch)[0], self._reminders(batch), items)

    def relation(self, source: int, item: int) -> str | None:
        """Relation that the inner model names."""
        return self.inner.relation(source, item)

    @property
    def learned(self) -> frozenset[str]:
        """What training moves in the inner model."""
        return self.inner.learned

    @property
    def rows(self) -> Mapping[str, str]:
        """Rows of the inner model's arrays."""
        return self.inner.rows

    def arrays(self) -> dict[str, Tensor]:
        """Arrays of the inner model: the reminders come from the history."""
        return self.inner.arrays()

    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        """Take back what :meth:`arrays` returned."""
        self.inner.restore(arrays, n_items, n_users)
        self.n_items, self.n_users = n_items, n_users

    def statistics(self) -> dict[str, Any]:
        """Statistics of the inner model."""
        return self.inner.statistics()

    def _reminders(self, batch: Batch) -> Added:
        return added_reminders(batch, self.config.remind, self.config.window.history, self.n_items)


Model = Reminder
