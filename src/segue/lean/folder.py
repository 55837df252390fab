"""A trained model's folder, read without torch."""

from __future__ import annotations

from pathlib import Path

from segue.artifact.arrays import StoredArrays
from segue.artifact.contents import Contents, contents_of, facts_in, unreadable
from segue.artifact.names import ANSWERS, ANSWERS_FORMAT
from segue.artifact.seal import check_seal, is_sealed
from segue.lean import forms
from segue.lean.model import Answering
from segue.system.json_files import parse_object


def load(folder: Path) -> tuple[Contents, Answering | None]:
    """Read a folder, and the model where it answers without torch: None for the others, and for those that were stored
    before this was possible.

    What is read is checked, whoever wrote it. Raises ArtifactError when it is missing, damaged or of another format.
    """
    check_seal(folder)
    try:
        contents = contents_of(folder, facts_in(folder))
        if not is_sealed(folder, ANSWERS):
            return contents, None
        derived = StoredArrays(folder / ANSWERS)
        known = derived.metadata.get("format") == ANSWERS_FORMAT
        return contents, answering(contents, derived) if known else None
    except (OSError, ValueError) as error:
        raise unreadable(folder, error) from None


def answering(contents: Contents, derived: StoredArrays) -> Answering:
    """The model of a folder, with what is constant in its answers. Raises ValueError for arrays that do not fit."""
    facts, texts = contents.facts, derived.metadata
    options = parse_object(texts.get("options", ""))
    model = StoredArrays(contents.folder / "model.safetensors")
    return forms.build(texts.get("form", ""), model, derived, options, facts["n_items"], facts["n_users"])
