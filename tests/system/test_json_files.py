"""JSON of others: an object and nothing else, bounded in size and depth, without two meanings."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.system import json_files
from segue.system.json_files import DEEPEST, parse_object, read_object, typed

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), _VALUES, max_size=5))
def test_what_was_written_is_read(value: dict[str, Any]) -> None:
    assert parse_object(json.dumps(value)) == value
    assert parse_object(json.dumps(value, ensure_ascii=False)) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("[]", "expected an object, found a list"),
        ("null", "found null"),
        ("true", "found true or false"),
        ("3", "found a number"),
        ('"text"', "found a text"),
        ('{"a": 1, "b": {"c": 2, "c": 2}}', "the key 'c' occurs twice"),
        ('{"a": NaN}', "NaN is no finite number"),
        ('{"a": -Infinity}', "-Infinity is no finite number"),
        ('{"a": 1e999}', "1e999 is no finite number"),
        ('{"a": "\\ud800"}', "surrogates not allowed"),
        ('{"a": ' + "9" * 5000 + "}", "digits"),
        ("[" * 200_000 + "]" * 200_000, "more than 64 levels"),
        ('{"a":' * (DEEPEST + 1) + "1" + "}" * (DEEPEST + 1), "more than 64 levels"),
    ],
)
def test_anything_else_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_object(text)


def test_as_deep_as_allowed_is_read() -> None:
    assert parse_object('{"a":' * DEEPEST + "1" + "}" * DEEPEST)


def test_a_file_that_never_ends_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_files, "MOST_BYTES", 2**20)
    large, pipe, device = tmp_path / "large.json", tmp_path / "pipe.json", tmp_path / "device.json"
    large.write_bytes(b" " * (2**20 + 1))
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="larger than 1,048,576 bytes"):
        read_object(large)
    for path in (pipe, device):
        with pytest.raises(ValueError, match=f"{path.name} is no regular file"):
            read_object(path)
    with pytest.raises(FileNotFoundError):
        read_object(tmp_path / "missing.json")


@dataclass(frozen=True)
class Shape:
    count: int
    by_name: Mapping[str, float]
    pair: tuple[float, float] = (0.0, 0.0)


def test_a_shape_is_filled_by_its_keys_and_no_others() -> None:
    assert typed(Shape, {"count": 1, "by_name": {"a": 1}, "pair": [1, 2], "more": 3}) == Shape(1, {"a": 1.0}, (1, 2))
    assert typed(Shape, {"count": 1, "by_name": {}}) == Shape(1, {})
    with pytest.raises(KeyError, match="by_name"):
        typed(Shape, {"count": 1})
    for values, reason in (
        ({"count": [], "by_name": {}}, "count: input should be a valid integer, found \\[\\]"),
        ({"count": 1, "by_name": {"a": "x"}}, "by_name.a: input should be a valid number"),
        ({"count": 1, "by_name": {}, "pair": [1]}, "pair.1: field required"),
    ):
        with pytest.raises(ValueError, match=reason):
            typed(Shape, values)
