"""SLIS: the linear item-item model of whole sessions (Choi et al. 2021), the part of SLIST that knows no order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from segue.contract.model import Overrides
from segue.models.slist import Slist, SlistConfig
from segue.settings.search_space import Space


class SlisConfig(SlistConfig):
    """Options of SLIS: those of SLIST, with the loss of whole sessions alone."""

    alpha: float = Field(1.0, ge=1, le=1)
    """Share of the loss that whole sessions have: all of it, which is what makes SLIST a SLIS."""


class Slis(Slist):
    """SLIST with α = 1: B minimises ||W_f (X - XB)||² + λ ||B||² over B with diagonal ≤ ξ."""

    Config = SlisConfig
    config: SlisConfig
    title: ClassVar[str] = "SLIS"
    order_blind: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Overrides]] = {
        preset: options for preset, options in Slist.presets.items() if preset != "slit"
    }
    space: ClassVar[Space] = {
        key: values for key, values in Slist.space.items() if key not in ("model.alpha", "model.near")
    }
    spaces: ClassVar[Mapping[str, Space]] = {
        "history": {**space, "model.history_weight": Slist.spaces["history"]["model.history_weight"]}
    }


Model = Slis
