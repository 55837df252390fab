"""The paper's own numbers (arXiv 2107.03813v3, Tables 1 to 5), so that they can stand beside ours, marked as theirs.

Figures 3 and 4 are plots without printed values, and Figure 5 names artists; they have no numbers to repeat.
"""

from __future__ import annotations

from collections.abc import Mapping

METRICS = ("HR@5", "HR@10", "MRR@5", "MRR@10")
"""The columns of Tables 2, 4 and 5, in percent."""

DATA_SETS = {"lastfm": "Last.fm", "xing": "Xing", "reddit": "Reddit"}
"""Source of a corpus → the paper's name for that data set."""

Numbers = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Row label → data set → its values, as printed."""


def _rows(data_sets: str, width: int, text: str) -> Numbers:
    """Parse one line per row: the label, then `width` numbers for each data set, all separated by bars or blanks."""
    rows = {}
    for line in text.strip().splitlines():
        label, _, rest = line.partition("|")
        values = rest.replace("|", " ").split()
        cut = [tuple(values[start : start + width]) for start in range(0, len(values), width)]
        rows[label.strip()] = dict(zip(data_sets.split(), cut, strict=True))
    return rows


STATISTICS = _rows(
    "Last.fm Xing Reddit",
    1,
    """
    No. of users           | 992     | 11,479 | 18,271
    No. of items           | 38,615  | 59,121 | 27,452
    No. of sessions        | 385,135 | 91,683 | 1,135,488
    Avg. of session length | 8.16    | 5.78   | 3.02
    Session per user       | 373.19  | 7.99   | 62.15
    No. of train sessions  | 292,703 | 69,135 | 901,161
    No. of test sessions   | 92,432  | 22,548 | 234,327
    """,
)

COMPARISON = _rows(
    "Last.fm Xing Reddit",
    4,
    """
    Item-KNN |  6.73 10.90 4.02 4.81 |  8.79 11.85  5.01  5.42 | 21.71 30.32 11.74 12.88
    GRU4Rec  |  8.47 12.86 4.71 5.29 | 10.35 13.15  5.94  6.36 | 33.72 41.73 24.36 25.42
    NARM     | 10.29 15.03 6.09 6.71 | 13.51 17.31  8.87  9.37 | 33.25 40.52 24.56 25.52
    SR-GNN   | 11.89 16.90 7.23 7.85 | 13.38 16.71  8.95  9.39 | 34.96 42.38 25.90 26.88
    LESSR    | 12.96 17.88 8.24 8.82 | 14.84 16.77 11.98 12.13 | 36.03 43.27 26.45 27.41
    GCE-GNN  | 12.83 18.28 7.60 8.32 | 16.98 20.86 11.14 11.65 | 36.30 45.16 26.65 27.70
    H-RNN    | 10.92 15.83 6.71 7.39 | 10.72 14.36  7.22  7.74 | 44.76 53.44 32.13 33.29
    A-PGNN   | 12.10 17.13 7.37 8.01 | 14.23 17.01 10.26 10.58 | 49.10 58.23 33.54 34.62
    HG-GNN   | 13.09 19.39 7.35 8.18 | 17.25 20.30 12.23 12.79 | 51.08 60.51 35.46 36.89
    """,
)

SECONDS_PER_EPOCH = _rows(
    "Last.fm Xing Reddit",
    1,
    """
    A-PGNN  | 995.53 | 118.18 | 1,054.20
    GCE-GNN | 521.23 |  76.35 |   605.37
    HG-GNN  | 458.56 |  61.23 |   576.13
    """,
)

LAYERS = _rows(
    "Last.fm Xing",
    4,
    """
    w/o HGNN | 11.98 17.42 6.81 7.53 | 16.54 20.14 11.76 12.24
    w/o CPL  | 12.83 19.16 7.07 7.91 | 13.16 16.53  8.70  9.15
    w/o GPL  | 12.96 19.22 7.13 8.04 | 17.24 20.38 12.21 12.74
    HG-GNN   | 13.09 19.39 7.35 8.18 | 17.25 20.30 12.23 12.79
    """,
)

GRAPH = _rows(
    "Xing",
    4,
    """
    w/o user nodes    | 17.03 19.82 12.05 12.86
    w/o in edges      | 17.14 20.02 12.12 12.93
    w/o out edges     | 17.11 20.00 12.02 12.87
    w/o similar edges | 17.24 20.09 12.32 13.04
    HG-GNN            | 17.25 20.30 12.23 12.79
    """,
)
