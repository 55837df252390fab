"""The note that a comparison was started with, and what happens when it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from comparisons import compare

from segue.compare import standing
from segue.errors import ArtifactError

NOTE = '{"plan": {}, "models": {"x": {"model": {"name": "markov"}}}, "seeds": [0]}'


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", '{"a": 1}', "null", NOTE.replace("[0]", '"ab"'), NOTE.replace("{}", "null"),
        NOTE.replace('{"name": "markov"}', "{}"), NOTE.replace("markov", "nobody"),
    ],
)  # fmt: skip
def test_a_damaged_comparison_is_named(tmp_path: Path, text: str) -> None:
    compare(tmp_path, ["popularity"])
    (tmp_path / "comparison.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"is damaged: comparison\.json"):
        standing(tmp_path)


def test_a_folder_without_a_note_holds_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="there is no comparison at"):
        standing(tmp_path)
