"""The model contract: what anything that ranks items must offer, and what everything trained offers beyond that.

Every trained model factors into a vector per event and a vector per item. That one fact gives all of them chunked
softmax, one training loop, exact top-k serving and explanations at no cost per model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from segue.data.batches import Batch, Window
from segue.data.corpus import Corpus
from segue.data.schedules import Order
from segue.nn.encoding import Encoding, ScoreParts
from segue.nn.losses import dense_scores, softmax_loss
from segue.settings import GraphSettings, PreparationSettings
from segue.settings.base import Config
from segue.settings.search_space import Space

Need = Literal["history", "time", "graph", "attributes"]
Overrides = Mapping[str, Mapping[str, Any]]


class ModelConfig(Config):
    """Base of every model's configuration."""

    window: Window = Window()


class SessionModel(ABC):
    """Anything that can rank: popularity, neighbours, networks."""

    Config: ClassVar[type[ModelConfig]]
    presets: ClassVar[Mapping[str, Overrides]] = {}
    """Named settings, section by section; the first is the default."""
    space: ClassVar[Space] = {}
    """What a search may vary, by setting such as ``model.dim``."""
    spaces: ClassVar[Mapping[str, Space]] = {}
    """The same for a preset that varies less than the model: what makes it that preset stays as it is."""

    def __init__(self, config: ModelConfig, graph: GraphSettings) -> None:
        super().__init__()
        self.config = config
        self.graph_settings = graph
        self.n_items = 0
        self.n_users = 0

    @property
    def needs(self) -> frozenset[Need]:
        """What this configuration builds on, checked against the corpus before anything runs.

        history: a known user with two train sessions. time: timestamps that differ. graph: a session of two different
        items. attributes: the columns that ``graph.attributes`` names.
        """
        return frozenset()

    @abstractmethod
    def fit(self, corpus: Corpus, preparation: PreparationSettings) -> None:
        """Learn counts, or build tables and graph, from the train part of the corpus."""

    @abstractmethod
    def scores(self, batch: Batch) -> Tensor:
        """Logits over all items, [events, items]; finite; larger is better."""

    @abstractmethod
    def arrays(self) -> dict[str, Tensor]:
        """What has to be stored, as tensors."""

    @abstractmethod
    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        """The inverse of :meth:`arrays`, on a new model of the same configuration."""

    def parts(self, batch: Batch, items: Tensor) -> ScoreParts:
        """The scores of `items` [k] for a batch of one event, taken apart; all base where that cannot be done."""
        return ScoreParts(base=self.scores(batch)[0, items])

    def relation(self, source: int, item: int) -> str | None:
        """The strongest relation of the graph that leads from a session's item to a recommended one, if any."""
        return None

    def statistics(self) -> dict[str, Any]:
        """Facts about what was built, for logs, reports and the artifact."""
        return {}


class SessionEncoder(SessionModel, nn.Module):
    """Everything trained."""

    @property
    def order(self) -> Order:
        """How its training batches are drawn."""
        return "shuffled"

    def fit(self, corpus: Corpus, preparation: PreparationSettings) -> None:
        """Draw the parameters; what counts or builds a graph does that beyond this."""
        self.n_items, self.n_users = corpus.n_items, corpus.n_users
        self._draw()

    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        """The inverse of :meth:`arrays`, on a new model of the same configuration."""
        self.n_items, self.n_users = n_items, n_users
        self._draw()
        self.load_state_dict(dict(arrays))

    def _draw(self) -> None:
        """Make the parameters and buffers of `n_items` and `n_users`, and draw what training starts from.

        Nothing here: a model that fits and restores by itself needs no more.
        """

    @abstractmethod
    def encode(self, batch: Batch, state: Tensor | None = None) -> Encoding:
        """The events of a batch as vectors, with the sparse parts of their scores.

        `state` is what the encoding of the batch before carried on, None at the beginning of an epoch; its row
        ``batch.slot[r]`` belongs to row r where ``batch.continues[r]``. Evaluation and serving carry nothing.
        """

    @abstractmethod
    def item_vectors(self) -> Tensor:
        """[items, dim]; scores = encode @ item_vectors.T."""

    def snapshot(self) -> None:
        """Compute once what evaluation and serving would otherwise compute for every batch."""

    def forget_snapshot(self) -> None:
        """Drop it: the parameters are about to change."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters for the optimizer, with their own options where they need any."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    def loss(self, batch: Batch) -> Tensor:
        """:meth:`loss_of` the batch by itself."""
        return self.loss_of(self.encode(batch), batch)

    def loss_of(self, encoding: Encoding, batch: Batch) -> Tensor:
        """Mean cross entropy over the events of a batch, full softmax."""
        return softmax_loss(encoding, self.item_vectors(), batch.target)

    def after_step(self) -> None:
        """Called after every optimizer step: projections and the like."""

    def scores(self, batch: Batch) -> Tensor:
        """[events, items], the pointer folded in so that their order is that of the probabilities."""
        return dense_scores(self.encode(batch), self.item_vectors())

    def arrays(self) -> dict[str, Tensor]:
        """All parameters and buffers."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}

    def statistics(self) -> dict[str, Any]:
        """Size of the network."""
        return {"parameters": sum(parameter.numel() for parameter in self.parameters())}
