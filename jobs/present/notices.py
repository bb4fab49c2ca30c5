"""Tells people that a study has ended, has paused, or has a trial to look at: a POST to a webhook, or a command.

The address may hold a key. So it is in no message and no file, and an error is told by its kind alone.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from core.errors import counted
from jobs.present.output import remark
from jobs.study.sections import Notify, Occasion
from jobs.study.study import Study

WEBHOOK = "CONCLUS_WEBHOOK"
"""The environment variable with an address for studies that name none."""
BROKEN = ("DIVERGED", "COLLAPSED", "TOPIC_COLLAPSE", "CRITIC_WON")
"""The codes of a training that goes nowhere: somebody should look before more trials run."""
_SECONDS = 5.0
"""The longest that a webhook or a command may take."""


def unheard(study: Study) -> list[str]:
    """A sentence if the study's file asks for notices and nobody would get them."""
    one = study.notify
    if not study.notify_written or one.webhook or one.command or os.environ.get(WEBHOOK):
        return []
    return [f"notify: nobody would be told: give a webhook or a command, or set {WEBHOOK}"]


class Notices:
    """Sends the notices of one run of a study, in a thread of its own; after one that fails no other is sent.

    Args:
        study: the study's name.
        notify: whom to tell of what.
    """

    def __init__(self, study: str, notify: Notify) -> None:
        self._study, self._on = study, notify.on
        self._webhook = notify.webhook or ("" if notify.command else os.environ.get(WEBHOOK, ""))
        self._command = shlex.split(notify.command or "")
        self._thread: ThreadPoolExecutor | None = None
        self._sent: list[Future[None]] = []
        self._codes: set[str] = set()
        self._failed = False

    def ended(self, trial_key: str, data: Mapping[str, Any]) -> None:
        """Tells of the first trial in which each code of `BROKEN` is found.

        Args:
            trial_key: a trial that has ended.
            data: its `verdict` and the `reason` of its row, where there are any.
        """
        said = f"{data.get('verdict', '')}; {data.get('reason', '')}"
        new = {*re.findall(r"\b[A-Z_]+\b", said)}.intersection(BROKEN) - self._codes
        if new:
            self._codes |= new
            self._tell("diverged", f"trial {trial_key}: {', '.join(sorted(new))}")

    def end(self, *, done: int, failed: int, missing: int, why: str) -> None:
        """Tells how the run ended, and waits until all notices are sent.

        Args:
            done: number of trials that are done.
            failed: number of trials that failed.
            missing: number of trials that are left.
            why: why the run ended when it did, else empty.
        """
        counts = [
            f"{counted(done, 'trial')} done",
            f"{failed} failed" * bool(failed),
            f"{missing} left" * bool(missing),
        ]
        text = ", ".join(filter(None, counts)) + (f"; {why}" if why else "")
        self._tell("paused" if missing else "done", text)
        if self._thread:
            self._thread.shutdown()

    def _tell(self, occasion: Occasion, text: str) -> None:
        if occasion not in self._on or not (self._webhook or self._command):
            return
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="notices")
        self._sent.append(self._thread.submit(self._send, occasion, f"conclus: study {self._study} {text}"))

    def _send(self, occasion: Occasion, text: str) -> None:
        if self._failed:
            return
        try:
            if self._webhook:
                _post(self._webhook, {"text": text, "content": text, "event": occasion, "study": self._study})
            if self._command:
                _call(self._command, text, occasion, self._study)
        except Exception as error:  # noqa: BLE001 - whatever becomes of a notice, the study goes on
            self._failed = True
            what = "the webhook" if self._webhook else "the command"
            remark([f"Warning: {what} of notify failed ({_told(error)}); no further notice is sent"])


def _post(address: str, content: dict[str, str]) -> None:
    request = urllib.request.Request(  # noqa: S310 - the study's reader takes http and https alone
        address, json.dumps(content).encode(), {"Content-Type": "application/json", "User-Agent": "conclus"}
    )
    failed: list[Exception] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310
                pass
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that waits
            failed.append(error)
            if isinstance(error, urllib.error.HTTPError):
                error.close()

    # The timeout is that of each read: an answer that comes a byte at a time would hold up the run.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_SECONDS)
    if asking.is_alive():
        raise TimeoutError
    if failed:
        raise failed[0]


def _call(command: Sequence[str], text: str, occasion: str, study: str) -> None:
    told = {**os.environ, "CONCLUS_EVENT": occasion, "CONCLUS_STUDY": study}
    done = subprocess.run(command, input=text, text=True, env=told, timeout=_SECONDS, capture_output=True, check=False)
    if done.returncode:
        raise ChildProcessError(done.returncode, f"exit code {done.returncode}")


def _told(error: Exception) -> str:
    """The kind of an error, without its own words, which may repeat the address."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    is_slow = isinstance(reason, TimeoutError | subprocess.TimeoutExpired)
    return f"no answer in {_SECONDS:g} s" if is_slow else type(reason).__name__
