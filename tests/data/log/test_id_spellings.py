"""The key that all spellings of one id share, and ids that only look alike."""

from __future__ import annotations

import unicodedata

import pytest
from engines import engine
from hypothesis import given
from hypothesis import strategies as st

from segue.data.log.id_spellings import case_key, spelling_key


def keys(*ids: str, fold: bool = False) -> list[str]:
    key = case_key(f"({spelling_key('id')})") if fold else spelling_key("id")
    rows = engine().execute(f"SELECT {key} FROM (SELECT unnest(?) AS id)", [list(ids)]).fetchall()
    return [text for (text,) in rows]


@pytest.mark.parametrize(
    "spellings",
    [
        [
            "12",
            "12.0",
            "12.",
            "12.000",
            "+12",
            "012",
            " 12",
            "12\t",
            "12\u00a0",
            "\u200b12",
            "\ufeff12",
            '"12"',
            "'12'",
        ],
        ["1200", "1,200", "1,200.0", "1.2e+03", "01200"],
        ["0", "00", "0.0"],
        ["-3", "-03", "-3.0"],
        ["Caf\u00e9", "Cafe\u0301", " Caf\u00e9 "],
        ["A B", "A  B", "A\u00a0B", "A\u202fB"],
        ["deadbeef01", "DEADBEEF01", "DeadBeef01"],
        ["0f8fad5b-d9cb-469f-a165-70867728950e", "0F8FAD5B-D9CB-469F-A165-70867728950E"],
    ],
)
def test_spellings_of_one_id_share_their_key(spellings: list[str]) -> None:
    assert len(set(keys(*spellings))) == 1


@pytest.mark.parametrize(
    "different",
    [
        ["12", "120", "12.5", "-12", "1.2", "12a"],
        ["aB3", "ab3", "AB3"],
        ["item_12", "item_012", "item12"],
        ["12e45678", "12E+5x"],
        ["1,2", "12"],
        ["0.5", "0.50"],
    ],
)
def test_ids_that_only_look_alike_do_not(different: list[str]) -> None:
    assert len(set(keys(*different))) == len(different)


def test_words_may_be_folded_and_codes_may_not() -> None:
    assert keys("View", "view", "aB3", "ab3", fold=True) == ["view", "view", "aB3", "ab3"]


@given(st.integers(0, 10**15), st.integers(0, 5), st.integers(0, 3), st.sampled_from(["", " ", "\u00a0", "\u2009"]))
def test_zeros_and_blanks_never_matter(number: int, before: int, after: int, blank: str) -> None:
    spelled = blank + "0" * before + str(number) + ("." + "0" * after if after else "") + blank
    assert keys(spelled) == keys(str(number))


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_the_composition_of_accents_never_matters(text: str) -> None:
    composed = unicodedata.normalize("NFC", text)
    assert keys(unicodedata.normalize("NFD", composed)) == keys(composed)


@given(st.from_regex(r"[!#-&(-~]{0,4}[G-Zg-z_][!#-&(-~]{0,4}", fullmatch=True))
def test_plain_ids_are_their_own_keys(text: str) -> None:
    assert keys(text) == [text]
