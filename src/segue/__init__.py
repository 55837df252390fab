"""Segue recommends the next item of a live session to a user it knows.

import segue
model = segue.fit("clicks.csv")
model.recommend("anna", ["milk", "bread"], k=5)
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from segue.errors import ArtifactError, ConfigError, CorpusError, LogError, RequestError, SegueError, UserMistake
from segue.system.limits import keep_to_quota

if TYPE_CHECKING:
    from segue.api import fit, load
    from segue.serving.answer import Answer, Recommendation
    from segue.serving.index import IndexSettings
    from segue.serving.past_sessions import PastSession
    from segue.serving.recommender import Recommender
    from segue.version import __version__

# Before torch starts its threads: let waiting threads sleep. The default, spinning, costs nothing on idle cores, but
# where others use the machine too it made training several times slower (docs/decisions/0006).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
keep_to_quota()  # before the threads of any library, too

__all__ = [
    "Answer",
    "ArtifactError",
    "ConfigError",
    "CorpusError",
    "IndexSettings",
    "LogError",
    "PastSession",
    "Recommendation",
    "Recommender",
    "RequestError",
    "SegueError",
    "UserMistake",
    "__version__",
    "fit",
    "load",
]

_HOMES = {
    "fit": "segue.api",
    "load": "segue.api",
    "Answer": "segue.serving.answer",
    "Recommendation": "segue.serving.answer",
    "IndexSettings": "segue.serving.index",
    "PastSession": "segue.serving.past_sessions",
    "Recommender": "segue.serving.recommender",
    "__version__": "segue.version",
}


def __getattr__(name: str) -> Any:
    """Import a name that takes long at its first use, so that the command line can answer Ctrl-C before."""
    if name not in _HOMES:
        raise AttributeError(f"module 'segue' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
