# SPDX-License-Identifier: LGPL-2.1-or-later
"""A headless Chromium and its DevTools protocol over pipes (--remote-debugging-pipe: messages of JSON, each with a NUL after it): what a person does with a
keyboard, and what the page looks like then."""

import json
import os
import select
import shutil
import subprocess
import time

KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "Escape": (27, ""), " ": (32, " ")}
SECONDS = 60


class Browser:
    def __init__(self, folder, *options):
        to_read, self.out = os.pipe()
        self.into, to_write = os.pipe()
        words = [shutil.which("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                 "--remote-debugging-pipe", f"--user-data-dir={folder}/profile", *options, "about:blank"]  # fmt: skip
        self.process = subprocess.Popen(["bash", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write} {to_read}<&- {to_write}>&-', "chromium", *words],
                                        pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        env={**os.environ, "HOME": str(folder)})  # fmt: skip
        os.close(to_read)
        os.close(to_write)
        self.rest, self.number, self.session, self.events = b"", 0, None, []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def receive(self, until):
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.into], [], [], max(0, until - time.monotonic()))
            data = os.read(self.into, 1 << 16) if ready else b""
            if not data:
                raise TimeoutError("Chromium does not answer")
            self.rest += data
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def send(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters, **({"sessionId": self.session} if self.session else {})}
        os.write(self.out, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + SECONDS
        while True:
            answer = self.receive(until)
            if answer.get("id") == self.number:
                assert "error" not in answer, (method, answer)
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def value(self, expression):
        """What a script outside of the page's policy finds there."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, (expression, answer)
        return answer["result"].get("value")

    def wait(self, expression):
        until = time.monotonic() + SECONDS
        while not self.value(expression):
            assert time.monotonic() < until, (expression, self.value("document.body.innerText"))
            time.sleep(0.05)

    def open(self, url):
        self.send("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def key(self, name):
        code, text = KEYS[name]
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind if text or kind == "keyUp" else "rawKeyDown", key=name, code={" ": "Space"}.get(name, name),
                      windowsVirtualKeyCode=code, **({"text": text} if kind == "keyDown" and text else {}))  # fmt: skip

    def type(self, text):
        for c in text:
            self.send("Input.dispatchKeyEvent", type="char", text=c)

    def tab_to(self, element, most=60):
        """With the tabulator only."""
        for _ in range(most):
            if self.value(f"document.activeElement === document.getElementById({json.dumps(element)})"):
                return
            self.key("Tab")
        raise AssertionError(f"the tabulator does not reach {element}")

    def width(self, pixels):
        self.send("Emulation.setDeviceMetricsOverride", width=pixels, height=740, deviceScaleFactor=1, mobile=True)

    def requested(self):
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]

    def close(self):
        self.process.kill()
        self.process.wait(30)
        os.close(self.out)
        os.close(self.into)
