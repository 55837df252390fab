"""The list of known data sets, and how commands name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.data import sources
from segue.errors import LogError
from segue.settings import compose


def test_the_folder_is_the_list() -> None:
    assert sources.names() == ["complete-journey", "lastfm", "reddit", "xing"]


@pytest.mark.parametrize("name", sources.names())
def test_the_settings_of_every_source_are_settings(name: str, tmp_path: Path) -> None:
    for file in (
        "userid-timestamp-artid-artname-traid-traname.tsv",
        "interactions.csv",
        "reddit_data.csv",
        "transactions.parquet",
        "products.parquet",
        "demographics.parquet",
    ):
        (tmp_path / file).touch()
    source = sources.open_source(name, tmp_path)
    assert source.name == name
    assert compose(source.settings).sessions.max_length == 20


def test_a_name_before_a_colon_is_a_source_and_all_else_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "reddit_data.csv").touch()
    found = sources.find(f"reddit:{tmp_path / 'reddit_data.csv'}")
    assert found is not None
    assert found.name == "reddit"
    assert sources.find("reddit") is None
    assert sources.find("clicks.csv") is None
    assert sources.find("C:clicks.csv") is None


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"unknown data set 'lastfn': did you mean 'lastfm'\?"):
        sources.open_source("lastfn", tmp_path)
    with pytest.raises(LogError, match=r"write xing:PATH, the path of interactions.csv"):
        sources.find("xing:")
    with pytest.raises(LogError, match=r"xing: no file .*nowhere; download the data set"):
        sources.open_source("xing", tmp_path / "nowhere")
    with pytest.raises(LogError, match=r"no file .*transactions.parquet"):
        sources.open_source("complete-journey", tmp_path)


def test_a_packed_file_in_the_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv.gz").touch()
    assert sources.raw_file(tmp_path, "xing", "interactions.csv") == tmp_path / "interactions.csv.gz"
