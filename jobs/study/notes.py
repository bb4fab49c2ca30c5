"""What people note on a study or one of its trials: a sentence, tags, or both, each in a small file of its own.

No file is written twice, so notes of several machines come together by copying folders. They may come from a stranger:
they are shown, and nothing else.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from core.errors import UserError, counted
from core.seal import seal_json
from jobs.results import records, storage
from jobs.results.layout import NOTES, folders_of, study_name
from jobs.results.storage import Place

LONGEST = 500
"""The most characters of a note."""
_TAG = re.compile(r"\w[\w.-]{0,29}")
_KEY = re.compile(r"\w+")
_ENDING = ".json"
_LISTED = 10
_SHAPE = {"trial": str | None, "text": str | None, "tags": ([str], None), "by": str | None, "at": str | None}


@dataclass(frozen=True, slots=True)
class StudyNote:
    """A note.

    Attributes:
        study: The study.
        trial: The key of the trial that it is on; empty for one on the whole study.
        text: What it says; empty if it only has tags.
        tags: Its tags.
        by: Who wrote it.
        at: When, as `2026-11-30T08:15:09+00:00`.
    """

    study: str
    trial: str
    text: str
    tags: tuple[str, ...]
    by: str
    at: str

    @property
    def sentence(self) -> str:
        """The note in one line: `trial 3f2a [good] (ada, 2026-11-30): begins well`."""
        what = f"trial {self.trial}" if self.trial else "the study"
        tags = f" [{', '.join(self.tags)}]" if self.tags else ""
        said = f": {self.text}" if self.text else ""
        return f"{what}{tags} ({', '.join(filter(None, (self.by, self.at[:10])))}){said}"


def add(folder: Place, text: str, tags: Collection[str], trial: str = "", *, by: str) -> StudyNote:
    """Writes a note on a study, or on the trial of this key.

    Raises:
        UserError: It says nothing, is too long, a tag is no word, the key is none that conclus made, or the folder for
            notes is a link.
        StorageError: It cannot be written.
    """
    text = " ".join(text.split())
    if not text and not tags:
        raise UserError("A note says something: give a text, or --tag WORD.")
    if len(text) > LONGEST:
        raise UserError(f"A note has at most {LONGEST} characters; this one has {len(text):,}.")
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise UserError(f"--tag {tag!r}: a tag is one word of at most 30 letters, digits, '_', '-' and '.'.")
    if trial and not _KEY.fullmatch(trial):
        raise UserError(f"{trial!r} is no key of a trial that conclus made")
    if storage.is_link(folder / NOTES):
        raise UserError(f"{folder / NOTES} is a link: notes lie in the results themselves")
    now = datetime.now(UTC)
    note = StudyNote(study_name(folder), trial, text, tuple(tags), by, now.isoformat(timespec="seconds"))
    content = {"trial": trial, "text": text, "tags": [*tags], "by": by, "at": note.at}
    name = f"{trial or 'study'}.{now:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}{_ENDING}"
    storage.put(folder / NOTES / name, seal_json(content))
    return note


def read(folder: Place) -> tuple[list[StudyNote], list[str]]:
    """The notes on a study and its trials in the order of time, and a sentence if some cannot be read."""
    if storage.is_link(folder / NOTES):
        return [], [f"{folder / NOTES} is a link: it is not read."]
    every = [note for _, note in _files(folder)]
    found = sorted((note for note in every if note), key=lambda note: (note.at, note.trial, note.text))
    damaged = len(every) - len(found)
    return found, [f"{counted(damaged, 'note')} in {folder / NOTES} cannot be read."] if damaged else []


def _files(folder: Place) -> Iterator[tuple[Place, StudyNote | None]]:
    """The file of each note, and what it holds; None if it cannot be read."""
    for file in storage.files(folder / NOTES, _ENDING):
        place = storage.at(file) if isinstance(file, str) else file
        try:
            content = records.read(place, _SHAPE)
        except (FileNotFoundError, records.RecordError):
            yield place, None
            continue
        words = {name: (content.get(name) or "")[:LONGEST] for name in ("trial", "text", "by", "at")}
        tags = tuple(tag[:30] for tag in (content.get("tags") or ())[:9])
        yield place, StudyNote(study_name(folder), tags=tags, **words)


def remove(folders: Iterable[Place], text: str, tags: Collection[str], trial: str = "") -> StudyNote:
    """Deletes the one note on a trial, or without one on a study itself, that begins so and has these tags.

    A note with just this text and these tags goes first: others may begin with all that it says. Of several that are
    equal, the last one goes. A copy of the results keeps it.

    Args:
        folders: The folders of the studies in which it may be.
        text: The first characters of what it says; empty for any.
        tags: Tags that it has; there may be more.
        trial: The first characters of the trial's key; empty for notes on a study.

    Raises:
        UserError: There is no such note, or there are several.
        StorageError: It cannot be deleted.
    """
    begin = " ".join(text.split())
    found = [
        (file, note)
        for folder in folders
        if not storage.is_link(folder / NOTES)
        for file, note in _files(folder)
        if note and (note.trial.startswith(trial) if trial else not note.trial)
        if note.text.startswith(begin) and {*tags} <= {*note.tags}
    ]
    on = f"trial {trial}" if trial else "the study itself"
    if not found:
        raise UserError(f"There is no such note on {on}: conclus note RESULTS lists all.")
    found = [one for one in found if one[1].text == begin and {*one[1].tags} == {*tags}] or found
    if len({(note.study, note.trial, note.text, frozenset(note.tags)) for _, note in found}) > 1:
        raise UserError(
            f"{counted(len(found), 'note')} on {on} are meant: give --tag, or the beginning of one:",
            *(note.sentence for _, note in found[:_LISTED]),
        )
    file, note = max(found, key=lambda one: one[1].at)
    file.unlink(missing_ok=True)
    return note


def read_all(paths: Iterable[str], studies: Collection[str] = ()) -> dict[str, list[StudyNote]]:
    """The notes of each study below these folders by its name, without those that cannot be read."""
    found = {study_name(folder): read(folder)[0] for folder in folders_of(paths, studies)}
    return {study: notes for study, notes in found.items() if notes}


def sentences(notes: Iterable[StudyNote], most: int) -> list[str]:
    """The latest notes, one sentence each, the last first, and how many more there are."""
    last = [*notes][::-1]
    more = [f"{counted(len(last) - most, 'note')} more: conclus note RESULTS"] if len(last) > most else []
    return [*(f"Note on {note.sentence}" for note in last[:most]), *more]
