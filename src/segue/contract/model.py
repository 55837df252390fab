"""The model contract: what anything that ranks items must offer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from torch import Tensor

from segue.data.batches import Batch, Window
from segue.data.corpus import Corpus
from segue.nn.encoding import ScoreParts
from segue.settings import Settings
from segue.settings.base import Config
from segue.settings.search_space import Space

Need = Literal["history", "time", "graph", "attributes"]
Overrides = Mapping[str, Mapping[str, Any]]


class ModelConfig(Config):
    """Base of every model's configuration."""

    window: Window = Window()
    """How many items of the running session, and of the user's earlier sessions, the model looks at."""


class SessionModel(ABC):
    """Anything that can rank items: popularity, neighbours, networks.

    A model is one class in one file of ``segue/models``; docs/guide/adding-a-model.md shows how to write one.
    """

    Config: ClassVar[type[ModelConfig]]
    """Class of the model's options, the keys under ``[model]``."""
    title: ClassVar[str]
    """Name of the model for people, such as "SR-GNN"."""
    presets: ClassVar[Mapping[str, Overrides]] = {}
    """Named settings, section by section; the first is the default."""
    space: ClassVar[Space] = {}
    """Ranges that a search may try, by setting such as ``model.dim``."""
    spaces: ClassVar[Mapping[str, Space]] = {}
    """Ranges for presets that allow less than `space`: the options that define a preset stay fixed."""
    depth: ClassVar[str | None] = None
    """Option that the paper's grid varies as the number of layers, such as "steps"; None: the model has no layers."""
    deepest: ClassVar[int] = 4
    """Most layers that the paper's grid tries; a model whose cost grows faster per layer says less."""
    order_blind: ClassVar[bool] = False
    """Whether the order of clicks is ignored or not enough to learn a fixed succession of items."""
    wraps: ClassVar[str | None] = None
    """Option that holds the settings of another model around which this one is built; None: there is none."""

    lean_form: ClassVar[str | None] = None
    """Form of :mod:`segue.lean` that answers for this model without torch; None: torch answers."""

    @property
    def answering_form(self) -> str | None:
        """The lean form that answers for this configuration; a model whose form lacks an option says None for it."""
        return self.lean_form

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.n_items = 0
        self.n_users = 0

    @classmethod
    def from_settings(cls, settings: Settings, inner: SessionModel | None = None) -> Self:
        """An empty model as the settings of a run describe it.

        Args:
            settings: a model that needs more than its own options, such as the graph section, overrides this method.
            inner: the model built from the option that `wraps` names, if any.

        Raises ConfigError for an unknown option.
        """
        return cls(cls.Config.parse(settings.model.options, "model"))

    @property
    def needs(self) -> frozenset[Need]:
        """What this configuration builds on, checked against the corpus before anything runs.

        history: a known user with two train sessions. time: timestamps that differ. graph: a session of two different
        items. attributes: the columns that `attribute_columns` names.
        """
        return frozenset()

    @property
    def attribute_columns(self) -> tuple[str, ...]:
        """Columns of the items or users table that the model reads, "item.COLUMN" or "user.COLUMN"."""
        return ()

    @abstractmethod
    def fit(self, corpus: Corpus) -> None:
        """Learn counts, or build tables and graph, from the train part of the corpus."""

    @abstractmethod
    def scores(self, batch: Batch) -> Tensor:
        """Logits over all items, [events, items]; finite; larger is better."""

    @abstractmethod
    def arrays(self) -> dict[str, Tensor]:
        """Everything that has to be stored, as tensors."""

    @property
    def learned(self) -> frozenset[str]:
        """Names of those :meth:`arrays` that training moves. All others follow from the train part by counting, so that
        a second :meth:`fit` on it gives them again (``segue audit`` compares them)."""
        return frozenset()

    @property
    def rows(self) -> Mapping[str, str]:
        """Which arrays have a row for each of something, by their names in :meth:`arrays` and :meth:`derived`.

        Returns:
            Name → "item"; "user", whose last row is everybody unknown; or "item:COLUMN" and "user:COLUMN" for the
            values of an attribute in byte order. Arrays that a second :meth:`fit` gives may be left out: this is for
            taking rows out of those that are learned.
        """
        return {}

    def derived(self) -> dict[str, Tensor]:
        """What its lean form needs beside :meth:`arrays`: what is constant in every answer."""
        return {}

    @abstractmethod
    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        """Take back what :meth:`arrays` returned; called on a new model of the same configuration.

        The arrays may come from anywhere. Raises ValueError unless their names, types, shapes and ranges are those of
        this model: a later answer must not fail, or read beyond an array, because of them.
        """

    def parts(self, batch: Batch, items: Tensor) -> ScoreParts:
        """The scores of `items` [k] for a batch of one event, split into summands; one base part by default."""
        return ScoreParts(base=self.scores(batch)[0, items])

    def relation(self, source: int, item: int) -> str | None:
        """The strongest relation of the graph that leads from a session's item to a recommended one, if any."""
        return None

    def statistics(self) -> dict[str, Any]:
        """Facts about the fitted model, for logs, reports and the artifact."""
        return {}
