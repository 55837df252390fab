"""What is written as TOML is read back as it was."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.settings.toml import as_toml

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), TEXT
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=5,
)


@given(st.dictionaries(TEXT, st.dictionaries(TEXT, VALUES, max_size=4), max_size=3))
def test_everything_comes_back(nested: dict[str, dict[str, Any]]) -> None:
    assert tomllib.loads(as_toml(nested)) == nested


def test_the_text_is_what_a_person_would_write() -> None:
    nested = {"model": {"name": "hg_gnn", "layer_weights": None, "memory": ("session",)}, "training": {"seed": 1}}
    expected = '# best of 3\n\n[model]\nname = "hg_gnn"\nmemory = ["session"]\n\n[training]\nseed = 1\n'
    assert as_toml(nested, "best of 3") == expected


def test_what_toml_has_not_is_refused() -> None:
    with pytest.raises(TypeError, match="TOML has no object"):
        as_toml({"model": {"name": object()}})
