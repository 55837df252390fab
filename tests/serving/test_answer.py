"""The shape of an answer."""

from __future__ import annotations

import json

from served import KNOWN, model


def test_the_json_shape() -> None:
    answer = model().recommend(KNOWN, ["first3", "x"], k=3)
    shape = json.loads(json.dumps(answer.as_dict(), allow_nan=False))
    assert list(shape) == ["items", "skipped", "user_known", "warnings"]
    assert shape["skipped"] == ["x"]
    assert shape["user_known"] is True
    assert [list(entry) for entry in shape["items"]] == [["item", "score", "because"]] * 3
    assert all(isinstance(entry["item"], str) and isinstance(entry["score"], float) for entry in shape["items"])
    (part,) = shape["items"][0]["because"]["session"]
    assert list(part) == ["item", "contribution", "relation"]


def test_an_answer_is_a_sequence() -> None:
    answer = model().recommend(KNOWN, ["first3"], k=3)
    assert list(answer) == [answer[0], answer[1], answer[2]]
    assert answer[1:] == (answer[1], answer[2])
