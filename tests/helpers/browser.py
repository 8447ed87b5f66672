"""Headless Chromium over its debugging pipe: no driver program, no package, and every request and message is seen."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = ("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--disable-extensions", "--mute-audio")  # fmt: skip
SECONDS = 60  # to wait for an answer


def find() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Tab:
    """One page. What it asked for, and what went wrong on it, is kept in `requests` and `complaints`."""

    def __init__(self, to: int, back: int) -> None:
        self.to, self.back, self.number, self.buffer = to, back, 0, b""
        self.session: str | None = None
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.loaded = False

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol and return its answer."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        asked, answers = self.number, []
        self.wait(lambda: bool(answers), lambda heard: answers.append(heard) if heard.get("id") == asked else None)
        if "error" in answers[0]:
            raise RuntimeError(f"{method}: {answers[0]['error']['message']}")
        return answers[0]["result"]

    def wait(self, done: Callable[[], bool], hear: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        until = time.monotonic() + SECONDS
        while not done():
            while b"\0" not in self.buffer:
                ready, _, _ = select.select([self.back], [], [], max(0, until - time.monotonic()))
                part = os.read(self.back, 1 << 20) if ready else b""
                if not part:
                    raise TimeoutError("Chromium does not answer")
                self.buffer += part
            line, self.buffer = self.buffer.split(b"\0", 1)
            heard = json.loads(line)
            self.note(heard)
            hear(heard)

    def note(self, heard: dict[str, Any]) -> None:
        method, params = heard.get("method"), heard.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str(params["args"]))
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method == "Page.loadEventFired":
            self.loaded = True

    def open(self, address: str, width: int = 1280, height: int = 900, dark: bool = False, touch: bool = False) -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        shade = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[shade])
        self.requests, self.complaints, self.loaded = [], [], False
        self.send("Page.navigate", url=address)
        self.wait(lambda: self.loaded)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression comes to on the page; promises are awaited."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def screenshot(self, path: Path, whole: bool = True) -> None:
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=whole, **(self.clip() if whole else {}))
        path.write_bytes(base64.b64decode(shot["data"]))

    def clip(self) -> dict[str, Any]:
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def pdf(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.send("Page.printToPDF", preferCSSPageSize=True)["data"]))


@contextmanager
def tab(binary: str) -> Iterator[Tab]:
    """Start Chromium with a profile of its own, open a tab, and end both."""
    to_read, to_write = os.pipe()
    back_read, back_write = os.pipe()
    # Chromium's helpers may outlive their parent and write to the profile while it is removed
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # Chromium reads its pipe on descriptor 3 and writes on 4
        command = f'exec "$0" "$@" 3<&{to_read} 4>&{back_write}'
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", *QUIET]
        program = subprocess.Popen(
            ["bash", "-c", command, binary, *options, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_read, back_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        os.close(to_read)
        os.close(back_write)
        try:
            page = Tab(to_write, back_read)
            target = page.send("Target.createTarget", url="about:blank")["targetId"]
            page.session = page.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Network", "Runtime", "Log"):
                page.send(f"{domain}.enable")
            yield page
        finally:
            program.terminate()
            program.wait(timeout=30)
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            os.close(to_write)
            os.close(back_read)
