"""The model contract: what anything that ranks items must offer, and what a trained model offers beyond that.

Every trained model factors into a vector per event and a vector per item. That one fact gives all of them chunked
softmax, one training loop, exact top-k serving and explanations at no cost per model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

from torch import Tensor, nn

from segue.data.batches import Batch, Window
from segue.data.corpus import Corpus
from segue.data.schedules import Order
from segue.data.stored import Layout, check_arrays, forms_alone
from segue.errors import ModelError
from segue.nn.encoding import Encoding, ScoreParts
from segue.nn.losses import dense_scores, softmax_loss
from segue.nn.split_table import SplitTable
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


class SessionEncoder(SessionModel, nn.Module):
    """A trained model: a vector per event, a vector per item, and a loss."""

    item_table: ClassVar[str | None] = None
    """Attribute that holds the embedding whose rows are the item vectors, where nothing but looking items up and the
    loss and scores of this class read it: several processes can then share it by rows (``training.split_items``)."""

    @property
    def order(self) -> Order:
        """The order in which training visits sessions and fills batches."""
        return "shuffled"

    @property
    def split(self) -> SplitTable | None:
        """The table that `item_table` names, while several processes share it."""
        table = None if self.item_table is None else getattr(self, self.item_table, None)
        return table if isinstance(table, SplitTable) else None

    @property
    def ranking_loss(self) -> bool:
        """Whether the loss only compares scores, so that it stays above zero even where every target ranks first."""
        return False

    def fit(self, corpus: Corpus) -> None:
        """Build and initialise the parameters. A model that also counts or builds a graph extends this method."""
        self.n_items, self.n_users = corpus.n_items, corpus.n_users
        self._build_parameters()

    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        """Take back what :meth:`arrays` returned, when it has the form of this model's own parameters and buffers.

        Raises ValueError for any other form; nothing is allocated before that is known.
        """
        self.n_items, self.n_users = n_items, n_users
        with forms_alone():
            self._build_parameters()
        check_arrays(arrays, self._layouts())
        self._build_parameters()
        self.load_state_dict(dict(arrays))

    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]:
        """Least and most of those parameters and buffers whose values are not free: numbers of items, counts."""
        return {}

    @property
    def learned(self) -> frozenset[str]:
        """Names of the parameters, and of the statistics that normalisation takes of the batches."""
        kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
        norms = [(name, module) for name, module in self.named_modules() if isinstance(module, kinds)]
        taken = {f"{name}.{buffer}" for name, module in norms for buffer, _ in module.named_buffers(recurse=False)}
        return frozenset(taken | {name for name, _ in self.named_parameters()})

    @property
    def rows(self) -> Mapping[str, str]:
        """Found by building the parameters once more for one item more, and for one user more: a row comes with it."""
        own, found = self._shapes(0, 0), dict[str, str]()
        for axis, larger in (("item", self._shapes(1, 0)), ("user", self._shapes(0, 1))):
            grown = {name for name, shape in own.items() if larger[name] != shape}
            for name in grown:
                if name in found or larger[name] != (own[name][0] + 1, *own[name][1:]):
                    raise ModelError(f"{self.title}: array '{name}' has no row per {axis}, though it grows with them")
            found |= dict.fromkeys(grown, axis)
        return found

    def _shapes(self, more_items: int, more_users: int) -> dict[str, tuple[int, ...]]:
        """The shapes of parameters and buffers, built for so many items and users more."""
        built = type(self)(self.config)
        built.n_items, built.n_users = self.n_items + more_items, self.n_users + more_users
        with forms_alone():
            built._build_parameters()
        return {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()}

    def _layouts(self) -> dict[str, Layout]:
        """The form of every parameter and buffer, as it has been built."""
        layouts = {name: Layout.of(tensor) for name, tensor in self.state_dict().items()}
        ranges = self.bounds.items()
        return layouts | {name: replace(layouts[name], least=least, most=most) for name, (least, most) in ranges}

    def _build_parameters(self) -> None:
        """Create parameters and buffers for `n_items` and `n_users`, with the values that training starts from.

        Does nothing by default: a model that overrides both `fit` and `restore` need not use it.
        """

    @abstractmethod
    def encode(self, batch: Batch, state: Tensor | None = None) -> Encoding:
        """The events of a batch as vectors, with the sparse parts of their scores.

        `state` is what the encoding of the batch before carried on, None at the beginning of an epoch; its row
        ``batch.slot[r]`` belongs to row r where ``batch.continues[r]``. Evaluation and serving carry nothing.
        """

    @abstractmethod
    def item_vectors(self) -> Tensor:
        """Vectors of all items, [items, dim]; scores = encode @ item_vectors.T."""

    def snapshot(self) -> None:
        """Compute once what evaluation and serving would otherwise compute for every batch."""

    def forget_snapshot(self) -> None:
        """Drop the snapshot: the parameters are about to change."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters for the optimizer, in groups where some need options of their own.

        "dense": places of those that are no tables; an optimizer that works row by row updates all their rows.
        "pace": factor on the learning rate of the group; 1 where it is missing.
        """
        return [self.parameter_group(self.parameters())]

    def parameter_group(self, parameters: Iterable[nn.Parameter], **options: float) -> dict[str, Any]:
        """One group of :meth:`parameter_groups`: those of `parameters` that are learned, with the group's options."""
        learned = [parameter for parameter in parameters if parameter.requires_grad]
        tables = {id(table) for table in self.tables()}
        dense = [place for place, parameter in enumerate(learned) if id(parameter) not in tables]
        return {"params": learned, "dense": dense, **options}

    def tables(self) -> list[Tensor]:
        """Parameters with a row per item or user, of which a batch touches few; by default all embeddings."""
        shared = [] if self.split is None else [self.split.rows]
        return [*shared, *(module.weight for module in self.modules() if isinstance(module, nn.Embedding))]

    def loss(self, batch: Batch) -> Tensor:
        """Loss of a batch on its own, without a state from the batch before."""
        return self.loss_of(self.encode(batch), batch)

    def loss_of(self, encoding: Encoding, batch: Batch) -> Tensor:
        """Mean cross entropy over the events of a batch, full softmax.

        Where several processes play shares of a batch, this is the share of its loss: the sum over the own events,
        divided by what ``batch.joined`` says of the whole, so that losses and gradients of the shares add up.
        """
        if self.split is not None:
            return self.split.loss(encoding.vectors, batch.target, len(batch.joined))
        return softmax_loss(encoding, self.item_vectors(), batch.target, of=len(batch.joined))

    def after_step(self) -> None:
        """Adjust the parameters after every optimizer step, for instance by a projection."""

    def scores(self, batch: Batch) -> Tensor:
        """Logits over all items, [events, items]; a pointer is folded in so that they order as its probabilities."""
        encoding = self.encode(batch)
        if self.split is not None:
            return self.split.scores(encoding.vectors)
        return dense_scores(encoding, self.item_vectors())

    def arrays(self) -> dict[str, Tensor]:
        """All parameters and buffers."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}

    def statistics(self) -> dict[str, Any]:
        """Size of the network."""
        return {"parameters": sum(parameter.numel() for parameter in self.parameters())}
