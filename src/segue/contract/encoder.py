"""The contract of trained models, beside that of all models.

Every trained model factors into a vector per event and a vector per item. That one fact gives all of them chunked
softmax, one training loop, exact top-k serving and explanations at no cost per model.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor, nn

from segue.contract.model import SessionModel
from segue.data.batches import Batch
from segue.data.corpus import Corpus
from segue.data.schedules import Order
from segue.data.stored import Layout, check_arrays, forms_alone
from segue.errors import ModelError
from segue.nn.encoding import Encoding
from segue.nn.losses import dense_scores, softmax_loss
from segue.nn.split_table import SplitTable


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
