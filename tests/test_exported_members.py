"""The public names: adding or dropping one is a decision."""

from __future__ import annotations

import inspect

import segue


def test_the_public_names_are_these() -> None:
    assert segue.__all__ == [
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
    assert all(hasattr(segue, name) for name in segue.__all__)


def test_every_public_name_is_documented() -> None:
    for name in segue.__all__:
        if name != "__version__":
            assert inspect.getdoc(getattr(segue, name)), name


def test_fit_and_recommend_are_called_like_this() -> None:
    """As promised: ``segue.fit(log, settings)`` and ``recommend(user, items, k, exclude, candidates)``."""
    assert list(inspect.signature(segue.fit).parameters)[:2] == ["log", "settings"]
    assert list(inspect.signature(segue.load).parameters) == ["folder", "index"]
    recommend = inspect.signature(segue.Recommender.recommend).parameters
    assert list(recommend)[:6] == ["self", "user", "items", "k", "exclude", "candidates"]
    assert (recommend["k"].default, recommend["exclude"].default, recommend["candidates"].default) == (10, (), None)


def test_every_mistake_is_a_user_mistake() -> None:
    for error in (segue.ArtifactError, segue.ConfigError, segue.CorpusError, segue.LogError, segue.RequestError):
        assert issubclass(error, segue.UserMistake)
    assert issubclass(segue.UserMistake, segue.SegueError)
