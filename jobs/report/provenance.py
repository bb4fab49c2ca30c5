"""The part of the page on the origin of the results."""

from __future__ import annotations

from core.errors import counted
from jobs.analysis.origin import Origin
from jobs.analysis.scores import metric_name
from jobs.present import tables
from jobs.present.tables import duration
from jobs.report import pieces
from jobs.report.contents import Contents
from jobs.report.markup import Markup, join, tag
from jobs.study import yaml_document
from jobs.study.notes import sentences

_LISTED = 5


def provenance(contents: Contents) -> Markup:
    """For each study: warnings, plan, seeds, selection rule, commit, hashes, versions and machines."""
    return join(
        [join([tag("h3", one.study), *_cautions(one), _facts(one, contents), _source(one)]) for one in contents.origins]
    )


def selection_rule(contents: Contents) -> str:
    """The rule that ranked the configurations, in a few words."""
    better = "larger" if contents.mode == "max" else "smaller"
    metric = metric_name(contents.boards[0][1].metric) if contents.boards else contents.metric
    return f"mean of {metric} over the seeds, the {better} the better"


def _facts(one: Origin, contents: Contents) -> Markup:
    planned = f"{one.planned:,} planned, " if one.planned is not None else ""
    return pieces.facts(
        [
            ("trials", f"{planned}{one.trials:,} here, {one.finished:,} finished"),
            # An import that knows no seed has a negative number in its place.
            ("seeds", ", ".join(str(seed) for seed in one.seeds if seed >= 0)),
            ("selection rule", selection_rule(contents)),
            ("planned at", str(one.plan.get("written") or "")),
            ("begun", _when(one)),
            ("computing time", duration(one.seconds) if one.seconds else ""),
            ("machines", _listed(one.hosts)),
            ("commit", _code(one.commit)),
            ("protocol of keys", ", ".join(one.protocols)),
            ("code", _code(*one.code)),
            ("plug-ins", _code(*one.plug_ins)),
            ("data", _code(*one.data)),
            *((f"environment {key}", _versions(versions)) for key, versions in one.environments.items()),
            ("imported rows", f"{one.imported:,}, unverified" if one.imported else "none"),
            *(("notes", "; ".join(sentences(one.notes, _LISTED))) for _ in one.notes[:1]),
        ]
    )


def _cautions(one: Origin) -> list[Markup]:
    found = [f"{counted(len(one.code), 'version')} of the training code made these rows."] if len(one.code) > 1 else []
    if len(one.environments) > 1:
        found.append(f"They ran in {counted(len(one.environments), 'environment')}: versions differ.")
    if one.commit.endswith("+changes"):
        found.append("The checkout had changes that are in no commit.")
    if one.imported:
        found.append(f"{counted(one.imported, 'row')} of {one.trials:,} came from a user's own table: unverified.")
    if one.elsewhere:
        found.append(
            f"{counted(one.elsewhere, 'trial')} went on on another kind of device: a rerun need not give the same row."
        )
    if not one.plan and one.imported < one.trials:
        found.append("The file _study.json is missing or damaged, so the plan is unknown.")
    return [tag("p", tag("strong", "Careful: "), sentence) for sentence in found]


def _when(one: Origin) -> str:
    first, last = tables.cell_text(one.first), tables.cell_text(one.last)
    return first if first == last else f"{first} to {last}"


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _code(*texts: str) -> Markup:
    return join([join([" " if i else None, tag("code", text)]) for i, text in enumerate(filter(None, texts))])


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "versions unknown"


def _source(one: Origin) -> Markup | None:
    source = one.plan.get("source")
    if not source:
        return None
    return tag("details", tag("summary", "The study file"), tag("pre", yaml_document.write(source)))
