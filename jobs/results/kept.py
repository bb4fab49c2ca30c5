"""The data that an attempt passes to the next one besides its training state, checked by name and type."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jobs.results.schema import Attempt


class Kept(NamedTuple):
    """The data on an attempt in its checkpoint.

    Attributes:
        origin: The values that must be equal for a resumed trial to equal an uninterrupted one.
        seconds: Wall time so far.
        label_free: The highest label-free score so far.
        attempt: The attributes of `Attempt` that the next attempt takes over, by name.
    """

    origin: dict[str, Any]
    seconds: float
    label_free: float
    attempt: dict[str, Any]

    @property
    def devices(self) -> list[str]:
        """The devices that trained the weights, each with its precision, in order."""
        return str(self.origin.get("devices", "")).splitlines()


def of_attempt(attempt: Attempt) -> dict[str, Any]:
    """The attributes that the next attempt takes over."""
    return {name: getattr(attempt, name) for name in _PARTS}


def read(extra: Mapping[str, Any]) -> Kept:
    """Reads the extra values of a checkpoint.

    Raises:
        ValueError: A part is missing, unknown, or of the wrong type.
    """
    attempt = extra.get("attempt")
    if not isinstance(attempt, dict) or attempt.keys() != _PARTS.keys():
        raise ValueError("it does not hold what an attempt hands on")
    wrong = [name for name, is_right in _PARTS.items() if not is_right(attempt[name])]
    wrong += [name for name in ("seconds", "label_free") if not _is_number(extra.get(name))]
    wrong += [] if _is_dict_of(extra.get("origin"), lambda one: isinstance(one, str | int)) else ["origin"]
    if wrong:
        raise ValueError(f"the type of {', '.join(wrong)} in it is another one")
    return Kept(extra["origin"], extra["seconds"], extra["label_free"], dict(attempt))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or _is_whole(value)


def _is_dict_of(value: Any, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) and is_right(one) for key, one in value.items())


def _is_list_of(value: Any, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(is_right, value))


def _is_numbers(value: Any) -> bool:
    return _is_dict_of(value, _is_number)


def _is_counts(value: Any) -> bool:
    return value is None or _is_list_of(value, _is_whole)


def _is_epoch(value: Any) -> bool:
    return value is None or _is_whole(value)


def _is_step(value: Any) -> bool:
    if not isinstance(value, tuple) or len(value) != 4:
        return False
    epoch, seconds, name, number = value
    return _is_whole(epoch) and _is_number(seconds) and isinstance(name, str) and _is_number(number)


def _is_of_topic(value: Any) -> bool:
    if not isinstance(value, tuple) or len(value) not in {2, 3}:
        return False
    number, text, *weight = value
    return _is_whole(number) and isinstance(text, str) and all(map(_is_number, weight))


def _is_of_topics(value: Any) -> bool:
    return value is None or _is_list_of(value, _is_of_topic)


_PARTS: dict[str, Callable[[Any], bool]] = {
    "seconds": _is_number,
    "epochs_done": _is_whole,
    "continued_from": lambda value: isinstance(value, str),
    "best_epoch": _is_epoch,
    "label_free_epoch": _is_epoch,
    "cluster_sizes": _is_counts,
    "probe_labels": _is_counts,
    "topics": _is_of_topics,
    "topic_coherence": lambda value: value is None or _is_list_of(value, _is_number),
    "topic_documents": _is_of_topics,
    "topic_scored_on": lambda value: isinstance(value, str),
    "metrics": _is_numbers,
    "best": _is_numbers,
    "health": _is_numbers,
    "history": lambda value: _is_list_of(value, _is_step),
}
