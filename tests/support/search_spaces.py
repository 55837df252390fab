"""A small search space, of GRU4Rec in the tests of the search."""

from __future__ import annotations

from segue.settings.search_space import Between, Choice

SPACE = {"model.dim": Choice((4, 8)), "model.dropout_embed": Between(0.0, 0.5)}
