"""Options of the session neighbours, their presets, and the ranges of a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from segue.contract.model import ModelConfig, Overrides
from segue.data.batches import Window
from segue.nn.neighbours.weights import Shape
from segue.nn.reminders import Reminding
from segue.settings.search_space import Between, Choice, Space
from segue.settings.units import Duration, Places


class SessionKNNConfig(ModelConfig):
    """Options of Session-KNN: similarity of sessions, what a neighbour gives to its items, the user's own part."""

    window: Window = Window(length=20)
    """Items of the running session, and of the user's earlier sessions, that are looked at."""
    k: int = Field(100, ge=1, le=100_000)
    """Number of neighbours: the most similar of the sample, ties to the most recent."""
    sample: int = Field(1000, ge=1, le=1_000_000)
    """Number of sessions compared: the most recent ones that share an item."""
    weighting: Shape = "quadratic"
    """Weight of the item at position p of n in the running session: 1, p/n, (p/n)², 1/log10(n-p+1.7), e^((p-n)/spw)."""
    spw: Places = 1.0
    """Number of positions over which weighting "exp" falls by e."""
    cosine: bool = False
    """Whether the shared weight is divided by ‖w‖ √|N|; false: by the distinct items of the running session."""
    snh: Duration | None = None
    """Age of a session at which its similarity falls by e. Unset: all ages count alike."""
    inh: Places | None = None
    """Distance from the anchor, in positions, at which an item of a neighbour falls by e. Unset: any distance counts
    alike."""
    anchor: Literal["running", "neighbour"] = "running"
    """Shared item from which `inh` measures in a neighbour: the one that is last in the running session, or the one
    that is last in the neighbour, as in session-rec's STAN and VSTAN."""
    match_weighting: Shape = "quadratic"
    """Weight of a neighbour by position p of n of the last shared item, with q = n-p+1: 1, 1/q, 1/q²,
    1/log10(q+1.7), e^((p-n)/ipw)."""
    ipw: Places = 1.0
    """Number of positions over which match_weighting "exp" falls by e."""
    idf: float = Field(0.0, ge=0, le=1e6)
    """Weight of the inverse document frequency, log(sessions / sessions with the item)."""
    idf_counts: Literal["sessions", "events"] = "sessions"
    """What the document frequency of an item counts: sessions with it, or its events, as in session-rec."""
    fill: Literal["none", "popularity"] = "none"
    """Ranking of items that no neighbour holds: "popularity" puts them below all others, by train popularity."""
    extend: int = Field(0, ge=0, le=1000)
    """Length up to which a short session is filled in front with the user's last items."""
    boost: float = Field(0.0, ge=0, le=1e6)
    """Extra weight of the user's own sessions: their similarity counts 1 + boost times."""
    remind: Reminding | None = None
    """Reminders of the user's earlier items. Unset: none."""
    remind_by: Literal["rank", "age"] = "rank"
    """Form of reminders. rank: 1 / (1 + distinct items since) and cosines of sets, within the last sessions. age, as
    in session-rec: 1 / age of all earlier items, and the similarities that the model's own neighbours would have."""

    @field_validator("extend", "remind")
    @classmethod
    def _history_is_there(cls, asked: int | Reminding | None, info: ValidationInfo) -> int | Reminding | None:
        if asked and "window" in info.data and not info.data["window"].history:
            raise ValueError("the user's earlier items are looked at with window.history above 0")
        return asked


_V_SKNN: dict[str, Any] = {"k": 100, "sample": 1000, "idf": 1.0}
_STAN: dict[str, Any] = {
    "k": 500, "sample": 2500, "weighting": "exp", "spw": 1.02, "cosine": True, "snh": "5d", "inh": 2.05,
    "match_weighting": "same",
}  # fmt: skip
_VSTAN: dict[str, Any] = _STAN | {"match_weighting": "exp", "ipw": 1.02, "idf": 1.0}

# What the programs of github.com/rn5l/session-rec (5dcd583) compute otherwise than the equations above.
_SESSION_REC: dict[str, Any] = {"anchor": "neighbour", "idf_counts": "events"}

# The presets with the user's history are as tuned for Last.fm by Latifi et al. 2021, with their program.
PRESETS: Mapping[str, Overrides] = {
    "v_sknn": {"model": _V_SKNN},
    "stan": {"model": _STAN},
    "vstan": {"model": _VSTAN},
    "official_v_sknn": {"model": _V_SKNN | _SESSION_REC},
    "official_stan": {"model": _STAN | _SESSION_REC},
    "official_vstan": {"model": _VSTAN | _SESSION_REC},
    "vsknn_ebr": {
        "model": _V_SKNN
        | _SESSION_REC
        | {"remind_by": "age"}
        | {"k": 50, "sample": 500, "extend": 3, "boost": 2.5, "window": {"length": 20, "history": 1000}}
        | {"remind": {"sessions": 3, "base": 7.0, "recency": 1.0, "similarity": 1.0}}
    },
    "vstan_ebr": {
        "model": _VSTAN
        | _SESSION_REC
        | {"remind_by": "age"}
        | {"k": 1000, "sample": 10_000, "spw": 1.4525, "snh": "100d", "inh": 3.62, "ipw": 0.4525, "idf": 5.0}
        | {"extend": 7, "boost": 3.7, "window": {"length": 20, "history": 1000}}
        | {"remind": {"sessions": 10, "base": 9.0, "recency": 0.0, "similarity": 2.0}}
    },
}

SPACE: Space = {
    "model.k": Choice((50, 100, 500, 1000, 1500)),
    "model.sample": Choice((500, 1000, 2500, 5000, 10_000)),
    "model.weighting": Choice(("same", "div", "quadratic", "log", "exp")),
    "model.match_weighting": Choice(("same", "div", "quadratic", "log", "exp")),
    "model.cosine": Choice((True, False)),
    "model.spw": Between(0.1, 10.0, log=True),
    "model.ipw": Between(0.1, 10.0, log=True),
    "model.inh": Between(0.1, 10.0, log=True),
    "model.snh": Choice(("1d", "5d", "20d", "80d", "100d", "320d")),
    "model.idf": Choice((0.0, 1.0, 2.0, 5.0, 10.0)),
    "model.extend": Between(0, 10),
    "model.boost": Between(0.0, 4.0),
}

_OF_THE_USER = ("model.extend", "model.boost")
_OF_STAN = ("model.cosine", "model.spw", "model.ipw", "model.inh", "model.snh")
_OF_VSTAN = ("model.match_weighting", "model.ipw", "model.idf")
_WITHOUT_SCALE = Choice(("same", "div", "quadratic", "log"))


def _without(keys: tuple[str, ...]) -> Space:
    return {key: values for key, values in SPACE.items() if key not in keys}


_EBR: Space = {**_without(_OF_STAN), "model.weighting": _WITHOUT_SCALE, "model.match_weighting": _WITHOUT_SCALE}
SPACES: dict[str, Space] = {
    "v_sknn": {key: values for key, values in _EBR.items() if key not in _OF_THE_USER},
    "vsknn_ebr": _EBR,
    "stan": _without((*_OF_THE_USER, *_OF_VSTAN)),
    "vstan": _without(_OF_THE_USER),
}
SPACES |= {f"official_{preset}": SPACES[preset] for preset in ("v_sknn", "stan", "vstan")}
"""Ranges by preset: a preset of the session alone stays one; V-SKNN uses no age and no distance, STAN neither the
position of the last shared item nor how rare an item is."""
