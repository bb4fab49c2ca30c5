"""The server of the live page: it reads result files while a browser looks, and changes none itself.

A button runs `conclus stop`; the report below is made by `conclus report` in a process of its own, so that its memory
is not the server's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError
from jobs.execution.queue_runner import FRONT_DOOR
from jobs.live import page
from jobs.live.door import HOST, Door, Guarded
from jobs.live.state import Watched
from jobs.present.tables import duration
from jobs.results.layout import folders_of
from jobs.results.storage import reason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

_LOOK_SECONDS = 0.4
_SEND_SECONDS = 0.1
_QUIET_SECONDS = 15.0
"""After so long without news a line is sent all the same: a connection that is gone is noticed by it."""
_REST = 4
"""A report is made again after a rest of so many times the time that it took."""
_LONGEST = 10_000
"""Bytes of a request, at most."""
_LEFT_SECONDS = 6.0
"""After so long nothing runs a study any more: before, a process may be about to start."""
_LAST_SECONDS = 2.0
"""How long pages have to hear of the end."""


class Live:
    """What the pages show, made anew by a thread while there are pages.

    Args:
        results: The results folder.
        studies: Only these studies, if any are named.
        once: End when all studies have ended, or nothing runs them any more.
    """

    def __init__(self, results: str, studies: Sequence[str], *, once: bool) -> None:
        self.results, self.studies, self.once = results, studies, once
        self.watched = [Watched(folder) for folder in folders_of([results], studies)]
        self.text, self.version, self.pages = "", 0, 0
        self.reports, self.report = 0, page.WAITING
        self.making: tuple[float, str] | None = None  # Since when a report is made, and what the last one took.
        self.took = ""
        self.is_over = self.is_leaving = self.is_ending = False
        self.made_of = -1
        self._trouble = ""
        self._awaited = time.monotonic()  # When something ran last.

    def follow(self) -> None:
        """Looks at once, so that the first page has what to show, and again and again until the server ends."""
        self.look()
        while not self.is_ending:
            began = time.monotonic()
            if self.pages or self.once:
                self.look()
                # Finished trials' courses are many: they are read after what runs is shown.
                while self.pages and time.monotonic() - began < _LOOK_SECONDS and self._look_behind():
                    pass
            time.sleep(max(0.05, _LOOK_SECONDS - (time.monotonic() - began)))

    @property
    def changes(self) -> int:
        """How often rows have changed."""
        return sum(one.changes for one in self.watched)

    def look(self) -> None:
        """Looks at the files once."""
        try:
            told, self._trouble = [one.look() for one in self.watched], self._gone()
        except UserError as error:  # Its disk does not answer: it may come back.
            told, self._trouble = json.loads(self.text or "{}").get("studies", []), str(error)
        now = time.monotonic()
        if not all(one.is_over or one.is_left for one in self.watched):
            self._awaited = now
        is_left = now - self._awaited >= _LEFT_SECONDS
        self.is_over = not self._trouble and (is_left or all(one.is_over for one in self.watched))
        shown = {"studies": told, "trouble": self._trouble, "report": self.reports, "making": self.making}
        text = json.dumps(shown, allow_nan=False)
        if text != self.text:
            self.text, self.version = text, self.version + 1

    def _gone(self) -> str:
        names = [one.name for one in self.watched if isinstance(one.folder, Path) and not one.folder.is_dir()]
        return f"the folder of {', '.join(names)} is gone" if names else ""

    def _look_behind(self) -> bool:
        with contextlib.suppress(UserError):
            return any(one.look_behind() for one in self.watched)
        return False


def serve(live: Live, *, port: int, tell: Callable[[str], None]) -> None:
    """Serves the live page until Ctrl-C, or with `once` until the studies have ended.

    Args:
        live: What it shows.
        port: The port on 127.0.0.1; 0 for any free one.
        tell: Is given each address that opens the page once.

    Raises:
        UserError: The port is taken.
    """
    import uvicorn

    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise UserError(f"--port {port}: nothing can listen there: {reason(error)}") from error
        listening.listen()
        door = Door(listening.getsockname()[1], tell)
        server = uvicorn.Server(
            uvicorn.Config(
                Guarded(_application(live, lambda: setattr(server, "should_exit", True)), door),
                log_level="critical",
                access_log=False,
                server_header=False,
                date_header=False,
                ws="none",
                timeout_graceful_shutdown=2,
            )
        )
        door.open()
        broken: list[BaseException] = []

        def follow() -> None:
            try:
                live.follow()
            except BaseException as error:  # noqa: BLE001 - raised below: a page that is no longer made ends the server
                broken.append(error)
                server.should_exit = True

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            server.run(sockets=[listening])
        finally:
            live.is_ending = True
            thread.join(timeout=_LAST_SECONDS)
        if broken:
            raise broken[0]


def _application(live: Live, leave: Callable[[], None]) -> Any:
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse, JSONResponse, StreamingResponse
    from starlette.routing import Route

    async def shown(_request: Request) -> Response:
        return HTMLResponse(page.text(), headers={"Content-Security-Policy": page.policy()})

    async def report(_request: Request) -> Response:
        return HTMLResponse(live.report, headers={"Content-Security-Policy": "frame-ancestors 'self'"})

    async def events(_request: Request) -> Response:
        return StreamingResponse(_events(live), media_type="text/event-stream")

    async def stop(request: Request) -> Response:
        study, trial = await _asked(request)
        is_known = study in [one.name for one in live.watched]
        # A form of another page can send JSON, but not under this type.
        if request.headers.get("content-type") != "application/json" or not is_known:
            return JSONResponse({"said": "It is not told which study or trial of these is to stop."}, 400)
        words = ["stop", f"--study={study}", *([] if trial is None else [f"--trial={trial}"]), "--", live.results]
        code, said = await _conclus(*words)
        return JSONResponse({"said": said}, 409 if code else 200)

    @contextlib.asynccontextmanager
    async def life(_app: Starlette) -> AsyncGenerator[None]:
        tasks = [asyncio.create_task(one) for one in (_report_again(live), _end(live, leave))]
        try:
            yield
        finally:
            live.is_ending = True
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    routes = [Route("/", shown), Route("/report", report), Route("/events", events)]
    return Starlette(routes=[*routes, Route("/stop", stop, methods=["POST"])], lifespan=life)


async def _asked(request: Request) -> tuple[str | None, str | None]:
    """The study and the trial that are to stop; no study if it is not told rightly."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST:
            return None, None
    try:
        asked = json.loads(body)
        study, trial = asked["study"], asked["trial"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None, None
    if not isinstance(study, str) or not isinstance(trial, str | None) or not (trial or "").isprintable():
        return None, None
    return study, trial


async def _events(live: Live) -> AsyncIterator[str]:
    """The state whenever it has changed, as server-sent events (HTML standard, section 9.2)."""
    live.pages += 1
    try:
        seen, told = 0, time.monotonic()
        while not live.is_ending:
            if live.version != seen:
                seen, told = live.version, time.monotonic()
                yield f"event: state\ndata: {live.text}\n\n"
            elif time.monotonic() - told > _QUIET_SECONDS:
                told = time.monotonic()
                yield ":\n\n"
            await asyncio.sleep(_SEND_SECONDS)
        yield "event: end\ndata:\n\n"
    finally:
        live.pages -= 1


async def _report_again(live: Live) -> None:
    """Makes the report when rows have changed and somebody looks."""
    due = 0.0
    while True:
        changes, began = live.changes, time.monotonic()
        if live.pages and live.version and changes != live.made_of and (began >= due or live.is_leaving):
            live.making = time.time(), live.took
            await _make_report(live)
            live.made_of, live.making, live.took = changes, None, duration(time.monotonic() - began)
            due = time.monotonic() + _REST * (time.monotonic() - began)
        await asyncio.sleep(_SEND_SECONDS)


async def _make_report(live: Live) -> None:
    with tempfile.TemporaryDirectory(prefix="conclus-") as folder:
        out = Path(folder) / "report.html"
        words = ["report", f"--out={out}", *(f"--study={one}" for one in live.studies), "--", live.results]
        code, said = await _conclus(*words)
        text = page.without_report(said) if code else await asyncio.to_thread(out.read_text, encoding="utf-8")
    live.report, live.reports = text, live.reports + 1


async def _end(live: Live, leave: Callable[[], None]) -> None:
    """With `once`, ends the server when the studies have ended and the pages have seen it."""
    while not (live.once and live.is_over):  # noqa: ASYNC110 (a thread finds it)
        await asyncio.sleep(_SEND_SECONDS)
    live.is_leaving = True
    while live.pages and live.made_of != live.changes:  # noqa: ASYNC110 (as above)
        await asyncio.sleep(_SEND_SECONDS)
    if live.pages:
        await asyncio.sleep(_LAST_SECONDS)
    live.is_ending = True
    await asyncio.sleep(2 * _SEND_SECONDS)
    leave()


async def _conclus(*words: str) -> tuple[int, str]:
    """Runs a command of conclus; its exit code, and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(FRONT_DOOR),
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    return process.returncode or 0, said.decode(errors="replace")
