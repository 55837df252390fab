"""Segue recommends the next item of a live session to a user it knows.

import segue
model = segue.fit("clicks.csv")
model.recommend("anna", ["milk", "bread"], k=5)
"""

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
