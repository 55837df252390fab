"""Segue recommends the next item of a live session to a user it knows.

import segue
model = segue.fit("clicks.csv")
model.recommend("anna", ["milk", "bread"], k=5)
"""

import os

# Before torch starts its threads: let waiting threads sleep. The default, spinning, costs nothing on idle cores, but
# where others use the machine too it made training five times slower (docs/decisions/0006).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from segue.api import fit, load
from segue.errors import ArtifactError, ConfigError, CorpusError, LogError, RequestError, SegueError, UserMistake
from segue.recommender import Answer, Recommendation, Recommender
from segue.version import __version__

__all__ = [
    "Answer",
    "ArtifactError",
    "ConfigError",
    "CorpusError",
    "LogError",
    "Recommendation",
    "Recommender",
    "RequestError",
    "SegueError",
    "UserMistake",
    "__version__",
    "fit",
    "load",
]
