# ruff: noqa: RUF001 - the signs that people write: full-width, Greek, dashes
"""Parses one cell: a number, a number with its spread, a range, a percentage, a date, or a blank."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

_BLANKS = frozenset(
    {"", "-", "--", "---", "–", "—", "/", "n/a", "na", "nan", "none", "null", "?", "tbd", "…", "...", "无", "未知"}
)
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?"
_UNSIGNED = _NUMBER.removeprefix("[+-]?")
_ONE = re.compile(_NUMBER)
_SPREAD = re.compile(rf"({_NUMBER})_?\s*(?:±|\+/-|\+-)\s*({_UNSIGNED})")
_IN_BRACKETS = re.compile(rf"({_NUMBER})\s*\(\s*(?:±\s*({_UNSIGNED})|(\d*\.\d+))\s*\)")
_RANGE = re.compile(rf"({_NUMBER})\s*(?:~|–|—|\bto\b|至|到)\s*({_NUMBER})")
_HYPHENED = re.compile(r"(\d*\.\d+)\s*-\s*(\d*\.\d+)")
_POWER = re.compile(r"(?<![\d.])10\s*\^\s*([+-]?\d+)")
_TIMES_POWER = re.compile(r"([\d.])\s*[x×·*⋅]\s*10\s*\^\s*([+-]?\d+)")
_NOTE_MARK = re.compile(r"(?<=[\d%)])\s*[*†‡§¶]+$")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_RAISED = re.compile("[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
_NUMERIC = re.compile(r"[\d.,+\-e%±~–—()\s/]*\d[\d.,+\-e%±~–—()\s/]*")

_TIME = r"(\d{1,2})[:时](\d{2})(?:[:分](\d{2})(?:\.\d+)?秒?|分)?"
_DATES = (
    re.compile(r"(?P<y>\d{4})[-/.年](?P<m>\d{1,2})[-/.月](?P<d>\d{1,2})日?" + rf"(?:[\sT_]*{_TIME})?"),
    re.compile(r"(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})[-_T](\d{2})-(\d{2})(?:-(\d{2}))?"),
    re.compile(r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})(?:[_T-](\d{2})(\d{2})(\d{2}))?"),
    re.compile(r"(?P<m>\d{1,2})-(?P<d>\d{1,2})" + rf"(?:[\sT_]+{_TIME})?"),
    re.compile(r"(?P<m>\d{1,2})月(?P<d>\d{1,2})日" + rf"(?:\s*{_TIME})?"),
    re.compile(r"(?P<m>\d{2})(?P<d>\d{2})_(\d{2})(\d{2})(\d{2})"),
)
_INSIDE = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?:-\d{2}-\d{2})?(?!\d)")
_ZONED = re.compile(r"(.*\d:\d{2}(?:\.\d+)?)\s*(z|utc|gmt|[+-]\d{2}(?::?\d{2})?)")
_FRACTION = re.compile(r":\d{2}\.(\d+)")
_UNIX = re.compile(r"(1\d{9}(?:\.\d+)?)|(1\d{12})")
_LEAP_YEAR = 2000


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written.

    Attributes:
        value: The number; the middle of a range.
        spread: The number after `±`; it may be a deviation or an interval.
        low: The lower end of a range.
        high: The upper end of a range.
        percent: Whether it is written with `%`.
        in_brackets: Whether the spread is in brackets without `±`, so that it may be another number.
    """

    value: float
    spread: float | None = None
    low: float | None = None
    high: float | None = None
    percent: bool = False
    in_brackets: bool = field(default=False, compare=False)

    def scaled(self, factor: float) -> Number:
        """The number in another unit, rounded to the 15 significant digits of a double."""
        parts = (self.value, self.spread, self.low, self.high)
        value, spread, low, high = (None if part is None else float(f"{part * factor:.15g}") for part in parts)
        return Number(value or 0.0, spread, low, high, self.percent)


@dataclass(frozen=True, slots=True)
class Moment:
    """A date; year and time zone are None if they are not written."""

    year: int | None
    rest: tuple[int, int, int, int, int]
    microsecond: int = 0
    zone: timezone | None = None

    @property
    def text(self) -> str:
        """Month, day and time in one spelling, to tell rows of a table apart."""
        month, day, hour, minute, second = self.rest
        fraction = f".{self.microsecond:06}" if self.microsecond else ""
        zone = f" {self.zone}" if self.zone else ""
        return f"{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction}{zone}"

    def at(self, year: int | None) -> datetime | None:
        """The date and time, in this machine's time zone if none is written; None if no year is known.

        Raises:
            ValueError: There is no such day in that year.
        """
        year = self.year or year
        if year is None:
            return None
        found = datetime(year, *self.rest, self.microsecond, tzinfo=self.zone)
        return found if self.zone else found.astimezone()


def is_blank(text: str) -> bool:
    """Whether the cell is blank or a mark for "no value"."""
    return text.strip().lower() in _BLANKS


def normal(text: str) -> str:
    """The text in one spelling: lower case, with plain digits and signs for full-width and raised ones."""
    text = _RAISED.sub(lambda found: "^" + found[0].translate(_SUPERSCRIPTS), text)
    text = unicodedata.normalize("NFKC", text).replace("\u2212", "-").lower()
    return " ".join(text.split())


def has_decimal_comma(cells: Iterable[tuple[str, str]]) -> bool:
    """Whether any of these (place, text) cells has a decimal comma, as in `0,84`.

    Raises:
        ValueError: Both `0,84` and `0.84` occur, or `1,024` is ambiguous; the message contains the place.
    """
    numeric = [(place, normal(text)) for place, text in cells if _NUMERIC.fullmatch(normal(text))]
    commas = [(place, text) for place, text in numeric if "," in text]
    if not commas:
        return False
    odd = [(place, text) for place, text in commas if not _THOUSANDS.fullmatch(text)]
    pointed = any("." in text and "," not in text for _, text in numeric)
    if pointed and odd:
        raise ValueError(f"{odd[0][0]}: {odd[0][1]!r} has a decimal comma and other cells have points: use one.")
    if not pointed and not odd:
        place, text = commas[0]
        raise ValueError(f"{place}: {text!r} may mean thousands or a fraction: write it without the comma.")
    return bool(odd)


def number(text: str, *, comma: bool = False) -> Number | None:
    """The number in a cell; None for a blank.

    Args:
        text: The cell without markup.
        comma: Whether the table uses decimal commas.

    Raises:
        ValueError: The cell holds no number.
    """
    if is_blank(text):
        return None
    body = _NOTE_MARK.sub("", _digits(normal(text), comma=comma))
    percent = "%" in body
    body = body.replace("%", "").strip()
    if _ONE.fullmatch(body):
        return Number(_finite(body), percent=percent)
    if found := _SPREAD.fullmatch(body) or _IN_BRACKETS.fullmatch(body):
        mean, spread = (one for one in found.groups() if one is not None)
        in_brackets = found.re is _IN_BRACKETS and found[2] is None
        return Number(_finite(mean), spread=_finite(spread), percent=percent, in_brackets=in_brackets)
    if found := _RANGE.fullmatch(body) or _HYPHENED.fullmatch(body):
        return _range(_finite(found[1]), _finite(found[2]), percent=percent)
    raise ValueError(f"{text!r} is not a number, number ± spread or range")


def _range(low: float, high: float, *, percent: bool) -> Number:
    if low > high:
        raise ValueError(f"the range {low:g} to {high:g} has its larger end first")
    return Number(float(f"{(low + high) / 2:.15g}"), low=low, high=high, percent=percent)


def _finite(text: str) -> float:
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        raise ValueError(f"{text!r} is too large for a number")
    return value


def _digits(text: str, *, comma: bool) -> str:
    if comma:
        text = text.replace(",", ".")
    elif _THOUSANDS.fullmatch(text.replace("%", "").strip()):
        text = text.replace(",", "")
    text = _TIMES_POWER.sub(r"\1e\2", text)
    return _POWER.sub(r"1e\1", text)


def moment(text: str) -> Moment | None:
    """The date in a cell, in any of the known notations; None for a blank.

    A name that contains a date with its year (`20news_clean_2021-08-20-10-08_topic50`) counts as a date.

    Raises:
        ValueError: The cell holds no date.
    """
    if is_blank(text):
        return None
    body, zone = normal(text), None
    if found := _UNIX.fullmatch(body):
        return _of_unix(float(found[1] or found[2]) / (1 if found[1] else 1000))
    if found := _ZONED.fullmatch(body):
        body, zone = found[1], _zone(found[2])
    inside = _INSIDE.search(body)
    for candidate in (body, inside[0] if inside else ""):
        for pattern in _DATES:
            if found := pattern.fullmatch(candidate.upper()):
                return _moment(found, text, zone)
    raise ValueError(
        f"{text!r} is not a date such as 2026-06-07 08:18:15, 06-07 08:18, 6月11日 08:18:15 or 0611_081815"
    )


def _of_unix(seconds: float) -> Moment:
    at = datetime.fromtimestamp(round(seconds, 6), UTC)
    return Moment(at.year, (at.month, at.day, at.hour, at.minute, at.second), at.microsecond, UTC)


def _zone(text: str) -> timezone:
    """The zone of `z`, `utc`, `+08:00`, `+0800` or `+08`."""
    digits = text[1:].replace(":", "")
    if not digits.isdecimal():
        return UTC
    away = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    try:
        return timezone(-away if text[0] == "-" else away)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time zone") from error


def _moment(found: re.Match[str], text: str, zone: timezone | None) -> Moment:
    named = found.groupdict()
    clock = [int(part or 0) for part in found.groups()[len(named) :]]
    hour, minute, second = (*clock, 0, 0, 0)[:3]
    fraction = _FRACTION.search(found[0])
    result = Moment(
        int(named["y"]) if named.get("y") else None,
        (int(named["m"]), int(named["d"]), hour, minute, second),
        int(f"{fraction[1]:0<6}"[:6]) if fraction else 0,
        zone,
    )
    try:
        result.at(_LEAP_YEAR)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a date: {error}") from error
    return result
