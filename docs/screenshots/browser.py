"""A real browser without a window, led over its debugging protocol."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import ClientConnection, connect

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_SECONDS = 60


@dataclass(slots=True)
class Page:
    """One tab. Elements are found by the text that a person reads on them."""

    socket: ClientConnection
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def open(self, url: str, until: str) -> None:
        """Open an address, and wait until the text is to be read."""
        self._call("Page.navigate", url=url)
        self.wait_for(until)

    def wait_for(self, text: str) -> None:
        """Wait until a text is to be read; a TimeoutError after a minute."""
        deadline = time.monotonic() + _SECONDS
        while not self.run(
            f"document.body && document.body.innerText.includes({json.dumps(text)})"
        ):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{text!r} is not to be read; there is: {self.text()[:2000]}")
            time.sleep(0.2)
        # What comes after the text: pictures, lines of a graph.
        time.sleep(2)

    def text(self) -> str:
        """What is to be read."""
        return str(self.run("document.body.innerText"))

    def click(self, text: str, kind: str = "button, a, [role=button], [role=menuitem]") -> None:
        """Click the first element of a kind that says exactly this, as a mouse would."""
        place = self.run(
            f"""(() => {{
                const all = [...document.querySelectorAll({json.dumps(kind)})];
                const found = all.findLast(e => (e.innerText || '').trim() === {json.dumps(text)});
                if (!found) return null;
                found.scrollIntoView({{block: 'center'}});
                const box = found.getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        if place is None:
            raise LookupError(f"nothing says {text!r}")
        self.click_at(*place)

    def click_at(self, x: float, y: float) -> None:
        """Click a place of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        time.sleep(1)

    def resize(self, width: int, height: int) -> None:
        """Give the window another size; what is opened from then on is laid out for it."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def picture(self, path: Path, height: int | None = None) -> None:
        """Write what is seen as a PNG, or so many pixels of it from the top."""
        width, all_of_it = self.run("[window.innerWidth, window.innerHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": height or all_of_it, "scale": 1}
        data = self._call("Page.captureScreenshot", format="png", clip=clip)["data"]
        path.write_bytes(base64.b64decode(data))

    def run(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer: dict[str, Any] = json.loads(self.socket.recv(timeout=_SECONDS))
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])


@contextmanager
def browser(width: int = 1400, height: int = 900) -> Iterator[Page]:
    """A browser with one empty page; it ends with the block."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        raise LookupError("no browser: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={folder}", f"--window-size={width},{height}"]
        command += ["--remote-debugging-port=0", "--no-proxy-server", "about:blank"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                port = _port(Path(folder) / "DevToolsActivePort")
                with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
                    (tab,) = (t for t in json.load(answer) if t["type"] == "page")
                with connect(
                    tab["webSocketDebuggerUrl"], max_size=None, proxy=None, open_timeout=60
                ) as socket:
                    page = Page(socket)
                    page._call("Page.enable")
                    yield page
            finally:
                process.terminate()


def _port(path: Path) -> int:
    deadline = time.monotonic() + _SECONDS
    while not (path.exists() and path.read_text()):
        if time.monotonic() > deadline:
            raise TimeoutError("the browser does not start")
        time.sleep(0.1)
    return int(path.read_text().splitlines()[0])
