"""`conclus note`: notes and tags on studies and trials."""

from __future__ import annotations

import shlex
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import click

from core.errors import UserError
from jobs.present import options
from jobs.present.output import deliver, say, warn, width, wrapped
from jobs.present.visible import one_line

if TYPE_CHECKING:
    from jobs.results.storage import Place

_MOST_WORDS = 2
_NEAR = 0.75


@click.command("note")
@click.argument("words", nargs=-1, metavar="[RESULTS] [TEXT]")
@options.one_study
@options.trial("The trial; the first characters of its key do.  [default: the study]")
@click.option("--tag", "tags", multiple=True, metavar="WORD", help="A tag; repeatable.")
@click.option(
    "--remove", is_flag=True, help="Delete the one note that begins with TEXT and has the tags, on the trial or study."
)
@options.fmt
def command(
    words: tuple[str, ...],
    studies: tuple[str, ...],
    trial: str | None,
    tags: tuple[str, ...],
    fmt: str,
    *,
    remove: bool,
) -> None:
    """Note TEXT on a study in the folder RESULTS (default: results), or on one of its trials.

    Each note is a file of its own in the folder `_notes` of its study: it can be copied with the results, and deleted.
    A tag alone is a note too; without TEXT and tags, the notes are listed.
    `conclus aggregate -v`, `status` and the report show notes.

    \b
    conclus note results --trial 3f2a --tag good "stalls late"
    conclus note results
    conclus note results --trial 3f2a --remove
    """  # noqa: D301 - \b is click's mark
    from jobs.results import provenance
    from jobs.study import notes

    results, text = _parsed(words)
    if remove:
        from jobs.results.layout import folders_of

        say(f"Removed: note on {notes.remove(folders_of([results], studies), text, tags, trial or '').sentence}")
        return
    if text or tags:
        folder, key = _where(results, studies, trial)
        note = notes.add(folder, text, tags, key, by=provenance.somebody())
        say(f"Noted on {note.sentence}")
        return
    deliver(_listed(results, studies, trial, fmt), None)


def _parsed(words: tuple[str, ...]) -> tuple[str, str]:
    """The folder and the text; of one argument, whether it is a folder decides.

    Raises:
        UserError: There are too many, one is empty, or the only one seems to be a folder that does not exist.
    """
    from jobs.results import storage

    if len(words) > _MOST_WORDS:
        raise UserError(f"A note of several words stands in quotes, as the last word: {' '.join(words[1:])!r}.")
    if not all(one.strip() for one in words):
        raise UserError("The note has no text: write it in quotes, as the last word; without one, notes are listed.")
    if len(words) == 1:
        if storage.is_folder(storage.at(words[0])):
            return words[0], ""
        _refuse_place(words[0])
        return "results", words[0]
    return (words[0], words[1]) if words else ("results", "")


def _refuse_place(text: str) -> None:
    """Refuses a text that seems to be a place of results: a path, or nearly the name of a folder of results here."""
    from jobs.results.layout import PREFIX

    if len(text.split()) != 1:
        return
    folders = [one.name for one in Path().iterdir() if one.is_dir() and any(one.glob(f"{PREFIX}*"))]
    near = get_close_matches(text.casefold(), folders, 1, _NEAR)
    if near or any(sign in text for sign in "/\\") or text[0] in ".~":
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise UserError(
            f"There is no folder {text!r}{hint}",
            f"If it is a note's text, name the folder of results first: conclus note results {shlex.quote(text)}",
        )


def _where(results: str, studies: tuple[str, ...], start: str | None) -> tuple[Place, str]:
    """The folder of the study, and the key of the trial or nothing."""
    from jobs.execution.driver import one_study
    from jobs.present.inputs import one_trial, rows
    from jobs.results.layout import study_name

    folder = one_study(results, studies, start)
    if start is None:
        return folder, ""
    known = rows(results, studies=[study_name(folder)], columns=[]).table["trial_key"].to_pylist()
    without = f"There is no trial {start!r} in {results}: conclus aggregate --attempts lists them."
    return folder, one_trial(start, known, without)


def _listed(results: str, studies: tuple[str, ...], start: str | None, fmt: str) -> str:
    from jobs.present.tables import Column, render
    from jobs.results.layout import folders_of
    from jobs.study import notes

    found, damaged = zip(*(notes.read(folder) for folder in folders_of([results], studies)), strict=True)
    warn([sentence for said in damaged for sentence in said])
    shown = [note for some in found for note in some if start is None or note.trial.startswith(start)]
    if not shown and fmt == "table":
        return f"No notes in {results}.\n"
    heads = [Column(name, right=False) for name in ("study", "trial", "tags", "text", "by", "at")]
    rows = [[one.study, one.trial, ", ".join(one.tags), one.text, one.by, one.at] for one in shown]
    if fmt != "table":
        return render(heads, rows, fmt)
    return "".join(
        f"{line}\n" for one in shown for line in wrapped(one_line(f"{one.study}: {one.sentence}"), width(), "  ")
    )
