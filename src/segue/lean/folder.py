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
        return contents, _answering(contents)
    except (OSError, ValueError) as error:
        raise unreadable(folder, error) from None


def _answering(contents: Contents) -> Answering | None:
    folder, facts = contents.folder, contents.facts
    if not is_sealed(folder, ANSWERS):
        return None
    with StoredArrays(folder / ANSWERS) as derived, StoredArrays(folder / "model.safetensors") as model:
        texts = derived.metadata
        if texts.get("format") != ANSWERS_FORMAT:
            return None
        options = parse_object(texts.get("options", ""))
        return forms.build(texts.get("form", ""), model, derived, options, facts["n_items"], facts["n_users"])
