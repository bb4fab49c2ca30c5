"""The study file: a trial, the space to vary, seeds and selection; all mistakes are found before the study starts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

from core.config import plugins, schema
from core.config import trial as trial_config
from core.config.schema import Bounds, Mistakes, Place
from core.data import remote
from core.data.object_store import is_address
from core.errors import UserError
from core.evaluation.names import direction
from jobs.study import origin, sections, space, yaml_document
from jobs.study import overrides as space_overrides
from jobs.study import search as searches
from jobs.study.keys import get, idle, matches, methods, overlay, plug_in_fields, put, which
from jobs.study.paths import absolute, is_file, located, real
from jobs.study.search import Search
from jobs.study.sections import SECTIONS, Budget, Health, Notify, Resources, Select
from jobs.study.space_reader import SpaceReader
from jobs.study.yaml_document import Document

Seed = Annotated[int, Bounds(low=0, high=2**31 - 1)]


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study file that was read and checked.

    Attributes:
        name: the study's name; its folder of results has the same name.
        trial: the base configuration, as nested mappings with all defaults.
        space: the keys of the trial to vary, and a range for each.
        seeds: each configuration is run once with each seed.
        track: the trackers that hear of its trials, names or absolute paths.
        notify_written: whether the file has the section `notify`.
    """

    name: str
    trial: Mapping[str, Any]
    space: Mapping[str, space.Range]
    seeds: tuple[int, ...]
    select: Select
    search: Search
    budget: Budget
    resources: Resources
    health: Health
    notify: Notify
    track: tuple[str, ...]
    source: Mapping[str, Any]
    notify_written: bool = False

    @property
    def metric_written(self) -> bool:
        """Whether the file names what ranks; without it, data without labels is selected by consensus."""
        return self._selects("metric") or self._selects("metrics")

    @property
    def mode_written(self) -> bool:
        """Whether the file says which values of the metric are better; else it is as declared of the metric."""
        return self._selects("mode")

    @property
    def named(self) -> Mapping[str, Any]:
        """The trial without data that the file does not name, of which there is no default."""
        return {key: value for key, value in self.trial.items() if key != "data" or key in self.source["trial"]}

    def _selects(self, key: str) -> bool:
        select = self.source.get("select")
        return isinstance(select, dict) and bool(select.get(key))

    def cell(
        self, assignment: Mapping[str, Any], base: trial_config.TrialConfig | None = None
    ) -> trial_config.TrialConfig:
        """The base configuration with the values of `assignment`; only the sections that these change are read."""
        changed = {key: one for key, one in overlay(self.trial, assignment).items() if one is not self.trial.get(key)}
        return trial_config.read_changed(base or self.base(), changed, ("trial",), Mistakes())

    def base(self) -> trial_config.TrialConfig:
        """The base configuration, read anew: a plug-in may have been edited since."""
        return trial_config.read_whole(self.trial, ("trial",), Mistakes())

    def whole(self) -> str:
        """The study as a self-contained study file, with all defaults and overrides and absolute paths."""
        content: dict[str, Any] = {
            "study": self.name,
            "trial": trial_config.without(self.trial, (*idle(self.trial, self.space), *self._replaced())),
            "space": self.source["space"],
            "seeds": list(self.seeds),
            TRACK: list(self.track),
            **{key: asdict(getattr(self, key)) for key in SECTIONS if key != NOTIFY},
        }
        if not self.metric_written and self.select.metric == Select.metric:
            del content["select"]["metric"]  # If it were written, data without labels would be refused.
        return yaml_document.write(content)

    def _replaced(self) -> tuple[str, ...]:
        """The trial's method, if it is the default one, and every cell of the space has another."""
        default = trial_config.to_mapping(trial_config.read_whole({}, ("trial",), Mistakes()))["method"]
        others = self.trial["method"]["name"] not in methods(self.trial, self.space)
        return ("method",) if others and self.trial["method"] == default else ()


TRACK, NOTIFY = "track", "notify"
KEYS = ("study", "trial", "space", "seeds", TRACK, *SECTIONS)
STAGES = "stages"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def load(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Reads and checks a study file; `dotted.key=value` overrides replace its values.

    Raises:
        UserError: one line for each mistake: file, line, key, what is wrong, what would be right.
    """
    return Reader(document(path), Path(path).parent).read(overrides)


def document(path: str | Path) -> Document:
    """The content of a study file. In one from results, which may come from a stranger, nobody is to be told anything.

    Raises:
        UserError: it cannot be read.
    """
    content = yaml_document.load(path)
    if isinstance(content.value, dict) and origin.is_of_results(Path(path)):
        content.value.pop(NOTIFY, None)
    return content


def from_mapping(content: Mapping[str, Any]) -> Study:
    """A study from what a study file would hold; relative paths in it are relative to the current folder.

    Args:
        content: The keys of a study file with their values, nested as there; `content` itself is not changed.

    Raises:
        UserError: one line for each mistake: key, what is wrong, what would be right.

    Examples:
        >>> study = from_mapping(
        ...     {
        ...         "study": "first",
        ...         "trial": {"data": "digits", "epochs": 2},
        ...         "space": {"learning_rate": {"grid": [2e-4, 1e-3]}},
        ...         "seeds": [0, 1],
        ...     }
        ... )
        >>> study.name, study.seeds
        ('first', (0, 1))
    """
    if isinstance(content, str | Path):
        raise UserError(f"conclus.study takes a mapping, and {str(content)!r} is a path: use conclus.load_study")
    return Reader(yaml_document.of(content, "the study"), Path()).read(())


def parse(text: str, name: str, folder: Path, overrides: Sequence[str] = ()) -> Study:
    """Reads and checks the text of a study file; messages call it `name`, and its paths are relative to `folder`.

    Raises:
        UserError: as in `load`.
    """
    return Reader(yaml_document.read(text, name), folder).read(overrides)


class Reader:
    """Reads one document and collects its mistakes."""

    def __init__(self, content: Document, folder: Path) -> None:
        self.content = content
        self.folder = folder
        self.mistakes = Mistakes()

    def read(self, overrides: Sequence[str], *, needs_data: bool = True) -> Study:
        """The study; `dotted.key=value` overrides replace values of the file.

        Args:
            overrides: As given by `--set`.
            needs_data: Whether the data have to be named; of what stages have in common, a stage may name them.
        """
        root = self._root()
        self._resolve_trial(root)
        base = trial_config.read_whole(root["trial"], ("trial",), self.mistakes)
        self._stop_at_mistakes()
        self._override(root, trial_config.to_mapping(base), overrides)
        base = trial_config.read_whole(root["trial"], ("trial",), self.mistakes)
        self._stop_at_mistakes()
        trial = trial_config.to_mapping(base)
        study = Study(
            name=self._name(root),
            trial=trial,
            space=SpaceReader(self.content, self.folder, self.mistakes).read(root.get("space"), trial),
            seeds=self._seeds(root.get("seeds", [0])),
            track=self._track(root.get(TRACK)),
            source={key: value for key, value in root.items() if key != NOTIFY},  # Results keep it.
            notify_written=NOTIFY in root,
            **{key: self._section(key, kind, root.get(key, {})) for key, kind in SECTIONS.items()},
        )
        if not study.mode_written and (better := direction(study.select.metric, methods(trial, study.space))):
            study = replace(study, select=replace(study.select, mode=better))
        if needs_data:
            self._check_data(root)
        self._check_used(study, root)
        self._check_sections(study)
        self._stop_at_mistakes()
        return study

    def _root(self) -> dict[str, Any]:
        root = self.content.value
        if not isinstance(root, dict):
            raise UserError(f"{self.content.origin(())}: a study file is a mapping with 'study:' and 'trial:'")
        for key in root:
            if key == STAGES:
                self.mistakes.add(
                    (key,), "only plan and run take a study with stages; the others take one stage's results"
                )
            elif key not in KEYS:
                self.mistakes.unknown((key,), KEYS)
        if root.get("trial") is None:
            root["trial"] = {}
        if root.get("space") is None:
            root["space"] = {}
        root["space"] = absolute(root["space"], self.folder)
        return root

    def _stop_at_mistakes(self) -> None:
        if self.mistakes.found:
            raise UserError(*(self.content.told(one.place, one.text) for one in self.mistakes.found))

    def _name(self, root: Mapping[str, Any]) -> str:
        name = root.get("study")
        if name is None:
            self.mistakes.add(("study",), "is missing: the study needs a name for its folder of results")
        elif not isinstance(name, str) or not NAME.fullmatch(name):
            self.mistakes.add(("study",), f"{name!r} is wrong: a study's name has letters, digits, '.', '_' and '-'")
        return str(name)

    # The trial

    def _resolve_trial(self, root: dict[str, Any]) -> None:
        """Makes short names dotted, and names of data files and relative paths absolute paths."""
        trial = root["trial"]
        if not isinstance(trial, dict):
            return
        for key in [one for _, one in plug_in_fields() if one in trial and trial[one] is None]:
            del trial[key]
        self._locate_plug_ins(trial)
        self._lift_short_names(trial)
        self._locate_plug_ins(trial)

    def _locate_plug_ins(self, trial: dict[str, Any]) -> None:
        for kind, key in plug_in_fields():
            if (value := get(trial, key)) is not None:
                put(trial, key, located(kind, value, self.folder))

    def _lift_short_names(self, trial: dict[str, Any]) -> None:
        """`learning_rate: …` directly under `trial:` means `optimiser.learning_rate`."""
        own = {one.name for one in fields(trial_config.TrialConfig)}
        names = {name for _, name in plug_in_fields()}
        # Names of plug-ins come first, because they decide which other keys exist.
        for is_name in (True, False):
            strangers = {key: trial[key] for key in trial if key not in own}
            known = {key: trial[key] for key in trial if key in own}
            base = trial_config.to_mapping(trial_config.read_whole(known, ("trial",), Mistakes())) if strangers else {}
            for key, value in strangers.items():
                full = matches(key, base)
                if len(full) == 1 and (full[0] in names) == is_name and (is_name or not isinstance(value, dict)):
                    del trial[key]
                    self._put_once(trial, full[0], value, ("trial", key))

    def _put_once(self, trial: dict[str, Any], dotted: str, value: Any, place: Place) -> None:
        if get(trial, dotted) is not None:
            self.mistakes.add(place, f"is given here and as {dotted}; keep one")
            return
        where = ("trial", *dotted.split("."))
        self.content.origins[where] = self.content.origin(place)
        put(trial, dotted, value)

    # Overrides

    def _override(self, root: dict[str, Any], base: Mapping[str, Any], overrides: Sequence[str]) -> None:
        for text in overrides:
            key, equals, value = text.partition("=")
            if not equals or not key:
                raise UserError(f"--set {text}: write it as key=value")
            parsed = yaml_document.parse_value(value, key)
            for place in self._set(root, key, parsed, base, text):
                for inner in [one for one in self.content.origins if one[: len(place)] == place]:
                    del self.content.origins[inner]  # The lines of what stood there before.
                for length in range(1, len(place) + 1):
                    self.content.origins.setdefault(place[:length], f"--set {text}")

    def _set(self, root: dict[str, Any], key: str, value: Any, base: Mapping[str, Any], text: str) -> list[Place]:
        """Sets one key; returns the places of the document that it changed."""
        head, *rest = key.split(".")
        if head == "space" and rest and isinstance(root["space"], dict):
            return [space_overrides.put_range(root["space"], rest, value)]
        if head == NOTIFY:
            why = "commands are seen by others and kept in logs: set it in the file, or CONCLUS_WEBHOOK"
            raise UserError(f"--set {key}=…: {why}")
        if head == STAGES:
            raise UserError(f"--set {text}: what is set holds for every stage: change a single stage in the file")
        if head in KEYS:
            put(root, key, value)
            return [(head, *rest)]
        full = matches(key, base)
        pinned = space_overrides.pin_in_branches(root["space"], full[0] if len(full) == 1 else key, value)
        if pinned and not full:
            return pinned
        if len(full) != 1 and "." not in key:
            raise UserError(f"--set {text}: {which(key, full, base)}")
        dotted = full[0] if full else key
        self._set_in_trial(root, dotted, value)
        return [("trial", *dotted.split(".")), *pinned]

    def _set_in_trial(self, root: dict[str, Any], dotted: str, value: Any) -> None:
        """Fixes a key and removes it from the space. A plug-in's new name drops the options of the old one."""
        head, _, last = dotted.rpartition(".")
        kinds = {key: kind for kind, key in plug_in_fields()}
        if last == "name" and head in kinds:
            put(root["trial"], head, located(kinds[head], {"name": value}, self.folder))
        else:
            put(root["trial"], dotted, value)
            if isinstance(value, str) and is_file(dotted, value):
                at_address = dotted == "data.path" and is_address(value)
                put(root["trial"], dotted, remote.checked(value) if at_address else real(value))
        space_overrides.pin(root["space"], dotted, get(root["trial"], head if last == "name" else dotted))

    # Seeds and sections

    def _seeds(self, value: Any) -> tuple[int, ...]:
        seeds = schema.convert(value, tuple[Seed, ...], ("seeds",), self.mistakes)
        if isinstance(seeds, tuple) and (not seeds or len(set(seeds)) < len(seeds)):
            self.mistakes.add(("seeds",), f"{list(seeds)} is wrong: at least one seed, none of them twice")
        return seeds

    def _track(self, value: Any) -> tuple[str, ...]:
        """The trackers, with absolute paths."""
        written = () if value is None else schema.convert(value, tuple[str, ...], (TRACK,), self.mistakes)
        found: list[str] = []
        for place, name in enumerate(written if isinstance(written, tuple) else ()):
            whole = real(self.folder / name) if plugins.is_path(name) else name
            if whole in found:
                self.mistakes.add((TRACK, str(place)), f"{name} is named twice")
            try:
                plugins.options("trackers", whole)
            except UserError as error:
                self.mistakes.add((TRACK, str(place)), str(error))
            found.append(whole)
        return tuple(found)

    def _section(self, key: str, kind: type, value: Any) -> Any:
        before = len(self.mistakes.found)
        mapping = {"name": value} if key == "search" and isinstance(value, str) else value
        mapping = sections.first_ranks(mapping) if key == "select" else mapping
        if key == NOTIFY and not isinstance(mapping, dict | None):  # An address is not repeated.
            self.mistakes.add((key,), "a mapping is needed, as {webhook: https://…} or {command: …}")
            return kind()
        section = trial_config.read_section(kind, {} if mapping is None else mapping, (key,), self.mistakes)
        return section if len(self.mistakes.found) == before else kind()

    def _check_data(self, root: Mapping[str, Any]) -> None:
        """Requires that the data are named: there is no default, because scores of the wrong data look normal."""
        # A range with a mistake names them, too.
        varied = root["space"] if isinstance(root["space"], dict) else ()
        if "data" not in root["trial"] and not any(key.partition(".")[0] == "data" for key in varied):
            self.mistakes.add(
                ("trial", "data"), "is missing: name the data, as data: digits, or data: {name: file, path: FILE}"
            )

    def _check_used(self, study: Study, root: Mapping[str, Any]) -> None:
        """Requires that some method of the study uses each key that is given, and that ASHA and PBT have epochs."""
        every = methods(study.trial, study.space)
        names = idle(study.trial, study.space)
        for place in trial_config.given(root["trial"], names):
            self.mistakes.add(("trial", *place), _not_used(every))
        for place, key, _, chosen in space.walk(study.space):
            own = space.narrowed(study.space, chosen)
            if {key, key.partition(".")[0]} & {*idle(study.trial, own)}:
                self.mistakes.add(place, _not_used(methods(study.trial, own)))
        at_once = [one for one in every if "epochs" in trial_config.unused(one)]
        if at_once and study.search.scheduler != "none":
            text = f"{study.search.scheduler} compares trials epoch by epoch, and {', '.join(at_once)} has none: "
            self.mistakes.add(("search", "scheduler"), text + "leave it out, or make a study of its own for the others")

    def _check_sections(self, study: Study) -> None:
        found = searches.mistakes(study.search, study.trial, study.space)
        for place, text in (*found, *sections.mistakes(**{key: getattr(study, key) for key in SECTIONS})):
            self.mistakes.add(place, text)


def _not_used(names: Sequence[str]) -> str:
    who = f"the method {names[0]} does" if len(names) == 1 else f"the methods {', '.join(names)} do"
    return f"{who} not use it: leave it out"
