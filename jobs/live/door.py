"""Who may ask the live page's server: a browser of this machine that was given its address, and nobody else.

The printed address holds a token for one use, for which the browser gets a cookie. The Host header must name this
machine, so that no page of the network reaches the server by a name of its own (DNS rebinding). What another page of
the browser asks has that page's Origin and is refused.
"""

from __future__ import annotations

import secrets
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_WITHOUT = "Open the address that `conclus serve` has printed last: it holds a token for one browser.\n"


class Door:
    """The token and the cookie of one server.

    Args:
        port: The port that it listens on.
        tell: Is given each new address to open, which holds a token.
    """

    def __init__(self, port: int, tell: Callable[[str], None]) -> None:
        self._hosts = (f"{HOST}:{port}", f"localhost:{port}")
        self._port, self._tell = port, tell
        # Browsers send a cookie to all ports of a machine: the name keeps those of several servers apart.
        self._name, self._secret = f"conclus-{port}", secrets.token_urlsafe(32)
        self._token = ""

    def open(self) -> None:
        """Makes a new token and tells the address with it."""
        self._token = secrets.token_urlsafe(32)
        self._tell(f"http://{HOST}:{self._port}/?token={self._token}")

    def refusal(self, headers: Headers) -> tuple[int, str] | None:
        """The code and the text with which a request to this machine is refused whatever it asks; None if it is not."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self._hosts:
            return 421, "This server answers to its own address alone.\n"
        if origin not in {None, f"http://{host}"}:
            return 403, "Another page asks: it may not.\n"
        return None

    def knows(self, headers: Headers) -> bool:
        """Whether the browser has the cookie."""
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._name)
        except CookieError:
            return False
        return found is not None and secrets.compare_digest(found.value.encode(), self._secret.encode())

    def spends(self, token: str) -> bool:
        """Whether this is the token; it is used up then, and another address is told."""
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            return False
        self.open()
        return True

    @property
    def cookie(self) -> str:
        """The header that gives a browser the cookie."""
        return f"{self._name}={self._secret}; HttpOnly; SameSite=Strict; Path=/"


class Guarded:
    """The application behind the door; what comes with neither cookie nor token is refused, and nothing is stored."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._gate = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or refuses it (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)  # Its own start and end; it takes no WebSocket.
            return
        headers = Headers(scope=scope)
        refused = self._gate.refusal(headers)
        is_given = False
        if refused is None and not self._gate.knows(headers):
            is_given = scope["path"] == "/" and scope["method"] == "GET" and self._gate.spends(_token(scope))
            refused = None if is_given else (403, _WITHOUT)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = MutableHeaders(scope=message)
                own.update(_HEADERS)
                if is_given:
                    own["Set-Cookie"] = self._gate.cookie
            await send(message)

        app = self._app if refused is None else PlainTextResponse(refused[1], refused[0])
        await app(scope, receive, answer)


def _token(scope: Scope) -> str:
    from urllib.parse import parse_qs

    found = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
    return found[0] if len(found) == 1 else ""
