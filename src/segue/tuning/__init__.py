"""The search for a model's settings on validation, with a budget of trials and minutes."""

from segue.tuning.search import Budget, SearchProgress, SearchResult, tune

__all__ = ["Budget", "SearchProgress", "SearchResult", "tune"]
