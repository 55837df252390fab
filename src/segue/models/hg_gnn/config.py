"""Configuration of HG-GNN: every term of the model is a switch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from segue.contract.memory_sources import MemorySource
from segue.contract.model import ModelConfig
from segue.data.batches import Window
from segue.graph.tables import USER
from segue.models.hg_gnn.session_encoder import Attention, Gate, Hidden
from segue.nn.losses import Form
from segue.settings import GraphSettings
from segue.settings.units import Duration, Neighbours

LayerWeight = Annotated[float, Field(ge=-1e6, le=1e6)]


class HGGNNConfig(ModelConfig):
    """HG-GNN (arXiv 2107.03813). The defaults are the paper's model; preset "segue" adds the terms at the end."""

    window: Window = Window(length=20, history=1000)
    """Items of the running session, and earlier items for source "history" and for users that train does not know."""
    dim: int = Field(128, ge=1, le=4096)
    """Size d of every embedding."""
    layers: int = Field(1, ge=0, le=16)
    """Number of HGNN layers in eq. (8); 0 is the ablation without HGNN (P = P⁰, Q = Q⁰)."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of the node features that is dropped before each layer; without layers, of the node features themselves."""
    accumulate: Literal["mean", "sum"] = "mean"
    """Accumulation over relations, accum(·) of eq. (6)."""
    layer_weights: tuple[LayerWeight, ...] | None = None
    """Layer weights α_k of eq. (8), layers + 1 numbers; unset: 1 / (layers + 1) each."""
    current_preference: bool = True
    """Whether S holds the current preference; false: S = O, the ablation without eq. (9)-(13)."""
    general_preference: bool = True
    """Whether S holds the general preference; false: S = C, the ablation without eq. (14)-(16)."""
    user_nodes: bool = True
    """Whether users are nodes; false: no user relations and no W_3 q in eq. (15), and eq. (6) averages three messages.
    Where `user_term` still needs q, it is the plain user vector."""
    mask_users: float = Field(0.01, ge=0, lt=1)
    """Share of train sessions treated as those of an unknown user, so that the row of that user learns something."""
    loss: Form = "cross_entropy"
    """Training loss; "eq20": the paper's equation (20) read literally."""

    homogeneous: bool = False
    """Whether one mean over the neighbours of all relations and the node itself, with one W and b, replaces eq.
    (4)-(7); `accumulate` then has no effect."""
    multiplicity: bool = False
    """Whether the mean of eq. (4) counts an edge as often as it occurred: a mean weighted by frequency."""
    hidden: Hidden = "linear"
    """Form of the hidden layer. "tanh": α looks at tanh of p', eq. (10) and (13) sum p itself, and γ looks at
    tanh(W_g p)."""
    attention: Attention = "softmax"
    """Attention weights; "raw": eq. (11) and (14) without the softmax."""
    gate: Gate = "vector"
    """Form of the gate α_c of eq. (17); "scalar": one number, with a bias."""
    add_user: bool = False
    """Whether S + q replaces S of eq. (18)."""
    user_classes: bool = False
    """Whether known users are further classes of the softmax, in the training loss only."""

    user_term: bool = False
    """Whether S' = S + g(S, q, x) * (W_u q) replaces S: personal from the first click."""
    popularity: bool = False
    """Whether k(z) log share_i is added to the score of every item, with its share of the train events."""
    memory: tuple[MemorySource, ...] = ()
    """Sources of counts that are added to the scores."""
    pointer: tuple[MemorySource, ...] = ()
    """Sources of counts that form distributions, which a gate mixes with the softmax."""
    dear_share: float = Field(0.035, ge=0, le=1)
    """Source "two_steps" costs as much as all others; it is on where it alone recalls the next item for at least this
    share of train events, and the log of the training says so. 0: always on."""
    memory_items: Neighbours = 100
    """Items remembered per item, or per period, and count."""
    history_half_life: Duration | None = None
    """Half-life of the decayed history counts; unset: five times the median gap between a user's sessions."""
    trend_half_life: Duration | None = None
    """Half-life of source "recent"; that of source "trend" is twenty times as long. Unset: five times the median gap
    between two events of one item, at least an hour."""
    embeddings: bool = True
    """Whether there are vectors; false: no S, q or graph, only popularity and the memory, weighted by the facts x."""

    @field_validator("layer_weights")
    @classmethod
    def _a_weight_each(cls, weights: tuple[float, ...] | None, info: ValidationInfo) -> tuple[float, ...] | None:
        layers = info.data.get("layers")
        if weights is not None and layers is not None and len(weights) != layers + 1:
            raise ValueError(f"layers = {layers} needs layers + 1 = {layers + 1} numbers")
        if weights is not None and not any(weights):
            raise ValueError("some layer needs a weight other than 0")
        return weights

    @field_validator("general_preference")
    @classmethod
    def _one_preference(cls, general: bool, info: ValidationInfo) -> bool:
        if not (general or info.data.get("current_preference", True)):
            raise ValueError("current_preference and general_preference cannot both be off")
        return general

    @field_validator("memory", "pointer")
    @classmethod
    def _each_once(cls, sources: tuple[MemorySource, ...]) -> tuple[MemorySource, ...]:
        if len(set(sources)) < len(sources):
            raise ValueError("name each source once")
        return sources

    @field_validator("pointer")
    @classmethod
    def _softmax_alone(cls, pointer: tuple[MemorySource, ...], info: ValidationInfo) -> tuple[MemorySource, ...]:
        if pointer and info.data.get("loss") == "eq20":
            raise ValueError("loss 'eq20' is defined for a softmax alone; set pointer = []")
        return pointer

    @field_validator("embeddings")
    @classmethod
    def _something_left(cls, embeddings: bool, info: ValidationInfo) -> bool:
        if embeddings:
            return embeddings
        if not info.data.get("popularity", True):
            raise ValueError("without embeddings popularity and the memory remain; set popularity = true")
        for name in ("user_term", "add_user", "user_classes"):
            if info.data.get(name):
                raise ValueError(f"without embeddings there is no user vector; set {name} = false")
        return embeddings

    @property
    def alphas(self) -> tuple[float, ...]:
        """Layer weights α_k of eq. (8)."""
        return self.layer_weights or (1 / (self.layers + 1),) * (self.layers + 1)

    @property
    def reads_counts(self) -> bool:
        """Whether any term needs the counts of the memory, or the facts x that are made of them."""
        return self.user_term or self.popularity or bool(self.memory) or bool(self.pointer)

    @property
    def reads_users(self) -> bool:
        """Whether any term needs the user vectors q of eq. (8)."""
        terms = self.general_preference or bool(self.memory) or bool(self.pointer)
        personal = self.user_term or self.add_user or (self.user_nodes and terms)
        return self.embeddings and personal

    def graph_of(self, graph: GraphSettings) -> GraphSettings:
        """The graph to build; in the ablation without user nodes neither their relations nor their attributes."""
        if self.user_nodes:
            return graph
        kept = tuple(name for name in graph.relations if name not in ("interact", "interacted_by"))
        attributes = tuple(name for name in graph.attributes if not name.startswith(f"{USER}."))
        return graph.model_copy(update={"relations": kept, "attributes": attributes})
