"""The options of a stored HG-GNN that its answers depend on; see :class:`segue.models.hg_gnn.config.HGGNNConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

from segue.contract.memory_sources import FACTS, MemorySource
from segue.system.json_files import typed


@dataclass(frozen=True)
class Window:
    """Items of the running session, and of the user's earlier sessions, that are looked at."""

    length: int
    history: int


@dataclass(frozen=True)
class HGGNNOptions:
    """Options, under the names of the model's configuration."""

    window: Window
    dim: int
    layers: int
    accumulate: Literal["mean", "sum"]
    layer_weights: tuple[float, ...] | None
    current_preference: bool
    general_preference: bool
    user_nodes: bool
    homogeneous: bool
    multiplicity: bool
    hidden: Literal["linear", "tanh"]
    attention: Literal["softmax", "raw"]
    gate: Literal["vector", "scalar"]
    add_user: bool
    user_term: bool
    popularity: bool
    memory: tuple[MemorySource, ...]
    pointer: tuple[MemorySource, ...]
    memory_items: int
    history_half_life: str | None
    trend_half_life: str | None
    embeddings: bool

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The options in a stored configuration. Raises ValueError for what no model can have."""
        try:
            options = typed(cls, values)
        except KeyError as error:
            raise ValueError(f"option {error} is missing") from None
        window = options.window
        if min(window.length - 1, window.history, options.dim - 1, options.layers) < 0:
            raise ValueError("window, dim and layers are counts")
        if len(options.alphas) != options.layers + 1:
            raise ValueError(f"layers = {options.layers} needs layers + 1 = {options.layers + 1} layer weights")
        if not (options.current_preference or options.general_preference):
            raise ValueError("current_preference and general_preference cannot both be off")
        if not (options.embeddings or options.popularity):
            raise ValueError("without embeddings popularity remains")
        return options

    @property
    def alphas(self) -> tuple[float, ...]:
        """Layer weights α_k of eq. (8)."""
        return self.layer_weights or (1 / (self.layers + 1),) * (self.layers + 1)

    @cached_property
    def sources(self) -> tuple[MemorySource, ...]:
        """Sources of the memory that are asked, each once."""
        return tuple(dict.fromkeys((*self.memory, *self.pointer)))

    @property
    def reads_counts(self) -> bool:
        """Whether any term needs the counts of the memory, or the facts x that are made of them."""
        return self.user_term or self.popularity or bool(self.sources)

    @property
    def reads_users(self) -> bool:
        """Whether any term needs the user vectors q of eq. (8)."""
        terms = self.general_preference or bool(self.sources)
        personal = self.user_term or self.add_user or (self.user_nodes and terms)
        return self.embeddings and personal

    @property
    def features(self) -> int:
        """Numbers in z = [S ‖ q ‖ x], those parts that there are."""
        from_vectors = (1 + self.reads_users) * self.dim if self.embeddings else 0
        return from_vectors + (FACTS if self.reads_counts else 0)
