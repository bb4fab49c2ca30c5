"""The status page of one trial as Markdown, in English or Chinese; every number is one of `jobs.health.status_page`."""

from __future__ import annotations

from collections.abc import Iterable

from jobs.analysis.intervals import fixed
from jobs.health.forecast import TooFew
from jobs.health.status_page import EQUAL, StatusPage, Words
from jobs.present.status_advice import advice, first_change, go
from jobs.present.status_text import Text, evidence, listed, numbered
from jobs.present.visible import bounded, literal

STUCK = 10
"""Epochs without a better score that are told."""
UNEQUAL = 5
"""So many times the imbalance of the classes, that of the clusters is told."""


def markdown(page: StatusPage, language: str, of: int = 0, data_sets: int = 1) -> str:
    """The page, in the order of sections of the document that it follows.

    Args:
        page: its numbers.
        language: one of `LANGUAGES`.
        of: how many trials it is the best of; 0 if it was named.
        data_sets: on how many data sets these were trained.
    """
    text = Text(page, language)
    why = text.say("why", of=of) if of else ""
    why += text.say("why.data", data=data_sets) * (data_sets > 1)
    sections = (_analysis, advice, _trajectory, _next, _checks, _summary)
    title = f"# {text.say('title', data=literal(page.data))}"
    blocks = [*_state(text, why), *(block for section in sections for block in section(text))]
    return "\n\n".join([title, *filter(None, blocks)]) + "\n"


# 1. State


def _state(text: Text, why: str) -> Iterable[str]:
    trial, say = text.page.trial, text.say
    yield text.heading(2, "state")
    yield say(
        "about" if trial.epochs else "about.open",
        key=literal(trial.trial_key),
        study=literal(bounded(trial.study)),
        method=text.value(trial.params.get("method.name")),
        seed=trial.seed,
        epoch=trial.epochs_done,
        **({"epochs": text.number(trial.epochs)} if trial.epochs else {}),
        status=say(f"status.{trial.status}"),
    )
    yield why
    yield say("reason", reason=text.reason()) if trial.reason else ""
    yield text.heading(3, "figures")
    yield text.table([say("head.figure"), say("head.value"), say("head.note")], _figures(text))
    if text.page.scored:
        score = text.page.trial.score
        yield say(f"course.{score}" if score in {"nmi", "label_free"} else "course.other", score=literal(score))
    yield text.heading(3, "positive")
    yield numbered(_good(text)) or say("none")
    yield text.heading(3, "watch")
    yield numbered(_bad(text)) or say("none")


def _figures(text: Text) -> Iterable[list[str]]:
    page, say = text.page, text.say
    if text.losses:
        (start, first), (epoch, now) = text.losses
        note = say("loss.note", epoch=epoch, start=start, first=text.number(first))
        yield [f"**{say('loss')}**", text.number(now), note]
    if page.best:
        epoch, best = page.best
        yield [f"**{say('best')}**", text.score(best), say("best.note", epoch=epoch)]
        yield [f"**{say('now')}**", text.score(page.last), say("now.note", epoch=page.scores[-1][0])]
    yield [f"**{say('trend')}**", text.trend(), say("trend.note", slope=_slope(page)) if page.trend else ""]
    steady = page.steady
    jump = "" if steady is None else say("stability.note", jump=text.number(round(1 - steady, 4)))
    yield [f"**{say('stability')}**", text.number(steady), jump]
    counts = " / ".join(text.number(value) for value in _counts(page))
    yield [f"**{say('rises')}**", counts, say("rises.note")]
    clusters, samples = page.course.n_clusters, page.course.n_samples
    note = say("smallest.note", clusters=clusters, samples=samples) if clusters and samples else ""
    yield [f"**{say('smallest')}**", text.number(page.number("cluster_size_min")), note]
    if (least := page.number("selected_min")) is not None:
        share = page.number("selected_share")
        percent = say("unknown") if share is None else f"{share:.1%}"
        note = say("selected.note", selected=text.number(page.number("selected")), share=percent)
        yield [f"**{say('selected')}**", text.number(least), note]
    note = say("verdict.note", count=len(page.trial.codes)) if page.trial.is_known else ""
    yield [f"**{say('verdict')}**", literal(_verdict(text)), note]


def _counts(page: StatusPage) -> tuple[float | None, float | None]:
    """How often the score rose and fell; unknown before there are two."""
    if page.scored < 2:
        return None, None
    return page.number("total_improvements"), page.number("total_degradations")


def _slope(page: StatusPage) -> str:
    return f"{page.number('trend_slope') or 0.0:+.4f}"


def _verdict(text: Text) -> str:
    return text.page.trial.verdict


def _good(text: Text) -> Iterable[str]:
    page, say = text.page, text.say
    if page.trend == "improving":
        yield say("good.trend", slope=_slope(page))
    if text.losses and _has_fallen(text):
        (start, first), (epoch, now) = text.losses
        yield say("good.loss", start=start, first=text.number(first), epoch=epoch, now=text.number(now))
    if page.number("clusters_empty") == 0:
        smallest = text.number(page.number("cluster_size_min"))
        yield say("good.clusters", smallest=smallest)
    if least := page.number("selected_min"):
        yield say("good.selected", least=text.number(least))
    if (start := _input(page)) is not None and page.last is not None and page.last > start + EQUAL:
        yield say("good.input", now=text.score(page.last), input=text.score(start))
    if not page.trial.codes and page.trial.is_known:
        yield say("good.rules")


def _has_fallen(text: Text) -> bool:
    return text.losses is not None and text.losses[1][1] < text.losses[0][1]


def _input(page: StatusPage) -> float | None:
    """The same score of k-means of the input, where it was measured."""
    return page.number(f"input_kmeans_{page.metric}")


def _bad(text: Text) -> Iterable[str]:
    page, say = text.page, text.say
    for finding, rule in zip(page.trial.findings, page.rules, strict=True):
        yield say(
            "bad.finding",
            label=literal(finding.label),
            when=text.when(finding, rule),
            why=text.why(rule),
            evidence=evidence(finding),
        )
    if page.trial.failure:
        yield say("verdict.failed", code=literal(page.trial.failure))
    if page.trend == "declining":
        yield say("bad.trend", slope=_slope(page))
    if text.losses and not _has_fallen(text) and text.losses[0][0] < text.losses[1][0]:
        (start, first), (epoch, now) = text.losses
        yield say("bad.loss", start=start, first=text.number(first), epoch=epoch, now=text.number(now))
    if page.best and not page.is_near_best:
        yield say("bad.best", best=text.score(page.best[1]), epoch=page.best[0], now=text.score(page.last))
    rises, falls = _counts(page)
    if rises is not None and falls and falls >= rises:
        yield say("bad.falls", falls=text.number(falls), rises=text.number(rises))
    if page.number("selected") and page.number("selected_min") == 0:
        yield say("bad.selected")
    if _is_unequal(page):
        predicted, true = page.number("imbalance_pred"), page.number("imbalance_true")
        yield say("bad.imbalance", predicted=text.number(predicted), true=text.number(true))
    if page.place.others > 1 and 2 * page.place.higher > page.place.others and not text.is_running:
        yield say("bad.median", higher=page.place.higher, others=page.place.others)


def _is_unequal(page: StatusPage) -> bool:
    predicted, true = page.number("imbalance_pred"), page.number("imbalance_true")
    return predicted is not None and true is not None and predicted > UNEQUAL * true


# 2. Analysis


def _analysis(text: Text) -> Iterable[str]:
    page, say = text.page, text.say
    yield text.heading(2, "analysis")
    if page.scores:
        yield text.heading(3, "score", now=text.score(page.last))
    else:
        yield say("no.score")
    yield say("data", data=literal(page.data))
    yield listed(_about_data(text))
    yield text.heading(3, "comparison")
    if page.compared:
        heads = [say(f"head.{name}") for name in ("data", "imbalance", "range", "trials", "own")]
        rows = [
            [
                f"**{literal(one.data)}**" if one.is_own else literal(one.data),
                text.number(one.imbalance),
                f"{text.span(one.low, one.high)} ({fixed(one.middle)})",
                str(one.trials),
                text.score(page.last) if one.is_own else "-",
            ]
            for one in page.compared
        ]
        yield text.table(heads, rows)
    else:
        yield say("no.comparison")
    place = page.place
    if page.scores and not place.others:
        yield say("place.none")
    elif page.scores:
        yield say("place", lower=place.lower, equal=place.equal, higher=place.higher, others=place.others)


def _about_data(text: Text) -> Iterable[str]:
    page, say = text.page, text.say
    true, predicted, start = page.number("imbalance_true"), page.number("imbalance_pred"), _input(page)
    yield say("imbalance.unlabelled") if true is None else say("imbalance", true=text.number(true))
    yield say("imbalance.pred", predicted=text.number(predicted))
    if isinstance(page.words, Words):
        yield say("words", mean=f"{page.words.mean:.2f}", texts=page.words.texts)
    else:
        yield say("words.unknown", why=say(f"words.{page.words}"))
    if start is not None and page.last is not None:
        difference = round(page.last, 3) - round(start, 3)  # As the reader gets it from the two numbers beside it.
        name = "gain" if difference > EQUAL else "loss" if difference < -EQUAL else "same"
        yield say("input", input=text.score(start), change=say(f"input.{name}", difference=fixed(abs(difference))))


# 4. Trajectory


def _trajectory(text: Text) -> Iterable[str]:
    page, say = text.page, text.say
    yield text.heading(2, "trajectory")
    ahead = () if isinstance(page.ahead, TooFew) else page.ahead
    rows = [[str(epoch), text.score(value), "-", say("measured")] for epoch, value in page.passed]
    rows += [[str(one.epoch), text.score(one.value), text.span(one.low, one.high), say("forecast")] for one in ahead]
    if rows:
        yield text.table([say(f"head.{name}") for name in ("epoch", "score", "interval", "note")], rows)
    if isinstance(page.ahead, TooFew):
        yield say("expected.none", why=text.few(page.ahead))
    elif ahead:
        yield say(f"forecast.by.{ahead[-1].by}", trials=ahead[-1].trials, groups=ahead[-1].groups)
    else:
        yield say("forecast.ended")


# 5. Next steps


def _next(text: Text) -> Iterable[str]:
    page, say = text.page, text.say
    yield text.heading(2, "next")
    yield text.heading(3, "next.now")
    wait = [say("next.wait")] if text.is_running else []
    yield numbered([*wait, *first_change(text), say("next.seeds")])
    yield text.heading(3, "next.slow")
    yield numbered(_slow(text))
    yield text.heading(3, "next.flat")
    best = page.better[0] if page.better else None
    yield numbered(
        [say("flat.better", key=literal(best.trial_key), score=text.score(best.score)) if best else say("flat.none")]
    )


def _slow(text: Text) -> Iterable[str]:
    first, now = (value for _, value in text.losses) if text.losses else (None, None)
    if not text.has_critic:
        yield text.say("slow.loss", first=text.number(first), now=text.number(now))
    smallest = text.number(text.page.number("cluster_size_min"))
    yield text.say("slow.clusters", smallest=smallest)
    yield text.say("slow.features", silhouette=text.number(text.page.number("silhouette")))


# 6. Check list


def _checks(text: Text) -> Iterable[str]:
    page = text.page
    (rises, falls), empty = _counts(page), page.number("clusters_empty")
    start, trend = _input(page), page.trend
    best = page.best
    loss = None if text.losses is None or text.losses[0] == text.losses[1] else _has_fallen(text)
    health = {
        **({} if text.has_critic else {"loss": loss}),
        "trend": None if trend is None else trend == "improving",
        "clusters": None if empty is None else empty == 0,
        "rising": None if len(page.scores) < 2 else page.is_near_best,
        "rises": None if rises is None or falls is None else rises > falls,
        "input": None if start is None or page.last is None else page.last > start + EQUAL,
        "rules": not page.trial.faults if page.trial.is_known else None,
    }
    is_measured = page.number("imbalance_true") is not None and page.number("imbalance_pred") is not None
    watched = {
        "declining": None if trend is None else trend == "declining",
        "stuck": None if best is None else page.scores[-1][0] - best[0] >= STUCK,
        "imbalance": _is_unequal(page) if is_measured else None,
    }
    yield text.heading(2, "checks")
    for key, items in (("health", health), ("watch", watched)):
        yield text.heading(3, f"checks.{key}")
        yield listed(f"[{'x' if value else ' '}] {_item(text, name, value)}" for name, value in items.items())


def _item(text: Text, name: str, value: bool | None) -> str:
    item = text.say(f"check.{name}")
    return text.say("check.unknown", item=item) if value is None else item


# 7. Summary


def _summary(text: Text) -> Iterable[str]:
    page, say = text.page, text.say
    yield text.heading(2, "summary")
    is_good = page.trial.is_known and not page.trial.faults
    yield text.heading(3, "summary.good") if is_good else text.heading(3, "summary.bad", codes=literal(_verdict(text)))
    lines = [say("summary.trend", trend=text.trend())]
    if page.best:
        at, best = page.best
        now, epoch = text.score(page.last), page.scores[-1][0]
        lines.insert(0, say("summary.score", now=now, epoch=epoch, best=text.score(best), at=at))
    yield listed(lines)
    yield text.heading(3, "summary.advice")
    yield numbered(list(go(text))[: 1 if text.is_running else 2])
    yield text.heading(3, "summary.forecast")
    yield listed([text.expected() if text.is_running else say("forecast.ended")])
