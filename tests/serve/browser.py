"""A headless Chromium, driven over its debugging pipe; no package is needed for it, only the program."""

import base64
import fcntl
import json
import os
import shutil
import signal
import threading
import time

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
"""Where the program is; None where there is none."""
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-extensions",
         "--disable-component-update", "--remote-debugging-pipe", "--hide-scrollbars", "--disable-dev-shm-usage")  # fmt: skip


class Browser:
    """One page of it.

    Args:
        profile: Empty folder for what it keeps.
        patience: Seconds after which it counts as hanging.

    Attributes:
        errors: What the page wrote to its console as an error, and exceptions.
        requested: Addresses that the page asked for.
    """

    def __init__(self, profile, patience=30.0):
        self.errors, self.requested = [], []
        read, self._to = os.pipe()
        self._from, write = os.pipe()
        theirs = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in (read, write)]  # so that neither is 3 or 4
        actions = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
        actions += [(os.POSIX_SPAWN_DUP2, one, number) for one, number in zip(theirs, (3, 4), strict=True)]
        arguments = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = os.posix_spawn(CHROMIUM, arguments, os.environ, file_actions=actions)
        for one in (read, write, *theirs):
            os.close(one)
        self._watch = threading.Timer(patience, os.kill, (self._process, signal.SIGKILL))
        self._watch.start()
        self._number, self._rest, self._session = 0, b"", None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method, **params):
        """Have something done; return what came of it."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self._number:
                assert "error" not in found, found
                return found["result"]

    def _next(self):
        while b"\0" not in self._rest:
            part = os.read(self._from, 1 << 20)
            assert part, "the browser has ended"
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        event = json.loads(line)
        params = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(params["exceptionDetails"].get("exception", {}).get("description", "exception"))
        elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif event.get("method") == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])
        return event

    def evaluate(self, code):
        """Return the value of an expression of JavaScript, awaited."""
        result = self.send("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, condition, seconds=15.0):
        """Wait until an expression of JavaScript is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.evaluate(f"Boolean({condition})"):
                return
            time.sleep(0.05)
        raise AssertionError(
            f"never true: {condition}; the page says {self.evaluate('document.body.innerText')!r}; {self.errors}"
        )

    def open(self, address):
        """Open a page."""
        self.send("Page.navigate", url=address)

    def screenshot(self, path):
        """Write what is to be seen to a file, all of the page."""
        data = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self):
        """End it."""
        self._watch.cancel()
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._to)
        os.close(self._from)
