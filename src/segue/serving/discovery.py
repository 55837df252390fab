"""Lists that reserve places for items new to the user; evaluation measures such lists by the same rule."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from segue.data.arrays import IntArray
from segue.evaluation.reserved import reserved_places

NO_HISTORY = "the user has no history that the model knows: every item is new to them, and discover changes nothing"


def with_discoveries(
    ordered: IntArray, new: npt.NDArray[np.bool_], k: int, share: float, warnings: list[str]
) -> IntArray:
    """The first k of an ordered list, of which a share of the places is reserved for new items.

    A list that holds as many new items anyway stays as it is; otherwise its last known items give way to the best new
    ones. The order is that of `ordered`, so the scores of the list fall from place to place as they always do.

    Args:
        ordered: numbers of all eligible items, best first, [eligible].
        new: whether each item is new to the user, bool [items].
        share: of the k places, see :func:`segue.evaluation.reserved.reserved_places`.
        warnings: what has to be said is added here.

    Returns:
        The list, int64 [min(k, eligible)].
    """
    places = reserved_places(share, k)
    is_new = new[ordered]
    found = int(is_new.sum())
    if not places:
        warnings.append(f"discover {share:g} of {k} places reserves none; discover {1 / k:.2g} reserves one")
    if found < places:
        warnings.append(f"only {found} eligible items are new to the user, {places} places were reserved for them")
    reserved = is_new & (np.cumsum(is_new) <= places)
    others = ~reserved
    return ordered[reserved | (others & (np.cumsum(others) <= k - int(reserved.sum())))]
