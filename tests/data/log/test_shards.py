"""Rows of numbered files: a number that is missing is said, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.data.log.check import check_log
from segue.data.log.opening.shards import gap_notes
from segue.settings import compose

FOLDER = Path("clicks")


def notes(*names: str) -> list[str]:
    return gap_notes(FOLDER, [FOLDER / name for name in names])


@given(st.sets(st.integers(0, 30), min_size=3), st.sampled_from(("part-{:05d}-4f0e-c000.snappy.parquet", "h_{}.csv")))
def test_every_missing_number_is_counted(numbers: set[int], name: str) -> None:
    numbers |= {0}
    missing = set(range(max(numbers))) - numbers
    found = notes(*(name.format(number) for number in numbers))
    assert len(found) == (1 if missing else 0)
    for note in found:
        assert note.startswith(
            f"missing of the numbered files as {name.format(0)} to number {max(numbers)}: {len(missing)} "
        )
        assert f"({min(missing)}" in note


@pytest.mark.parametrize(
    "names",
    [
        ("2017-10-01.csv", "2017-10-02.csv", "2017-10-05.csv", "2017-11-05.csv"),
        ("20171001.csv", "20171002.csv", "20171031.csv"),
        ("clicks-2015.csv", "clicks-2017.csv", "clicks-2020.csv"),
        ("1.csv", "5.csv"),
        ("a1.csv", "b3.csv", "c7.csv"),
    ],
)
def test_names_that_are_no_row_say_nothing(names: tuple[str, ...]) -> None:
    assert notes(*names) == []


def test_a_total_in_the_name_tells_of_the_last_ones() -> None:
    (note,) = notes("part-00000-of-00005.parquet", "part-00001-of-00005.parquet")
    assert ": 3 (" in note
    assert "(2, 3, 4)" in note
    (note,) = notes("part-00001-of-00003.parquet", "part-00003-of-00003.parquet")
    assert "(2)" in note
    assert notes("part-0-of-99999999999.csv") == []
    assert notes(*(f"part-{number}-of-3.csv" for number in (1, 2, 3))) == []


def test_folders_are_rows_of_their_own() -> None:
    assert notes("day=1/part-0.csv", "day=1/part-1.csv", "day=2/part-3.csv") == []


def test_a_log_says_so_and_names_what_is_unfinished(tmp_path: Path) -> None:
    log = tmp_path / "clicks"
    (log / "_temporary").mkdir(parents=True)
    for number in (0, 1, 3):
        (log / f"part-{number}.csv").write_text(f"user_id,item_id,timestamp\nu,i{number},2024-01-0{number + 1}\n")
    (log / "_temporary" / "part-2.csv").write_text("half")
    said = check_log(log, compose({}), tmp_path).facts.notes
    assert any(note.startswith("missing of the numbered files as part-0.csv to number 3: 1 (2)") for note in said)
    assert any("holds _temporary: what writes it has not finished" in note for note in said)
