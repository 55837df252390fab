"""Options of H-RNN, its presets, and the ranges of a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from segue.contract.model import ModelConfig, Overrides
from segue.contract.paper_schedule import PAPER_SCHEDULE
from segue.data.batches import UserWindow
from segue.nn.recurrent import Reset
from segue.nn.sampled import Drawn
from segue.settings.search_space import Between, Choice, Space, fixed_schedule


class HRNNConfig(ModelConfig):
    """Options of H-RNN: sizes, regularisation, variant and loss."""

    window: UserWindow = UserWindow(length=1000, history=1_000_000)
    """Items of the running session, and of the user's earlier sessions, that are read."""
    dim: int = Field(128, ge=1, le=65_536)
    """Size of item vectors, session state and user state."""
    variant: Literal["init", "all"] = "init"
    """Use of the user's state. init: it starts a session. all: it also biases both gates at every item."""
    feed_last: bool = True
    """Whether the last item of a session, which is only a target, is fed before the user's network reads the session.
    In the authors' code it is not."""
    shared: bool = True
    """Whether items are scored against the table that they are read from; the authors keep two."""
    one_hot: bool = False
    """Whether each item has a row of 3 d numbers of its own at the gates, as one-hot input in the authors' scripts has
    it; false: a row of d numbers, which one matrix takes to the gates. Not together with `shared`."""
    dropout_user: float = Field(0.0, ge=0, lt=1)
    """Share of the new user state's coordinates that is dropped."""
    dropout_init: float = Field(0.0, ge=0, lt=1)
    """Share of the state that a session starts from that is dropped."""
    dropout_session: float = Field(0.25, ge=0, lt=1)
    """Share of the session state that is dropped before scoring."""
    carry_dropped: bool = False
    """Whether the recurrence, and the user's network, go on from what dropout leaves of a session state, as in the
    authors' program; false: from the whole state."""
    gru_reset: Reset = "after"
    """Place of the reset gate in both networks: "after" the recurrent product, as torch has it, or "before", as in the
    authors' program and in Cho et al. (2014)."""
    initial: Literal["uniform", "authors"] = "uniform"
    """Initial values. uniform: in ±1/√d. authors: Glorot's uniform ones for the tables and for each gate by itself,
    biases 0."""
    loss: Literal["full_softmax", "top1"] = "full_softmax"
    """Training loss. full_softmax: over all items; top1: over the targets of the batch and `n_sample` sampled items,
    without copies of an event's own target. In evaluation mode nothing is sampled: all items are candidates."""
    n_sample: Drawn = 0
    """Items sampled per batch besides its targets, with loss "top1". The authors sample none; as the loss is a mean,
    the few high-scored candidates of an event count the less the more items are sampled."""
    sample_alpha: float = Field(0.5, ge=0, le=1)
    """Power of the support by which items are sampled: 0 all alike, 1 by popularity."""

    @field_validator("one_hot")
    @classmethod
    def _with_two_tables(cls, one_hot: bool, info: ValidationInfo) -> bool:
        if one_hot and info.data.get("shared"):
            raise ValueError("items scored against rows of d numbers need a table of their own; set shared = false")
        return one_hot


_OFFICIAL = {
    "dim": 100, "loss": "top1", "shared": False, "feed_last": True, "gru_reset": "before", "initial": "authors",
    "one_hot": True, "carry_dropped": True,
}  # fmt: skip
_OFFICIAL_TRAINING = {
    "optimizer": "adagrad", "learning_rate": 0.1, "weight_decay": 0.0, "batch_events": 256, "max_epochs": 10,
}  # fmt: skip

PRESETS: Mapping[str, Overrides] = {
    "full_softmax": {"training": {"learning_rate": 3e-3}},
    "paper_conditions": {"training": {"learning_rate": 1e-3, "decay": 0.1, **PAPER_SCHEDULE}},
    # The authors' settings for their small networks on Xing. Their batches of 50 and 100 users play one item per
    # step; here a step is a whole session of each user, so the other targets of the batch are negatives enough.
    # Not theirs: feed_last. The "final state" of their paper has seen the last item, that of their program has not.
    "official": {"model": {**_OFFICIAL, "dropout_session": 0.1}, "training": _OFFICIAL_TRAINING},
    "official_all": {
        "model": {
            **_OFFICIAL, "variant": "all", "dropout_user": 0.1, "dropout_session": 0.1, "dropout_init": 0.2,
        },
        "training": {**_OFFICIAL_TRAINING, "momentum": 0.2, "batch_events": 512},
    },
}  # fmt: skip
SPACE: Space = {
    "model.dim": Choice((64, 100, 128, 256, 500)),
    "model.variant": Choice(("init", "all")),
    "model.dropout_user": Between(0, 0.5),
    "model.dropout_init": Between(0, 0.5),
    "model.dropout_session": Between(0, 0.5),
    "training.learning_rate": Between(1e-4, 0.2, log=True),
    "training.schedule": Choice(("constant", "plateau")),
}
# Where few users play at a time, the targets of a batch alone are few negatives.
_OFFICIAL_SPACE: Space = {**fixed_schedule(SPACE), "model.n_sample": Choice((0, 512, 2048))}
SPACES: Mapping[str, Space] = {
    "paper_conditions": fixed_schedule(SPACE),
    "official": _OFFICIAL_SPACE,
    "official_all": _OFFICIAL_SPACE,
}
