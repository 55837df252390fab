"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from segue.report.table import MISSING, Cell


def percent(value: float | None, deviation: float | None = None) -> str:
    """A fraction in percent, with ± one standard deviation where there is one: ``24.38 ± 0.12``."""
    if value is None:
        return MISSING
    return f"{100 * value:.2f}" + (f" ± {100 * deviation:.2f}" if deviation is not None else "")


def percent_column(values: Sequence[float | None], deviations: Sequence[float | None] = ()) -> list[Cell]:
    """Fractions in percent; the largest as shown are marked as best. A column with one value has no best."""
    texts = [percent(value) for value in values]
    present = [float(text) for text in texts if text != MISSING]
    spreads = deviations or [None] * len(values)
    return [
        Cell(
            percent(value, deviation),
            "best" if text != MISSING and len(present) > 1 and float(text) == max(present) else "",
        )
        for value, deviation, text in zip(values, spreads, texts, strict=True)
    ]


def points(difference: float) -> str:
    """A difference of two fractions in percentage points, with its sign: ``+1.99``."""
    return f"{100 * difference:+.2f}"


def figure(value: Any) -> str:
    """A fact as text: whole numbers with thousands, others with two digits after the point or three that count."""
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.3g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(figure, value))
    return str(value)


def setting(value: Any) -> str:
    """The value of a setting, rounded to three significant digits where it is a float."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def is_nested_table(value: Any) -> bool:
    """Whether a fact is a table of tables, such as the relations of a graph."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(row, Mapping) for row in value.values())


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested facts, each under the names on its path, in words."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix} {words(key)}".strip()
        flat |= flattened(value, name) if isinstance(value, Mapping) else {name: value}
    return flat


def words(name: str) -> str:
    """A key as people write it: blanks for underscores."""
    return str(name).replace("_", " ")
