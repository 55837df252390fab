"""Counting models answer without torch as torch does: every preset, whoever asks."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from lean_models import asked_of, assert_equal, lean_of, requests

from segue import models
from segue.contract.model import SessionModel
from segue.lean.forms import FORMS
from segue.lean.model import Answering

COUNTING = [
    (name, preset)
    for name in ("markov", "popularity", "item_knn", "ease", "slis", "slist", "session_knn")
    for preset in models.load(name).presets
    if not preset.endswith("_ebr")  # reminders are answered through torch
]


@cache
def fitted(name: str, preset: str) -> tuple[SessionModel, Answering]:
    model = worlds.fitted(worlds.small(name, preset), worlds.busy())
    return model, lean_of(model)


@pytest.mark.parametrize(("name", "preset"), COUNTING)
@settings(max_examples=25)
@given(asked=st.lists(requests, min_size=1, max_size=4))
def test_every_preset_answers_as_torch_does(name: str, preset: str, asked: list[dict[str, Any]]) -> None:
    model, lean = fitted(name, preset)
    assert_equal(model, lean, [asked_of(model, **request) for request in asked])


def test_every_form_belongs_to_a_model_and_every_model_with_a_form_has_it() -> None:
    forms = {models.load(name).lean_form for name in models.names()} - {None}
    assert forms == set(FORMS)
