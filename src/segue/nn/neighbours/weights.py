"""Weights by position of the items of a running session, and of the neighbours that share one of them."""

from __future__ import annotations

from typing import Literal

import numpy as np

from segue.data.arrays import FloatArray, IntArray

Shape = Literal["same", "div", "quadratic", "log", "exp"]


def item_weight(shape: Shape, scale: float, place: IntArray, length: IntArray) -> FloatArray:
    """Weight of each item of a running session of `length` items; `place` from 1. Shapes: all [n]."""
    share: FloatArray = place / length
    match shape:
        case "div":
            return share
        case "quadratic":
            return share * share
        case _:
            return _by_distance(shape, scale, length - place)


def match_weight(shape: Shape, scale: float, place: IntArray, length: IntArray) -> FloatArray:
    """Weight of a neighbour whose last shared item is at position `place`, from 1, of `length`. Shapes: all [n]."""
    distance = length - place
    inverse: FloatArray = 1 / (distance + 1)
    match shape:
        case "div":
            return inverse
        case "quadratic":
            return inverse * inverse
        case "log":
            return _by_distance(shape, scale, distance + 1)
        case _:
            return _by_distance(shape, scale, distance)


def _by_distance(shape: Shape, scale: float, distance: IntArray) -> FloatArray:
    weight: FloatArray = np.ones(len(distance))
    if shape == "log":
        weight = 1 / np.log10(distance + 1.7)
    elif shape == "exp":
        weight = np.exp(-distance / scale)
    return weight
