"""One id in several spellings, such as 12 and 12.0: the key that all spellings of an id share, in SQL."""

from __future__ import annotations

_PLAIN = r"[!#-&(-~]*[G-Zg-z_][!#-&(-~]*|[1-9][0-9]*|[0-9a-f]{8}-[0-9a-f-]{27}"
"""Ids that are their own key, most ids of most logs: the longer way takes ten times as long."""
_WHOLE = r"^[+]?(-?)0*([0-9]+)([.]0*)?$"
_THOUSANDS = r"[0-9]{1,3}(,[0-9]{3})+([.]0*)?"
_EXPONENT = r"[0-9]([.][0-9]+)?[eE][+][0-9]{1,2}"
_HEXADECIMAL = r"[0-9A-Fa-f-]{8,}"
_WORDS = r"[^0-9]+"


def spelling_key(text: str) -> str:
    """The SQL of a key that is equal for the spellings of one id.

    Spellings differ in blanks around or inside the id, in characters that do not show, in the composition of accents
    (NFC, NFD), in quotes around it; numbers in zeros before them, a sign, a fraction of zeros (``12.0``), commas
    between thousands or an exponent (``1e+05``); hexadecimal ids of eight digits or more in case.
    """
    seen = f"regexp_replace(nfc_normalize({text}), '\\p{{Cf}}', '', 'g')"
    plain = f"trim(regexp_replace({seen}, '[\\s\\p{{Z}}]+', ' ', 'g'), ' ''\"')"
    return f"""
        CASE WHEN regexp_full_match({text}, '{_PLAIN}') THEN {text}
             WHEN regexp_full_match({plain}, '{_THOUSANDS}') THEN {_whole(f"replace({plain}, ',', '')")}
             WHEN regexp_full_match({plain}, '{_EXPONENT}')
             THEN {_whole(f"printf('%.0f', CAST({plain} AS DOUBLE))")}
             WHEN regexp_full_match({plain}, '{_HEXADECIMAL}') THEN lower({_whole(plain)})
             ELSE {_whole(plain)} END
    """


def case_key(key: str) -> str:
    """The SQL of a key that is equal for spellings that differ in case as well; ids with digits keep their case.

    Short ids of letters and digits mean different things in upper and lower case (``aB3``, ``ab3``).
    """
    return f"CASE WHEN regexp_full_match({key}, '{_WORDS}') THEN lower({key}) ELSE {key} END"


def _whole(text: str) -> str:
    return f"regexp_replace({text}, '{_WHOLE}', '\\1\\2')"
