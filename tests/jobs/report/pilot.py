"""A headless browser that is driven: pages are opened, the pointer moves and drags, and what the page says is read."""

import base64
import json
import os
import subprocess
import time

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")


class Pilot:
    """Speaks the protocol of Chromium's developer tools over a pipe, so that no port is opened."""

    def __init__(self, program, folder):
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()

        def hand_over():
            # Chromium reads from 3 and writes to 4; above them nothing is in the way.
            copies = [os.dup2(one, 60 + place) for place, one in enumerate((to_browser, from_browser))]
            for place, one in enumerate(copies):
                os.dup2(one, 3 + place)

        command = [program, *FLAGS, f"--user-data-dir={folder / 'driven'}", "--remote-debugging-pipe", "about:blank"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "close_fds": False}
        self._process = subprocess.Popen(command, preexec_fn=hand_over, **quiet)  # noqa: PLW1509 - there are no threads
        os.close(to_browser)
        os.close(from_browser)
        self._folder, self._rest, self._count = folder, b"", 0
        self.said = []
        self._session = None
        target = next(one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for name in ("Page", "Runtime", "Log"):
            self.call(f"{name}.enable")

    def close(self):
        """Ends the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def call(self, method, **params):
        """The answer to one command."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            found = self._message()
            if found.get("id") == self._count:
                assert "error" not in found, found
                return found["result"]

    def _message(self):
        while b"\0" not in self._rest:
            self._rest += os.read(self._read, 1 << 16)
        one, _, self._rest = self._rest.partition(b"\0")
        found = json.loads(one)
        if found.get("method") == "Runtime.exceptionThrown":
            self.said.append(found["params"]["exceptionDetails"])
        elif found.get("method") == "Log.entryAdded":
            self.said.append(found["params"]["entry"]["text"])
        elif found.get("method") == "Runtime.consoleAPICalled":
            self.said.append([one.get("value", one.get("description")) for one in found["params"]["args"]])
        return found

    def ask(self, script):
        """The value of a piece of JavaScript, which may be a promise."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def open(self, text, *, width=1200, height=900, dark=False, whole=True):
        """Opens a page in a window of this size; returns the seconds until it is read and what is in sight is drawn.

        With `whole`, all others are drawn then, too.
        """
        self.said.clear()
        page = self._folder / "driven.html"
        page.write_text(text, encoding="utf-8")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        start = time.perf_counter()
        self.call("Page.navigate", url=page.as_uri())
        self._wait_for_charts()
        took = time.perf_counter() - start
        if whole:
            self.ask("globalThis.drawAll?.()")
        return took

    def show(self, selector):
        """Scrolls to an element, and waits until the charts in sight are drawn."""
        self.ask(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{behavior: 'instant'}})")
        self.settle()
        self._wait_for_charts()

    def _wait_for_charts(self):
        is_drawn = "!globalThis.drawAll || document.documentElement.dataset.drawn === 'yes'"
        while not self.ask(f"document.readyState === 'complete' && ({is_drawn})"):
            time.sleep(0.02)

    def place(self, selector, number=0):
        """The left, top, width and height of an element in the window, after it was scrolled to."""
        return self.ask(
            f"(() => {{ const one = document.querySelectorAll({json.dumps(selector)})[{number}];"
            "one.scrollIntoView({block: 'center', behavior: 'instant'}); const r = one.getBoundingClientRect();"
            "return [r.left, r.top, r.width, r.height]; })()"
        )

    def move(self, x, y):
        """Moves the pointer."""
        self._mouse("mouseMoved", x, y)

    def click(self, x, y):
        """Clicks."""
        self.move(x, y)
        self._mouse("mousePressed", x, y, button="left", clickCount=1, buttons=1)
        self._mouse("mouseReleased", x, y, button="left", clickCount=1)

    def press(self, x, y):
        """Presses the button and keeps it pressed."""
        self.move(x, y)
        self._mouse("mousePressed", x, y, button="left", clickCount=1, buttons=1)

    def pull(self, x, y):
        """Moves the pointer with its button pressed."""
        self._mouse("mouseMoved", x, y, button="left", buttons=1)

    def drag(self, start, end, steps=10):
        """Presses the button at a point, moves to another one, and releases it."""
        self.press(*start)
        for step in range(1, steps + 1):
            self.pull(*(a + (b - a) * step / steps for a, b in zip(start, end, strict=True)))
        self._mouse("mouseReleased", *end, button="left", clickCount=1)

    def wheel(self, x, y, delta, *, ctrl=False):
        """Turns the wheel."""
        self._mouse("mouseWheel", x, y, deltaX=0, deltaY=delta, modifiers=2 if ctrl else 0)

    def settle(self):
        """Waits until the page has painted what it was asked to."""
        self.ask("new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(r, 0))))")

    def picture(self, path, *, whole=False):
        """Writes the window, or all of the page, as a PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)
