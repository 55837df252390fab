"""Readable names of product categories: "REFRGRATD JUICES/DRNKS" becomes "Refrigerated juices and drinks".

The product table of Complete Journey writes its categories in capitals, with abbreviations and slashes. The rules
here are general; only the table of abbreviations is taken from that vocabulary.
"""

from __future__ import annotations

import re

_WHOLE_WORDS = {
    "babyfood": "baby food",
    "bg": "bags",
    "bkd": "baked",
    "bn": "beans",
    "brkfst": "breakfast",
    "btr": "butter",
    "checklane": "checkout",
    "ckys": "cookies",
    "cleang": "cleaning",
    "cndy": "candy",
    "conc": "concentrate",
    "crkr": "crackers",
    "crystl": "crystal",
    "disposible": "disposable",
    "dnr": "dinner",
    "drnk": "drink",
    "drnks": "drinks",
    "drsng": "dressing",
    "dsh": "dishes",
    "fd": "food",
    "flvrd": "flavored",
    "frzn": "frozen",
    "hbc": "health and beauty care",
    "jce": "juice",
    "lunchmeat": "lunch meat",
    "memorablilia": "memorabilia",
    "misc": "other",
    "miscellaneous": "other",
    "mixs": "mixes",
    "mw": "microwave",
    "mx": "mix",
    "mxs": "mixes",
    "ndairy": "non-dairy",
    "pk": "pack",
    "pkg": "packaged",
    "pkgd": "packaged",
    "pkld": "pickled",
    "pnt": "peanut",
    "prod": "produce",
    "pwdr": "powder",
    "refrgratd": "refrigerated",
    "rw": "random weight",
    "sald": "salad",
    "sherbts": "sherbets",
    "snks": "snacks",
    "sndwch": "sandwich",
    "sod": "soda",
    "sply": "supplies",
    "sprd": "spread",
    "suppplies": "supplies",
    "sweetners": "sweeteners",
    "tiss": "tissues",
    "trsh": "trash",
    "veg": "vegetable",
    "whlsm": "wholesome",
    "wtr": "water",
}
"""Abbreviations and misspellings of the product table, in lower case, and what they stand for."""

_COUNTERS = {"DELI": "deli", "PASTRY": "bakery", "NUTRITION": "health food", "RESTAURANT": "restaurant"}
"""Departments that sell what other departments sell too, by the name that a shopper knows."""

_VAGUE = {
    "HEAT/SERVE": "meat",
    "HISPANIC": "foods",
    "MISCELLANEOUS": "meat",
    "NEW AGE": "drinks",
    "PROCESSED": "produce",
    "SEASONAL": "produce",
}
"""Categories whose own name does not say what they hold, and what they hold."""


def category_name(category: str, department: str | None) -> str:
    """The name of a category, with its counter where another department sells the same ("Bread (bakery)").

    Args:
        category: as in the column ``product_category``.
        department: as in the column ``department``.
    """
    name = readable(category)
    counter = _VAGUE.get(category) or _COUNTERS.get(department or "")
    return name if counter is None or counter in name.lower() else f"{name} ({counter})"


def readable(text: str) -> str:
    """A text in capitals and abbreviations as a phrase: words in full, first letter large, no slashes or brackets.

    What is readable stays as it is: ``readable(readable(text)) == readable(text)``.
    """
    # A hyphen after a short prefix belongs to the word (NON-DAIRY); any other one separates (PEPPERS-ALL).
    text = re.sub(r"(?<![a-z])([a-z]{1,3})-(?=[a-z])", r"\1‑", text.lower())
    parts = [_phrase(part) for part in re.split(r"\s*[-:,;()]+\s*", text)]
    name = ", ".join(part for part in parts if part and part != "all")
    return (name[:1].upper() + name[1:]).replace("‑", "-")


def _phrase(text: str) -> str:
    """The alternatives of one phrase, joined as people join them: "bread/buns/rolls" is "bread, buns and rolls"."""
    alternatives = [
        " ".join(_WHOLE_WORDS.get(word, word) for word in re.findall(r"[^\s./&]+|&", part)) for part in text.split("/")
    ]
    *most, last = [part.replace("&", "and") for part in alternatives if part] or [""]
    return f"{', '.join(most)} and {last}" if most else last
