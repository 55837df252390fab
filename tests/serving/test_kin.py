"""What an items file says of new items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import small_logs

from segue.errors import LogError
from segue.serving.kin import Kin, read_items
from segue.serving.live import LiveRecommender
from segue.serving.recommender import Recommender
from segue.serving.vocabulary import Vocabulary
from segue.settings import Settings

TABLE = pa.table(
    {
        "item_id": ["a", "b", "c", "new", "odd"],
        "name": ["A", "B", "C", "The new one", None],
        "brand": ["x", "x", "y", "x", "z"],
        "kind": ["bread", "milk", "milk", "milk", None],
    }
)


def test_each_attribute_weighs_the_same_and_each_item_within_it() -> None:
    kin = Kin(TABLE, Vocabulary(["a", "b", "c"]))
    rows, weights = kin.of("new")
    assert rows.tolist() == [0, 1, 1, 2]
    assert weights.tolist() == [0.25] * 4
    assert kin.names["new"] == "The new one"
    for item in ("odd", "unheard"):
        assert [len(part) for part in kin.of(item)] == [0, 0]


def test_a_new_item_of_the_file_has_its_name_and_is_recommended_like_its_kin(tmp_path: Path) -> None:
    base = Recommender.load(small_logs.fitted_model())
    known = base.known_items.ids
    lines = [f"{item},of {item[0]}" for item in known] + [f"fresh,of {known[0][0]}"]
    file = tmp_path / "items.csv"
    file.write_text(
        "\n".join(["item_id,kind,name", *(f"{line},Name of {line.split(',')[0]}" for line in lines)]) + "\n"
    )
    live = LiveRecommender(base, items=file)
    number = live.learn("fresh")
    assert number is not None
    live.add([number])
    assert live.name("fresh") == "Name of fresh"
    live.recommend(None, [known[0]])  # which forms its vector
    same = [place for place, item in enumerate(known) if item[0] == known[0][0]]
    np.testing.assert_allclose(
        live.live.vectors_of(np.array([number]))[:-1, 0],
        live.live.vectors_of(np.array(same))[:-1].mean(1),
        rtol=1e-4,
        atol=1e-6,
    )
    live.forget()
    assert live.learn("fresh") == number


def test_a_file_that_is_no_items_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text("id,kind\n1,x\n")
    with pytest.raises(LogError, match="item_id"):
        read_items(file, Settings())
