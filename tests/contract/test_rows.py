"""Every model says which of its arrays have a row per item or per known user, and says it rightly."""

from __future__ import annotations

import pytest
import worlds
from worlds import small

from segue import models
from segue.contract.encoder import SessionEncoder
from segue.errors import ModelError
from segue.models.gru4rec import GRU4Rec

PRESETS = [(name, preset) for name in models.names() for preset in models.load(name).presets or [""]]


@pytest.mark.parametrize(("name", "preset"), [pair for pair in PRESETS if pair[1]])
def test_learned_arrays_grow_with_items_and_users_as_they_say(name: str, preset: str) -> None:
    few, many = worlds.busy(n_items=12, n_users=6), worlds.busy(n_items=19, n_users=9)
    first, second = (worlds.fitted(small(name, preset), corpus) for corpus in (few, many))
    rows, sizes = first.rows, {"item": (12, 19), "user": (7, 10)}
    assert rows == second.rows
    before, after = ({**model.arrays(), **model.derived()} for model in (first, second))
    for array in rows.keys() & before.keys():
        assert (len(before[array]), len(after[array])) == sizes[rows[array]], array
    for array in first.learned - rows.keys():
        assert before[array].shape == after[array].shape, array
    assert bool(rows) <= isinstance(first, SessionEncoder)


class Transposed(GRU4Rec):
    """A model whose item vectors stand in columns."""

    def _build_parameters(self) -> None:
        super()._build_parameters()
        self.register_buffer("sideways", self.embedding.weight.detach().t().contiguous())


def test_an_array_with_items_in_columns_is_refused_and_not_overlooked() -> None:
    model = Transposed(GRU4Rec.Config.parse({"dim": 4}, "model"))
    model.n_items, model.n_users = 5, 3
    with pytest.raises(ModelError, match="'sideways' has no row per item"):
        dict(model.rows)
