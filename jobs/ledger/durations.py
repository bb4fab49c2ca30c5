"""Parses durations as Slurm, W&B, pandas, MLflow and Excel write them."""

from __future__ import annotations

import re

from jobs.ledger.cells import normal

UNITS = {
    "ms": 1e-3, "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0, "秒": 1.0, "m": 60.0, "min": 60.0,
    "mins": 60.0, "minute": 60.0, "minutes": 60.0, "分": 60.0, "分钟": 60.0, "h": 3600.0, "hr": 3600.0, "hrs": 3600.0,
    "hour": 3600.0, "hours": 3600.0, "小时": 3600.0, "时": 3600.0,
    "d": 86400.0, "day": 86400.0, "days": 86400.0, "天": 86400.0,
}  # fmt: skip
_CLOCK = re.compile(r"(?:(\d{1,5})\s*(?:-|d|days?,?)\s*)?\+?(\d{1,5}):(\d{2}):(\d{2}(?:\.\d+)?)")
_DAYS = re.compile(r"(\d{1,5})-(\d{1,2}):(\d{2})")
_WORD = r"(\d+(?:\.\d+)?)\s*([a-z]+|[^\W\d_]+)"
_WORDS = re.compile(rf"(?:{_WORD}[\s,]*)+")
_SHORT = re.compile(r"\d{1,5}:\d{2}(?:\.\d+)?")


def duration(text: str) -> float:
    """The seconds of a duration such as `0:10:12`, `1-02:03:04`, `0 days 00:01:02.5`, `1h 2m`, `350ms`.

    Raises:
        ValueError: The text is not a duration, or is ambiguous.
    """
    body = normal(text)
    if found := _CLOCK.fullmatch(body):
        return _sum(found[1], found[2], found[3], found[4], text=text)
    if found := _DAYS.fullmatch(body):
        return _sum(found[1], found[2], found[3], "0", text=text)
    if _SHORT.fullmatch(body):
        raise ValueError(f"{text!r} may be minutes and seconds or hours and minutes: write 0:10:12")
    parts = re.findall(_WORD, body) if len(body) <= 100 and _WORDS.fullmatch(body) else []
    if parts and all(unit in UNITS for _, unit in parts):
        return sum(float(number) * UNITS[unit] for number, unit in parts)
    raise ValueError(f"{text!r} is not a duration such as 612, 0:10:12, 1-02:03:04 or 1h 2m")


def is_duration(text: str) -> bool:
    """Whether the text is a duration, perhaps an ambiguous one."""
    try:
        duration(text)
    except ValueError:
        return bool(_SHORT.fullmatch(normal(text)))
    return True


def _sum(days: str | None, hours: str, minutes: str, seconds: str, *, text: str) -> float:
    if int(minutes) > 59 or float(seconds) >= 60 or (days is not None and int(hours) > 23):
        raise ValueError(f"{text!r} is not a duration: minutes and seconds go to 59, and hours after days to 23")
    return int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(seconds)
