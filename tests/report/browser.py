"""A browser without a window, driven over a pipe by the protocol of its developer tools."""

import base64
import contextlib
import json
import os
import pathlib
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_PATIENCE = 60.0


def find() -> str | None:
    """The browser's program, if there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """A page in it. ``said``: what it wrote to its console, errors and refusals of its policy among that."""

    def __init__(self, to_browser: int, from_browser: int):
        self._to, self._from, self._left = to_browser, from_browser, b""
        self._number, self._session, self._events = 0, "", []
        self.said: list[str] = []
        self.requests: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, path: pathlib.Path, width: int = 1200, dark: bool = False) -> None:
        """Load a file, and wait until it and its pictures are there."""
        scheme = "dark" if dark else "light"
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.said.clear()
        self.requests.clear()
        self._events.clear()
        self._call("Page.navigate", url=path.absolute().as_uri())
        self._until(lambda: any(each["method"] == "Page.loadEventFired" for each in self._events))
        self.run("new Promise((done) => setTimeout(done, 300))")

    def run(self, script: str) -> Any:
        """The value of an expression; a promise's, once it is kept."""
        found = self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def key(self, name: str) -> None:
        """Press a key where the focus is."""
        code = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, "Enter": 13}[name]
        text = {"text": "\r"} if name == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code, **text)

    def point(self, x: float, y: float) -> None:
        """Move the mouse."""
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def screenshot(self, path: pathlib.Path) -> None:
        """The whole page, however long."""
        taken = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        answers: list[dict[str, Any]] = []
        number = self._number
        self._until(lambda: answers, lambda told: told.get("id") == number and answers.append(told))
        assert "error" not in answers[0], answers[0]
        return answers[0]["result"]

    def _until(self, is_done, also=lambda told: None) -> None:
        """Read what the browser says until then."""
        until = time.monotonic() + _PATIENCE
        while not is_done():
            while b"\0" not in self._left:
                ready, _, _ = select.select([self._from], [], [], max(0.0, until - time.monotonic()))
                assert ready, "the browser does not answer"
                got = os.read(self._from, 2**20)
                assert got, "the browser ended"
                self._left += got
            line, _, self._left = self._left.partition(b"\0")
            told = json.loads(line)
            also(told)
            if "method" in told:
                self._note(told)

    def _note(self, told: dict[str, Any]) -> None:
        self._events.append(told)
        parameters = told["params"]
        if told["method"] == "Runtime.consoleAPICalled":
            self.said.append(f"{parameters['type']}: {parameters['args']}")
        elif told["method"] == "Runtime.exceptionThrown":
            self.said.append(str(parameters["exceptionDetails"]))
        elif told["method"] == "Log.entryAdded":
            self.said.append(parameters["entry"]["text"])
        elif told["method"] == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"][:200])


@contextlib.contextmanager
def start(program: str, profile: pathlib.Path) -> Iterator[Page]:
    """A page in a browser of its own, whose files are in the folder ``profile``."""
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()

    def as_three_and_four() -> None:
        # Copied out of the way first: each may be the number that the other is to get.
        first, second = os.dup(to_read), os.dup(from_write)
        os.dup2(first, 3)
        os.dup2(second, 4)

    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars"]
    process = subprocess.Popen(
        [program, *flags, "--no-first-run", f"--user-data-dir={profile}"],
        preexec_fn=as_three_and_four,
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(from_write)
    try:
        yield Page(to_write, from_read)
    finally:
        process.kill()
        process.wait()
        os.close(to_write)
        os.close(from_read)
