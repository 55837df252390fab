"""The subreddit interactions in their raw form."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from raw_files import read

from segue.data import sources
from segue.data.corpus import load
from segue.data.preparation.prepare import prepare
from segue.errors import LogError
from segue.settings import compose


@pytest.mark.parametrize(("index", "decimals"), [(False, ""), (True, ".0")])
def test_rows_keep_their_order_with_or_without_an_index(tmp_path: Path, index: bool, decimals: str) -> None:
    rows = [("kabanossi", "photoshopbattles", 1482748872), ("Iron", "GetMotivated", 1482748202)]
    lines = [
        ",".join([*([str(n)] if index else []), user, subreddit, f"{utc}{decimals}"])
        for n, (user, subreddit, utc) in enumerate(rows)
    ]
    header = f"{',' if index else ''}username,subreddit,utc"
    (tmp_path / "reddit_data.csv").write_text("\n".join([header, *lines]) + "\n")
    raw, found = read(sources.open_source("reddit", tmp_path), tmp_path)
    assert found == [
        ("kabanossi", "photoshopbattles", datetime(2016, 12, 26, 10, 41, 12)),
        ("Iron", "GetMotivated", datetime(2016, 12, 26, 10, 30, 2)),
    ]
    assert raw.items is None


def test_it_prepares_with_repeats_and_sessions_of_an_hour(tmp_path: Path) -> None:
    rows = [
        f"{user},{subreddit},{1_480_000_000 + 90_000 * day + 3_600 * hour}"
        for user in ("ann", "bob")
        for day in range(5)
        for hour, subreddit in enumerate(("a", "a", "b"))
    ]
    (tmp_path / "reddit_data.csv").write_text("\n".join(["username,subreddit,utc", *rows]) + "\n")
    source = sources.open_source("reddit", tmp_path)
    prepare(source, tmp_path / "corpus", compose(source.settings))
    corpus = load(tmp_path / "corpus")
    assert corpus.sessions.items.tolist() == [0, 0, 1] * 10
    assert corpus.sessions.lengths.tolist() == [3] * 10


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "reddit_data.csv").write_text("author,subreddit,utc\na,b,1\n")
    with pytest.raises(LogError, match=r"no column username in its header"):
        read(sources.open_source("reddit", tmp_path), tmp_path)
