"""The command ``segue audit``: whether anything from after the cut reached a corpus, a model, or files of others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.artifact.seal import is_model
from segue.audit.finding import Audit
from segue.cli.console import out, print_json
from segue.cli.options import Config, Drop, Json, Set, note_unused, overrides_of
from segue.data.corpus_folder import recognise
from segue.errors import CorpusError, UserMistake
from segue.report.text import in_one_line
from segue.settings import Nested, compose
from segue.system.exit_codes import Exit

File = Path | None


def audit(
    subject: Annotated[Path | None, typer.Argument(help="A prepared corpus, or a trained model.")] = None,
    train: Annotated[
        File, typer.Option("--train", help="Train events of another library, in place of a corpus.")
    ] = None,
    test: Annotated[File, typer.Option("--test", help="Test events of another library.")] = None,
    log: Annotated[
        str | None, typer.Option("--log", help="The log that the corpus was prepared from; prepares it again.")
    ] = None,
    corpus: Annotated[File, typer.Option("--corpus", help="The corpus of a model, where it has been moved.")] = None,
    retrain: Annotated[bool, typer.Option("--retrain", help="Train learned weights again, to compare them.")] = False,
    to: Annotated[File, typer.Option("--out", help="Also write the page, to a file that ends in .md or .html.")] = None,
    config: Config = None,
    set_: Set = None,
    as_json: Json = False,
    drop_invalid: Drop = False,
) -> None:
    """Prove or refute that nothing from after the cut reached a corpus or a model; exit code 1 for a leak.

    Example: `segue audit model`, or of another library `segue audit --train train.csv --test test.csv`
    """
    from segue.audit.page import check_page, write_page

    overrides = overrides_of(config, set_, drop_invalid)
    if to is not None:
        check_page(to)
    found = _audit(subject, train, test, log, corpus, retrain, overrides)
    if to is not None:
        write_page(found, to)
    print_json(found.as_dict()) if as_json else _show(found)
    if found.leaks:
        raise typer.Exit(Exit.DEFECT)


def _audit(
    subject: Path | None, train: File, test: File, log: str | None, corpus: File, retrain: bool, overrides: Nested
) -> Audit:
    """The audit of what the arguments name. What needs torch is imported only for a model."""
    if subject is None or train is not None or test is not None:
        if subject is not None or train is None or test is None:
            raise UserMistake("name a corpus or a model, or both --train and --test of another library")
        if log is not None or corpus is not None or retrain:
            raise UserMistake("--log, --corpus and --retrain are for a corpus or a model of Segue; leave them out")
        from segue.audit.files import audit_files

        return audit_files(train, test, compose(overrides))
    note_unused(overrides, "a corpus or a model")
    if is_model(subject):
        from segue.audit.model import audit_model

        return audit_model(subject, corpus, log=log, retraining=retrain)
    if corpus is not None or retrain:
        raise UserMistake(f"--corpus and --retrain are for a model, and {subject} is none; leave them out")
    try:
        recognise(subject)
    except CorpusError:
        raise UserMistake(
            f"{subject} is neither a prepared corpus nor a trained model; name one, or --train and --test of another"
            " library"
        ) from None
    from segue.audit.corpus import audit_corpus

    return audit_corpus(subject, log)


def _show(found: Audit) -> None:
    """One line per check, then what the checks cannot tell."""
    for finding in found.findings:
        out.print(in_one_line(f"{finding.verdict:<6} {finding.name}: {finding.found}"))
    for limit in found.limits:
        out.print(in_one_line(f"not checked: {limit}"))
    out.print(in_one_line(found.summary))
